"""From facts to findings about Codex and the plugin in it."""

# Rules: those of `judging`.

from __future__ import annotations

from collections.abc import Iterator

from relay_cli.doctor.facts import CodexFacts, InstallationFacts, Trouble
from relay_cli.doctor.kinds import Finding, found
from relay_cli.doctor.wording import broken
from relay_plugins.codex.installed import Fault
from relay_plugins.codex.launcher import BIN_VARIABLE, FIX, NEWEST_CODEX, OLDEST_CODEX

INSTALL = "agent-relay-codex install"
MEND_INSTALLATION = f"{INSTALL} --yes"
TRUST = f"{MEND_INSTALLATION} --trust-hooks"
INCOMPLETE = {
    Fault.MARKETPLACE_ELSEWHERE: "Codex has a marketplace of the same name from somewhere else",
    Fault.MARKETPLACE_MISSING: "Codex does not know the plugin's marketplace",
    Fault.COPY_CHANGED: "the plugin's files are not those of this release",
    Fault.PLUGIN_MISSING: "the plugin is not added to Codex",
    Fault.PLUGIN_CHANGED: "Codex's copy of the plugin is not that of this release",
    Fault.HOOK_UNLISTED: "Codex lists no hook of the plugin",
}


def judge_codex(facts: CodexFacts | None) -> Iterator[Finding]:
    """Codex: there, running, and of a release that can be reached."""
    if facts is None:
        return
    oldest, newest = (".".join(map(str, each)) for each in (OLDEST_CODEX, NEWEST_CODEX))
    if facts.trouble is not None:
        yield _no_codex(facts.trouble, named=facts.named)
    elif facts.release is None:
        detail = f"{facts.path} calls its version {facts.version!r}, which is no version"
        yield found("codex-broken", detail, advice=FIX)
    elif facts.release < OLDEST_CODEX:
        detail = f"{facts.path} is Codex {facts.version}; sessions can be reached from {oldest} on"
        yield found("codex-too-old", detail, advice=f"update Codex to {oldest} or newer")
    elif facts.release > NEWEST_CODEX:
        detail = f"Codex {facts.version} is newer than {newest}, the last that was tested"
        yield found("codex-untested", detail, advice="agent-relay demo shows whether it works")


def _no_codex(trouble: Trouble, *, named: bool) -> Finding:
    if trouble.code == "settings_error":
        command = f"unset {BIN_VARIABLE}" if named else None
        advice = "name the program in bin of [codex] in config.toml, or take it out"
        return found(
            "codex-bin-wrong", trouble.detail, command=command, advice=None if named else advice
        )
    detail = trouble.detail.removeprefix("codex: ")
    if "there is no Codex" in detail:
        return found("codex-missing", detail, advice=trouble.fix)
    command = f"unset {BIN_VARIABLE}" if named else None
    return found("codex-broken", detail, command=command, advice=trouble.fix)


def judge_installation(facts: InstallationFacts | None) -> Iterator[Finding]:
    """The plugin in Codex: there, whole, led here and trusted."""
    if facts is None:
        return
    if facts.trouble is not None:
        yield broken("codex-config-broken", facts.trouble)
        return
    if facts.absent:
        detail = "the plugin is not installed into Codex"
        yield found("plugin-not-installed", detail, command=INSTALL)
        return
    incomplete = [INCOMPLETE[fault] for fault in facts.faults if fault in INCOMPLETE]
    if incomplete:
        yield found("plugin-incomplete", "; ".join(incomplete), command=MEND_INSTALLATION)
    for fault in facts.faults:
        yield from _fault(fault, facts)


def _fault(fault: Fault, facts: InstallationFacts) -> Iterator[Finding]:
    runs = f"the hook that runs {facts.hook_command}"
    match fault:
        case Fault.MARKETPLACE_VANISHED:
            detail = f"{facts.folder} is gone, where Codex has the plugin from"
            yield found("marketplace-vanished", detail, command=MEND_INSTALLATION)
        case Fault.PLUGIN_DISABLED:
            detail = "the plugin is switched off in Codex"
            yield found("plugin-disabled", detail, command=MEND_INSTALLATION)
        case Fault.LAUNCHER_MISSING:
            detail = f"{facts.launcher} is missing"
            yield found("launcher-missing", detail, command=MEND_INSTALLATION)
        case Fault.LAUNCHER_DAMAGED:
            detail = f"{facts.launcher} is not as it was written"
            yield found("launcher-damaged", detail, command=MEND_INSTALLATION)
        case Fault.LAUNCHER_DEAD:
            detail = f"{facts.launcher} leads to {facts.leads_to}, of an environment that is gone"
            yield found("launcher-dead", detail, command=MEND_INSTALLATION)
        case Fault.LAUNCHER_ELSEWHERE:
            detail = f"{facts.launcher} leads to {facts.leads_to}, not here"
            yield found("launcher-elsewhere", detail, command=MEND_INSTALLATION)
        case Fault.HOOK_UNTRUSTED:
            yield found("hooks-untrusted", f"you have not trusted {runs}", command=TRUST)
        case Fault.HOOK_MODIFIED:
            detail = f"the plugin has changed since you trusted {runs}"
            yield found("hooks-modified", detail, command=TRUST)
        case Fault.HOOK_DISABLED:
            detail = "the plugin's hook is switched off in Codex"
            yield found("hooks-disabled", detail, advice="switch it on: /hooks in Codex")
        case _:
            return
