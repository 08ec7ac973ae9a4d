-- name: claim
SELECT message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result
FROM claims WHERE message_id = ?;

-- name: put_claim
INSERT INTO claims (message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (message_id) DO UPDATE SET
  state = excluded.state, token = excluded.token, agent_id = excluded.agent_id,
  claimed_ms = excluded.claimed_ms, until_ms = excluded.until_ms, lapses = excluded.lapses,
  result = excluded.result;

-- name: claims_of
-- Held claims are few: they are gone through by the index of those that can lapse.
SELECT message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result
FROM claims WHERE state = 'held' AND agent_id = ? ORDER BY until_ms;

-- name: lapsed
SELECT message_id, state, token, agent_id, claimed_ms, until_ms, lapses, result
FROM claims WHERE state = 'held' AND until_ms <= ? ORDER BY until_ms LIMIT ?;

-- name: restart_leases
UPDATE claims SET until_ms = ? WHERE state = 'held';
