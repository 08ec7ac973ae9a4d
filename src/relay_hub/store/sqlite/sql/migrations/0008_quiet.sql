-- Schema version 8: until when an agent is quiet, or was last.

ALTER TABLE agents ADD COLUMN quiet_until_ms INTEGER;
