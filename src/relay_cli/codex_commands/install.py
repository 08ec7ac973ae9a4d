"""`agent-relay-codex install`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from relay_cli.codex_program import codex_environ
from relay_cli.connection import Here, look_around
from relay_cli.consent import agree, ask, must_ask
from relay_cli.lifecycle import find_running, make_room, start_detached
from relay_cli.logs import DETACHED_LOG
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Failed, TimedOut
from relay_cli.version import version
from relay_core.messages import Struct
from relay_plugins.codex import codex_home
from relay_plugins.codex.hook_launcher import this_target
from relay_plugins.codex.install import (
    StartAtLogin,
    StartHost,
    Step,
    Surroundings,
    Wishes,
    carry_out,
    name_of,
    plan,
)
from relay_plugins.codex.installed import HookTrust, Installation, inspect
from relay_plugins.codex.launcher import CodexBinary, find_codex
from relay_plugins.codex.login_service import Service, find_program, this_service
from relay_plugins.codex.throwaway import throwaway_tool

UNTRUSTED = (
    "Codex does not run the hook yet: it will ask `Hooks need review` when it starts, "
    "or run `agent-relay-codex install --trust-hooks`"
)
SWITCHED_OFF = "the hook is switched off in Codex; `/hooks` there switches it on again"
START_LIMIT_S = 30.0
POLL_S = 0.1


class StepReport(Struct):
    """One thing that was done; `detail` says it in words."""

    step: str
    detail: str


class InstallReport(Struct):
    """What `install --json` prints; `changed` is empty where everything was there already.

    `hook` is trusted, untrusted, modified or disabled: whether Codex runs the hook.
    """

    changed: tuple[StepReport, ...]
    codex: str
    codex_version: str
    codex_home: str
    hook: HookTrust


@click.command(
    "install",
    help="""Connect every Codex session of yours: install the relay's plugin into Codex.

    Shows what it will change, and asks. The plugin has one hook, which gives a session its context
    when it starts. Codex runs a hook only once you trust it: answer Codex when it asks, or let
    this command write that trust, for this hook alone.

    Run again, it changes nothing, or mends what is missing. `agent-relay-codex uninstall` takes
    everything away.
    """,
)
@click.option("--yes", is_flag=True, help="Do not ask. The hook's trust still needs --trust-hooks.")
@click.option(
    "--trust-hooks",
    is_flag=True,
    help="Trust the plugin's hook, so that Codex does not ask for it.",
)
@click.option(
    "--start-at-login/--no-start-at-login",
    "at_login",
    default=None,
    help="Run the host at each login (systemd user unit; launchd on macOS, untested).",
)
@json_option
def command(yes: bool, trust_hooks: bool, at_login: bool | None, output: Output) -> None:
    """Install the plugin."""
    here = look_around()
    tool = throwaway_tool(Path(sys.prefix), os.environ)
    if tool is not None:
        raise Failed(
            f"this environment was made by {tool} for one run, and may vanish: {sys.prefix}",
            fix="install agent-relay-codex to stay (`pipx install`, `uv tool install`, or a venv), "
            "then run `agent-relay-codex install` from there",
        )
    asks = must_ask(output, yes=yes, fix="--yes, and --trust-hooks to trust the hook")
    codex = find_codex(codex_environ(here.settings, os.environ))
    if codex.too_old:
        raise Failed(
            f"{codex.path} is Codex {codex.version}; the plugin needs 0.163 or later",
            fix="update Codex the way that it was installed, then run this again",
        )
    home = codex_home(os.environ)
    service = this_service(os.environ)
    if at_login and find_program(service, os.environ) is None:
        raise Failed(f"there is no {service.program} here", fix="use --no-start-at-login")
    found = finish(inspect(os.environ, here.places, home, codex), output, "asking Codex")
    running = asyncio.run(find_running())
    around = Surroundings(
        target=this_target(os.environ, here.places),
        service=service,
        version=version(),
        host=None if running is None else running.version,
    )
    wishes = Wishes(trust_hook=trust_hooks, start_at_login=bool(at_login))
    if asks:
        steps = _talk(found, wishes, around, at_login, os.environ, output)
    else:
        steps = plan(found, wishes, around)
    done = _do(steps, codex, found, here, output)
    after = found if not steps else _look_again(here, home, codex, output)
    _report(done, after, codex, output)


def _talk(
    found: Installation,
    wishes: Wishes,
    around: Surroundings,
    at_login: bool | None,
    environ: Mapping[str, str],
    output: Output,
) -> tuple[Step, ...]:
    """Show what is to be changed and ask for each part that is a decision of its own."""
    steps = plan(found, wishes, around)
    if steps:
        output.line(f"This changes Codex's settings in {found.codex_home}:")
        for step in steps:
            output.line(f"  - {step.words}")
        agree("Do it?", default=True)
    trust = wishes.trust_hook or _trust(found, output)
    login = at_login if at_login is not None else _login(around.service, environ, output)
    return plan(found, Wishes(trust_hook=trust, start_at_login=login), around)


def _trust(found: Installation, output: Output) -> bool:
    if found.hook in {HookTrust.TRUSTED, HookTrust.DISABLED}:
        return False
    output.line("Codex runs a plugin's hook only with your trust. This one runs, unsandboxed:")
    output.line(f"  {found.hook_command}")
    output.line("It runs when a session starts and gives it what it has to know of the relay.")
    return ask("Trust it now? (otherwise Codex will ask)", default=False)


def _login(service: Service, environ: Mapping[str, str], output: Output) -> bool:
    if service.is_current or find_program(service, environ) is None:
        return False
    output.line(f"The host can run at each login ({service.file}).")
    output.line("Otherwise the first session that starts brings it up.")
    return ask("Run it at login?", default=False)


def _do(
    steps: tuple[Step, ...], codex: CodexBinary, found: Installation, here: Here, output: Output
) -> tuple[StepReport, ...]:
    done: list[StepReport] = []
    for step in steps:
        if isinstance(step, StartHost):
            asyncio.run(make_room(output))
            log = here.places.logs / DETACHED_LOG
            finish(start_detached(log, None, output), output, "starting the host")
        else:
            work = carry_out(step, codex, found.codex_home, os.environ)
            finish(work, output, step.words)
        if isinstance(step, StartAtLogin):
            finish(_host_answers(), output, "waiting for the host")
        output.line(f"done: {step.words}")
        done.append(StepReport(step=name_of(step), detail=step.words))
    return tuple(done)


async def _host_answers() -> None:
    """Wait for the host that systemd has been told to start."""
    give_up = time.monotonic() + START_LIMIT_S
    while await find_running() is None:
        if time.monotonic() > give_up:
            detail = f"the host that runs at login was not ready after {START_LIMIT_S:g} s"
            raise TimedOut(detail, fix="journalctl --user -u agent-relay")
        await asyncio.sleep(POLL_S)


def _look_again(here: Here, home: Path, codex: CodexBinary, output: Output) -> Installation:
    return finish(inspect(os.environ, here.places, home, codex), output, "asking Codex")


def _report(
    done: tuple[StepReport, ...], after: Installation, codex: CodexBinary, output: Output
) -> None:
    output.show_object(
        InstallReport(
            changed=done,
            codex=str(codex.path),
            codex_version=codex.version,
            codex_home=str(after.codex_home),
            hook=after.hook,
        )
    )
    if not done:
        output.line("nothing to change: the plugin is installed")
    if after.hook is HookTrust.TRUSTED:
        output.line("new Codex sessions are connected; `agent-relay agents` lists them")
    elif after.hook is HookTrust.DISABLED:
        output.line(SWITCHED_OFF)
    else:
        output.line(UNTRUSTED)
