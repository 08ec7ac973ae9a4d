"""How commands find the hub and the host: the same way for all of them.

The hub: `--url`, AGENT_RELAY_URL, the running host's hub, config.toml, port 4850. The token:
AGENT_RELAY_TOKEN, else the token file. It is sent to a hub only after that hub has proved that it
knows it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from relay_cli.problems import Damaged, Usage
from relay_core import control
from relay_core.errors import (
    HubRefused,
    HubUnreachable,
    RelayError,
    SettingsError,
    WireError,
)
from relay_core.messages import Struct
from relay_core.places import Places, find_places
from relay_core.settings import Settings, load
from relay_core.variables import DEFAULT_PORT
from relay_hub.tokens import read_token

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

ASK_HUB_S = 2.0
"""How long the running host may take to say where its hub is."""

T = TypeVar("T")


class HubPlace(Struct):
    """Where a hub is; `found_by` says who named it."""

    url: str
    found_by: str


class Here(Struct):
    """What this user has set and where their files are."""

    places: Places
    settings: Settings


class _HubAnswer(Struct):
    hub_url: str


def look_around() -> Here:
    """Read the environment and config.toml; SettingsError where they are wrong."""
    places = find_places(os.environ, os.getuid())
    return Here(places=places, settings=load(os.environ, places))


@asynccontextmanager
async def open_hub(url: str | None = None) -> AsyncGenerator[HubClient]:
    """Open a client of the hub that has proved itself."""
    from relay_core.hub_client import HubClient  # a tenth of a second that `--help` does not need

    here = look_around()
    place = await find_hub(here, url)
    token = find_token(here)
    if token is None:
        raise await _why_no_token(here, place)
    async with HubClient(place.url, token) as hub:
        await hub.authenticate()
        yield hub


async def find_hub(here: Here, url: str | None) -> HubPlace:
    """Find the hub's address; asks nobody but this user's own host."""
    from relay_core.hub_address import check_url

    if url is not None:
        return HubPlace(url=_checked_argument(url), found_by="--url")
    origin = next((one.origin for one in here.settings.origins if one.key == "hub.url"), "default")
    named = here.settings.hub.url
    if named is not None and origin.startswith("environment"):
        return HubPlace(url=check_url(named), found_by="AGENT_RELAY_URL")
    running = await _hub_of_running_host(here.places)
    if running is not None:
        return HubPlace(url=running, found_by="the running host")
    if named is not None:
        return HubPlace(url=check_url(named), found_by=origin)
    port = here.settings.hub.port or DEFAULT_PORT
    return HubPlace(url=f"http://127.0.0.1:{port}", found_by="the default")


def find_token(here: Here) -> str | None:
    """Read the token; None where there is none, SettingsError where it is unusable."""
    if here.settings.hub.token is not None:
        return here.settings.hub.token
    path = here.places.token_file
    return read_token(path) if os.path.lexists(path) else None


async def ask_host(op: str, body: object, kind: type[T], *, timeout_s: float = 30) -> T:
    """Ask this user's running host; HostUnreachable where none runs."""
    places = find_places(os.environ, os.getuid())
    answer = await control.call(places.control_socket, op, body, timeout_s=timeout_s)
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        raise WireError(f"the host's answer to {op} cannot be read: {error}") from error


async def _hub_of_running_host(places: Places) -> str | None:
    if not places.control_socket.exists():
        return None
    try:
        answer = await control.call(places.control_socket, "hub", timeout_s=ASK_HUB_S)
        return msgspec.json.decode(answer, type=_HubAnswer).hub_url
    except (control.HostUnreachable, control.HostRefused, WireError, msgspec.DecodeError):
        return None  # no host to ask: the next rule names the hub


async def _why_no_token(here: Here, place: HubPlace) -> RelayError:
    """Find out why there is no token: nothing runs here, or the hub is somebody else's."""
    from relay_core.hub_client import HubClient

    async with HubClient(place.url, "none") as hub:
        try:
            await hub.authenticate()
        except HubUnreachable as error:
            return error
        except (HubRefused, WireError):
            pass  # something answers there, so it is only the token that is missing
    return Damaged(
        f"there is no token in {here.places.token_file}",
        fix=f"set AGENT_RELAY_TOKEN to the token of the hub at {place.url}",
    )


def _checked_argument(url: str) -> str:
    from relay_core.hub_address import check_url

    try:
        return check_url(url)
    except SettingsError as error:
        # Without the address: somebody may have written a password into it.
        raise Usage("--url is no address of a hub that may be used", fix=error.fix) from error
