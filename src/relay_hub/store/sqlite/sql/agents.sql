-- name: agent
-- One agent that is registered; the operator counts.
SELECT id, name, label, machine, rig, tags, capabilities, channels, approval, status, ready,
       unattended, thread_id, adapter, waiting, last_user_turn_ms, last_seen_ms, instance_id,
       epoch, meta, created_ms, quiet_until_ms
FROM agents WHERE id = ? AND deleted_ms IS NULL;

-- name: agents
-- Every registered agent, those after an id. The queue is counted over the index of open deliveries.
SELECT id, name, label, machine, rig, tags, capabilities, channels, approval, status, ready,
       unattended, thread_id, adapter, waiting, last_user_turn_ms, last_seen_ms, instance_id,
       epoch, meta, created_ms, quiet_until_ms,
       (SELECT count(*) FROM deliveries d WHERE d.agent_id = agents.id
          AND d.is_open)
FROM agents WHERE deleted_ms IS NULL AND id <> 'operator' AND id > ? ORDER BY id LIMIT ?;

-- name: named_agents
SELECT agent_id FROM agent_names WHERE kind = ? AND value = ? ORDER BY agent_id;

-- name: agent_ids
SELECT id FROM agents WHERE deleted_ms IS NULL AND id <> 'operator' ORDER BY id;

-- name: former_epoch
-- Deleted agents count: an epoch is never reused.
SELECT epoch FROM agents WHERE id = ?;

-- name: put_agent
-- `next_seq` is left alone: it belongs to the deliveries.
INSERT INTO agents (id, name, label, machine, rig, tags, capabilities, channels, approval, status,
                    ready, unattended, thread_id, adapter, waiting, last_user_turn_ms,
                    last_seen_ms, instance_id, epoch, meta, created_ms, quiet_until_ms,
                    deleted_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)
ON CONFLICT (id) DO UPDATE SET
  name = excluded.name, label = excluded.label, machine = excluded.machine, rig = excluded.rig,
  tags = excluded.tags, capabilities = excluded.capabilities, channels = excluded.channels,
  approval = excluded.approval, status = excluded.status, ready = excluded.ready,
  unattended = excluded.unattended, thread_id = excluded.thread_id, adapter = excluded.adapter,
  waiting = excluded.waiting, last_user_turn_ms = excluded.last_user_turn_ms,
  last_seen_ms = excluded.last_seen_ms, instance_id = excluded.instance_id,
  epoch = excluded.epoch, meta = excluded.meta, quiet_until_ms = excluded.quiet_until_ms,
  deleted_ms = NULL;

-- name: user_set
SELECT user_set_label, user_set_tags FROM agents WHERE id = ?;

-- name: put_user_set
UPDATE agents SET user_set_label = ?, user_set_tags = ? WHERE id = ?;

-- name: touch_agent
UPDATE agents SET status = ?, ready = ?, unattended = ?, waiting = ?, last_user_turn_ms = ?,
                  last_seen_ms = ?, approval = ?
WHERE id = ?;

-- name: forget_names
DELETE FROM agent_names WHERE agent_id = ?;

-- name: add_name
INSERT OR IGNORE INTO agent_names (kind, value, agent_id) VALUES (?, ?, ?);

-- name: delete_agent
UPDATE agents SET deleted_ms = ?, status = 'offline', ready = 0, instance_id = NULL,
                  user_set_label = 0, user_set_tags = 0
WHERE id = ?;

-- name: take_seq
-- Two statements: RETURNING would build a table for each of them.
UPDATE agents SET next_seq = next_seq + 1 WHERE id = ?;

-- name: last_seq
SELECT next_seq FROM agents WHERE id = ?;

-- name: add_agent_token
INSERT INTO agent_tokens (hash, agent_id, created_ms) VALUES (?, ?, ?);

-- name: agent_tokens
SELECT hash, agent_id FROM agent_tokens WHERE revoked_ms IS NULL;

-- name: revoke_agent_tokens
UPDATE agent_tokens SET revoked_ms = ? WHERE agent_id = ? AND revoked_ms IS NULL;
