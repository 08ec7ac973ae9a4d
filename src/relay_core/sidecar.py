"""One session's loop: mail in, decisions, injection, evidence, receipts.

Each round fetches what is open at the hub, resolves what is in doubt by looking into the agent's
own history, asks the plugins about the rest, and makes at most one attempt. The hub remembers
everything; a sidecar that dies at any step is replaced by one that begins with the same round.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from relay_core import delivery, retry
from relay_core import outlook as outlooks
from relay_core.acting_session import ActingSession
from relay_core.answers import CORE, as_json
from relay_core.attempting import Attempts
from relay_core.batch import is_of_agents, next_batch
from relay_core.errors import (
    AdapterError,
    HubError,
    HubRefused,
    PluginError,
    RelayError,
    SettingsError,
    StaleEpoch,
    WireError,
)
from relay_core.events import Fenced, Registered
from relay_core.heartbeat import Heartbeat
from relay_core.host_api import SessionStatus
from relay_core.hub_api import Fence, OfferList, Served
from relay_core.judging import Judge
from relay_core.messages import (
    AgentId,
    DeliveryId,
    DeliveryState,
    Message,
    MessageId,
    Offer,
)
from relay_core.plans import Decision, DeliveryPlan, Mode
from relay_core.ports import Failpoint, SessionEvent, SessionSeen, SessionTurnEnded
from relay_core.recorded import Inquiry
from relay_core.registering import known_of, request_for
from relay_core.seat import Seams, Seat, SidecarSettings, log
from relay_core.sessions import Activity, Session
from relay_core.status_file import StatusFile
from relay_core.turn_reports import TurnReports
from relay_core.waiting import Situation, Wait, why_wait

LAST_WORDS_S = 2.0
"""How long a sidecar that stops waits for the hub and the observers to take what is left."""

MOVED_PAUSE_MS = 50
"""How long a session that moved under an attempt is given to say where to."""


COMPANY = DeliveryPlan.wait("it starts no turn: it goes with the next message that does")
GOES_ALONG = Decision(hook="choose_delivery", plugin=CORE, answer=as_json(COMPANY), chosen=True)
"""What `show --why` says of a message that waits for others to go with."""


def _about_plan(
    messages: Sequence[Message],
    session: Session,
    plan: DeliveryPlan,
    decisions: Iterable[Decision],
) -> Inquiry:
    return Inquiry(
        hook="choose_delivery", session=session, messages=messages, result=plan, trace=decisions
    )


class Sidecar:
    """Delivers one session's mail; `run` ends when another instance has taken the agent over."""

    def __init__(
        self,
        seen: SessionSeen,
        seams: Seams,
        settings: SidecarSettings,
        *,
        changed: Callable[[], None],
    ) -> None:
        self._seat = Seat(seen, seams, settings)
        self._judge = Judge(self._seat)
        self._attempts = Attempts(self._seat, self._judge, while_looking=self._hurry)
        self._changed = changed
        self._offers: tuple[Offer, ...] = ()
        self._wait: Wait | None = None
        self._wake = asyncio.Event()
        self._mail = asyncio.Event()
        self._noticed = asyncio.Event()
        self._heartbeat = Heartbeat(self._seat)
        self._turn_reports = TurnReports(self._seat)
        self._status_file = StatusFile(self._seat, self.status)
        self._fenced_by: int | None = None
        self._stopping = False
        self._moves = 0
        self.registered = asyncio.Event()

    # What the host tells it ----------------------------------------------------------------------

    def notice(self, event: SessionEvent) -> None:
        """Take in what the adapter reported about this session."""
        seat = self._seat
        if isinstance(event, SessionSeen):
            seat.seen = event
        if isinstance(event, SessionTurnEnded):
            self._turn_reports.add(event)
        now_ms, before = seat.clock.now_ms(), seat.outlook.away_since_ms
        seat.outlook = outlooks.after(seat.outlook, event, now_ms)
        if (before is None) != (seat.outlook.away_since_ms is None):
            self._changed()
            if before is not None:
                seat.came_back(now_ms - before)
        self._heartbeat.refresh()
        self._status_file.refresh()
        self._noticed.set()
        self._wake.set()

    def notice_mail(self) -> None:
        """Look at the hub again: something may have come."""
        self._mail.set()
        self._wake.set()

    def notice_fenced(self, epoch: int) -> None:
        """Stop when another instance holds a newer epoch."""
        if self._seat.epoch and epoch > self._seat.epoch:
            self._fenced_by = epoch
            self._wake.set()

    def stop(self) -> None:
        """End `run` after the round that is under way."""
        self._stopping = True
        self._wake.set()

    # What it shows -------------------------------------------------------------------------------

    @property
    def agent_id(self) -> AgentId:
        """The session's agent at the hub."""
        return self._seat.agent_id

    @property
    def seen(self) -> SessionSeen:
        """What the adapter last said about the session as a whole."""
        return self._seat.seen

    @property
    def thread_id(self) -> str:
        """The session's thread."""
        return self._seat.seen.thread_id

    @property
    def served(self) -> Served | None:
        """How the session is named on the host's stream; None while nobody can reach it here."""
        seat = self._seat
        away = seat.outlook.activity is Activity.AWAY
        if away or not seat.epoch or self._fenced_by is not None:
            return None
        return Served(id=seat.agent_id, instance_id=seat.instance_id, epoch=seat.epoch)

    @property
    def fenced(self) -> bool:
        """Whether another instance took the agent over."""
        return self._fenced_by is not None

    def carries(self, delivery_id: DeliveryId) -> bool:
        """Whether a delivery was open for this session at the last look."""
        return any(offer.delivery.id == delivery_id for offer in self._offers)

    def fence(self) -> Fence:
        """Who acts for this session, for the hub."""
        return self._seat.fence()

    def acting(self) -> ActingSession:
        """Act for this session's agent."""
        return ActingSession(self._seat, self._attempts.claims)

    @property
    def last_error(self) -> str | None:
        """The trouble of the moment, in one line."""
        return self._seat.last_error

    def status(self) -> SessionStatus:
        """Show where this session stands."""
        seat, wait = self._seat, self._wait
        turn, quiet_ms = seat.outlook.turn, seat.quiet_until_ms
        is_quiet = quiet_ms is not None and quiet_ms > seat.clock.now_ms()
        return SessionStatus(
            agent_id=seat.agent_id,
            adapter=seat.adapter.name,
            thread_id=seat.seen.thread_id,
            instance_id=seat.instance_id,
            epoch=seat.epoch,
            activity=seat.outlook.activity,
            connection=self._connection(),
            active_turn=turn.id if turn else None,
            pending=len(self._offers),
            waiting=wait.reason if wait else None,
            waiting_until_ms=wait.until_ms if wait else None,
            unattended=seat.unattended,
            quiet_until_ms=quiet_ms if is_quiet else None,
            last_error=seat.last_error,
        )

    def decisions(self, message_id: MessageId) -> tuple[Decision, ...]:
        """Every plugin's last answers about one message."""
        return self._seat.decisions(message_id)

    async def context(self) -> str:
        """Ask for the text that the session is given when it starts."""
        text, _ = await self._seat.hooks.format_context(self._seat.session())
        return text

    def _connection(self) -> str:
        if self._fenced_by is not None:
            return "fenced"
        if not self._seat.epoch:
            return "registering"
        return "away" if self._seat.outlook.activity is Activity.AWAY else "connected"

    # Life ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Register, then deliver until stopped or fenced; cancel it when the session is closed."""
        seat = self._seat
        try:
            while not self._stopping:
                await self._until_registered()
                await self._serve()
        except* StaleEpoch as stale:
            self._fenced_by = self._fenced_by or seat.epoch + 1
            log.warning("%s: %s; this host stops acting for it", seat.agent_id, stale.exceptions[0])
        if self._fenced_by is not None:
            self._changed()
            at_ms = seat.clock.now_ms()
            fenced = Fenced(at_ms=at_ms, agent_id=seat.agent_id, epoch=seat.epoch)
            await seat.hooks.on_event(fenced, seat.session())

    async def _serve(self) -> None:
        """Deliver, with what goes on beside it, until stopped or no longer known to the hub."""
        name = self.agent_id
        async with asyncio.TaskGroup() as tasks:
            beside = (
                tasks.create_task(self._heartbeat.run(), name=f"heartbeat {name}"),
                tasks.create_task(self._keep_claims(), name=f"claims {name}"),
                tasks.create_task(self._turn_reports.run(), name=f"turns {name}"),
                tasks.create_task(self._seat.observe(), name=f"observers {name}"),
                tasks.create_task(self._status_file.run(), name=f"status file {name}"),
            )
            await self._deliver()
            if self._stopping:
                await self._last_words()
            for task in beside:
                task.cancel()

    async def _last_words(self) -> None:
        """Let turn ends and events that are on their way arrive, for a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._turn_reports.told()
                await self._seat.observed()

    async def retire(self) -> None:
        """Say at the hub that nobody serves the session any more; best effort."""
        seat = self._seat
        await self._status_file.remove()
        if seat.epoch and self._fenced_by is None:
            try:
                await seat.hub.set_status(seat.fence(), "offline")
            except (HubError, WireError) as error:
                log.info("%s: could not say goodbye: %s", seat.agent_id, error)

    async def _until_registered(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                await self._register()
            except (HubError, PluginError, SettingsError, WireError) as error:
                failures += 1
                self._seat.trouble(error)
                self._wake.clear()
                await self._pause_ms(self._seat.backoff_ms(failures))
            else:
                return

    async def _register(self) -> None:
        seat = self._seat
        # The hub tells our own stream that the former epoch is fenced: that is no stranger.
        seat.epoch, self._fenced_by = 0, None
        known = known_of(seat)
        seat.patch, _ = await seat.hooks.on_register(known, seat.seen.environment)
        agent = await seat.hub.register(request_for(seat, known, seat.patch))
        await seat.failpoint(Failpoint.REGISTERED)
        # The hub knows the thread by the name that it had first, be its folder another now.
        seat.agent, seat.agent_id, seat.epoch = agent, agent.id, agent.epoch
        seat.came_back(agent.away_ms)
        self._attempts.claims.adopt(await seat.hub.claims(seat.fence()))
        seat.last_error = None
        self.registered.set()
        self._status_file.refresh()
        self._changed()
        at_ms = seat.clock.now_ms()
        seat.tell(Registered(at_ms=at_ms, agent_id=seat.agent_id, epoch=agent.epoch))

    async def _deliver(self) -> None:
        """Go round after round; return when stopped, or when the hub does not know the agent."""
        failures = 0
        while self._fenced_by is None:
            self._wake.clear()
            self._noticed.clear()
            if self._stopping:
                return
            try:
                until_ms = await self._round()
                failures = 0
            except StaleEpoch:
                raise
            except HubRefused as error:
                failures += 1
                if error.code == "unknown_agent":  # it was removed, or the hub has a new store
                    return
                until_ms = self._later(error, failures, error.retry_after_s)
            except (HubError, PluginError, AdapterError, WireError) as error:
                failures += 1
                until_ms = self._later(error, failures)
            await self._pause_until(until_ms)
        raise StaleEpoch(f"epoch {self._fenced_by} has taken over")

    def _later(self, error: RelayError, failures: int, seconds: int | None = None) -> int:
        self._seat.trouble(error)
        self._status_file.refresh()
        delay_ms = seconds * 1000 if seconds else self._seat.backoff_ms(failures)
        return self._seat.clock.now_ms() + delay_ms

    # One round -----------------------------------------------------------------------------------

    async def _round(self) -> int | None:
        """Do what can be done now; answer when to look again (None: when something happens)."""
        seat = self._seat
        found = await self._look()
        self._offers = found.offers
        self._attempts.claims.adopt(found.claims)
        in_doubt = await self._attempts.resolve(self._offers)
        if in_doubt is None:
            return seat.clock.now_ms()
        seat.last_error = None
        passing = await self._judge.judge(self._offers)
        seat.forget_absence(passing)
        batch = next_batch(passing, seat.clock.now_ms(), turns_from_ms=found.turns_from_ms)
        wait = self._why_wait(in_doubt=in_doubt)
        if wait is None and not batch.offers:
            wait = self._why_wait(turns_from_ms=batch.turns_from_ms, retry_at_ms=batch.wake_at_ms)
            self._remember_company(batch.along)
        if wait is not None or not batch.offers:
            pending = any(offer.delivery.state is not DeliveryState.HELD for offer in passing)
            return self._waiting(wait if pending else None)
        plan = await self._plan(batch.offers)
        wait = self._why_wait(plan=plan)
        self._waiting(wait)
        if wait is not None:
            return wait.until_ms
        moved = await self._attempts.make(batch.offers[: plan.take], plan)
        self._moves = self._moves + 1 if moved else 0
        if moved:
            await self._until_noticed()
        return seat.clock.now_ms()

    async def _look(self) -> OfferList:
        """Fetch what is open at the hub, and what it says of the session meanwhile."""
        seat = self._seat
        found = await seat.hub.offers(seat.fence())
        if seat.learn(found):
            self._judge.ask_again()
        offers = tuple(offer.annotated() for offer in found.offers)
        return msgspec.structs.replace(found, offers=offers)

    async def _until_noticed(self) -> None:
        """Wait until the adapter says where the session moved; longer each time that it does not.

        Mail does not end this: what was just taken back is mail, too.
        """
        pause_ms = retry.delay_ms(self._moves, 1, first_ms=MOVED_PAUSE_MS, most_ms=5_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_ms / 1000):
                await self._noticed.wait()

    async def _hurry(self) -> None:
        """While an attempt is in doubt, stop the turn for urgent mail that may interrupt.

        What was steered into that turn is then found absent, and goes in with the urgent message,
        in order; waiting for a long tool run to end would keep the urgent one waiting as well.
        """
        while True:
            self._mail.clear()
            try:
                await self._interrupt_for_urgent()
            except (HubError, PluginError, AdapterError, WireError) as error:
                self._seat.trouble(error)
            await self._mail.wait()

    async def _interrupt_for_urgent(self) -> None:
        seat = self._seat
        found = await self._look()
        offers = await self._judge.judge(found.offers)
        spent = found.turns_from_ms is not None and found.turns_from_ms > seat.clock.now_ms()
        urgent = tuple(
            offer
            for offer in offers
            if offer.message.urgent
            and offer.delivery.state in delivery.WAITING
            and not (spent and is_of_agents(offer))
        )
        turn = seat.outlook.turn
        if not urgent or turn is None or self._why_wait() is not None:
            return
        plan = await self._plan(urgent)
        if plan.mode is Mode.INTERRUPT:
            await seat.adapter.interrupt(seat.key, turn.id)

    async def _plan(self, offers: tuple[Offer, ...]) -> DeliveryPlan:
        seat = self._seat
        messages, session = [offer.message for offer in offers], seat.session()
        plan, decisions = await seat.hooks.choose_delivery(messages, session)
        seat.decided(_about_plan(messages, session, plan, decisions))
        return plan

    def _remember_company(self, waiting: Sequence[Offer]) -> None:
        if waiting:
            messages = [offer.message for offer in waiting]
            inquiry = _about_plan(messages, self._seat.session(), COMPANY, (GOES_ALONG,))
            self._seat.decided(inquiry)

    def _why_wait(
        self,
        *,
        in_doubt: bool = False,
        turns_from_ms: int | None = None,
        retry_at_ms: int | None = None,
        plan: DeliveryPlan | None = None,
    ) -> Wait | None:
        seat = self._seat
        return why_wait(
            Situation(
                now_ms=seat.clock.now_ms(),
                activity=seat.outlook.activity,
                in_doubt=in_doubt,
                user_interrupted_ms=seat.outlook.user_interrupted_ms,
                quiet_after_interrupt_ms=seat.settings.quiet_after_interrupt_ms,
                attended=seat.seen.attended,
                relay_turns=seat.outlook.relay_turns,
                unattended_budget=seat.settings.unattended_budget,
                turns_from_ms=turns_from_ms,
                retry_at_ms=retry_at_ms,
                plan=plan,
            )
        )

    def _waiting(self, wait: Wait | None) -> int | None:
        self._heartbeat.show(wait)
        self._wait = wait
        self._status_file.refresh()
        return None if wait is None else wait.until_ms

    async def _pause_until(self, until_ms: int | None) -> None:
        repair_ms, now_ms = self._seat.settings.repair_ms, self._seat.clock.now_ms()
        await self._pause_ms(repair_ms if until_ms is None else min(until_ms - now_ms, repair_ms))

    async def _pause_ms(self, ms: int) -> None:
        if ms <= 0:
            await self._seat.clock.sleep(0)
            return
        try:
            async with asyncio.timeout(ms / 1000):
                await self._wake.wait()
        except TimeoutError:
            return

    # Tasks of their own --------------------------------------------------------------------------

    async def _keep_claims(self) -> None:
        """Renew what is claimed; not while the agent is away, so that another gets the work."""
        seat, claims = self._seat, self._attempts.claims
        while True:
            claims.taken.clear()
            away = seat.outlook.activity is Activity.AWAY
            wait_ms = seat.settings.claim_renew_ms
            if not away:
                wait_ms = claims.next_renewal_ms(seat.clock.now_ms(), wait_ms)
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await claims.taken.wait()
            except TimeoutError:
                if not away:
                    await claims.renew()
