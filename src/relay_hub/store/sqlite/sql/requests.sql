-- name: add_reply
-- The first one counts.
INSERT INTO replies (request_id, agent_id, reply_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: replies_to
SELECT agent_id, reply_id FROM replies WHERE request_id = ?;
