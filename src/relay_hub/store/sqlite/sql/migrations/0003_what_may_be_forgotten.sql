-- Schema version 3: finished conversations are forgotten after a while.

-- Where conversations begin, oldest first.
CREATE INDEX messages_first ON messages (created_ms) WHERE conversation_id IS NULL;

-- Rows that point to one that is deleted; without these each deletion would walk the table.
CREATE INDEX messages_replying ON messages (reply_to) WHERE reply_to IS NOT NULL;
CREATE INDEX deliveries_retried ON deliveries (retried_as) WHERE retried_as IS NOT NULL;
CREATE INDEX attempt_deliveries_of ON attempt_deliveries (delivery_id);
