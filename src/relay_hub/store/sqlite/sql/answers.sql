-- name: answer
SELECT asked, answer FROM idempotency WHERE scope = ? AND route = ? AND key = ?;

-- name: put_answer
INSERT INTO idempotency (scope, route, key, asked, answer, created_ms) VALUES (?, ?, ?, ?, ?, ?);

-- name: forget_answers
DELETE FROM idempotency WHERE created_ms < ?;
