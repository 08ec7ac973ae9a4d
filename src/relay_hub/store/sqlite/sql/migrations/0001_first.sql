-- Schema version 1.
--
-- Times are milliseconds since the Unix epoch by the hub's clock. JSON is kept as the bytes that
-- came, in BLOBs. Rows are never deleted on the way of a message: state says what became of them.

-- Which database this is: `store_id` is drawn once; `generation` grows when a backup is restored.
CREATE TABLE store (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  schema_version INTEGER NOT NULL,
  store_id TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 1
) STRICT;

-- One row for each agent id that ever registered: `epoch` and `next_seq` only grow, so a deleted
-- agent keeps its row (`deleted_ms`). The operator, the person at the keyboard, has one too.
CREATE TABLE agents (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  label TEXT,
  machine TEXT,
  rig TEXT,
  tags BLOB NOT NULL DEFAULT x'5B5D',
  capabilities BLOB NOT NULL DEFAULT x'5B5D',
  channels BLOB NOT NULL DEFAULT x'5B5D',
  approval TEXT NOT NULL DEFAULT 'open',
  status TEXT NOT NULL DEFAULT 'offline',
  ready INTEGER NOT NULL DEFAULT 0,
  unattended INTEGER NOT NULL DEFAULT 0,
  thread_id TEXT,
  adapter TEXT,
  waiting TEXT,
  last_user_turn_ms INTEGER,
  last_seen_ms INTEGER,
  instance_id TEXT,
  epoch INTEGER NOT NULL DEFAULT 0,
  next_seq INTEGER NOT NULL DEFAULT 0,
  meta BLOB NOT NULL DEFAULT x'7B7D',
  created_ms INTEGER NOT NULL,
  deleted_ms INTEGER
) STRICT, WITHOUT ROWID;

-- What targets are looked up by: `kind` is label, tag or cap.
CREATE TABLE agent_names (
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  agent_id TEXT NOT NULL REFERENCES agents (id),
  PRIMARY KEY (kind, value, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_names_of ON agent_names (agent_id);

-- Messages as they were sent. `sender` is the hub's own view of who sent it. `conversation_id` is
-- the first message of the conversation, NULL in that one. `by_agent` is 1 when an agent's own
-- token sent it: rates and budgets bind those alone.
CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sender_id TEXT NOT NULL,
  target TEXT NOT NULL,
  channel TEXT,
  subject TEXT,
  body TEXT NOT NULL,
  reply_to INTEGER REFERENCES messages (id),
  claimable INTEGER NOT NULL,
  urgent INTEGER NOT NULL,
  type TEXT,
  meta BLOB NOT NULL,
  sender BLOB NOT NULL,
  by_agent INTEGER NOT NULL,
  pair_id TEXT REFERENCES pairs (id),
  conversation_id INTEGER REFERENCES messages (id),
  hop INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER
) STRICT;
CREATE INDEX messages_by_agents ON messages (sender_id, created_ms) WHERE by_agent = 1;
CREATE INDEX messages_of_conversation ON messages (conversation_id, created_ms)
  WHERE conversation_id IS NOT NULL;

-- One message on its way to one recipient. `seq` orders those of one recipient. `retried_as` is the
-- delivery that took the place of a dead one. `is_open` is what the partial indexes are about; it
-- is a CASE because a longer IN would build a table for each row that is written.
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id INTEGER NOT NULL REFERENCES messages (id),
  agent_id TEXT NOT NULL REFERENCES agents (id),
  seq INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  strikes INTEGER NOT NULL DEFAULT 0,
  attempt_id TEXT,
  claim_token INTEGER,
  not_before_ms INTEGER NOT NULL DEFAULT 0,
  held_until_ms INTEGER,
  expires_ms INTEGER,
  turn_id TEXT,
  turn_status TEXT,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  delivered_ms INTEGER,
  retried_as INTEGER REFERENCES deliveries (id),
  is_open INTEGER NOT NULL GENERATED ALWAYS AS (
    CASE state WHEN 'queued' THEN 1 WHEN 'leased' THEN 1 WHEN 'injecting' THEN 1
               WHEN 'uncertain' THEN 1 WHEN 'held' THEN 1 ELSE 0 END) VIRTUAL
) STRICT;
CREATE INDEX deliveries_of_message ON deliveries (message_id, agent_id);
CREATE INDEX deliveries_of_agent ON deliveries (agent_id, message_id);
CREATE INDEX deliveries_open ON deliveries (agent_id, seq)
  WHERE is_open;
