-- Schema version 7: what became of a result, and whose hands a claim went through.

ALTER TABLE claims ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
-- No reference: it is of the same conversation, and is forgotten a moment before.
ALTER TABLE claims ADD COLUMN result_id INTEGER;
ALTER TABLE claims ADD COLUMN not_sent TEXT;
UPDATE claims SET since_ms =
  coalesce(claimed_ms, (SELECT created_ms FROM messages m WHERE m.id = claims.message_id));
CREATE INDEX claims_by_state ON claims (state, message_id);

-- Every change of hands; no renewals.
CREATE TABLE claim_events (
  id INTEGER PRIMARY KEY,
  message_id INTEGER NOT NULL REFERENCES messages (id),
  at_ms INTEGER NOT NULL,
  event TEXT NOT NULL,
  agent_id TEXT REFERENCES agents (id),
  token INTEGER NOT NULL
) STRICT;
CREATE INDEX claim_events_of_message ON claim_events (message_id);
