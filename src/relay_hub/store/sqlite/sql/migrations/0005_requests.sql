-- Schema version 5: what answered a request, and why a turn was no answer.

CREATE TABLE replies (
  request_id INTEGER NOT NULL REFERENCES messages (id),
  agent_id TEXT NOT NULL REFERENCES agents (id),
  reply_id INTEGER NOT NULL REFERENCES messages (id),
  PRIMARY KEY (request_id, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_by_reply ON replies (reply_id);

-- What a session said is kept as an answer, which is a message, and nowhere else.
ALTER TABLE attempts DROP COLUMN final_text;
ALTER TABLE attempts ADD COLUMN no_reply TEXT;
