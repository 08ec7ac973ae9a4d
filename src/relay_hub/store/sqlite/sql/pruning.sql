-- name: finished
-- Conversations in which nothing is open and nothing has happened since a time, by their first
-- message; the time is asked for in each part.
SELECT m.id FROM messages m
WHERE m.conversation_id IS NULL AND m.created_ms < ?
  AND NOT EXISTS (SELECT 1 FROM messages r WHERE r.conversation_id = m.id AND r.created_ms >= ?)
  AND NOT EXISTS (SELECT 1 FROM deliveries d
                  WHERE d.message_id = m.id AND (d.is_open OR d.updated_ms >= ?))
  AND NOT EXISTS (SELECT 1 FROM messages r JOIN deliveries d ON d.message_id = r.id
                  WHERE r.conversation_id = m.id AND (d.is_open OR d.updated_ms >= ?))
  AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.message_id = m.id AND c.state = 'held')
  AND NOT EXISTS (SELECT 1 FROM messages r JOIN claims c ON c.message_id = r.id
                  WHERE r.conversation_id = m.id AND c.state = 'held')
ORDER BY m.created_ms LIMIT ?;

-- name: newest_of_conversation
-- Newest first: an answer goes before what it answers.
SELECT id FROM messages WHERE id = ? OR conversation_id = ? ORDER BY id DESC LIMIT ?;

-- name: attempts_of_message
SELECT DISTINCT a.attempt_id
FROM deliveries d JOIN attempt_deliveries a ON a.delivery_id = d.id WHERE d.message_id = ?;

-- name: prune_carried
DELETE FROM attempt_deliveries
WHERE delivery_id IN (SELECT id FROM deliveries WHERE message_id = ?);

-- name: prune_attempt
-- One that carried another message as well stays as long as that one.
DELETE FROM attempts WHERE id = ?
  AND NOT EXISTS (SELECT 1 FROM attempt_deliveries a WHERE a.attempt_id = attempts.id);

-- name: prune_transitions
DELETE FROM transitions WHERE delivery_id IN (SELECT id FROM deliveries WHERE message_id = ?);

-- name: prune_annotations
DELETE FROM annotations WHERE delivery_id IN (SELECT id FROM deliveries WHERE message_id = ?);

-- name: prune_deliveries
DELETE FROM deliveries WHERE message_id = ?;

-- name: prune_claim_events
DELETE FROM claim_events WHERE message_id = ?;

-- name: prune_claim
DELETE FROM claims WHERE message_id = ?;

-- name: prune_replies_to
DELETE FROM replies WHERE request_id = ?;

-- name: prune_reply
DELETE FROM replies WHERE reply_id = ?;

-- name: prune_message
DELETE FROM messages WHERE id = ?;