CREATE INDEX deliveries_to_expire ON deliveries (expires_ms)
  WHERE is_open AND expires_ms IS NOT NULL;
CREATE INDEX deliveries_to_release ON deliveries (held_until_ms)
  WHERE state = 'held' AND held_until_ms IS NOT NULL;
CREATE INDEX deliveries_to_retry ON deliveries (not_before_ms)
  WHERE state IN ('queued', 'leased') AND not_before_ms > 0;
CREATE INDEX deliveries_dead ON deliveries (updated_ms) WHERE state = 'dead';

-- Each step of the delivery machine, with the event that caused it.
CREATE TABLE transitions (
  id INTEGER PRIMARY KEY,
  delivery_id INTEGER NOT NULL REFERENCES deliveries (id),
  at_ms INTEGER NOT NULL,
  event TEXT NOT NULL,
  before_state TEXT NOT NULL,
  after_state TEXT NOT NULL,
  reason TEXT,
  attempt_id TEXT
) STRICT;
CREATE INDEX transitions_of_delivery ON transitions (delivery_id);

-- Tries to bring deliveries into a session. `outcome` is NULL while a try is in doubt.
CREATE TABLE attempts (
  id TEXT PRIMARY KEY,
  agent_id TEXT NOT NULL REFERENCES agents (id),
  thread_id TEXT NOT NULL,
  instance_id TEXT,
  epoch INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  outcome TEXT,
  resolved_ms INTEGER,
  turn_id TEXT,
  turn_status TEXT,
  final_text TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt_deliveries (
  attempt_id TEXT NOT NULL REFERENCES attempts (id),
  delivery_id INTEGER NOT NULL REFERENCES deliveries (id),
  PRIMARY KEY (attempt_id, delivery_id)
) STRICT, WITHOUT ROWID;

-- Who does the work that a claimable message asks for. `token` only grows.
CREATE TABLE claims (
  message_id INTEGER PRIMARY KEY REFERENCES messages (id),
  state TEXT NOT NULL,
  token INTEGER NOT NULL,
  agent_id TEXT REFERENCES agents (id),
  claimed_ms INTEGER,
  until_ms INTEGER,
  lapses INTEGER NOT NULL DEFAULT 0,
  result TEXT
) STRICT;
CREATE INDEX claims_to_lapse ON claims (until_ms) WHERE state = 'held';

-- What plugins attached to a delivery.
CREATE TABLE annotations (
  delivery_id INTEGER NOT NULL REFERENCES deliveries (id),
  key TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (delivery_id, key)
) STRICT, WITHOUT ROWID;

-- Answers to requests that came with an Idempotency-Key; `asked` is the hash of the request's body.
CREATE TABLE idempotency (
  scope TEXT NOT NULL,
  route TEXT NOT NULL,
  key TEXT NOT NULL,
  asked BLOB NOT NULL,
  answer BLOB NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (scope, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_ms);

-- Tokens that act for one agent; only their hashes are kept.
CREATE TABLE agent_tokens (
  hash BLOB PRIMARY KEY,
  agent_id TEXT NOT NULL REFERENCES agents (id),
  created_ms INTEGER NOT NULL,
  revoked_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Two agents that talk to each other alone. A row in `pair_seats` is what makes it exclusive: an
-- agent has one seat at most, in a pair that is pending or active.
CREATE TABLE pairs (
  id TEXT PRIMARY KEY,
  inviter TEXT NOT NULL REFERENCES agents (id),
  invitee TEXT NOT NULL REFERENCES agents (id),
  objective TEXT,
  state TEXT NOT NULL,
  reason TEXT,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pair_seats (
  agent_id TEXT PRIMARY KEY REFERENCES agents (id),
  pair_id TEXT NOT NULL REFERENCES pairs (id)
) STRICT, WITHOUT ROWID;

INSERT INTO agents (id, name, status, created_ms) VALUES ('operator', 'operator', 'online', 0);
