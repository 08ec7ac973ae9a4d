-- Schema version 9: what a person decides about held mail.

-- When a human said yes to it, and the text that the recipient gets in the place of the sender's.
ALTER TABLE deliveries ADD COLUMN approved_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN edited_body TEXT;
CREATE INDEX held_mail ON deliveries (id) WHERE state = 'held';
CREATE INDEX held_for_a_yes ON deliveries (id) WHERE state = 'held' AND reason = 'needs_yes';

-- What waits for a yes, or has ended while it did: by the last step that was not an end.
CREATE VIEW withheld AS
SELECT d.id AS delivery_id FROM deliveries d
WHERE (SELECT t.after_state = 'held' AND t.reason IS 'needs_yes' FROM transitions t
       WHERE t.delivery_id = d.id
         AND t.after_state NOT IN ('skipped', 'expired', 'cancelled', 'dead')
       ORDER BY t.id DESC LIMIT 1);
