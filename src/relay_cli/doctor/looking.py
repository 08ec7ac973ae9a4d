"""Gathers the facts, side by side and each within its time; nothing is changed by looking."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import stat
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from relay_cli.codex_program import named_program
from relay_cli.connection import Here, ask_host, find_hub
from relay_cli.doctor.facts import (
    Facts,
    FolderState,
    HostFacts,
    HostState,
    HubFacts,
    HubState,
    MailFacts,
    PluginFacts,
    ProfileFacts,
    StoreFacts,
    TokenFacts,
    Trouble,
    VariableFacts,
)
from relay_cli.doctor.looking_at_codex import look_at_codex
from relay_cli.doctor.probing import hub_state, probe_host
from relay_cli.doctor.troubles import trouble
from relay_cli.lifecycle import lives
from relay_cli.problems import Failed
from relay_cli.serving import SHORTEST_TOKEN, hub_limits, store_file
from relay_cli.shell_folder import shell_folder
from relay_cli.variables import VARIABLES
from relay_core.discovery import discover, installed, unmatched
from relay_core.errors import HubRefused, PluginConflict, SettingsError
from relay_core.host_api import PluginList
from relay_core.hub_api import INBOX_PAGE
from relay_core.hub_client import HubClient
from relay_core.places import Places, find_places
from relay_core.settings import Settings, load, loopback, parse
from relay_core.variables import Reach
from relay_hub.store.errors import StoreError
from relay_hub.store.sqlite.inspection import files_of, inspect
from relay_hub.tokens import read_token
from relay_plugins.codex.variables import THREAD_ID
from relay_plugins.profiles import check_profiles, profile_for, profiles_path
from relay_plugins.profiles.variables import PROFILE

CHECK_LIMIT_S = 25.0
"""Longer than Codex may take to tell its version on a busy machine."""

ASK_LIMIT_S = 5.0
OURS = "AGENT_RELAY_"
FOR_TESTS = "AGENT_RELAY_TEST_"

T = TypeVar("T")


async def look(environ: Mapping[str, str]) -> Facts:
    """Look at everything.

    SettingsError where not even the places can be worked out, because HOME is not set.
    """
    variables = look_at_variables(environ)
    usable = {name: value for name, value in environ.items() if name not in dict(variables.wrong)}
    places = find_places(usable, os.getuid())
    settings, config = _settings(usable, places)
    here = Here(places=places, settings=settings)
    token = look_at_token(here)
    host = await probe_host(places, limit_s=ASK_LIMIT_S)
    host = msgspec.structs.replace(host, folder=look_at_folder(places.sockets))
    failed: list[tuple[str, str]] = []
    async with asyncio.TaskGroup() as group:

        def begin(name: str, check: Callable[[], Awaitable[T]]) -> asyncio.Task[T | None]:
            return group.create_task(_in_time(name, check, failed))

        profiles = begin("profiles", _in_thread(lambda: look_at_profiles(usable)))
        store = begin("store", _in_thread(lambda: look_at_store(here, host)))
        plugins = begin("plugins", lambda: look_at_plugins(here, host))
        codex = begin("Codex", lambda: look_at_codex(usable, here))
        hub = begin("hub", lambda: _hub_and_mail(here, host))
    seen, mail = hub.result() or (None, None)
    program, installation = codex.result() or (None, None)
    return Facts(
        variables=variables,
        token=token,
        host=host,
        config=config,
        profiles=profiles.result(),
        store=store.result(),
        plugins=plugins.result(),
        codex=program,
        installation=installation,
        hub=seen,
        mail=mail,
        failed=tuple(failed),
    )


async def _in_time(
    name: str, check: Callable[[], Awaitable[T]], failed: list[tuple[str, str]]
) -> T | None:
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            return await check()
    except TimeoutError:
        failed.append((name, f"not done after {CHECK_LIMIT_S:g} s"))
    except Exception as error:  # noqa: BLE001 - one check's fault must not hide what others find
        failed.append((name, " ".join(f"{type(error).__name__}: {error}".split())))
    return None


def _in_thread(check: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """Let a check block, in a thread that nobody waits for once its time is over."""

    async def done() -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(cast("T", result))
            else:
                answer.set_exception(error)

        def run() -> None:
            result, failure = None, None
            try:
                result = check()
            except Exception as error:  # noqa: BLE001 - it is raised where the check is awaited
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, failure)

        threading.Thread(target=run, daemon=True).start()
        return await answer

    return done


# --- what was set ----------------------------------------------------------------------------


def look_at_variables(environ: Mapping[str, str]) -> VariableFacts:
    """Read every variable of ours as whoever uses it would."""
    known = {each.name: each for each in VARIABLES}
    wrong: list[tuple[str, Trouble]] = []
    for each in VARIABLES:
        try:
            each.check(environ)
        except SettingsError as error:
            wrong.append((each.name, trouble(error)))
    strangers = [
        name
        for name in environ
        if name.startswith(OURS) and name not in known and not name.startswith(FOR_TESTS)
    ]
    session = [
        name
        for name, each in known.items()
        if each.reach is Reach.SESSION and environ.get(name) and not _codex_set(name, environ)
    ]
    return VariableFacts(
        wrong=tuple(wrong),
        unknown=tuple((name, _nearest(name, known)) for name in sorted(strangers)),
        session=tuple(session),
    )


def _codex_set(name: str, environ: Mapping[str, str]) -> bool:
    """Codex itself tells a model's shell which thread it belongs to."""
    return name == THREAD_ID.name and bool(environ.get("CODEX_SESSION_ID"))


