"""The hub's service: every operation of the API as one call; no SQL and no HTTP."""

# Rule 1: an operation is one unit of work of the store. Whom it concerns is told after the commit.
# Rule 2: time and randomness come from the Clock and the Random that are passed in.
# Rule 3: what is refused raises HubRefused with the status and the code that go on the wire.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from relay_core.delivery import MarkedRead
from relay_core.errors import HubRefused
from relay_core.hub_api import (
    AgentPatch,
    AttemptRequest,
    Claim,
    ClaimRequest,
    FencedFrame,
    HeartbeatRequest,
    MailFrame,
    MessageView,
    OfferList,
    Outcome,
    ReadyRequest,
    RegisterRequest,
    SendRequest,
    SendResponse,
    Served,
    StatusRequest,
    TurnReport,
    VerdictRequest,
)
from relay_core.messages import (
    OPERATOR,
    AgentId,
    Attempt,
    AttemptId,
    ClaimState,
    Credential,
    Delivery,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
    Struct,
)
from relay_core.ports import Clock, Random
from relay_core.sessions import Agent
from relay_hub.callers import Caller
from relay_hub.limits import Limits
from relay_hub.service import agents, attempts, checks, claims, sending, sweeping
from relay_hub.service.changes import Changes, apply
from relay_hub.service.committer import Committer, no_room
from relay_hub.service.once import Once
from relay_hub.service.views import joined, view_for
from relay_hub.store import Reads, Store, Transaction
from relay_hub.streams import Sink, Streams, Subscription
from relay_hub.tokens import new_token, token_hash

MOST_LISTED = 500


class Registered(Struct):
    """What a registration answers, and whether the agent is new."""

    agent: Agent
    new: bool


