"""Echo agents: they live in this process and answer what they are sent, for trying things out.

Each has a history like a real agent's: a message is delivered when its turn is in there. When the
turn ends, the agent sends the text back to whom it came from, as a reply. It never answers a reply,
so that two of them cannot talk for ever. Agents are started by the operation `echo.start`
(`{"name": …}`), or with the host by `agents = ["name"]` in `[plugin."relay.echo"]`; they are gone
when the host stops, and what was for them waits at the hub until one of that name is back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from relay_core import (
    Abilities,
    Absent,
    Activity,
    AdapterError,
    AdapterRegistrar,
    AgentId,
    Attempt,
    AttemptId,
    Clock,
    Evidence,
    Found,
    HandedOver,
    HubError,
    Injection,
    InjectionRefused,
    Mode,
    Part,
    Proof,
    Provenance,
    Registration,
    RegistrationPatch,
    Relay,
    Replying,
    SendRequest,
    SessionChanged,
    SessionClosed,
    SessionEvent,
    SessionGone,
    SessionMoved,
    SessionSeen,
    SessionTurnEnded,
    SettingsError,
    Steering,
    Struct,
    Turn,
    TurnStatus,
    WireError,
    agent_id_for,
    hookimpl,
    parse_fence,
)

NAME = "echo"
TURN_S = 0.05
"""How long an echo agent thinks: long enough to be seen in a turn, and to be steered."""

_AGENT_NAME = re.compile(r"[a-z0-9]{1,12}")
_FOLDER = "/"


class StartRequest(Struct):
    """Body of `echo.start` and of `echo.attach`."""

    name: str = NAME


class Started(Struct):
    """Answer of `echo.start`."""

    agent_id: AgentId
    thread_id: str


class Settings(Struct, forbid_unknown_fields=True):
    """The table `[plugin."relay.echo"]`."""

    agents: tuple[str, ...] = ()


class Item(Struct):
    """One input in an agent's history."""

    attempt_id: AttemptId
    turn_id: str
    text: str
    marker: str


