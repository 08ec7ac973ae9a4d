-- name: add_attempt
INSERT INTO attempts (id, agent_id, thread_id, instance_id, epoch, started_ms, for_others)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: add_attempt_delivery
INSERT INTO attempt_deliveries (attempt_id, delivery_id) VALUES (?, ?);

-- name: attempt
SELECT id, agent_id, thread_id, instance_id, epoch, started_ms, outcome, resolved_ms, turn_id,
       turn_status, no_reply, for_others
FROM attempts WHERE id = ?;

-- name: attempt_deliveries
-- In the order in which the recipient got them.
SELECT a.delivery_id FROM attempt_deliveries a JOIN deliveries d ON d.id = a.delivery_id
WHERE a.attempt_id = ? ORDER BY d.seq;

-- name: resolve_attempt
UPDATE attempts SET outcome = ?, turn_id = coalesce(?, turn_id), resolved_ms = ? WHERE id = ?;

-- name: end_turn
UPDATE attempts SET turn_id = ?, turn_status = ?, no_reply = ? WHERE id = ?;

-- name: end_turn_of_deliveries
UPDATE deliveries SET turn_id = ?, turn_status = ?
WHERE id IN (SELECT delivery_id FROM attempt_deliveries WHERE attempt_id = ?) AND attempt_id = ?;
