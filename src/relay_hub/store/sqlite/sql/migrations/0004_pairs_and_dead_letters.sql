-- Schema version 4: how pairs begin and end, and what was decided about dead letters.

-- `ended_by` is NULL where time ended a pair; `expires_ms` is when a pending one ends by itself.
ALTER TABLE pairs ADD COLUMN ended_by TEXT REFERENCES agents (id);
ALTER TABLE pairs ADD COLUMN expires_ms INTEGER;
CREATE INDEX pairs_by_age ON pairs (created_ms, id);
CREATE INDEX pairs_of_inviter ON pairs (inviter, created_ms);
CREATE INDEX pairs_of_invitee ON pairs (invitee, created_ms);
CREATE INDEX pairs_to_expire ON pairs (expires_ms) WHERE state = 'pending';
CREATE INDEX pairs_to_forget ON pairs (updated_ms) WHERE state = 'ended';
CREATE INDEX messages_of_pair ON messages (pair_id) WHERE pair_id IS NOT NULL;

-- A dead delivery that somebody has seen to is listed no longer: `retried_as` or `dropped_ms`.
ALTER TABLE deliveries ADD COLUMN dropped_ms INTEGER;
CREATE INDEX dead_letters ON deliveries (id)
  WHERE state = 'dead' AND retried_as IS NULL AND dropped_ms IS NULL;
DROP INDEX deliveries_dead;
