"""Who receives: agents as the hub knows them, sessions as plugins see them."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import msgspec

from relay_core.messages import AgentId, Struct, no_meta


class Activity(enum.StrEnum):
    """What a session is doing, as its adapter last saw it."""

    AT_REST = "at_rest"
    IN_TURN = "in_turn"
    WAITING_FOR_USER = "waiting_for_user"
    AWAY = "away"


class Provenance(enum.StrEnum):
    """Whose turn it is."""

    OURS = "ours"
    USERS = "users"
    UNKNOWN = "unknown"


class Steering(enum.StrEnum):
    """What adding input to a running turn does."""

    NONE = "none"
    NEXT_STEP = "next_step"
    LIVE = "live"


class Proof(enum.StrEnum):
    """How an adapter can prove that an input is in the session."""

    BY_ID = "by_id"
    BY_TEXT = "by_text"
    NONE = "none"


class Replying(enum.StrEnum):
    """How the answer to an input can be found."""

    LINKED = "linked"
    ORDERED = "ordered"
    NONE = "none"


class Abilities(Struct):
    """What an adapter can do with one session, measured or known for that agent's version."""

    wake: bool = True
    steer: Steering = Steering.NONE
    interrupt: bool = False
    prove: Proof = Proof.NONE
    reply: Replying = Replying.NONE
    visible: bool = False


class Turn(Struct):
    """A turn that is running now.

    `since_ms` is when this host first saw it, in milliseconds since the Unix epoch; an adapter
    leaves it None.
    """

    id: str
    provenance: Provenance = Provenance.UNKNOWN
    since_ms: int | None = None


class Policy(Struct):
    """The recipient's settings for deliveries, from config.toml.

    `strategy` names the delivery strategy; `sender_strategies` overrides it per sender id.
    `urgent_from` lists who may interrupt, `steer_from` who may join a running turn, `hold_from`
    whose mail waits for a person's yes: agent ids, `tag:x`, `label:x`, `operator`, or `*`; ask
    `is_from`. After `away_after_ms` of absence what waits may come as one digest.
    """

    strategy: str = "adaptive"
    sender_strategies: dict[str, str] = {}
    urgent_from: tuple[str, ...] = ("operator",)
    steer_from: tuple[str, ...] = ("*",)
    hold_from: tuple[str, ...] = ()
    away_after_ms: int = 600_000


class Session(Struct):
    """One live session as the decision hooks see it; immutable, with the time in it.

    `id` is the agent's id at the hub. `now` is milliseconds since the Unix epoch: the only clock
    that a decision may use. `policy` is what holds for this session. `attended` is False where
    nobody can tell whether a human is still there. `away_ms` is how long the session had been away
    before it last came back. `approval` is the mode that the session really has, None where nobody
    knows. `quiet_until_ms` is when the session's quiet ends; when it ended, for as long as
    something is left that came in before that; else None. `claims` is how much claimed work the
    session holds.
    """

    id: AgentId
    adapter: str
    thread_id: str
    now: int
    activity: Activity
    turn: Turn | None = None
    abilities: Abilities = Abilities()
    policy: Policy = Policy()
    cwd: str = ""
    label: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    approval: str | None = None
    profile: str | None = None
    model: str | None = None
    hub_url: str = ""
    attended: bool = True
    away_ms: int = 0
    last_user_turn_ms: int | None = None
    quiet_until_ms: int | None = None
    claims: int = 0


class Registration(Struct):
    """What is known of a session when it registers; `on_register` hooks complete it.

    `thread_id` is None when the launcher asks before the thread exists. `approval` is the mode that
    the session really has, read from the agent, None where nothing is known.
    """

    adapter: str
    provider: str
    cwd: str
    thread_id: str | None = None
    rig: str = "codex-live"
    model: str | None = None
    approval: str | None = None
    launched: bool = False
    label: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    profile: str | None = None
    meta: dict[str, msgspec.Raw] = {}


class RegistrationPatch(Struct):
    """What a plugin wants to set on a registration; None leaves a field alone.

    Patches are merged in precedence order: for each field the plugin asked first wins, `meta` is
    merged by key. `approval` asks for a mode; the launcher obeys it, a session that is running
    already keeps its own.
    """

    label: str | None = None
    tags: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    approval: str | None = None
    profile: str | None = None
    meta: dict[str, msgspec.Raw] | None = None


class Agent(Struct):
    """An agent as the hub shows it.

    `reachable` is True while a host serves it. `epoch` grows with every registration.
    `quiet_until_ms` is there while the agent is quiet, and says until when. Times are
    milliseconds since the Unix epoch by the hub's clock.
    """

    id: AgentId
    name: str = ""
    label: str | None = None
    machine: str | None = None
    rig: str | None = None
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    approval: str = "open"
    status: str = "offline"
    ready: bool = False
    reachable: bool = False
    unattended: bool = False
    thread_id: str | None = None
    adapter: str | None = None
    waiting: str | None = None
    last_user_turn_ms: int | None = None
    last_seen_ms: int | None = None
    away_ms: int = 0
    queued: int = 0
    instance_id: str | None = None
    epoch: int = 0
    meta: msgspec.Raw = msgspec.field(default_factory=no_meta)
    created_at: int = 0
    quiet_until_ms: int | None = None


Environment = Mapping[str, str]
"""The environment variables that count for one session, as `on_register` gets them."""


def agent_id_for(provider: str, cwd: str, thread_id: str) -> AgentId:
    """Name the agent of a session: provider, project, and the last 12 of the thread id.

    The project is the last folder of `cwd`, lower case, `[a-z0-9_-]`, at most 24 characters. Thread
    ids are UUIDv7 at Codex: their head is a clock, their tail is random. Stable over resumes.
    """
    folder = cwd.rstrip("/").rpartition("/")[2].lower()
    project = re.sub(r"[^a-z0-9_-]+", "-", folder).strip("-")[:24].strip("-") or "home"
    tail = re.sub(r"[^a-z0-9]", "", thread_id.lower())[-12:] or "0"
    return AgentId(f"{provider}-{project}-{tail}")