def _nearest(name: str, known: Mapping[str, object]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None)


def _settings(environ: Mapping[str, str], places: Places) -> tuple[Settings, Trouble | None]:
    """Where the file is broken, the rest is looked at as if it were not there."""
    try:
        settings = load(environ, places)
        named_program(settings)
    except SettingsError as error:
        without = {name: value for name, value in environ.items() if not name.startswith(OURS)}
        try:
            settings = parse(environ, "", file=places.config_file)
        except SettingsError:
            settings = parse(without, "", file=places.config_file)
        return settings, trouble(error)
    return settings, None


def look_at_profiles(environ: Mapping[str, str]) -> ProfileFacts:
    """Read profiles.json as a session's registration would."""
    try:
        file = profiles_path(environ)
        check_profiles(file)
    except SettingsError as error:
        return ProfileFacts(trouble=trouble(error))
    try:
        check_profiles(file, environ.get(PROFILE.name, "").strip())
    except SettingsError as error:
        return ProfileFacts(unknown=trouble(error))
    try:
        profile_for(environ, shell_folder(environ))
    except SettingsError as error:
        return ProfileFacts(trouble=trouble(error))
    except Failed:
        pass  # the shell's folder is gone, so no profile matches it
    return ProfileFacts()


# --- files of ours ---------------------------------------------------------------------------


def look_at_folder(folder: Path) -> FolderState:
    """See whether nobody else may enter the folder of the control socket."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return FolderState.FINE
    if not stat.S_ISDIR(found.st_mode):
        return FolderState.NO_FOLDER
    if found.st_uid != os.getuid():
        return FolderState.FOREIGN
    return FolderState.OPEN if found.st_mode & 0o077 else FolderState.FINE


def look_at_token(here: Here) -> TokenFacts:
    """See whether the token file is there, whole, and nobody else's."""
    file, named = here.places.token_file, here.settings.hub.token
    facts = TokenFacts(
        file=file, named=named is not None, short=named is not None and len(named) < SHORTEST_TOKEN
    )
    if not os.path.lexists(file):
        return facts
    try:
        read_token(file)
    except SettingsError as error:
        found = file.lstat()
        exposed = (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == os.getuid()
            and bool(found.st_mode & 0o077)
        )
        return msgspec.structs.replace(
            facts, exposed=exposed, trouble=None if exposed else trouble(error)
        )
    return facts


