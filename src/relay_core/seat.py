"""What the parts of one session's sidecar share: its seams, its identity, what it knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from relay_core import outlook as outlooks
from relay_core import retry
from relay_core.answers import Answers, Trace
from relay_core.errors import HubRefused, HubUnreachable, RelayError
from relay_core.events import RelayEvent, ReplySent
from relay_core.hooks import Hooks
from relay_core.hub_api import Fence, OfferList, Outcome
from relay_core.messages import Attempt, AttemptId, MessageId, Offer, Struct, starts_no_turn
from relay_core.plans import Decision
from relay_core.policies import OwnPolicy, policy_for
from relay_core.ports import Adapter, Clock, Failpoints, HubPort, Random, SessionSeen
from relay_core.recorded import DecisionRecord, Inquiry, NoRecord
from relay_core.sessions import Agent, Policy, RegistrationPatch, Session, agent_id_for

log = logging.getLogger("relay.sidecar")

DECISIONS_KEPT = 200
"""Messages whose decisions are remembered for `show --why`."""

TRACES_KEPT = 8
"""Traces of one message that are kept as they are; of more, only each plugin's last answers are."""

ATTEMPTS_KEPT = 200
"""Attempts whose messages are remembered until their turn ends; the oldest are forgotten first."""

EVENTS_KEPT = 1_000
"""Events that may wait for a slow observer; later ones are missed, and the log says so."""

REASON_CHARS = 200

T = TypeVar("T")


def plain(reason: str) -> str:
    """Make a reason that came from elsewhere fit to be shown: one line, printable, not long."""
    line = " ".join(reason.split())
    return "".join(char if char.isprintable() else "?" for char in line)[:REASON_CHARS]


class SidecarSettings(Struct):
    """What the user's settings say about delivering; times in milliseconds.

    `policy` holds for all sessions, but for what `own_policies` say of some.
    """

    policy: Policy = Policy()
    own_policies: tuple[OwnPolicy, ...] = ()
    repair_ms: int = 2_000
    heartbeat_ms: int = 30_000
    quiet_after_interrupt_ms: int = 60_000
    unattended_budget: int = 25
    claim_renew_ms: int = 20_000
    machine: str = ""
    hub_url: str = ""


class Seams(Struct):
    """What a sidecar is given instead of a real hub, agent, clock or random source."""

    adapter: Adapter
    hub: HubPort
    hooks: Hooks
    clock: Clock
    random: Random
    failpoint: Failpoints
    record: DecisionRecord = NoRecord()


