"""The seams: what sidecar and host are given instead of a real hub, agent, clock or random source.

Everything here is a Protocol. The whole system runs on a virtual clock with a seeded random source
when these are passed in; in production `relay_core.host` passes the real ones.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from relay_core.acting import ActingAgent, AgentHub
from relay_core.hub_api import (
    AgentPatch,
    AttemptRequest,
    Claim,
    ClaimRequest,
    Fence,
    HeartbeatRequest,
    MessageView,
    OfferList,
    Outcome,
    RegisterRequest,
    SendRequest,
    SendResponse,
    Served,
    StreamFrame,
    TurnReport,
    VerdictRequest,
)
from relay_core.messages import (
    AgentId,
    Attempt,
    AttemptId,
    DeliveryId,
    MessageId,
    Struct,
    TurnStatus,
)
from relay_core.places import Places
from relay_core.plans import Mode
from relay_core.sessions import (
    Abilities,
    Activity,
    Agent,
    Environment,
    Provenance,
    Registration,
    RegistrationPatch,
    Turn,
)

if TYPE_CHECKING:
    import asyncio  # as much to import as all else here


class Failpoint(enum.StrEnum):
    """Named places where a test may stop or kill a process; live only through the test entry
    point."""

    BEFORE_ATTEMPT = "before_attempt"
    ATTEMPT_RECORDED = "attempt_recorded"
    BEFORE_INJECT = "before_inject"
    AGENT_REPLIED = "agent_replied"
    EVIDENCE_SEEN = "evidence_seen"
    RECEIPT_STORED = "receipt_stored"
    CLAIMED = "claimed"
    REGISTERED = "registered"
    INJECT_DROPPED = "inject_dropped"
    HUB_BEFORE_COMMIT = "hub_before_commit"
    HUB_AFTER_COMMIT = "hub_after_commit"


class Failpoints(Protocol):
    """Called at each named place; a no-op outside tests."""

    async def __call__(self, name: Failpoint) -> bool:
        """Do nothing, or what the test wants here; True asks the caller to drop its next step."""
        ...


class Clock(Protocol):
    """Time, in one place."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


class Random(Protocol):
    """Randomness and identity, in one place."""

    def random(self) -> float:
        """A number, 0 <= x < 1."""
        ...

    def token_hex(self, count: int) -> str:
        """`count` unguessable bytes as hex."""
        ...


class Spawner(Protocol):
    """Starts the work of one session; `asyncio.create_task` in production."""

    def __call__(
        self, work: Coroutine[object, object, None], /, *, name: str
    ) -> asyncio.Task[None]:
        """Start it now; whoever asked cancels it."""
        ...


class SessionSeen(Struct):
    """An adapter found a session, or knows more about one.

    `status_file` is an absolute path at which programs look for this session's status.
    """

    key: str
    thread_id: str
    cwd: str
    provider: str
    activity: Activity
    turn: Turn | None = None
    approval: str | None = None
    model: str | None = None
    attended: bool = True
    launched: bool = False
    rig: str | None = None
    environment: dict[str, str] = {}
    status_file: str | None = None


class SessionChanged(Struct):
    """A session does something else now."""

    key: str
    activity: Activity
    turn: Turn | None = None
    sign_of_user: bool = False


class SessionTurnEnded(Struct):
    """A turn ended.

    `interrupted_by_us` is True when our own interrupt did it, None when nobody can tell (the agent
    was not watched then). `attempts` are the ids of ours that its items carry. `started_by` is the
    attempt that began the turn; `final_text` is its last words.
    """

    key: str
    turn_id: str
    status: TurnStatus
    provenance: Provenance
    interrupted_by_us: bool | None = False
    attempts: tuple[AttemptId, ...] = ()
    started_by: AttemptId | None = None
    other_user_messages: bool = False
    final_text: str | None = None


class SessionClosed(Struct):
    """A session is closed, or its agent is not there any more."""

    key: str