class HubService:
    """The rules of the hub over a store; used from one event loop.

    Make it with `await HubService.open(...)`. `sweep` must be called about once a second (`run`
    does so): TTLs, holds and leases end there.
    """

    def __init__(self, store: Store, clock: Clock, random: Random, limits: Limits) -> None:
        self.store = store
        self.streams = Streams()
        self.limits = limits
        self.clock = clock
        self._random = random
        committer = Committer(store, self.streams, clock, random, limits)
        self._change = committer.change
        self._look = committer.look
        self._tokens: dict[bytes, AgentId] = {}
        self._sweeper = sweeping.Sweeper(clock)
        self._full = False

    @classmethod
    async def open(
        cls, store: Store, *, clock: Clock, random: Random, limits: Limits | None = None
    ) -> HubService:
        """Take up a store: leases that were held when the hub stopped begin anew."""
        service = cls(store, clock, random, limits or Limits())
        until_ms = clock.now_ms() + service.limits.claim_lease_ms
        await store.write(lambda tx: tx.restart_leases(until_ms))
        service._tokens = dict(await store.read(lambda reads: reads.agent_tokens()))
        return service

    # Agents --------------------------------------------------------------------------------------

    async def register(
        self, request: RegisterRequest, caller: Caller, *, once: Once | None = None
    ) -> Registered:
        """Register an agent; whoever acted for it before is fenced."""
        caller.must_act_as(request.id)
        checked = agents.check(request, self.limits)

        async def work(tx: Transaction, changes: Changes) -> Registered:
            agent, new = await agents.register(tx, checked, changes, self.is_reachable)
            return Registered(agent=agent, new=new)

        done = await self._change(work, once=once, kind=Registered)
        shown = agents.shown(done.agent, self.clock.now_ms(), reachable=True, whole=True)
        away_ms = done.agent.away_ms
        return Registered(agent=msgspec.structs.replace(shown, away_ms=away_ms), new=done.new)

    async def heartbeat(
        self, agent_id: AgentId, request: HeartbeatRequest, caller: Caller
    ) -> Agent:
        """Note that an agent is alive."""
        caller.must_act_as(agent_id)
        return await self._change(
            lambda tx, changes: agents.heartbeat(tx, agent_id, request, changes)
        )

    async def set_status(self, agent_id: AgentId, request: StatusRequest, caller: Caller) -> Agent:
        """Note what an agent is doing."""
        caller.must_act_as(agent_id)
        status = checks.line("status", request.status, most=64)
        if status is None:
            raise checks.refuse("bad_status", "status is empty")
        return await self._change(
            lambda tx, changes: agents.show(
                tx, agent_id, request.instance_id, request.epoch, changes, status=status
            )
        )

    async def set_ready(self, agent_id: AgentId, request: ReadyRequest, caller: Caller) -> Agent:
        """Note whether an agent would take a message now."""
        caller.must_act_as(agent_id)
        return await self._change(
            lambda tx, changes: agents.show(
                tx, agent_id, request.instance_id, request.epoch, changes, ready=request.ready
            )
        )

    async def change_agent(self, agent_id: AgentId, patch: AgentPatch, caller: Caller) -> Agent:
        """Change an agent's label or tags."""
        caller.must_act_as(agent_id)
        agent = await self._change(lambda tx, _: agents.change(tx, agent_id, patch))
        return self._shown(agent, caller)

    async def remove_agent(self, agent_id: AgentId, caller: Caller) -> None:
        """Forget an agent; its tokens die with it."""
        caller.must_act_as(agent_id)
        await self._change(lambda tx, changes: agents.remove(tx, agent_id, changes))
        self._tokens = {key: each for key, each in self._tokens.items() if each != agent_id}

    async def agent(self, agent_id: AgentId, caller: Caller) -> Agent:
        """Show one agent."""

        async def work(reads: Reads) -> tuple[Agent | None, int]:
            return (
                await reads.agent(agent_id),
                await reads.waiting_count(agent_id, self.limits.recipient_queue),
            )

        agent, queued = await self._look(work)
        if agent is None or agent_id == OPERATOR:
            raise checks.refuse("unknown_agent", f"no agent is called {agent_id!a}", status=404)
        return self._shown(agent, caller, queued=queued)

    async def agents(self, caller: Caller) -> tuple[Agent, ...]:
        """Show every agent."""
        found = await self._look(lambda reads: reads.agents())
        return tuple(self._shown(agent, caller) for agent in found)

    def is_reachable(self, agent: Agent) -> bool:
        """Tell whether an agent is served on a stream, or was heard of not long ago."""
        if agent.id == OPERATOR or self.streams.serves(agent.id, agent.epoch):
            return self.streams.serves(agent.id, agent.epoch)
        if agent.status == "offline" or agent.last_seen_ms is None:
            return False
        return self.clock.now_ms() - agent.last_seen_ms <= self.limits.heartbeat_ms

    def _shown(self, agent: Agent, caller: Caller, *, queued: int | None = None) -> Agent:
        return agents.shown(
            agent,
            self.clock.now_ms(),
            reachable=self.is_reachable(agent),
            whole=caller.may_act_as(agent.id),
            queued=queued,
        )

    # Messages ------------------------------------------------------------------------------------

    async def send(
        self, request: SendRequest, caller: Caller, *, once: Once | None = None
    ) -> SendResponse:
        """Take in a message: it is durable when this answers."""
        if self._full:
            raise no_room("the store has reached its limit")
        checked = sending.check(request, caller, self.limits)
        return await self._change(
            lambda tx, changes: sending.send(tx, checked, caller, changes, self.is_reachable),
            once=once,
            kind=SendResponse,
        )

    async def message(self, message_id: MessageId, caller: Caller) -> MessageView:
        """Show a message and where its deliveries stand; to a recipient, its own."""

        async def work(reads: Reads) -> tuple[Message | None, tuple[Delivery, ...]]:
            return await reads.message(message_id), await reads.deliveries_of(message_id)

        message, deliveries = await self._look(work)
        view = None if message is None else view_for(message, deliveries, caller)
        if view is None:
            raise checks.refuse("unknown_message", f"there is no message {message_id}", status=404)
        return view

    async def thread(self, message_id: MessageId, caller: Caller) -> tuple[MessageView, ...]:
        """Show the conversation that a message belongs to, as far as the caller may see it."""

        async def work(reads: Reads) -> tuple[MessageView, ...]:
            message = await reads.message(message_id)
            if message is None:
                return ()
            root = message.conversation_id or message.id
            views = [
                view_for(each, await reads.deliveries_of(each.id), caller)
                for each in await reads.conversation(root, MOST_LISTED)
            ]
            return tuple(view for view in views if view is not None)

        views = await self._look(work)
        if not views:
            raise checks.refuse("unknown_message", f"there is no message {message_id}", status=404)
        return views

    async def inbox(
        self, agent_id: AgentId, since: MessageId, most: int, caller: Caller
    ) -> tuple[Message, ...]:
        """List what an agent may read after a message id, oldest first."""
        caller.must_act_as(agent_id)
        return await self._look(lambda reads: reads.messages_for(agent_id, since, most))

    async def latest_message_id(self) -> int:
        """The newest message's id; 0 when there is none."""
        return await self._look(lambda reads: reads.latest_message_id())

    async def mark_read(
        self, message_id: MessageId, read_by: AgentId, caller: Caller
    ) -> MessageView:
        """Note that a recipient has read a message by itself; doing it twice is harmless."""
        caller.must_act_as(read_by)

        async def work(tx: Transaction, changes: Changes) -> MessageView:
            message = await tx.message(message_id)
            delivery = await tx.delivery_for(message_id, read_by)
            if message is None or delivery is None:
                raise checks.refuse(
                    "unknown_message", f"{read_by} has no message {message_id}", status=404
                )
            if delivery.state in {DeliveryState.INJECTING, DeliveryState.UNCERTAIN}:
                raise HubRefused(
                    409, "attempt_open", "an attempt is not resolved", delivery_ids=(delivery.id,)
                )
            waiting = {DeliveryState.QUEUED, DeliveryState.LEASED, DeliveryState.HELD}
            if delivery.state in waiting:
                await apply(tx, delivery, MarkedRead(), changes)
            return joined(message, await tx.deliveries_of(message_id))

        view = await self._change(work)
        return view_for(view, view.deliveries, caller) or view

    # Deliveries ----------------------------------------------------------------------------------

    async def offers(
        self,
        agent_id: AgentId,
        caller: Caller,
        *,
        instance_id: str | None = None,
        epoch: int | None = None,
    ) -> OfferList:
        """List what is open for an agent, oldest first; the epoch is checked where it is given."""
        caller.must_act_as(agent_id)

        async def work(reads: Reads) -> OfferList:
            checks.fence(await reads.agent(agent_id), agent_id, instance_id, epoch, required=False)
            return OfferList(offers=await reads.offers(agent_id, self.limits.offer_bytes))

        return await self._look(work)

    async def history(
        self, agent_id: AgentId, states: Iterable[DeliveryState], most: int, caller: Caller
    ) -> OfferList:
        """List an agent's newest deliveries in some states, oldest first."""
        caller.must_act_as(agent_id)
        wanted = tuple(states)
        found = await self._look(lambda reads: reads.history(agent_id, wanted, most))
        return OfferList(offers=found)

    async def record_attempt(
        self, request: AttemptRequest, caller: Caller, *, once: Once | None = None
    ) -> Attempt:
        """Store an attempt before it is made."""
        caller.must_act_as(request.agent_id)
        attempts.check(request)

        async def work(tx: Transaction, changes: Changes) -> Attempt:
            return await attempts.record(tx, request, changes)

        return await self._change(work, once=once, kind=Attempt)

    async def report_outcome(self, attempt_id: AttemptId, outcome: Outcome, caller: Caller) -> None:
        """Resolve an attempt."""
        await self._change(
            lambda tx, changes: attempts.resolve(tx, attempt_id, outcome, caller, changes)
        )

    async def report_turn(self, attempt_id: AttemptId, report: TurnReport, caller: Caller) -> None:
        """Store how a turn ended."""
        await self._change(
            lambda tx, changes: attempts.end_turn(tx, attempt_id, report, caller, changes)
        )

    async def give_verdict(
        self, delivery_id: DeliveryId, verdict: VerdictRequest, caller: Caller
    ) -> Delivery:
        """Hold, skip or release a delivery."""
        return await self._change(
            lambda tx, changes: attempts.give_verdict(tx, delivery_id, verdict, caller, changes)
        )

    async def annotate(
        self,
        delivery_id: DeliveryId,
        annotations: Mapping[str, msgspec.Raw],
        caller: Caller,
    ) -> None:
        """Attach JSON to a delivery, key by key; `null` takes a key away."""
        for key, value in annotations.items():
            if checks.line("an annotation's name", key, most=128) is None:
                raise checks.refuse("bad_annotation", "an annotation needs a name")
            if len(bytes(value)) > self.limits.meta_bytes:
                raise checks.refuse(
                    "meta_too_large", f"{key!a} is larger than {self.limits.meta_bytes} bytes"
                )
        copies = {key: msgspec.Raw(bytes(value)) for key, value in annotations.items()}

        async def work(tx: Transaction, changes: Changes) -> None:
            delivery = await tx.delivery(delivery_id)
            if delivery is None or not caller.may_act_as(delivery.agent_id):
                raise checks.refuse(
                    "unknown_delivery", f"there is no delivery {delivery_id}", status=404
                )
            for key, value in copies.items():
                await tx.annotate(delivery_id, key, value)
            changes.has_mail(delivery)

        await self._change(work)

    # Claims --------------------------------------------------------------------------------------

    async def claim(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Take the claim on a message."""
        return await self._claim(message_id, request, caller, claims.take)

    async def renew(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Keep the claim for another lease."""
        return await self._claim(message_id, request, caller, claims.renew)

    async def complete(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """End the work as done."""
        return await self._end(message_id, request, caller, ClaimState.DONE)

    async def fail(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """End the work as failed."""
        return await self._end(message_id, request, caller, ClaimState.FAILED)

    async def release(self, message_id: MessageId, request: ClaimRequest, caller: Caller) -> Claim:
        """Give the work back to the others."""
        return await self._claim(message_id, request, caller, claims.release)

    async def _end(
        self, message_id: MessageId, request: ClaimRequest, caller: Caller, state: ClaimState
    ) -> Claim:
        async def end(
            tx: Transaction, message_id: MessageId, request: ClaimRequest, changes: Changes
        ) -> Claim:
            return await claims.end(tx, message_id, request, state, changes)

        return await self._claim(message_id, request, caller, end)

    async def _claim(
        self,
        message_id: MessageId,
        request: ClaimRequest,
        caller: Caller,
        work: Callable[[Transaction, MessageId, ClaimRequest, Changes], Awaitable[Claim]],
    ) -> Claim:
        caller.must_act_as(request.agent_id)
        return await self._change(lambda tx, changes: work(tx, message_id, request, changes))

    # Tokens --------------------------------------------------------------------------------------

    async def new_agent_token(self, agent_id: AgentId, caller: Caller) -> str:
        """Make a token that acts for one agent; only its hash is kept."""
        caller.must_be_user()
        token = new_token(self._random)
        hashed = token_hash(token)

        async def work(tx: Transaction, changes: Changes) -> None:
            if agent_id == OPERATOR or await tx.agent(agent_id) is None:
                raise checks.refuse("unknown_agent", f"no agent is called {agent_id!a}", status=404)
            await tx.add_agent_token(hashed, agent_id, changes.now_ms)

        await self._change(work)
        self._tokens[hashed] = agent_id
        return token

    def agent_caller(self, hashed: bytes) -> Caller | None:
        """Who the bearer of an agent token is, by the token's hash."""
        agent_id = self._tokens.get(hashed)
        if agent_id is None:
            return None
        return Caller(credential=Credential.AGENT, agent_id=agent_id)

    # Streams -------------------------------------------------------------------------------------

    def open_stream(self, caller: Caller, sink: Sink) -> Subscription:
        """Add a push connection."""
        if len(self.streams) >= self.limits.streams:
            raise HubRefused(429, "too_many_streams", f"{len(self.streams)} streams are open")
        return self.streams.open(caller, sink)

    async def serve(self, subscription: Subscription, agents: Iterable[Served]) -> None:
        """Say whom a connection serves; who was fenced meanwhile is told so, and left out."""
        wanted = tuple(agents)
        for each in wanted:
            subscription.caller.must_act_as(each.id)

        async def work(reads: Reads) -> tuple[list[Agent | None], int, set[AgentId]]:
            found = [await reads.agent(each.id) for each in wanted]
            waiting = {each.id for each in wanted if await reads.waiting_count(each.id, 1)}
            return found, await reads.latest_message_id(), waiting

        found, latest, waiting = await self._look(work)
        served = [
            each
            for each, agent in zip(wanted, found, strict=True)
            if agent is not None and agent.epoch == each.epoch
        ]
        self.streams.serve(subscription, served)
        for each, agent in zip(wanted, found, strict=True):
            if agent is not None and agent.epoch != each.epoch:
                subscription.sink(FencedFrame(agent_id=each.id, epoch=agent.epoch))
            elif each.id in waiting:
                subscription.sink(MailFrame(agent_id=each.id, up_to=latest))

    async def close_stream(self, subscription: Subscription) -> None:
        """Remove a push connection, and note until when its agents were there."""
        epochs = dict(subscription.epochs)
        self.streams.close(subscription)

        async def work(tx: Transaction, changes: Changes) -> None:
            for agent_id, epoch in epochs.items():
                agent = await tx.agent(agent_id)
                if agent is not None and agent.epoch == epoch:
                    await tx.touch_agent(
                        msgspec.structs.replace(agent, last_seen_ms=changes.now_ms)
                    )

        if epochs:
            await self._change(work)

    # Time ----------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """End what time ends: TTLs, holds, leases; hint at retries that are due."""
        self._full = (
            self.store.size_bytes() > self.limits.store_bytes
            or self.store.free_bytes() < self.limits.free_bytes
        )
        jumped = self._sweeper.clock_jumped()
        if jumped:
            until_ms = self.clock.now_ms() + self.limits.claim_lease_ms
            await self._change(lambda tx, _: tx.restart_leases(until_ms))
        if await self._look(self._sweeper.is_something_due):
            await self._change(sweeping.sweep)
        for delivery in await self._look(self._sweeper.retries):
            self.streams.mail(delivery.agent_id, delivery.message_id)

    async def run(self) -> None:
        """Sweep once a second until cancelled."""
        while True:
            await self.clock.sleep(sweeping.EVERY_S)
            await self.sweep()
