-- name: guard
SELECT kind, subject, reason, sender_id, recipient, refused, stopped_ms, reset_ms, more_hops,
       notice_id
FROM guards WHERE kind = ? AND subject = ?;

-- name: guards
-- What is stopped, the newest first.
SELECT kind, subject, reason, sender_id, recipient, refused, stopped_ms, reset_ms, more_hops,
       notice_id
FROM guards WHERE stopped_ms IS NOT NULL ORDER BY stopped_ms DESC, subject LIMIT 500;

-- name: put_guard
INSERT INTO guards (kind, subject, reason, sender_id, recipient, refused, stopped_ms, reset_ms,
                    more_hops, notice_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, subject) DO UPDATE SET
  reason = excluded.reason, sender_id = excluded.sender_id, recipient = excluded.recipient,
  refused = excluded.refused, stopped_ms = excluded.stopped_ms, reset_ms = excluded.reset_ms,
  more_hops = excluded.more_hops, notice_id = excluded.notice_id;

-- name: forget_guard
DELETE FROM guards WHERE kind = ? AND subject = ?;

-- name: turns_since
-- What was not in the session in the end was no turn.
SELECT count(*), min(started_ms) FROM attempts
WHERE agent_id = ? AND for_others = 1 AND started_ms > ?
  AND (outcome IS NULL OR outcome = 'delivered');