SessionEvent = SessionSeen | SessionChanged | SessionTurnEnded | SessionClosed
"""What an adapter reports; `key` is the adapter's own stable name of the session."""


class Injection(Struct):
    """What an adapter is to bring into a session.

    `id` is written into the agent's history where it can keep one (`relay:<id>` at Codex); `marker`
    is the fence's id, which stands in `text` and is the proof where there is no id. `turn_id` is
    the running turn that a steer expects.
    """

    id: AttemptId
    key: str
    text: str
    marker: str
    mode: Mode
    turn_id: str | None = None


class HandedOver(Struct):
    """The agent took the input. Never more than that: it is no proof."""

    turn_id: str | None = None
    steered: bool = False


class Found(Struct):
    """The agent's own history shows the attempt.

    `reason` is `unproved` from an adapter whose agent keeps no history that could show it.
    """

    turn_id: str | None = None
    reason: str | None = None


class Absent(Struct):
    """The agent's own history was read under rules that make absence certain, and does not show
    it."""

    reason: str = "absent"
    agent_crashed: bool = False


class Unknown(Struct):
    """Nothing can be said yet."""

    why: str = ""


Evidence = Found | Absent | Unknown


class Adapter(Protocol):
    """The way to one kind of agent.

    Every call has a time limit of its own. One injection is in flight per session. What an adapter
    raises is an AdapterError; `inject` may raise SessionMoved (plan again), SessionGone, or
    InjectionRefused.
    """

    name: str

    def sessions(self) -> AsyncIterator[SessionEvent]:
        """Report sessions as they are seen, move and go, until the adapter is closed."""
        ...

    def describe(self, key: str) -> Abilities:
        """Tell what can be done with this session, by this version of its agent."""
        ...

    async def inject(self, injection: Injection) -> HandedOver:
        """Hand the input to the agent; with Mode.INTERRUPT the old turn has ended already."""
        ...

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        """Look into the agent's own history until there is an answer.

        Looks as often as is useful and answers Unknown when nothing can be learnt for now (the
        session is away, its history cannot be read) or after about a minute; the caller asks again
        when the session moves. Never answers Absent but under rules that make it certain.
        """
        ...

    async def interrupt(self, key: str, turn_id: str) -> None:
        """Cancel the running turn and wait until it has ended."""
        ...

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        """Take in sessions by hand; answer their keys.

        `request` is the adapter's own JSON. The host remembers it and asks again at its next start;
        that must not fail for an agent that is not there yet.
        """
        ...

    async def detach(self, key: str) -> None:
        """Forget a session that was attached by hand."""
        ...

    async def close(self) -> None:
        """Stop watching; sessions themselves are left alone."""
        ...


Operation = Callable[[msgspec.Raw], Awaitable[msgspec.Raw]]
"""Answers one line on the control socket: body in, body out."""


class AdapterRegistrar(Protocol):
    """What `register_adapters` hooks are given; knows which plugin is speaking."""

    @property
    def places(self) -> Places:
        """Where files and sockets are."""
        ...

    @property
    def environ(self) -> Environment:
        """The host's own environment."""
        ...

    @property
    def table(self) -> msgspec.Raw:
        """This adapter's own table of config.toml as JSON (`[codex]` for `relay.codex`)."""
        ...

    @property
    def clock(self) -> Clock:
        """The host's clock."""
        ...

    @property
    def failpoint(self) -> Failpoints:
        """A no-op outside tests."""
        ...

    def adapter(self, adapter: Adapter) -> None:
        """Add an adapter; PluginConflict when its name is taken."""
        ...

    def operation(self, name: str, handler: Operation) -> None:
        """Answer lines with this `op` on the control socket; PluginConflict when it is taken."""
        ...

    async def prepare(
        self, registration: Registration, environment: Environment
    ) -> RegistrationPatch:
        """Ask the `on_register` hooks about a session that does not exist yet.

        PluginError, or the plugin's own SettingsError, when it may not be started like this.
        """
        ...

    async def context(self, adapter: str, key: str, *, within_s: float) -> str | None:
        """Ask for the text that a session is given when it starts, once it is registered.

        None when it was not seen and registered in time; PluginError when no plugin has a text.
        """
        ...

    async def acting(self, adapter: str, key: str, *, within_s: float) -> ActingAgent | None:
        """Act for the agent of a session that is served here, once it is registered.

        None when it was not seen and registered in time; StaleEpoch when another host serves it.
        """
        ...