class EchoSession:
    """One echo agent; its name is its key and its thread's id, and the end of its agent id."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.agent_id = agent_id_for(NAME, _FOLDER, name)
        self.history: list[Item] = []
        self.turn: Turn | None = None
        self.running: asyncio.Task[None] | None = None
        self.turns = 0

    @property
    def activity(self) -> Activity:
        """What it does now."""
        return Activity.IN_TURN if self.turn else Activity.AT_REST

    def holds(self, attempt_id: AttemptId) -> Item | None:
        """Find an attempt in the history."""
        return next((item for item in self.history if item.attempt_id == attempt_id), None)


class EchoAdapter:
    """The echo agents of one host; implements `relay_core.Adapter`."""

    name = NAME

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, EchoSession] = {}
        self._events: asyncio.Queue[SessionEvent] = asyncio.Queue()
        self._relay: Relay | None = None

    def use(self, relay: Relay | None) -> None:
        """Send answers with this; without it nothing is answered."""
        self._relay = relay

    def begin(self, name: str) -> EchoSession:
        """Start an agent, or give the one of this name; AdapterError for a name it cannot have."""
        if not _AGENT_NAME.fullmatch(name):
            raise AdapterError(
                NAME,
                f"{name!r} is no name for an echo agent",
                fix="use up to 12 of a-z and 0-9",
            )
        if name not in self._sessions:
            session = self._sessions[name] = EchoSession(name)
            self._events.put_nowait(_seen(session))
        return self._sessions[name]

    # --- the port ----------------------------------------------------------------------------

    async def sessions(self) -> AsyncIterator[SessionEvent]:
        """Report every agent that is there, then what happens; for one listener."""
        for session in tuple(self._sessions.values()):
            yield _seen(session)
        while True:
            yield await self._events.get()

    def describe(self, key: str) -> Abilities:
        """Tell what each of them can do: everything but be seen."""
        self._session(key)
        return Abilities(
            wake=True,
            steer=Steering.LIVE,
            interrupt=True,
            prove=Proof.BY_ID,
            reply=Replying.LINKED,
            visible=False,
        )

    async def inject(self, injection: Injection) -> HandedOver:
        """Begin a turn with the input, or add it to the running one."""
        session = self._session(injection.key)
        if not injection.text:
            raise InjectionRefused(NAME, "there is no text", permanent=True)
        steer = injection.mode is Mode.STEER
        if steer and (session.turn is None or session.turn.id != injection.turn_id):
            raise SessionMoved(NAME, "no such turn is running")
        turn = session.turn or self._begin_turn(session)
        steered = len([item for item in session.history if item.turn_id == turn.id]) > 0
        session.history.append(
            Item(
                attempt_id=injection.id,
                turn_id=turn.id,
                text=injection.text,
                marker=injection.marker,
            )
        )
        return HandedOver(turn_id=turn.id, steered=steered)

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        """Look into the agent's history: what is handed over is there at once, or never."""
        del marker
        item = self._session(key).holds(attempt.id)
        return Absent() if item is None else Found(turn_id=item.turn_id)

    async def interrupt(self, key: str, turn_id: str) -> None:
        """Stop the running turn; nothing is answered then."""
        session = self._session(key)
        if session.turn is not None and session.turn.id == turn_id:
            if session.running is not None:
                session.running.cancel()
            self._end_turn(session, TurnStatus.INTERRUPTED, None)

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        """Start the agent that is named."""
        return (self.begin(_decoded(request).name).name,)

    async def detach(self, key: str) -> None:
        """End an agent."""
        session = self._sessions.pop(key, None)
        if session is not None:
            if session.running is not None:
                session.running.cancel()
            self._events.put_nowait(SessionClosed(key=key))

    async def close(self) -> None:
        """End all of them."""
        tasks = [each.running for each in self._sessions.values() if each.running is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start_operation(self, body: msgspec.Raw) -> msgspec.Raw:
        """Answer a line `echo.start`."""
        session = self.begin(_decoded(body).name)
        started = Started(agent_id=session.agent_id, thread_id=session.name)
        return msgspec.Raw(msgspec.json.encode(started))

    # --- turns -------------------------------------------------------------------------------

    def _session(self, key: str) -> EchoSession:
        if key not in self._sessions:
            raise SessionGone(NAME, f"there is no echo agent {key}")
        return self._sessions[key]

    def _begin_turn(self, session: EchoSession) -> Turn:
        session.turns += 1
        session.turn = Turn(id=f"{session.name}-{session.turns}", provenance=Provenance.OURS)
        session.running = asyncio.create_task(
            self._run_turn(session, session.turn), name=session.turn.id
        )
        self._events.put_nowait(
            SessionChanged(key=session.name, activity=Activity.IN_TURN, turn=session.turn)
        )
        return session.turn

    async def _run_turn(self, session: EchoSession, turn: Turn) -> None:
        await self._clock.sleep(TURN_S)
        items = [item for item in session.history if item.turn_id == turn.id]
        answers = [answer for item in items for answer in answers_to(item, session.agent_id)]
        said = "\n".join(answer.body for answer in answers) or "nothing to answer"
        for answer in answers:
            await self._send(answer)
        self._end_turn(session, TurnStatus.COMPLETED, said)

    def _end_turn(self, session: EchoSession, status: TurnStatus, final_text: str | None) -> None:
        turn, session.turn = session.turn, None
        if turn is None:
            return
        ours = tuple(item.attempt_id for item in session.history if item.turn_id == turn.id)
        self._events.put_nowait(
            SessionTurnEnded(
                key=session.name,
                turn_id=turn.id,
                status=status,
                provenance=Provenance.OURS,
                interrupted_by_us=True if status is TurnStatus.INTERRUPTED else None,
                attempts=ours,
                started_by=ours[0] if ours else None,
                final_text=final_text,
            )
        )
        self._events.put_nowait(SessionChanged(key=session.name, activity=Activity.AT_REST))

    async def _send(self, answer: SendRequest) -> None:
        if self._relay is None:
            return
        try:
            await self._relay.send(answer)
        except HubError:
            # A real agent would shrug as well: its sender is gone, or wants to hear no more.
            return


def answers_to(item: Item, agent_id: AgentId) -> list[SendRequest]:
    """Answer each message in an input that is no reply itself, with its own text."""
    try:
        parts = parse_fence(item.text, item.marker)
    except WireError:
        return []
    return [
        SendRequest(from_=agent_id, to=sender, body=part.body, reply_to=part.message_id)
        for part in parts
        if part.body and (sender := _field(part, "From")) and not _field(part, "In reply to")
    ]


def _field(part: Part, name: str) -> str | None:
    return next((value for key, value in part.header if key == name), None)


def _seen(session: EchoSession) -> SessionSeen:
    return SessionSeen(
        key=session.name,
        thread_id=session.name,
        cwd=_FOLDER,
        provider=NAME,
        activity=session.activity,
        turn=session.turn,
        approval="read-only",
        rig=NAME,
    )


def _decoded(body: msgspec.Raw) -> StartRequest:
    try:
        return msgspec.json.decode(body, type=StartRequest)
    except msgspec.MsgspecError as error:
        raise AdapterError(NAME, f"cannot read the request: {error}") from error


# --- the plugin ------------------------------------------------------------------------------

_registered: list[EchoAdapter] = []
"""Adapters whose host has not started yet: `start` comes after `register_adapters`."""


@hookimpl(trylast=True)
def register_adapters(register: AdapterRegistrar) -> None:
    """Contribute the adapter and the operation `echo.start`."""
    adapter = EchoAdapter(register.clock)
    register.adapter(adapter)
    register.operation("echo.start", adapter.start_operation)
    _registered.append(adapter)


@hookimpl(trylast=True)
def start(relay: Relay) -> AbstractAsyncContextManager[None]:
    """Let the agents answer while the host runs, and start those that the settings name."""
    return _started(relay, _registered.pop())


@asynccontextmanager
async def _started(relay: Relay, adapter: EchoAdapter) -> AsyncGenerator[None]:
    try:
        settings = msgspec.json.decode(relay.table, type=Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f'[plugin."relay.{NAME}"] in config.toml: {error}') from error
    adapter.use(relay)
    for name in settings.agents:
        adapter.begin(name)
    try:
        yield
    finally:
        adapter.use(None)


@hookimpl(trylast=True)
def on_register(registration: Registration) -> RegistrationPatch | None:
    """Give an echo agent its name as its label, so that it can be written to by that."""
    if registration.adapter != NAME or registration.thread_id is None:
        return None
    return RegistrationPatch(label=registration.thread_id)
