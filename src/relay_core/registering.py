"""How a session is described when it registers: to the plugins, then to the hub."""

from __future__ import annotations

import msgspec

from relay_core.hub_api import RegisterRequest
from relay_core.seat import Seat
from relay_core.sessions import Activity, Registration, RegistrationPatch

STATUS_WORDS = {
    Activity.AT_REST: "idle",
    Activity.IN_TURN: "busy",
    Activity.WAITING_FOR_USER: "waiting",
    Activity.AWAY: "away",
}
"""What an agent's status says, for each activity of its session."""


def known_of(seat: Seat) -> Registration:
    """What the adapter knows of a session, before any plugin was asked."""
    seen = seat.seen
    return Registration(
        adapter=seat.adapter.name,
        provider=seen.provider,
        cwd=seen.cwd,
        thread_id=seen.thread_id,
        rig=seen.rig or "codex-live",
        model=seen.model,
        approval=seen.approval,
        launched=seen.launched,
    )


def request_for(seat: Seat, known: Registration, patch: RegistrationPatch) -> RegisterRequest:
    """What the hub is told: the plugins' patch on what is known; `meta` cannot override a fact."""
    meta: dict[str, object] = {
        **(patch.meta or {}),
        "client": f"agent-relay/{seat.adapter.name}",
        "threadId": known.thread_id,
        "cwd": known.cwd,
        "model": known.model,
        "approvalMode": known.approval or patch.approval or "open",
        "channels": patch.channels or (),
        "profile": patch.profile,
    }
    return RegisterRequest(
        id=seat.agent_id,
        name=seat.agent_id,
        label=patch.label,
        machine=seat.settings.machine,
        rig=known.rig,
        tags=patch.tags or (known.provider, known.rig),
        capabilities=patch.capabilities or ("chat",),
        status=STATUS_WORDS[seat.outlook.activity],
        instance_id=seat.instance_id,
        adapter=seat.adapter.name,
        meta=msgspec.Raw(msgspec.json.encode(meta)),
    )
