"""The store port: what the hub's service asks of a durable store."""

# Rule 1: a unit of work is a coroutine function that is given a Transaction. Everything that it
#         wrote is committed together, or nothing is; `write` answers after the commit.
# Rule 2: a unit of work awaits nothing but its Transaction. A store may run it in its writer
#         thread, where there is no event loop, and may commit it together with others.
# Rule 3: a unit of work that raises leaves no trace, and its neighbours in the same commit stay.
# Rule 4: a unit of work may be run again from the start (serialization failures elsewhere), so it
#         decides from what it reads and keeps nothing outside but its result.
# Rule 5: reading never waits for a writer.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from relay_core.dead_letters import DeadLetter, Transition
from relay_core.guards import Guard, GuardKind
from relay_core.held_mail import HeldDelivery
from relay_core.hub_api import Pair
from relay_core.messages import (
    AgentId,
    AttemptId,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    Offer,
    PairId,
    TurnStatus,
)
from relay_core.sessions import Agent
from relay_core.work import HandOver, Task
from relay_hub.store.rows import AnswerRow, AttemptRow, ClaimRow, Traffic, UserSet

T = TypeVar("T")


class Reads(Protocol):
    """What can be asked, of one consistent state."""

    async def agent(self, agent_id: AgentId) -> Agent | None:
        """One agent that is registered."""
        ...

    async def user_set(self, agent_id: AgentId) -> UserSet:
        """What of an agent the user has set."""
        ...

    async def agents(
        self, since: AgentId | None = None, most: int | None = None
    ) -> tuple[Agent, ...]:
        """Registered agents after an id, by id; the operator is none of them."""
        ...

    async def named_agents(self, kind: str, value: str) -> tuple[AgentId, ...]:
        """Agents with this `label`, `tag` or `cap`, by id."""
        ...

    async def agent_ids(self) -> tuple[AgentId, ...]:
        """Every registered agent's id; the operator is none of them."""
        ...

    async def waiting_count(self, agent_id: AgentId, most: int) -> int:
        """How many deliveries of an agent are open, counted up to `most`."""
        ...

    async def message(self, message_id: MessageId) -> Message | None:
        """One message, with its claim."""
        ...

    async def messages_for(
        self, agent_id: AgentId, since: MessageId, most: int
    ) -> tuple[Message, ...]:
        """Messages after `since` that an agent may read: no other holds their claim.

        Not what waits for a yes; each with the text that is for this agent.
        """
        ...

    async def messages_before(
        self, agent_id: AgentId, before: MessageId, most: int
    ) -> tuple[Message, ...]:
        """The newest of the same before `before`, oldest first."""
        ...

    async def conversation(
        self, root: MessageId, since: MessageId, most: int
    ) -> tuple[Message, ...]:
        """A conversation's messages after `since`, oldest first, by the id of its first one."""
        ...

    async def latest_message_id(self) -> int:
        """The newest message's id; 0 when there is none."""
        ...

    async def sent_since(self, sender: AgentId, since_ms: int) -> Traffic:
        """What one sender has sent with a token of its own since then."""
        ...

    async def said_since(self, conversation: MessageId, since_ms: int) -> Traffic:
        """What agents have sent in one conversation since then."""
        ...

    async def turns_since(self, agent_id: AgentId, since_ms: int) -> Traffic:
        """The turns that agents' mail alone has started in an agent's session since then."""
        ...

    async def guard(self, kind: GuardKind, subject: str) -> Guard | None:
        """Where the guard stands with one conversation, or one agent's turns."""
        ...

    async def guards(self) -> tuple[Guard, ...]:
        """What the guard has stopped, the newest first, 500 at most."""
        ...

    async def delivery(self, delivery_id: DeliveryId) -> Delivery | None:
        """One delivery."""
        ...

    async def delivery_for(self, message_id: MessageId, agent_id: AgentId) -> Delivery | None:
        """The delivery of a message to one recipient."""
        ...

    async def deliveries_of(self, message_id: MessageId) -> tuple[Delivery, ...]:
        """Every delivery of a message, in the order of their ids."""
        ...

    async def offers(self, agent_id: AgentId, most_bytes: int) -> tuple[Offer, ...]:
        """An agent's open deliveries, oldest first.

        Bodies of more than `most_bytes` together are cut off at the end; held ones go first then.
        At least one is answered when there is one.
        """
        ...

    async def history(
        self, agent_id: AgentId, states: Sequence[str], before: MessageId, most: int
    ) -> tuple[Offer, ...]:
        """An agent's newest deliveries in these states, final ones included, oldest first.

        Of messages before `before`.
        """
        ...

    async def in_doubt(self, agent_id: AgentId) -> tuple[Delivery, ...]:
        """An agent's deliveries that are injecting or uncertain."""
        ...

    async def held_because(self, agent_id: AgentId, reason: str) -> tuple[Delivery, ...]:
        """An agent's deliveries that are held for this reason, oldest first."""
        ...

    async def attempt(self, attempt_id: AttemptId) -> AttemptRow | None:
        """One attempt with the deliveries that it carries."""
        ...

    async def replies_to(self, request: MessageId) -> Mapping[AgentId, MessageId]:
        """The first reply of each recipient that has answered a request."""
        ...

    async def claim(self, message_id: MessageId) -> ClaimRow | None:
        """The claim on a claimable message."""
        ...

    async def claims_of(self, agent_id: AgentId) -> tuple[ClaimRow, ...]:
        """The claims that an agent holds, by the end of their lease."""
        ...

    async def tasks(
        self,
        states: Sequence[str],
        agent_id: AgentId | None,
        reader: AgentId | None,
        before: MessageId,
        most: int,
    ) -> tuple[Task, ...]:
        """Claims in these states on messages before `before`, newest message first.

        Of `agent_id`, what it holds or held at the end, and what nobody holds and was sent to it;
        of `reader`, what it has sent or was sent; where they are given.
        """
        ...

    async def hand_overs(self, message_id: MessageId) -> tuple[HandOver, ...]:
        """Everything that happened to a claim, oldest first."""
        ...

    async def expired(self, now_ms: int, most: int) -> tuple[Delivery, ...]:
        """Deliveries whose time to live is over, but for those in doubt."""
        ...

    async def hold_ended(self, now_ms: int, most: int) -> tuple[Delivery, ...]:
        """Held deliveries whose hold is over."""
        ...

    async def retry_due(self, after_ms: int, now_ms: int, most: int) -> tuple[Delivery, ...]:
        """Waiting deliveries whose next try became due after one time, up to another."""
        ...

    async def lapsed(self, now_ms: int, most: int) -> tuple[ClaimRow, ...]:
        """Held claims whose lease is over."""
        ...

    async def finished(self, before_ms: int, most: int) -> tuple[MessageId, ...]:
        """Conversations in which nothing is open, no claim is held and all is older than that.

        By the ids of their first messages, oldest first.
        """
        ...

    async def pair(self, pair_id: PairId) -> Pair | None:
        """One pair, ended ones included."""
        ...

    async def pair_of(self, agent_id: AgentId) -> Pair | None:
        """The pair in which an agent has its seat."""
        ...

    async def pairs(
        self, agent_id: AgentId | None, states: Sequence[str], before: PairId | None, most: int
    ) -> tuple[Pair, ...]:
        """Pairs in these states, of one agent or of all, newest first; made before `before`."""
        ...

    async def pairs_expired(self, now_ms: int, most: int) -> tuple[Pair, ...]:
        """Pending pairs whose time to be answered is over."""
        ...

    async def pair_message(self, pair_id: PairId, kind: str | None = None) -> Message | None:
        """The newest message of a pair, or its newest of one type."""
        ...

    async def forgotten_pairs(self, before_ms: int, most: int) -> tuple[PairId, ...]:
        """Pairs that ended before then, and of which no message is left."""
        ...

    async def dead_letters(
        self,
        agent_id: AgentId | None,
        reader: AgentId | None,
        before: DeliveryId,
        most: int,
    ) -> tuple[DeadLetter, ...]:
        """Dead deliveries before `before` that nobody has retried or dropped, newest first.

        Those for `agent_id`, and those that `reader` has sent or was to get, where they are given.
        """
        ...

    async def dropped_ms(self, delivery_id: DeliveryId) -> int | None:
        """When a dead delivery was dropped from the list."""
        ...

    async def held(
        self, agent_id: AgentId | None, before: DeliveryId, most: int
    ) -> tuple[HeldDelivery, ...]:
        """Held deliveries before `before`, newest first; of one agent, where it is given."""
        ...

    async def held_for_a_yes(self) -> int:
        """How many deliveries wait for a human's yes."""
        ...

    async def is_withheld(self, delivery_id: DeliveryId) -> bool:
        """Tell whether a delivery waits for a human's yes, or ended while it did."""
        ...

    async def edited_body(self, delivery_id: DeliveryId) -> str | None:
        """The text that a recipient gets in the place of the sender's; None where that is its."""
        ...

    async def attempts_of(self, delivery_id: DeliveryId) -> tuple[AttemptRow, ...]:
        """Every attempt that carried a delivery, oldest first."""
        ...

    async def transitions_of(self, delivery_id: DeliveryId) -> tuple[Transition, ...]:
        """Every step of a delivery, oldest first."""
        ...

    async def answer(self, scope: str, route: str, key: str) -> AnswerRow | None:
        """What was answered to this idempotency key."""
        ...

    async def agent_tokens(self) -> Mapping[bytes, AgentId]:
        """The hashes of all agent tokens."""
        ...


