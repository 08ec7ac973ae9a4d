-- name: add_message
INSERT INTO messages (sender_id, target, channel, subject, body, reply_to, claimable, urgent, type,
                      meta, sender, by_agent, pair_id, conversation_id, hop, created_ms, expires_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: message
SELECT m.id, m.sender_id, m.target, m.channel, m.subject, m.body, m.reply_to, m.claimable,
       m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms
FROM messages m LEFT JOIN claims c ON c.message_id = m.id
WHERE m.id = ?;

-- name: messages_for
-- What a polling client may still read, or has read: not what is for somebody else, is over, or
-- waits for a yes.
SELECT m.id, m.sender_id, m.target, m.channel, m.subject, coalesce(d.edited_body, m.body),
       m.reply_to, m.claimable, m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms, d.edited_body IS NOT NULL
FROM deliveries d JOIN messages m ON m.id = d.message_id
     LEFT JOIN claims c ON c.message_id = m.id
WHERE d.agent_id = ? AND d.message_id > ?
  AND (d.is_open OR d.state = 'delivered') AND NOT (d.state = 'held' AND d.reason = 'needs_yes')
ORDER BY d.message_id LIMIT ?;

-- name: messages_before
SELECT m.id, m.sender_id, m.target, m.channel, m.subject, coalesce(d.edited_body, m.body),
       m.reply_to, m.claimable, m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms, d.edited_body IS NOT NULL
FROM deliveries d JOIN messages m ON m.id = d.message_id
     LEFT JOIN claims c ON c.message_id = m.id
WHERE d.agent_id = ? AND d.message_id < ?
  AND (d.is_open OR d.state = 'delivered') AND NOT (d.state = 'held' AND d.reason = 'needs_yes')
ORDER BY d.message_id DESC LIMIT ?;

-- name: latest_message_id
-- As it was given: the newest one may have been forgotten.
SELECT seq FROM sqlite_sequence WHERE name = 'messages';

-- name: sent_since
SELECT count(*), min(created_ms) FROM messages
WHERE sender_id = ? AND by_agent = 1 AND created_ms > ?;

-- name: said_since
-- The first message of a conversation has no conversation_id; it is not counted.
SELECT count(*), min(created_ms) FROM messages
WHERE conversation_id = ? AND conversation_id IS NOT NULL AND created_ms > ? AND by_agent = 1;

-- name: conversation
SELECT m.id, m.sender_id, m.target, m.channel, m.subject, m.body, m.reply_to, m.claimable,
       m.urgent, m.type, m.meta, m.sender, m.pair_id, m.conversation_id, m.hop, m.created_ms,
       m.expires_ms, c.agent_id, c.claimed_ms, c.until_ms
FROM messages m LEFT JOIN claims c ON c.message_id = m.id
WHERE (m.id = ?1 OR m.conversation_id = ?1) AND m.id > ?2 ORDER BY m.id LIMIT ?3;
