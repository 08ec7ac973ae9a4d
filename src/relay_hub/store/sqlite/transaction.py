"""Changes to SQLite, on the one connection that writes."""

from __future__ import annotations

import msgspec

from relay_core.guards import Guard, GuardKind
from relay_core.hub_api import Pair
from relay_core.messages import (
    AgentId,
    AttemptId,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    PairId,
    TurnStatus,
)
from relay_core.sessions import Agent
from relay_core.work import HandOver
from relay_hub.store.rows import AnswerRow, AttemptRow, ClaimRow, UserSet
from relay_hub.store.sqlite.codec import (
    from_agent,
    from_claim,
    from_delivery,
    from_guard,
    from_message,
    from_new_delivery,
    from_pair,
)
from relay_hub.store.sqlite.reads import SqliteReads


class SqliteTransaction(SqliteReads):
    """Implements `relay_hub.store.Transaction`; begin, savepoints and commit are the writer's."""

    def _do(self, name: str, *values: object) -> int:
        return self._connection.execute(self._sql[name], values).lastrowid or 0

    async def put_agent(self, agent: Agent) -> None:
        self._do("put_agent", *from_agent(agent))
        self._do("forget_names", agent.id)
        names = [("tag", tag, agent.id) for tag in agent.tags]
        names += [("cap", capability, agent.id) for capability in agent.capabilities]
        if agent.label:
            names.append(("label", agent.label, agent.id))
        self._connection.executemany(self._sql["add_name"], names)

    async def put_user_set(self, agent_id: AgentId, user_set: UserSet) -> None:
        self._do("put_user_set", user_set.label, user_set.tags, agent_id)

    async def touch_agent(self, agent: Agent) -> None:
        self._do(
            "touch_agent",
            agent.status,
            agent.ready,
            agent.unattended,
            agent.waiting,
            agent.last_user_turn_ms,
            agent.last_seen_ms,
            agent.approval,
            agent.id,
        )

    async def former_epoch(self, agent_id: AgentId) -> int:
        return self._number("former_epoch", agent_id)

    async def delete_agent(self, agent_id: AgentId, now_ms: int) -> None:
        self._do("delete_agent", now_ms, agent_id)
        self._do("forget_names", agent_id)
        self._do("revoke_agent_tokens", now_ms, agent_id)
        self._do("forget_guard", GuardKind.TURNS, agent_id)

    async def next_seq(self, agent_id: AgentId) -> int:
        self._do("take_seq", agent_id)
        return self._number("last_seq", agent_id)

    async def add_message(self, message: Message) -> MessageId:
        return MessageId(self._do("add_message", *from_message(message)))

    async def add_delivery(self, delivery: Delivery) -> DeliveryId:
        return DeliveryId(self._do("add_delivery", *from_new_delivery(delivery)))

    async def put_delivery(self, delivery: Delivery, *, before: Delivery, event: str) -> None:
        self._do("put_delivery", *from_delivery(delivery))
        self._do(
            "add_transition",
            delivery.id,
            delivery.updated_ms,
            event,
            before.state,
            delivery.state,
            delivery.reason,
            delivery.attempt_id,
        )

    async def end_turn(
        self, attempt_id: AttemptId, turn_id: str, status: TurnStatus, no_reply: str | None = None
    ) -> None:
        self._do("end_turn", turn_id, status, no_reply, attempt_id)
        self._do("end_turn_of_deliveries", turn_id, status, attempt_id, attempt_id)

    async def add_reply(self, request: MessageId, agent_id: AgentId, reply: MessageId) -> bool:
        added = self._connection.execute(self._sql["add_reply"], (request, agent_id, reply))
        return added.rowcount == 1

    async def add_attempt(self, attempt: AttemptRow) -> None:
        self._do(
            "add_attempt",
            attempt.id,
            attempt.agent_id,
            attempt.thread_id,
            attempt.instance_id,
            attempt.epoch,
            attempt.started_ms,
            attempt.for_others,
        )
        self._connection.executemany(
            self._sql["add_attempt_delivery"],
            [(attempt.id, delivery_id) for delivery_id in attempt.delivery_ids],
        )

    async def resolve_attempt(
        self, attempt_id: AttemptId, outcome: str, turn_id: str | None, now_ms: int
    ) -> None:
        self._do("resolve_attempt", outcome, turn_id, now_ms, attempt_id)

    async def put_claim(self, claim: ClaimRow) -> None:
        self._do("put_claim", *from_claim(claim))

    async def add_hand_over(self, message_id: MessageId, step: HandOver) -> None:
        self._do("add_claim_event", message_id, step.at_ms, step.event, step.agent_id, step.token)

    async def restart_leases(self, until_ms: int) -> int:
        return self._connection.execute(self._sql["restart_leases"], (until_ms,)).rowcount

    async def annotate(self, delivery_id: DeliveryId, key: str, value: msgspec.Raw) -> None:
        if bytes(value).strip() == b"null":
            self._do("forget_annotation", delivery_id, key)
        else:
            self._do("put_annotation", delivery_id, key, bytes(value))

    async def put_guard(self, guard: Guard) -> None:
        self._do("put_guard", *from_guard(guard))

    async def put_pair(self, pair: Pair) -> None:
        self._do("put_pair", *from_pair(pair))

    async def take_seat(self, agent_id: AgentId, pair_id: PairId) -> bool:
        taken = self._connection.execute(self._sql["take_seat"], (agent_id, pair_id))
        return taken.rowcount == 1

    async def free_seats(self, pair: Pair) -> None:
        self._do("free_seat", pair.inviter, pair.id)
        self._do("free_seat", pair.invitee, pair.id)

    async def put_edited_body(self, delivery_id: DeliveryId, body: str) -> None:
        self._do("put_edited_body", body, delivery_id)

    async def put_retried(self, delivery_id: DeliveryId, successor: DeliveryId) -> None:
        self._do("put_retried", successor, delivery_id)

    async def put_dropped(self, delivery_id: DeliveryId, now_ms: int) -> None:
        self._do("put_dropped", now_ms, delivery_id)

    async def put_answer(
        self, scope: str, route: str, key: str, row: AnswerRow, now_ms: int
    ) -> None:
        self._do("put_answer", scope, route, key, row.asked, row.answer, now_ms)

    async def forget_answers(self, before_ms: int) -> None:
        self._do("forget_answers", before_ms)

    async def prune(self, conversation: MessageId, most: int) -> int:
        found = self._all("newest_of_conversation", conversation, conversation, most)
        for (message_id,) in found:
            attempts = self._all("attempts_of_message", message_id)
            self._do("prune_carried", message_id)
            self._connection.executemany(self._sql["prune_attempt"], attempts)
            self._do("prune_transitions", message_id)
            self._do("prune_annotations", message_id)
            self._do("prune_deliveries", message_id)
            self._do("prune_claim_events", message_id)
            self._do("prune_claim", message_id)
            self._do("prune_replies_to", message_id)
            self._do("prune_reply", message_id)
            self._do("prune_message", message_id)
            self._do("forget_guard", GuardKind.CONVERSATION, str(message_id))
        return len(found)

    async def prune_pair(self, pair_id: PairId) -> None:
        self._do("prune_pair", pair_id)

    async def add_agent_token(self, token_hash: bytes, agent_id: AgentId, now_ms: int) -> None:
        self._do("add_agent_token", token_hash, agent_id, now_ms)