class Transaction(Reads, Protocol):
    """What a unit of work may do."""

    async def put_agent(self, agent: Agent) -> None:
        """Store an agent and the names that it is found by; a deleted one lives again."""
        ...

    async def put_user_set(self, agent_id: AgentId, user_set: UserSet) -> None:
        """Store what the user has set; forgotten when the agent is deleted."""
        ...

    async def touch_agent(self, agent: Agent) -> None:
        """Store what changes often: all but label, tags and capabilities."""
        ...

    async def former_epoch(self, agent_id: AgentId) -> int:
        """The highest epoch that this id ever had, deleted or not; 0 when it is new."""
        ...

    async def delete_agent(self, agent_id: AgentId, now_ms: int) -> None:
        """Forget an agent and its tokens; its epoch is remembered."""
        ...

    async def next_seq(self, agent_id: AgentId) -> int:
        """Take the recipient's next sequence number."""
        ...

    async def add_message(self, message: Message) -> MessageId:
        """Store a message; its id is given here."""
        ...

    async def add_delivery(self, delivery: Delivery) -> DeliveryId:
        """Store a new delivery; its id is given here."""
        ...

    async def put_delivery(self, delivery: Delivery, *, before: Delivery, event: str) -> None:
        """Store a step of the machine, and the step itself in the audit trail."""
        ...

    async def end_turn(
        self, attempt_id: AttemptId, turn_id: str, status: TurnStatus, no_reply: str | None = None
    ) -> None:
        """Store how the turn that carried an attempt ended, with the attempt and its deliveries."""
        ...

    async def add_reply(self, request: MessageId, agent_id: AgentId, reply: MessageId) -> bool:
        """Store a recipient's answer to a request; False when it has given one before.

        A constraint of the store: of two that come at the same time, one is the first.
        """
        ...

    async def add_attempt(self, attempt: AttemptRow) -> None:
        """Store a new attempt."""
        ...

    async def resolve_attempt(
        self, attempt_id: AttemptId, outcome: str, turn_id: str | None, now_ms: int
    ) -> None:
        """Store what became of an attempt."""
        ...

    async def put_claim(self, claim: ClaimRow) -> None:
        """Store a claim, new or changed."""
        ...

    async def add_hand_over(self, message_id: MessageId, step: HandOver) -> None:
        """Store that something happened to a claim."""
        ...

    async def restart_leases(self, until_ms: int) -> int:
        """Give every held claim until then; answers how many there are."""
        ...

    async def annotate(self, delivery_id: DeliveryId, key: str, value: msgspec.Raw) -> None:
        """Attach JSON to a delivery; `null` takes it away."""
        ...

    async def put_guard(self, guard: Guard) -> None:
        """Store where the guard stands; forgotten with its conversation, or its agent."""
        ...

    async def put_pair(self, pair: Pair) -> None:
        """Store a pair, new or changed; who is in it and what it is for never change."""
        ...

    async def take_seat(self, agent_id: AgentId, pair_id: PairId) -> bool:
        """Give an agent its one seat in a pair; False when it has one in any pair.

        A constraint of the store: of two that try at the same time, one is told so.
        """
        ...

    async def free_seats(self, pair: Pair) -> None:
        """Let both agents of a pair sit elsewhere."""
        ...

    async def put_edited_body(self, delivery_id: DeliveryId, body: str) -> None:
        """Store the text that a recipient gets in the place of the sender's."""
        ...

    async def put_retried(self, delivery_id: DeliveryId, successor: DeliveryId) -> None:
        """Store which delivery took the place of a dead one."""
        ...

    async def put_dropped(self, delivery_id: DeliveryId, now_ms: int) -> None:
        """Store that a dead delivery is to be listed no longer."""
        ...

    async def put_answer(
        self, scope: str, route: str, key: str, row: AnswerRow, now_ms: int
    ) -> None:
        """Remember an answer."""
        ...

    async def forget_answers(self, before_ms: int) -> None:
        """Forget answers that were given before then."""
        ...

    async def prune(self, conversation: MessageId, most: int) -> int:
        """Forget up to `most` of a finished conversation's messages, newest first.

        With their deliveries, attempts and claims, and what happened to those; answers how many
        messages that were. Their ids are never given again.
        """
        ...

    async def prune_pair(self, pair_id: PairId) -> None:
        """Forget a pair of which no message is left."""
        ...

    async def add_agent_token(self, token_hash: bytes, agent_id: AgentId, now_ms: int) -> None:
        """Remember the hash of a token that acts for one agent."""
        ...


class Store(Protocol):
    """A durable store.

    Every call raises StoreFull (no room, nothing changed) or StoreFailed (for good).
    """

    async def write(self, unit: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run a unit of work and answer once it is durable."""
        ...

    async def read(self, unit: Callable[[Reads], Awaitable[T]]) -> T:
        """Run a unit that only asks, on one consistent state."""
        ...

    def size_bytes(self) -> int:
        """How much room its contents take now; what was forgotten takes none."""
        ...

    def free_bytes(self) -> int:
        """How much room is left where it is kept."""
        ...

    async def close(self) -> None:
        """Finish what is queued and close; later calls raise StoreFailed."""
        ...
