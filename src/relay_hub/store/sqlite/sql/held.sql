-- name: held
-- Newest first, below a delivery's id: all, or those for one agent; with what that one would get.
SELECT d.id, d.message_id, d.agent_id, d.seq, d.state, d.reason, d.attempts, d.strikes,
       d.attempt_id, d.claim_token, d.not_before_ms, d.held_until_ms, d.expires_ms, d.turn_id,
       d.turn_status, d.created_ms, d.updated_ms, d.delivered_ms, d.retried_as, d.approved_ms,
       d.edited_body IS NOT NULL,
       m.sender_id, m.target, m.subject, m.urgent, substr(coalesce(d.edited_body, m.body), 1, ?4)
FROM deliveries d INDEXED BY held_mail JOIN messages m ON m.id = d.message_id
WHERE d.state = 'held' AND d.id < ?1 AND (?2 IS NULL OR d.agent_id = ?2)
ORDER BY d.id DESC LIMIT ?3;

-- name: held_for_a_yes
-- How many there are; few, or somebody should look.
SELECT count(*) FROM deliveries INDEXED BY held_for_a_yes
WHERE state = 'held' AND reason = 'needs_yes';

-- name: is_withheld
SELECT EXISTS (SELECT 1 FROM withheld WHERE delivery_id = ?);

-- name: edited_body
SELECT edited_body FROM deliveries WHERE id = ?;

-- name: put_edited_body
UPDATE deliveries SET edited_body = ? WHERE id = ?;
