-- Schema version 6: what the guard against loops has stopped.

-- `subject` is the first message of a conversation, or an agent. `stopped_ms` is NULL once a person
-- has let it go on; `reset_ms` and `more_hops` are what it counts from then.
CREATE TABLE guards (
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  reason TEXT NOT NULL,
  sender_id TEXT NOT NULL,
  recipient TEXT NOT NULL,
  refused INTEGER NOT NULL,
  stopped_ms INTEGER,
  reset_ms INTEGER NOT NULL,
  more_hops INTEGER NOT NULL,
  notice_id INTEGER,
  PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX guards_stopped ON guards (stopped_ms) WHERE stopped_ms IS NOT NULL;

-- Turns that agents' mail alone has started; nobody knows that of those before.
ALTER TABLE attempts ADD COLUMN for_others INTEGER NOT NULL DEFAULT 0;
CREATE INDEX attempts_for_others ON attempts (agent_id, started_ms) WHERE for_others = 1;
