"""Questions to SQLite, on one connection, in the caller's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from relay_core.dead_letters import DeadLetter, Transition
from relay_core.delivery import IN_DOUBT
from relay_core.guards import Guard, GuardKind
from relay_core.held_mail import HeldDelivery
from relay_core.hub_api import Pair
from relay_core.messages import (
    AgentId,
    Attempt,
    AttemptId,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    Offer,
    PairId,
)
from relay_core.sessions import Agent
from relay_core.work import HandOver, Task
from relay_hub.store.rows import EXCERPT_CHARS, AnswerRow, AttemptRow, ClaimRow, Traffic, UserSet
from relay_hub.store.sqlite.codec import (
    DELIVERY_WIDTH,
    Row,
    to_agent,
    to_attempt,
    to_claim,
    to_dead_letter,
    to_delivery,
    to_guard,
    to_hand_over,
    to_held_delivery,
    to_message,
    to_pair,
    to_read_message,
    to_task,
    to_transition,
)
from relay_hub.store.sqlite.queries import queries

_MOST_OFFERS = 10_000


class SqliteReads:
    """Implements `relay_hub.store.Reads`; no await in here ever suspends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = queries()

    def _one(self, name: str, *values: object) -> Row | None:
        row: Row | None = self._connection.execute(self._sql[name], values).fetchone()
        return row

    def _all(self, name: str, *values: object) -> list[Row]:
        return self._connection.execute(self._sql[name], values).fetchall()

    async def agent(self, agent_id: AgentId) -> Agent | None:
        row = self._one("agent", agent_id)
        return None if row is None else to_agent(row)

    async def user_set(self, agent_id: AgentId) -> UserSet:
        label, tags = self._one("user_set", agent_id) or (0, 0)
        return UserSet(label=bool(label), tags=bool(tags))

    async def agents(
        self, since: AgentId | None = None, most: int | None = None
    ) -> tuple[Agent, ...]:
        limit = -1 if most is None else most
        return tuple(map(to_agent, self._all("agents", since or "", limit)))

    async def named_agents(self, kind: str, value: str) -> tuple[AgentId, ...]:
        return tuple(AgentId(row[0]) for row in self._all("named_agents", kind, value))

    async def agent_ids(self) -> tuple[AgentId, ...]:
        return tuple(AgentId(row[0]) for row in self._all("agent_ids"))

    async def waiting_count(self, agent_id: AgentId, most: int) -> int:
        return self._number("waiting_count", agent_id, most)

    async def message(self, message_id: MessageId) -> Message | None:
        row = self._one("message", message_id)
        return None if row is None else to_message(row)

    async def messages_for(
        self, agent_id: AgentId, since: MessageId, most: int
    ) -> tuple[Message, ...]:
        return tuple(map(to_read_message, self._all("messages_for", agent_id, since, most)))

    async def messages_before(
        self, agent_id: AgentId, before: MessageId, most: int
    ) -> tuple[Message, ...]:
        newest_first = self._all("messages_before", agent_id, before, most)
        return tuple(map(to_read_message, reversed(newest_first)))

    async def conversation(
        self, root: MessageId, since: MessageId, most: int
    ) -> tuple[Message, ...]:
        return tuple(map(to_message, self._all("conversation", root, since, most)))

    async def latest_message_id(self) -> int:
        return self._number("latest_message_id")

    async def sent_since(self, sender: AgentId, since_ms: int) -> Traffic:
        return self._traffic("sent_since", sender, since_ms)

    async def said_since(self, conversation: MessageId, since_ms: int) -> Traffic:
        return self._traffic("said_since", conversation, since_ms)

    async def turns_since(self, agent_id: AgentId, since_ms: int) -> Traffic:
        return self._traffic("turns_since", agent_id, since_ms)

    async def guard(self, kind: GuardKind, subject: str) -> Guard | None:
        row = self._one("guard", kind, subject)
        return None if row is None else to_guard(row)

    async def guards(self) -> tuple[Guard, ...]:
        return tuple(map(to_guard, self._all("guards")))

    async def delivery(self, delivery_id: DeliveryId) -> Delivery | None:
        row = self._one("delivery", delivery_id)
        return None if row is None else to_delivery(row)

    async def delivery_for(self, message_id: MessageId, agent_id: AgentId) -> Delivery | None:
        row = self._one("delivery_for", message_id, agent_id)
        return None if row is None else to_delivery(row)

    async def deliveries_of(self, message_id: MessageId) -> tuple[Delivery, ...]:
        return tuple(map(to_delivery, self._all("deliveries_of", message_id)))

    async def offers(self, agent_id: AgentId, most_bytes: int) -> tuple[Offer, ...]:
        rows = self._open_rows(agent_id, most_bytes)
        if not rows:
            return ()
        annotations: dict[int, dict[str, msgspec.Raw]] = {}
        for delivery_id, key, value in self._all("annotations", agent_id):
            annotations.setdefault(delivery_id, {})[key] = msgspec.Raw(value)
        return tuple(self._offer(row, annotations.get(row[0], {})) for row in rows)

    def _open_rows(self, agent_id: AgentId, most_bytes: int) -> list[Row]:
        rows, size = list[Row](), 0
        for row in self._connection.execute(self._sql["offers"], (agent_id, _MOST_OFFERS)):
            size += len(row[DELIVERY_WIDTH + 5])
            if rows and size > most_bytes:
                return self._fitting_rows(agent_id, most_bytes)
            rows.append(row)
        return rows

    def _fitting_rows(self, agent_id: AgentId, most_bytes: int) -> list[Row]:
        # Held ones wait for a time or a person; behind them is what a session can have now.
        rows, room = list[Row](), most_bytes
        for delivery_id, size in self._connection.execute(self._sql["open_sizes"], (agent_id,)):
            room -= size
            if rows and room < 0:
                break
            row = self._one("offer", delivery_id)
            if row is not None:
                rows.append(row)
        return sorted(rows, key=lambda row: int(row[3]))

    def _offer(self, row: Row, annotations: dict[str, msgspec.Raw]) -> Offer:
        delivery = to_delivery(row)
        attempt: Attempt | None = None
        if delivery.state in IN_DOUBT and delivery.attempt_id is not None:
            found = self._attempt(delivery.attempt_id)
            attempt = None if found is None else _plain(found)
        return Offer(
            delivery=delivery,
            message=to_read_message(row[DELIVERY_WIDTH:]),
            attempt=attempt,
            annotations=annotations,
        )

    async def history(
        self, agent_id: AgentId, states: Sequence[str], before: MessageId, most: int
    ) -> tuple[Offer, ...]:
        rows = self._all("history", agent_id, before, _json(states), most)
        return tuple(self._offer(row, {}) for row in reversed(rows))

    async def in_doubt(self, agent_id: AgentId) -> tuple[Delivery, ...]:
        return tuple(map(to_delivery, self._all("in_doubt", agent_id)))

    async def held_because(self, agent_id: AgentId, reason: str) -> tuple[Delivery, ...]:
        return tuple(map(to_delivery, self._all("held_because", agent_id, reason)))

    async def attempt(self, attempt_id: AttemptId) -> AttemptRow | None:
        return self._attempt(attempt_id)

    def _attempt(self, attempt_id: AttemptId) -> AttemptRow | None:
        row = self._one("attempt", attempt_id)
        return None if row is None else self._carrying(row)

    def _carrying(self, row: Row) -> AttemptRow:
        carried = self._all("attempt_deliveries", row[0])
        return to_attempt(row, tuple(DeliveryId(each[0]) for each in carried))

    async def replies_to(self, request: MessageId) -> Mapping[AgentId, MessageId]:
        found = self._all("replies_to", request)
        return {AgentId(agent_id): MessageId(reply_id) for agent_id, reply_id in found}

    async def claim(self, message_id: MessageId) -> ClaimRow | None:
        row = self._one("claim", message_id)
        return None if row is None else to_claim(row)

    async def claims_of(self, agent_id: AgentId) -> tuple[ClaimRow, ...]:
        return tuple(map(to_claim, self._all("claims_of", agent_id)))

    async def tasks(
        self,
        states: Sequence[str],
        agent_id: AgentId | None,
        reader: AgentId | None,
        before: MessageId,
        most: int,
    ) -> tuple[Task, ...]:
        asked = (_json(states), before, agent_id, reader, most, EXCERPT_CHARS)
        return tuple(map(to_task, self._all("tasks", *asked)))

    async def hand_overs(self, message_id: MessageId) -> tuple[HandOver, ...]:
        return tuple(map(to_hand_over, self._all("claim_events", message_id)))

    async def expired(self, now_ms: int, most: int) -> tuple[Delivery, ...]:
        return tuple(map(to_delivery, self._all("expired", now_ms, most)))

    async def hold_ended(self, now_ms: int, most: int) -> tuple[Delivery, ...]:
        return tuple(map(to_delivery, self._all("hold_ended", now_ms, most)))

    async def retry_due(self, after_ms: int, now_ms: int, most: int) -> tuple[Delivery, ...]:
        return tuple(map(to_delivery, self._all("retry_due", after_ms, now_ms, most)))

    async def lapsed(self, now_ms: int, most: int) -> tuple[ClaimRow, ...]:
        return tuple(map(to_claim, self._all("lapsed", now_ms, most)))

    async def finished(self, before_ms: int, most: int) -> tuple[MessageId, ...]:
        rows = self._all("finished", *[before_ms] * 4, most)
        return tuple(MessageId(row[0]) for row in rows)

    async def pair(self, pair_id: PairId) -> Pair | None:
        return self._pair("pair", pair_id)

    async def pair_of(self, agent_id: AgentId) -> Pair | None:
        return self._pair("pair_of", agent_id)

    async def pairs(
        self, agent_id: AgentId | None, states: Sequence[str], before: PairId | None, most: int
    ) -> tuple[Pair, ...]:
        asked = (_json(states), before, most)
        rows = (
            self._all("pairs", *asked)
            if agent_id is None
            else self._all("pairs_of", *asked, agent_id)
        )
        return tuple(map(to_pair, rows))

    async def pairs_expired(self, now_ms: int, most: int) -> tuple[Pair, ...]:
        return tuple(map(to_pair, self._all("pairs_expired", now_ms, most)))

    async def pair_message(self, pair_id: PairId, kind: str | None = None) -> Message | None:
        row = self._one("pair_message", pair_id, kind)
        return None if row is None else to_message(row)

    async def forgotten_pairs(self, before_ms: int, most: int) -> tuple[PairId, ...]:
        return tuple(PairId(row[0]) for row in self._all("forgotten_pairs", before_ms, most))

    async def dead_letters(
        self,
        agent_id: AgentId | None,
        reader: AgentId | None,
        before: DeliveryId,
        most: int,
    ) -> tuple[DeadLetter, ...]:
        rows = self._all("dead_letters", before, agent_id, reader, most, EXCERPT_CHARS)
        return tuple(map(to_dead_letter, rows))

    async def dropped_ms(self, delivery_id: DeliveryId) -> int | None:
        row = self._one("dropped_ms", delivery_id)
        return None if row is None else row[0]

    async def held(
        self, agent_id: AgentId | None, before: DeliveryId, most: int
    ) -> tuple[HeldDelivery, ...]:
        rows = self._all("held", before, agent_id, most, EXCERPT_CHARS)
        return tuple(map(to_held_delivery, rows))

    async def held_for_a_yes(self) -> int:
        return self._number("held_for_a_yes")

    async def is_withheld(self, delivery_id: DeliveryId) -> bool:
        return bool(self._number("is_withheld", delivery_id))

    async def edited_body(self, delivery_id: DeliveryId) -> str | None:
        row = self._one("edited_body", delivery_id)
        return None if row is None else row[0]

    async def attempts_of(self, delivery_id: DeliveryId) -> tuple[AttemptRow, ...]:
        return tuple(map(self._carrying, self._all("attempts_of", delivery_id)))

    async def transitions_of(self, delivery_id: DeliveryId) -> tuple[Transition, ...]:
        return tuple(map(to_transition, self._all("transitions_of", delivery_id)))

    async def answer(self, scope: str, route: str, key: str) -> AnswerRow | None:
        row = self._one("answer", scope, route, key)
        return None if row is None else AnswerRow(asked=row[0], answer=row[1])

    async def agent_tokens(self) -> Mapping[bytes, AgentId]:
        return {row[0]: AgentId(row[1]) for row in self._all("agent_tokens")}

    def _pair(self, name: str, key: str) -> Pair | None:
        row = self._one(name, key)
        return None if row is None else to_pair(row)

    def _number(self, name: str, *values: object) -> int:
        row = self._one(name, *values)
        return 0 if row is None else int(row[0])

    def _traffic(self, name: str, *values: object) -> Traffic:
        row = self._one(name, *values)
        return Traffic(count=0) if row is None else Traffic(count=row[0], first_ms=row[1])


def _json(words: Sequence[str]) -> str:
    return msgspec.json.encode(words).decode()


def _plain(row: AttemptRow) -> Attempt:
    return Attempt(
        id=row.id,
        agent_id=row.agent_id,
        thread_id=row.thread_id,
        delivery_ids=row.delivery_ids,
        started_ms=row.started_ms,
        epoch=row.epoch,
    )
