-- name: claim
SELECT message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result, since_ms,
       result_id, not_sent
FROM claims WHERE message_id = ?;

-- name: put_claim
INSERT INTO claims (message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result,
                    since_ms, result_id, not_sent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (message_id) DO UPDATE SET
  state = excluded.state, token = excluded.token, agent_id = excluded.agent_id,
  claimed_ms = excluded.claimed_ms, until_ms = excluded.until_ms, lapses = excluded.lapses,
  result = excluded.result, since_ms = excluded.since_ms, result_id = excluded.result_id,
  not_sent = excluded.not_sent;

-- name: claims_of
-- Held claims are few: they are gone through by the index of those that can lapse.
SELECT message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result, since_ms,
       result_id, not_sent
FROM claims WHERE state = 'held' AND agent_id = ? ORDER BY until_ms;

-- name: lapsed
SELECT message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result, since_ms,
       result_id, not_sent
FROM claims WHERE state = 'held' AND until_ms <= ? ORDER BY until_ms LIMIT ?;

-- name: restart_leases
UPDATE claims SET until_ms = ? WHERE state = 'held';

-- name: tasks
-- Newest message first, in some states: all, an agent's own (held by it, or open and sent to it),
-- those that an agent may see, with the text that is for it.
SELECT c.message_id, c.state, c.token, c.agent_id, c.claimed_ms, c.until_ms, c.lapses, c.result,
       c.since_ms, c.result_id, c.not_sent, m.sender_id, m.target, m.subject,
       substr(coalesce((SELECT d.edited_body FROM deliveries d
                        WHERE d.message_id = c.message_id AND d.agent_id = ?4), m.body), 1, ?6)
FROM claims c INDEXED BY claims_by_state CROSS JOIN messages m ON m.id = c.message_id
WHERE c.state IN (SELECT value FROM json_each(?1)) AND c.message_id < ?2
  AND (?3 IS NULL OR c.agent_id = ?3 OR (c.agent_id IS NULL AND EXISTS (
    SELECT 1 FROM deliveries d WHERE d.message_id = c.message_id AND d.agent_id = ?3)))
  AND (?4 IS NULL OR m.sender_id = ?4 OR EXISTS (
    SELECT 1 FROM deliveries d WHERE d.message_id = c.message_id AND d.agent_id = ?4
      AND NOT EXISTS (SELECT 1 FROM withheld w WHERE w.delivery_id = d.id)))
ORDER BY c.message_id DESC LIMIT ?5;

-- name: add_claim_event
INSERT INTO claim_events (message_id, at_ms, event, agent_id, token) VALUES (?, ?, ?, ?, ?);

-- name: claim_events
SELECT at_ms, event, agent_id, token FROM claim_events WHERE message_id = ? ORDER BY id;
