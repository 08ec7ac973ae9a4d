"""What the hub demands of the words that it is given."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from relay_core.errors import HubRefused, StaleEpoch
from relay_core.messages import HUB, OPERATOR, AgentId, Struct
from relay_core.sessions import Agent
from relay_hub.limits import Limits

_AGENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ATTEMPT_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
GROUPS = ("tag:", "cap:", "label:")
RESERVED = frozenset({HUB, OPERATOR, "broadcast"})
_MOST_NAMES = 64
_NAME_CHARS = 128
_LINE_CHARS = 1_000


def refuse(code: str, detail: str, *, status: int = 422, fix: str | None = None) -> HubRefused:
    """Make the answer to something that cannot be accepted as it is."""
    return HubRefused(status, code, detail, fix=fix)


def agent_id(value: str) -> AgentId:
    """Check the form of an agent id."""
    if not _AGENT_ID.fullmatch(value) or value.startswith(GROUPS):
        raise refuse(
            "bad_agent_id",
            f"{_shown(value)} is no agent id",
            fix="use 1 to 128 of A-Z a-z 0-9 . _ : -, not beginning with tag:, cap: or label:",
        )
    return AgentId(value)


def new_agent_id(value: str) -> AgentId:
    """Check an id that somebody wants to register."""
    if value in RESERVED:
        raise refuse("reserved_id", f"{value} is not an agent's name to have")
    return agent_id(value)


def attempt_id(value: str) -> str:
    """Check the form of an attempt's id."""
    if not _ATTEMPT_ID.fullmatch(value):
        raise refuse("bad_attempt_id", f"{_shown(value)} is no attempt id")
    return value


def line(field: str, value: str | None, *, most: int = _LINE_CHARS) -> str | None:
    """Check a text of one line: no control characters, not too long; blank counts as none."""
    if value is None:
        return None
    whole(field, value)
    if len(value) > most:
        raise refuse("too_long", f"{field} has {len(value)} characters, {most} are allowed")
    if _CONTROLS.search(value):
        raise refuse("bad_text", f"{field} holds control characters")
    return value if value.strip() else None


def names(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Check tags, capabilities or channels: short lines, none twice, blanks dropped."""
    found = tuple(
        dict.fromkeys(
            each.strip()
            for value in values
            if (each := line(field, value, most=_NAME_CHARS)) is not None
        )
    )
    if len(found) > _MOST_NAMES:
        raise refuse("too_many", f"{len(found)} {field}, {_MOST_NAMES} are allowed")
    return found


def whole(field: str, value: str) -> bytes:
    """Check that a text is Unicode that can be stored; answer its UTF-8."""
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise refuse("bad_text", f"{field} holds half a surrogate pair") from error


def json_object(field: str, value: msgspec.Raw, limits: Limits) -> msgspec.Raw:
    """Check free JSON: an object of a bounded size; answers a copy of its own."""
    data = bytes(value).strip()
    if len(data) > limits.meta_bytes:
        raise refuse(
            "meta_too_large", f"{field} has {len(data)} bytes, {limits.meta_bytes} are allowed"
        )
    if not data.startswith(b"{"):
        raise refuse("bad_meta", f"{field} is no JSON object")
    return msgspec.Raw(data)


def within(field: str, value: int, least: int, most: int) -> int:
    """Check that a number lies between two others."""
    if not least <= value <= most:
        raise refuse("out_of_range", f"{field} is {value}, not between {least} and {most}")
    return value


class KnownMeta(Struct):
    """What the hub understands of an agent's `meta`; the rest is kept as it came."""

    thread_id: str | None = None
    channels: tuple[str, ...] | None = None
    approval_mode: str | None = None


def known_meta(meta: msgspec.Raw) -> KnownMeta:
    """Read what the hub understands of an agent's `meta`."""
    try:
        return msgspec.json.decode(meta, type=KnownMeta)
    except msgspec.DecodeError as error:
        raise refuse("bad_meta", f"meta: {error}") from error


def fence(
    agent: Agent | None,
    name: AgentId,
    instance_id: str | None,
    epoch: int | None,
    *,
    required: bool,
) -> Agent:
    """Check that whoever acts for an agent is the instance that registered last.

    404 `unknown_agent`, 428 `epoch_required`, 409 `stale_epoch`.
    """
    if agent is None:
        raise refuse("unknown_agent", f"no agent is called {_shown(name)}", status=404)
    if epoch is None:
        if required:
            raise refuse(
                "epoch_required",
                f"acting for {name} needs its epoch",
                status=428,
                fix="register first, and send instanceId and epoch with each call",
            )
        return agent
    other = None not in (instance_id, agent.instance_id) and instance_id != agent.instance_id
    if epoch != agent.epoch or other:
        raise StaleEpoch(f"{name} was registered again (epoch {agent.epoch})")
    return agent


def _shown(value: str) -> str:
    return ascii(value if len(value) <= _NAME_CHARS else value[:_NAME_CHARS] + "...")
