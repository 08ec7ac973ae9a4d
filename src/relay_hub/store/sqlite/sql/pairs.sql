-- name: pair
SELECT id, inviter, invitee, objective, state, reason, created_ms, updated_ms, ended_by, expires_ms
FROM pairs WHERE id = ?;

-- name: pair_of
-- The pair that an agent has its seat in: pending or active.
SELECT p.id, p.inviter, p.invitee, p.objective, p.state, p.reason, p.created_ms, p.updated_ms,
       p.ended_by, p.expires_ms
FROM pair_seats s JOIN pairs p ON p.id = s.pair_id WHERE s.agent_id = ?;

-- name: pairs
-- Newest first, those made before another; ids tell apart what was made in one millisecond.
SELECT id, inviter, invitee, objective, state, reason, created_ms, updated_ms, ended_by, expires_ms
FROM pairs INDEXED BY pairs_by_age
WHERE state IN (SELECT value FROM json_each(?1))
  AND (?2 IS NULL OR (created_ms, id) < (SELECT created_ms, id FROM pairs WHERE id = ?2))
ORDER BY created_ms DESC, id DESC LIMIT ?3;

-- name: pairs_of
-- The same of one agent.
SELECT id, inviter, invitee, objective, state, reason, created_ms, updated_ms, ended_by, expires_ms
FROM pairs
WHERE (inviter = ?4 OR invitee = ?4) AND state IN (SELECT value FROM json_each(?1))
  AND (?2 IS NULL OR (created_ms, id) < (SELECT created_ms, id FROM pairs WHERE id = ?2))
ORDER BY created_ms DESC, id DESC LIMIT ?3;

-- name: pairs_expired
SELECT id, inviter, invitee, objective, state, reason, created_ms, updated_ms, ended_by, expires_ms
FROM pairs WHERE state = 'pending' AND expires_ms <= ? ORDER BY expires_ms LIMIT ?;

-- name: pair_message
-- The newest of one type.
SELECT m.id, m.sender_id, m.target, m.channel, m.subject, m.body, m.reply_to, m.claimable,
       m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms
FROM messages m LEFT JOIN claims c ON c.message_id = m.id
WHERE m.pair_id = ?1 AND (?2 IS NULL OR m.type = ?2) ORDER BY m.id DESC LIMIT 1;

-- name: put_pair
INSERT INTO pairs (id, inviter, invitee, objective, state, reason, created_ms, updated_ms, ended_by,
                   expires_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
  state = excluded.state, reason = excluded.reason, updated_ms = excluded.updated_ms,
  ended_by = excluded.ended_by, expires_ms = excluded.expires_ms;

-- name: take_seat
-- The primary key is what keeps an agent from sitting in two pairs.
INSERT INTO pair_seats (agent_id, pair_id) VALUES (?, ?) ON CONFLICT (agent_id) DO NOTHING;

-- name: free_seat
DELETE FROM pair_seats WHERE agent_id = ? AND pair_id = ?;

-- name: forgotten_pairs
-- Ended before a time, and no message of theirs is left.
SELECT id FROM pairs
WHERE state = 'ended' AND updated_ms < ?
  AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.pair_id = pairs.id)
ORDER BY updated_ms LIMIT ?;

-- name: prune_pair
DELETE FROM pairs WHERE id = ?;
