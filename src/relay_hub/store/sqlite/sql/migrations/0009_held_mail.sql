-- Schema version 9: what a person decides about held mail.

-- When a human said yes to it, and the text that the recipient gets in the place of the sender's.
ALTER TABLE deliveries ADD COLUMN approved_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN edited_body TEXT;
CREATE INDEX held_mail ON deliveries (id) WHERE state = 'held';
CREATE INDEX held_for_a_yes ON deliveries (id) WHERE state = 'held' AND reason = 'needs_yes';
