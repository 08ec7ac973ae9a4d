-- Schema version 2: what the user has set of an agent is not the session's to change.

ALTER TABLE agents ADD COLUMN user_set_label INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN user_set_tags INTEGER NOT NULL DEFAULT 0;