class Seat:
    """One session's place in this host; what changes in it changes in the host's loop only."""

    def __init__(self, seen: SessionSeen, seams: Seams, settings: SidecarSettings) -> None:
        self.seen = seen
        self.settings = settings
        self.adapter = seams.adapter
        self.hub = seams.hub
        self.hooks = seams.hooks
        self.clock = seams.clock
        self.random = seams.random
        self.failpoint = seams.failpoint
        self._record = seams.record
        self.agent_id = agent_id_for(seen.provider, seen.cwd, seen.thread_id)
        self.instance_id = seams.random.token_hex(8)
        self.epoch = 0
        self.agent: Agent | None = None
        self.patch = RegistrationPatch()
        self.outlook = outlooks.first_look(seen, seams.clock.now_ms())
        self.away_ms = 0
        self._back_at_ms = 0
        self.quiet_until_ms: int | None = None
        self._learned: tuple[int | None, str | None, tuple[str, ...] | None] = (None, None, None)
        self.claims_held: Callable[[], int] = lambda: 0
        self.last_error: str | None = None
        self._told: asyncio.Queue[tuple[RelayEvent, Session]] = asyncio.Queue(EVENTS_KEPT)
        self._decisions: dict[MessageId, list[Trace]] = {}
        self._carried: dict[AttemptId, tuple[MessageId, ...]] = {}

    @property
    def key(self) -> str:
        """The adapter's own name of the session."""
        return self.seen.key

    def fence(self) -> Fence:
        """Who is acting, for the hub."""
        return Fence(agent_id=self.agent_id, instance_id=self.instance_id, epoch=self.epoch)

    def outcome(
        self,
        outcome: str,
        *,
        turn_id: str | None = None,
        reason: str | None = None,
        crashed: bool = False,
        permanent: bool = False,
    ) -> Outcome:
        """What became of an attempt of this session's."""
        return Outcome(
            outcome=outcome,
            turn_id=turn_id,
            reason=reason and plain(reason),
            crashed=crashed,
            permanent=permanent,
            agent_id=self.agent_id,
            instance_id=self.instance_id,
            epoch=self.epoch,
        )

    def session(self) -> Session:
        """Show the session to the decision hooks, with the time in it."""
        seen, known, patch, agent = self.seen, self.outlook, self.patch, self.agent
        label = agent.label if agent else patch.label
        tags = agent.tags if agent else patch.tags or ()
        own = self.settings.own_policies
        return Session(
            id=self.agent_id,
            adapter=self.adapter.name,
            thread_id=seen.thread_id,
            now=self.clock.now_ms(),
            activity=known.activity,
            turn=known.turn,
            abilities=self.adapter.describe(seen.key),
            policy=policy_for(self.settings.policy, own, self.agent_id, label=label, tags=tags),
            cwd=seen.cwd,
            label=label,
            tags=tags,
            capabilities=agent.capabilities if agent else patch.capabilities or (),
            channels=agent.channels if agent else patch.channels or (),
            approval=seen.approval,
            profile=patch.profile,
            model=seen.model,
            hub_url=self.settings.hub_url,
            attended=seen.attended,
            away_ms=self.away_ms,
            last_user_turn_ms=known.last_user_turn_ms,
            quiet_until_ms=self.quiet_until_ms,
            claims=self.claims_held(),
        )

    @property
    def unattended(self) -> bool:
        """Whether the budget of turns without a sign of the user is spent."""
        spent = self.outlook.relay_turns >= self.settings.unattended_budget
        return spent and not self.seen.attended

    def tell(self, event: RelayEvent) -> None:
        """Let the observers see what has happened, in order, without waiting for them."""
        if self._told.full():
            log.warning("%s: observers are too slow; they miss %s", self.agent_id, event)
            return
        self._told.put_nowait((event, self.session()))

    def tell_reply(self, message_id: MessageId, reply_to: MessageId) -> None:
        """Let the observers see that this session's agent has answered."""
        self.tell(
            ReplySent(
                at_ms=self.clock.now_ms(),
                agent_id=self.agent_id,
                message_id=message_id,
                reply_to=reply_to,
            )
        )

    async def observe(self) -> None:
        """Pass what was told on to the observers, for as long as the session is served."""
        while True:
            event, session = await self._told.get()
            await self.hooks.on_event(event, session)
            self._told.task_done()

    async def observed(self) -> None:
        """Return when everything that was told has been passed on."""
        await self._told.join()

    def came_back(self, away_ms: int) -> None:
        """Note how long the session was away, for what has waited meanwhile."""
        self.away_ms = max(self.away_ms, away_ms)
        self._back_at_ms = self.clock.now_ms()

    def learn(self, found: OfferList) -> bool:
        """Note what the user has set for this agent at the hub; True where that is news."""
        self.quiet_until_ms = found.quiet_until_ms
        if self.agent is not None and found.tags is not None:
            self.agent = msgspec.structs.replace(self.agent, label=found.label, tags=found.tags)
        former = self._learned
        self._learned = (found.quiet_until_ms, found.label, found.tags)
        return former != self._learned

    def forget_absence(self, waiting: Sequence[Offer]) -> None:
        """Forget absence and quiet once they are over and nothing is left from before their end."""
        waited = [each.delivery for each in waiting if not starts_no_turn(each.message)]
        oldest_ms = min((each.created_ms for each in waited), default=None)
        if oldest_ms is None or oldest_ms > self._back_at_ms:
            self.away_ms = 0
        quiet_ms = self.quiet_until_ms
        if quiet_ms is None or quiet_ms > self.clock.now_ms():
            return
        if oldest_ms is None or oldest_ms >= quiet_ms:
            self.quiet_until_ms = None

    def decided(self, inquiry: Inquiry) -> None:
        """Keep what the plugins answered, for `show --why` and on the record."""
        trace = inquiry.trace if isinstance(inquiry.trace, Answers) else tuple(inquiry.trace)
        for message in inquiry.messages:
            self.remember(message.id, trace)
        self._record.add(inquiry)

    def note_carried(self, attempt: Attempt, offers: Iterable[Offer]) -> None:
        """Note which messages an attempt brings, for the end of its turn."""
        self._carried[attempt.id] = tuple(
            offer.message.id for offer in offers if offer.delivery.id in attempt.delivery_ids
        )
        while len(self._carried) > ATTEMPTS_KEPT:
            self._carried.pop(next(iter(self._carried)))

    def carried(self, attempts: Iterable[AttemptId]) -> tuple[MessageId, ...]:
        """The messages that these attempts brought, as far as this host made or saw them."""
        return tuple(
            message_id for attempt in attempts for message_id in self._carried.pop(attempt, ())
        )

    def remember(self, message_id: MessageId, decisions: Trace) -> None:
        """Keep what the plugins answered about a message; the oldest messages are forgotten."""
        kept = self._decisions.setdefault(message_id, [])
        kept.append(decisions)
        if len(kept) > TRACES_KEPT:
            kept[:] = [_latest(kept)]
        while len(self._decisions) > DECISIONS_KEPT:
            self._decisions.pop(next(iter(self._decisions)))

    def decisions(self, message_id: MessageId) -> tuple[Decision, ...]:
        """Every plugin's last answers about one message."""
        return _latest(self._decisions.get(message_id, ()))

    def trouble(self, error: RelayError) -> None:
        """Show an error in the session's status."""
        self.last_error = str(error)
        log.info("%s: %s: %s", self.agent_id, error.code, error)

    def backoff_ms(self, failures: int) -> int:
        """How long to wait before asking again; spread, so that many hosts do not come at once."""
        return retry.reconnect_ms(failures, self.random.random())

    async def persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until the hub answers: what is known must not be lost because it restarts.

        Raises what the hub refuses, but for 429 and 503, which mean later.
        """
        failures = 0
        while True:
            try:
                return await ask()
            except HubUnreachable as error:
                self.trouble(error)
            except HubRefused as error:
                if error.status not in {429, 503}:
                    raise
                self.trouble(error)
            failures += 1
            await self.clock.sleep(self.backoff_ms(failures) / 1000)


def _latest(traces: Iterable[Iterable[Decision]]) -> tuple[Decision, ...]:
    """Each plugin's last answer to each hook."""
    found = {(each.hook, each.plugin): each for trace in traces for each in trace}
    return tuple(found.values())
