"""Asks who is behind the control socket and behind the hub's port, and shows nobody a token."""

from __future__ import annotations

import asyncio
import secrets
from asyncio.trsock import TransportSocket
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx
import msgspec

from relay_cli.doctor.facts import HostFacts, HostState, HubState
from relay_cli.version import version
from relay_core import control
from relay_core.errors import WireError, is_forbidden
from relay_core.host_api import Ping
from relay_core.hub_proof import CHALLENGE_BYTES, is_hub, token_hash, token_key
from relay_core.messages import Struct
from relay_core.places import Places
from relay_plugins.codex.address import peer_process

HTTP_PORT, HTTPS_PORT = 80, 443


class _Health(Struct):
    status: str = ""
    proof: str | None = None


async def probe_host(places: Places, *, limit_s: float) -> HostFacts:
    """Say what is behind the control socket."""
    path = places.control_socket
    facts = HostFacts(socket=path, state=HostState.MISSING, own_version=version())
    pid: int | None = None
    try:
        async with asyncio.timeout(limit_s):
            _, writer = await asyncio.open_unix_connection(path)
            listener: object = writer.get_extra_info("socket")
            pid = _pid(listener)
            writer.close()
    except ConnectionRefusedError:
        return msgspec.structs.replace(facts, state=HostState.STALE)
    except TimeoutError:
        return msgspec.structs.replace(facts, state=HostState.SILENT)
    except OSError as error:
        forbidden = is_forbidden(error)
        state = HostState.FORBIDDEN if forbidden else HostState.MISSING
        return msgspec.structs.replace(facts, state=state)
    try:
        answer = await control.call(path, "ping", timeout_s=limit_s)
        ping = msgspec.json.decode(answer, type=Ping)
    except (control.HostUnreachable, control.HostRefused, WireError, msgspec.DecodeError):
        return msgspec.structs.replace(facts, state=HostState.SILENT, pid=pid)
    return msgspec.structs.replace(
        facts, state=HostState.RUNS, version=ping.version, pid=ping.pid, hub_url=ping.hub_url
    )


def _pid(listener: object) -> int | None:
    """The process that listens; asyncio lends its socket only in part."""
    if not isinstance(listener, TransportSocket):
        return None
    with listener.dup() as peer:
        process = peer_process(peer)
    return None if process is None else process.pid


async def hub_state(
    url: str, tokens: Sequence[str], *, limit_s: float
) -> tuple[HubState, str | None]:
    """Say who answers at an address, and which of the tokens a hub there knows."""
    place = urlsplit(url)
    port = place.port or (HTTPS_PORT if place.scheme == "https" else HTTP_PORT)
    try:
        async with asyncio.timeout(limit_s):
            _, writer = await asyncio.open_connection(place.hostname, port)
            writer.close()
    except TimeoutError:
        return HubState.SILENT, None
    except OSError:
        return HubState.UNREACHABLE, None
    if place.scheme == "https":
        # The certificate says who it is; whether it knows the token shows when it is asked.
        return HubState.PROVED, tokens[0] if tokens else None
    state = HubState.UNPROVED
    for token in tokens or [secrets.token_hex()]:
        state = await _challenged(url, token, port, limit_s)
        if state is HubState.PROVED:
            return state, token
        if state is not HubState.UNPROVED:
            break
    return state, None


async def _challenged(url: str, token: str, port: int, limit_s: float) -> HubState:
    challenge, key = secrets.token_hex(CHALLENGE_BYTES), token_key(token_hash(token))
    try:
        async with httpx.AsyncClient(timeout=limit_s, trust_env=False, verify=False) as client:  # noqa: S501 - plain http to this machine: there is no certificate
            answer = await client.get(f"{url}/healthz?nonce={challenge}&key={key}")
        health = msgspec.json.decode(answer.content, type=_Health)
    except httpx.TimeoutException:
        return HubState.SILENT
    except (httpx.HTTPError, msgspec.DecodeError):
        return HubState.STRANGE
    if not health.proof:
        return HubState.STRANGE
    return HubState.PROVED if is_hub(token, challenge, port, health.proof) else HubState.UNPROVED
