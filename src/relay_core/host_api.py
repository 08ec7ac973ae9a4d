"""The bodies of the host's own operations on the control socket, one Struct each."""

from __future__ import annotations

from relay_core.discovery import AskedPlugin, PluginReport
from relay_core.messages import AgentId, MessageId, Struct
from relay_core.plans import Decision, HookCall
from relay_core.sessions import Activity


class SessionStatus(Struct):
    """One session as `agent-relay status` shows it."""

    agent_id: AgentId
    adapter: str
    thread_id: str
    instance_id: str
    epoch: int
    activity: Activity
    connection: str
    active_turn: str | None = None
    pending: int = 0
    waiting: str | None = None
    waiting_until_ms: int | None = None
    unattended: bool = False
    quiet_until_ms: int | None = None
    last_error: str | None = None


class Ping(Struct):
    """Answer of the operations `ping` and `hub`."""

    version: str
    pid: int
    hub_url: str


class HostStatus(Struct):
    """Answer of the operation `status`."""

    version: str
    pid: int
    hub_url: str
    connected: bool
    adapters: tuple[str, ...]
    sessions: tuple[SessionStatus, ...]
    attachments: int = 0


class StopRequest(Struct):
    """Body of the operation `stop`; with `handover` the sessions are not said to be offline."""

    handover: bool = False


class DecisionsRequest(Struct):
    """Body of the operation `decisions`."""

    message_id: MessageId


class DecisionList(Struct):
    """Answer of the operation `decisions`."""

    decisions: tuple[Decision, ...]


class PluginList(Struct):
    """Answer of the operation `plugins`; `asked` says for each hook who is asked, in order."""

    plugins: tuple[PluginReport, ...]
    asked: dict[str, tuple[AskedPlugin, ...]] = {}


class TraceRequest(Struct):
    """Body of the operation `trace`: the calls after number `after`, None for those from now on."""

    after: int | None = None
    wait_s: float = 10.0


class TraceAnswer(Struct):
    """Answer of the operation `trace`; `last` is the next question's `after`, `dropped` how many
    calls before these are not there any more."""

    calls: tuple[HookCall, ...]
    last: int
    dropped: int = 0


class Attached(Struct):
    """One session that was attached by hand."""

    agent_id: AgentId
    thread_id: str


class AttachedList(Struct):
    """Answer of the operations `ADAPTER.attach` and `ADAPTER.detach`."""

    attached: tuple[Attached, ...]


class DetachRequest(Struct):
    """Body of the operation `ADAPTER.detach`: which session; all of the adapter's when both are
    None."""

    agent_id: AgentId | None = None
    thread_id: str | None = None