class Relay(Protocol):
    """What a plugin's `start` is given: the one place where power is handed out."""

    @property
    def table(self) -> msgspec.Raw:
        """The plugin's own `[plugin."NAME"]` table of config.toml as JSON."""
        ...

    async def send(self, request: SendRequest) -> SendResponse:
        """Send a message as this user."""
        ...

    async def message(self, message_id: MessageId) -> MessageView:
        """Show a message and where its deliveries stand."""
        ...

    async def release(self, delivery_id: DeliveryId) -> None:
        """End a hold now."""
        ...

    async def annotate(self, delivery_id: DeliveryId, key: str, value: msgspec.Raw) -> None:
        """Attach JSON (at most 16 KiB) to a delivery; decision hooks see it with the message."""
        ...


class HubStream(Protocol):
    """One open push connection."""

    async def serve(self, agents: tuple[Served, ...]) -> None:
        """Say which agents are served here; replaces the former list."""
        ...

    def frames(self) -> AsyncIterator[StreamFrame]:
        """Yield what the hub pushes; ends when the connection does."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class HubPort(Protocol):
    """What a sidecar asks of the hub.

    Every call raises HubRefused (with the hub's code), StaleEpoch, or HubUnreachable.
    """

    async def register(self, request: RegisterRequest) -> Agent:
        """Register; the answer has the new epoch."""
        ...

    async def heartbeat(self, agent_id: AgentId, request: HeartbeatRequest) -> None:
        """Say that the session is alive."""
        ...

    async def set_status(self, fence: Fence, status: str) -> None:
        """Show what the session does."""
        ...

    async def offers(self, fence: Fence) -> OfferList:
        """Fetch every open delivery of this agent, oldest first, and the claims that it holds."""
        ...

    async def record_attempt(self, request: AttemptRequest) -> Attempt:
        """Store an attempt before it is made."""
        ...

    async def report_outcome(self, attempt_id: AttemptId, outcome: Outcome) -> None:
        """Resolve an attempt; doing it twice is harmless."""
        ...

    async def awaited(self, attempt_id: AttemptId) -> MessageId | None:
        """Tell which request waits for the last words of this attempt's turn; None: nobody."""
        ...

    async def report_turn(self, attempt_id: AttemptId, report: TurnReport) -> None:
        """Tell how the turn that carried an attempt ended."""
        ...

    async def give_verdict(self, delivery_id: DeliveryId, verdict: VerdictRequest) -> None:
        """Hold, skip or release a delivery."""
        ...

    async def annotate(
        self, delivery_id: DeliveryId, fence: Fence, annotations: Mapping[str, msgspec.Raw]
    ) -> None:
        """Attach JSON to a delivery."""
        ...

    async def claims(self, fence: Fence) -> tuple[Claim, ...]:
        """Fetch the claims that this agent holds, whichever instance took them."""
        ...

    async def claim(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """Take the claim; HubRefused `claim_held` when another agent has it."""
        ...

    async def renew(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """Keep the claim for another lease."""
        ...

    async def send(self, request: SendRequest) -> SendResponse:
        """Send a message."""
        ...

    async def message(self, message_id: int) -> MessageView:
        """Show a message and where its deliveries stand."""
        ...

    async def change_agent(self, agent_id: str, patch: AgentPatch) -> Agent:
        """Set an agent's label, tags or quiet, as its user."""
        ...

    def as_agent(self, agent_id: AgentId) -> AgentHub:
        """Ask with the rights of one agent only."""
        ...

    async def open_stream(self) -> HubStream:
        """Open the push connection."""
        ...
