-- name: add_delivery
INSERT INTO deliveries (message_id, agent_id, seq, state, reason, expires_ms, created_ms, updated_ms,
                        approved_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: delivery
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries WHERE id = ?;

-- name: delivery_for
-- The newest one: a dead delivery that was retried has a successor.
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries WHERE message_id = ? AND agent_id = ? ORDER BY id DESC LIMIT 1;

-- name: deliveries_of
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries WHERE message_id = ? ORDER BY id;

-- name: put_delivery
UPDATE deliveries SET state = ?, reason = ?, attempts = ?, strikes = ?, attempt_id = ?,
       claim_token = ?, not_before_ms = ?, held_until_ms = ?, turn_id = ?, turn_status = ?,
       updated_ms = ?, delivered_ms = ?, approved_ms = ?
WHERE id = ?;

-- name: add_transition
INSERT INTO transitions (delivery_id, at_ms, event, before_state, after_state, reason, attempt_id)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: waiting_count
-- Counts no further than the caller wants to know.
SELECT count(*) FROM (
  SELECT 1 FROM deliveries WHERE agent_id = ?
    AND is_open LIMIT ?);

-- name: open_sizes
-- Which open deliveries there are and how large their bodies are; held ones last.
-- Without INDEXED BY the planner walks the agent's whole history.
SELECT d.id, length(CAST(coalesce(d.edited_body, m.body) AS BLOB))
FROM deliveries d INDEXED BY deliveries_open JOIN messages m ON m.id = d.message_id
WHERE d.agent_id = ? AND d.is_open
ORDER BY d.state = 'held', d.seq;

-- name: offers
-- An agent's open deliveries with their messages, up to a number of them.
SELECT d.id, d.message_id, d.agent_id, d.seq, d.state, d.reason, d.attempts, d.strikes,
       d.attempt_id, d.claim_token, d.not_before_ms, d.held_until_ms, d.expires_ms, d.turn_id,
       d.turn_status, d.created_ms, d.updated_ms, d.delivered_ms, d.retried_as, d.approved_ms,
       d.edited_body IS NOT NULL, m.id, m.sender_id, m.target, m.channel, m.subject, coalesce(d.edited_body, m.body),
       m.reply_to, m.claimable, m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms, d.edited_body IS NOT NULL
FROM deliveries d JOIN messages m ON m.id = d.message_id
     LEFT JOIN claims c ON c.message_id = m.id
WHERE d.agent_id = ? AND d.is_open
ORDER BY d.seq LIMIT ?;

-- name: offer
SELECT d.id, d.message_id, d.agent_id, d.seq, d.state, d.reason, d.attempts, d.strikes,
       d.attempt_id, d.claim_token, d.not_before_ms, d.held_until_ms, d.expires_ms, d.turn_id,
       d.turn_status, d.created_ms, d.updated_ms, d.delivered_ms, d.retried_as, d.approved_ms,
       d.edited_body IS NOT NULL, m.id, m.sender_id, m.target, m.channel, m.subject, coalesce(d.edited_body, m.body),
       m.reply_to, m.claimable, m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms, d.edited_body IS NOT NULL
FROM deliveries d JOIN messages m ON m.id = d.message_id
     LEFT JOIN claims c ON c.message_id = m.id
WHERE d.id = ?;

-- name: history
-- The newest deliveries of an agent in the wanted states (a JSON array of them), newest first.
SELECT d.id, d.message_id, d.agent_id, d.seq, d.state, d.reason, d.attempts, d.strikes,
       d.attempt_id, d.claim_token, d.not_before_ms, d.held_until_ms, d.expires_ms, d.turn_id,
       d.turn_status, d.created_ms, d.updated_ms, d.delivered_ms, d.retried_as, d.approved_ms,
       d.edited_body IS NOT NULL, m.id, m.sender_id, m.target, m.channel, m.subject, coalesce(d.edited_body, m.body),
       m.reply_to, m.claimable, m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms, d.edited_body IS NOT NULL
FROM deliveries d JOIN messages m ON m.id = d.message_id
     LEFT JOIN claims c ON c.message_id = m.id
WHERE d.agent_id = ? AND d.message_id < ? AND d.state IN (SELECT value FROM json_each(?))
ORDER BY d.message_id DESC LIMIT ?;

-- name: in_doubt
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries
WHERE agent_id = ? AND is_open
  AND state IN ('injecting', 'uncertain')
ORDER BY seq;

-- name: held_because
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries
WHERE agent_id = ? AND is_open
  AND state = 'held' AND reason = ?
ORDER BY seq;

-- name: annotations
-- Those of an agent's open deliveries.
SELECT a.delivery_id, a.key, a.value
FROM deliveries d JOIN annotations a ON a.delivery_id = d.id
WHERE d.agent_id = ? AND d.is_open;

-- name: put_annotation
INSERT INTO annotations (delivery_id, key, value) VALUES (?, ?, ?)
ON CONFLICT (delivery_id, key) DO UPDATE SET value = excluded.value;

-- name: forget_annotation
DELETE FROM annotations WHERE delivery_id = ? AND key = ?;

-- name: expired
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries
WHERE is_open AND state NOT IN ('injecting', 'uncertain')
  AND expires_ms IS NOT NULL AND expires_ms <= ?
ORDER BY expires_ms LIMIT ?;

-- name: hold_ended
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries
WHERE state = 'held' AND held_until_ms IS NOT NULL AND held_until_ms <= ?
ORDER BY held_until_ms LIMIT ?;

-- name: retry_due
SELECT id, message_id, agent_id, seq, state, reason, attempts, strikes, attempt_id, claim_token,
       not_before_ms, held_until_ms, expires_ms, turn_id, turn_status, created_ms, updated_ms,
       delivered_ms, retried_as, approved_ms, edited_body IS NOT NULL
FROM deliveries
WHERE state IN ('queued', 'leased') AND not_before_ms > 0
  AND not_before_ms > ? AND not_before_ms <= ?
ORDER BY not_before_ms LIMIT ?;
