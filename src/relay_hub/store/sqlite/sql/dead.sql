-- name: dead_letters
-- Newest first, below a delivery's id: all, those for an agent, those that an agent may see. A
-- recipient reads what was to reach it, which may be edited.
SELECT d.id, d.message_id, d.agent_id, d.seq, d.state, d.reason, d.attempts, d.strikes,
       d.attempt_id, d.claim_token, d.not_before_ms, d.held_until_ms, d.expires_ms, d.turn_id,
       d.turn_status, d.created_ms, d.updated_ms, d.delivered_ms, d.retried_as, d.approved_ms,
       d.edited_body IS NOT NULL,
       m.sender_id, m.target, m.subject,
       substr(iif(?3 = d.agent_id AND m.sender_id <> ?3, coalesce(d.edited_body, m.body), m.body),
              1, ?5),
       d.dropped_ms
FROM deliveries d INDEXED BY dead_letters JOIN messages m ON m.id = d.message_id
WHERE d.state = 'dead' AND d.retried_as IS NULL AND d.dropped_ms IS NULL AND d.id < ?1
  AND (?2 IS NULL OR d.agent_id = ?2)
  AND (?3 IS NULL OR m.sender_id = ?3 OR (d.agent_id = ?3 AND NOT
    EXISTS (SELECT 1 FROM withheld w WHERE w.delivery_id = d.id)))
ORDER BY d.id DESC LIMIT ?4;

-- name: dropped_ms
SELECT dropped_ms FROM deliveries WHERE id = ?;

-- name: attempts_of
-- Every try to bring a delivery into a session, oldest first.
SELECT t.id, t.agent_id, t.thread_id, t.instance_id, t.epoch, t.started_ms, t.outcome,
       t.resolved_ms, t.turn_id, t.turn_status, t.no_reply, t.for_others
FROM attempt_deliveries a JOIN attempts t ON t.id = a.attempt_id
WHERE a.delivery_id = ? ORDER BY t.started_ms, t.id;

-- name: transitions_of
SELECT at_ms, event, before_state, after_state, reason, attempt_id
FROM transitions WHERE delivery_id = ? ORDER BY id;

-- name: put_retried
UPDATE deliveries SET retried_as = ? WHERE id = ?;

-- name: put_dropped
UPDATE deliveries SET dropped_ms = ? WHERE id = ?;