def look_at_store(here: Here, host: HostFacts) -> StoreFacts:
    """Look into the database, unless a hub uses it."""
    try:
        file = store_file(here)
    except SettingsError as error:
        return StoreFacts(file=here.places.store_file, trouble=trouble(error))
    facts = StoreFacts(file=file, files=files_of(file), free_bytes=_too_few_bytes(here, file))
    if host.state is HostState.RUNS or _in_use(file):
        return facts
    try:
        inspect(file)
    except StoreError as error:
        return msgspec.structs.replace(facts, trouble=trouble(error))
    return facts


def _too_few_bytes(here: Here, file: Path) -> int | None:
    try:
        found = os.statvfs(file.parent)
    except FileNotFoundError:  # nothing is there yet, nor its folder
        return None
    free = found.f_bavail * found.f_frsize
    return free if free < hub_limits(here.settings).free_bytes else None


def _in_use(file: Path) -> bool:
    """Tell whether the process lives that last held the database; asking the lock would take it."""
    try:
        holder = file.with_name(f"{file.name}.lock").read_text(encoding="ascii").strip()
        return lives(int(holder))
    except (OSError, ValueError):  # nobody ever held it
        return False


# --- plugins -----------------------------------------------------------------------


async def look_at_plugins(here: Here, host: HostFacts) -> PluginFacts:
    """Ask the host what became of the plugins; where none runs, load them as it would."""
    chosen = here.settings.plugins
    candidates = installed()
    asked_for = (*chosen.block, *chosen.order, *(chosen.only or ()))
    known = {name: None for each in candidates for name in (each.name, each.distribution)}
    strangers = tuple((name, _nearest(name, known)) for name in unmatched(candidates, asked_for))
    if host.state is HostState.RUNS:
        answer = await ask_host("plugins", None, PluginList, timeout_s=ASK_LIMIT_S)
        return PluginFacts(reports=answer.plugins, unmatched=strangers)
    try:
        loaded = await _in_thread(
            lambda: discover(candidates, block=chosen.block, order=chosen.order, only=chosen.only)
        )()
    except PluginConflict as error:
        return PluginFacts(unmatched=strangers, conflict=trouble(error))
    return PluginFacts(reports=loaded.reports, unmatched=strangers)


# --- the hub and its mail --------------------------------------------------------------------


async def _hub_and_mail(here: Here, host: HostFacts) -> tuple[HubFacts | None, MailFacts | None]:
    if host.state in (HostState.FORBIDDEN, HostState.SILENT):
        return None, None  # the host would be asked where its hub is
    place = await find_hub(here, None)
    named = here.settings.hub.token
    ours = _token_in_file(here)
    tokens = [token for token in (named, ours) if token is not None]
    state, knows = await hub_state(place.url, tokens, limit_s=ASK_LIMIT_S)
    wrong = state is HubState.PROVED and named is not None and knows != named
    hub = HubFacts(
        url=place.url,
        origin=place.found_by,
        state=HubState.UNPROVED if wrong else state,
        local=loopback(urlsplit(place.url).hostname or ""),
        any_port=here.settings.hub.port == 0 and place.found_by == "the default",
        file_proves=wrong,
    )
    if hub.state is not HubState.PROVED or knows is None:
        return hub, None
    try:
        return hub, await _mail(place.url, knows)
    except HubRefused as error:
        if error.status == 401:  # noqa: PLR2004 - over https only the certificate is proved before
            return msgspec.structs.replace(hub, state=HubState.UNPROVED), None
        raise


def _token_in_file(here: Here) -> str | None:
    try:
        return read_token(here.places.token_file)
    except SettingsError:
        return None


async def _mail(url: str, token: str) -> MailFacts:
    async with HubClient(url, token, timeout_s=ASK_LIMIT_S) as hub:
        facts = MailFacts(agents=await hub.agents())
        try:
            dead = len(await hub.dead())
            stopped = tuple(each.subject for each in await hub.guards())
            needs_yes = (await hub.held(most=1)).needs_yes
        except HubRefused as error:
            if error.status != 404:  # noqa: PLR2004 - a hub of an older release knows no such list
                raise
            return facts
    return msgspec.structs.replace(
        facts,
        dead=dead,
        dead_at_least=dead == INBOX_PAGE,
        stopped=stopped,
        needs_yes=needs_yes,
    )
