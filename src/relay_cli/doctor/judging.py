"""From facts to findings: what is wrong, in which words, and what to type."""

# Rule 1: pure. One small function for each thing that was looked at.
# Rule 2: a command is printed only where typing it as it stands mends the finding.
# Rule 3: what follows from another finding is not reported beside it.

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

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
    VariableFacts,
)
from relay_cli.doctor.judging_codex import judge_codex, judge_installation
from relay_cli.doctor.kinds import KINDS, Finding, found
from relay_cli.doctor.wording import broken, typed
from relay_cli.variables import VARIABLES
from relay_core.discovery import PluginState
from relay_core.errors import SocketsForbidden
from relay_core.sessions import Agent
from relay_core.settings import loopback
from relay_core.variables import Reach

UP = "agent-relay up --detach"
RESTART = f"agent-relay down && {UP}"
ELSEWHERE = f"{UP} --port 0"
URL, TOKEN = "AGENT_RELAY_URL", "AGENT_RELAY_TOKEN"
NAMES_SHOWN = 5
ANOTHER_PORT = "for good: port = 0, or a free one, in [hub] of config.toml"

# What keeps every host from starting; then it is no news that none runs.
PREVENTS_HOST = frozenset(
    {
        *("config-broken", "token-unusable", "token-short", "token-exposed", "store-damaged"),
        *("store-too-new", "store-unsafe", "store-unusable"),
        *("plugin-conflict", "socket-folder-unsafe"),
        *("port-taken", "hub-foreign", "token-wrong", "sockets-forbidden"),
    }
)


MACHINE = frozenset(each.name for each in VARIABLES if each.reach is Reach.MACHINE)


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Say everything that is to be said about these facts, in the order of the table."""
    findings = [
        *judge_variables(facts.variables),
        *judge_config(facts),
        *judge_profiles(facts.profiles),
        *judge_token(facts.token),
        *judge_folder(facts.host),
        *judge_store(facts.store),
        *judge_plugins(facts.plugins),
        *judge_codex(facts.codex),
        *judge_installation(facts.installation),
        *judge_hub(facts.hub, facts.host, facts.token),
        *judge_mail(facts.mail),
        *_not_known(facts),
    ]
    prevented = any(one.code in PREVENTS_HOST and not one.safe for one in findings)
    prevented |= any(name in MACHINE for name, _ in facts.variables.wrong)
    findings += judge_host(facts.host, prevented=prevented)
    places = {kind.code: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(findings, key=lambda one: places[one.code]))


def _not_known(facts: Facts) -> Iterator[Finding]:
    """Checks that came to no end; in a sandbox they cannot."""
    if facts.host.state is HostState.FORBIDDEN:
        return
    advice = "run it again; tell its authors where that does not help"
    for check, why in facts.failed:
        yield found("check-failed", f"{check}: {why}", advice=advice)


# --- what was set ----------------------------------------------------------------------------


def judge_variables(facts: VariableFacts) -> Iterator[Finding]:
    """Wrong values, names that nothing reads, and variables of sessions."""
    for name, trouble in facts.wrong:
        command = f"unset {name}"
        yield found("variable-wrong", trouble.detail, command=command, advice=trouble.fix)
    for name, near in facts.unknown:
        advice = f"did you mean {near}?" if near else None
        detail = f"{name} is set, and nothing reads it"
        yield found("variable-unknown", detail, command=f"unset {name}", advice=advice)
    if facts.session:
        told = ", ".join(facts.session)
        verb = "counts" if len(facts.session) == 1 else "count"
        yield found(
            "variable-in-vain",
            f"{told} {verb} for `agent-relay-codex start` only; a plain `codex` never sees it",
            command=f"unset {' '.join(facts.session)}",
            advice="or open the session with agent-relay-codex start",
        )


def judge_config(facts: Facts) -> Iterator[Finding]:
    """config.toml; a wrong variable is a finding of its own."""
    store = facts.store.trouble if facts.store is not None else None
    for trouble in (facts.config, store):
        if trouble is not None and trouble.code == "settings_error" and trouble.file is not None:
            yield broken("config-broken", trouble)
    if facts.config is not None and facts.config.file is None and not facts.variables.wrong:
        yield found("variable-wrong", facts.config.detail, command=f"unset {URL}")


def judge_profiles(facts: ProfileFacts | None) -> Iterator[Finding]:
    """profiles.json, and the profile that the environment names."""
    if facts is None:
        return
    if facts.trouble is not None and facts.trouble.file is not None:
        yield broken("profiles-broken", facts.trouble)
    if facts.unknown is not None:
        trouble = facts.unknown
        command = "unset AGENT_RELAY_PROFILE"
        yield found("profile-unknown", trouble.detail, command=command, advice=trouble.fix)


# --- files of ours ---------------------------------------------------------------------------


def judge_token(facts: TokenFacts) -> Iterator[Finding]:
    """The token file, and a token in the environment."""
    if facts.short:
        yield found("token-short", f"{TOKEN} is too short to be safe", command=f"unset {TOKEN}")
    if facts.exposed:
        yield found(
            "token-exposed",
            f"others can read {facts.file}",
            command=typed("chmod", "600", facts.file),
        )
    if facts.trouble is not None:
        command = f"agent-relay down && {typed('rm', facts.file)} && {UP}"
        yield found("token-unusable", facts.trouble.detail, command=command)


def judge_folder(facts: HostFacts) -> Iterator[Finding]:
    """The folder of the control socket."""
    folder = facts.socket.parent
    match facts.folder:
        case FolderState.FINE:
            return
        case FolderState.OPEN:
            detail = f"others may enter {folder}"
            yield found("socket-folder-unsafe", detail, command=typed("chmod", "700", folder))
        case FolderState.NO_FOLDER:
            detail = f"{folder} is no folder"
            yield found("socket-folder-unsafe", detail, command=typed("rm", folder), safe=False)
        case FolderState.FOREIGN:
            detail = f"{folder} belongs to somebody else"
            advice = f"have it removed: as root, {typed('rm', '-r', folder)}"
            yield found("socket-folder-unsafe", detail, advice=advice, safe=False)


def judge_store(facts: StoreFacts | None) -> Iterator[Finding]:
    """The hub's database."""
    if facts is None:
        return
    if facts.free_bytes is not None:
        detail = f"{facts.free_bytes} bytes are free for {facts.file}: no mail is accepted"
        advice = f"free some disk space: {typed('df', '-h', facts.file.parent)}"
        yield found("store-no-room", detail, advice=advice)
    if facts.trouble is None:
        return
    trouble, aside = facts.trouble, f"{facts.file}.set-aside"
    command = f"{typed('mkdir', aside)} && {typed('mv', *facts.files, aside)}"
    match trouble.code:
        case "store_damaged":
            advice = (
                "that sets it aside, with all mail; a backup, where you have one, is better, and "
                "docs/how-to/mend-the-store.md tells what else there is"
            )
            yield found("store-damaged", trouble.detail, command=command, advice=advice)
        case "store_too_new":
            advice = "that sets it aside, with all mail; installing the newer release is better"
            yield found("store-too-new", trouble.detail, command=command, advice=advice)
        case "store_unsafe":
            advice = "that sets it aside; see first what it is, and whether you may write to it"
            yield found("store-unsafe", trouble.detail, command=command, advice=advice)
        case "store_error":
            yield found("store-unusable", trouble.detail, advice=trouble.fix)
        case _:
            return  # a wrong path is config.toml's


# --- plugins -------------------------------------------------------------------------------


def judge_plugins(facts: PluginFacts | None) -> Iterator[Finding]:
    """What is installed, and what config.toml names."""
    if facts is None:
        return
    if facts.conflict is not None:
        yield found("plugin-conflict", facts.conflict.detail, advice=facts.conflict.fix)
    for report in facts.reports:
        if report.state is PluginState.FAILED:
            block = f'block = ["{report.name}"] in [plugins] of config.toml'
            advice = f"update or uninstall {report.distribution}, or leave it out: {block}"
            detail = f"the plugin {report.name} of {report.distribution} is not loaded"
            yield found("plugin-failed", f"{detail}: {report.reason}", advice=advice)
        elif report.state is PluginState.SET_ASIDE:
            detail = f"the plugin {report.name} is asked no more: {report.reason}"
            yield found("plugin-set-aside", detail, command=RESTART)
    for name, near in facts.unmatched:
        meant = f"did you mean {near}? else " if near else ""
        yield found(
            "plugin-unmatched",
            f"config.toml names a plugin {name!r} that is not installed",
            advice=f"{meant}take it out of [plugins]",
        )


# --- host and hub ----------------------------------------------------------------------------


def judge_host(facts: HostFacts, *, prevented: bool) -> Iterator[Finding]:
    """The host; `prevented` says that another finding keeps it from running."""
    match facts.state:
        case HostState.FORBIDDEN:
            error = SocketsForbidden()
            yield found("sockets-forbidden", error.detail, advice=error.fix)
        case HostState.SILENT:
            yield _silent(facts)
        case HostState.RUNS:
            if facts.version != facts.own_version:
                detail = f"the host (pid {facts.pid}) is of version {facts.version}"
                detail += f", this command of {facts.own_version}"
                yield found("host-other-version", detail, command=UP)
        case HostState.MISSING | HostState.STALE:
            if facts.state is HostState.STALE:
                detail = f"{facts.socket} is left of a host that is gone"
                yield found("socket-stale", detail, command=typed("rm", facts.socket))
            if not prevented:
                yield found("host-missing", "no host runs", command=UP)


def _silent(facts: HostFacts) -> Finding:
    if facts.pid is None:
        detail = f"what listens on {facts.socket} does not answer"
        return found("host-silent", detail, advice="end that process, then start the host again")
    detail = f"process {facts.pid} listens on {facts.socket} and does not answer as a host does"
    return found("host-silent", detail, command=f"kill -9 {facts.pid}; {UP}")


def judge_hub(hub: HubFacts | None, host: HostFacts, token: TokenFacts) -> Iterator[Finding]:
    """The hub, seen from where commands look for it."""
    if hub is None:
        return
    if hub.state is HubState.PROVED:
        yield from _elsewhere(hub, host)
        return
    match hub.state:
        case HubState.UNPROVED if hub.file_proves:
            detail = f"the hub at {hub.url} does not know the token in {TOKEN}, but the file's"
            yield found("token-wrong", detail, command=f"unset {TOKEN}")
        case HubState.UNPROVED if hub.origin == "the running host":
            detail = f"the running host's hub at {hub.url} does not know the token that is used"
            yield found("token-wrong", detail, command=RESTART)
        case HubState.UNPROVED if hub.origin != "the default":
            yield _foreign_by_name(hub, token)
        case HubState.UNREACHABLE:
            if host.state is HostState.RUNS or not hub.local:
                yield _unreachable(hub, host)
        case _ if hub.any_port:
            return  # the hub takes a free port; who listens on the usual one is no matter
        case _:
            yield _taken(hub, host)


def _elsewhere(hub: HubFacts, host: HostFacts) -> Iterator[Finding]:
    if host.hub_url is None or _place(host.hub_url) == _place(hub.url):
        return
    detail = f"the running host serves {host.hub_url}, but commands ask {hub.url} ({hub.origin})"
    command = RESTART if hub.named is None else f"unset {URL}"
    yield found("hub-elsewhere", detail, command=command)


def _place(url: str) -> tuple[str, str, int | None]:
    """Where an address leads: this machine has several names."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme, "" if loopback(host) else host, parts.port


def _foreign_by_name(hub: HubFacts, token: TokenFacts) -> Finding:
    """The user names a hub that knows no token of theirs: one of the two is wrong."""
    detail = f"the hub at {hub.url} ({hub.origin}) does not know the token that is used"
    advice = f"or set {TOKEN} to that hub's token"
    if hub.named is None:
        return found("token-wrong", detail, advice=f"take hub.url out, {advice}")
    names = f"{URL} {TOKEN}" if token.named else URL
    return found("token-wrong", detail, command=f"unset {names}", advice=advice)


def _unreachable(hub: HubFacts, host: HostFacts) -> Finding:
    detail = f"nobody answers at {hub.url} ({hub.origin})"
    if hub.named is not None:
        command = f"unset {URL}"
        return found("hub-unreachable", detail, command=command, advice="or start a hub there")
    if hub.local and host.state is HostState.RUNS:
        return found("hub-unreachable", detail, command=RESTART)
    return found("hub-unreachable", detail, advice="start a hub there, or take hub.url out")


def _taken(hub: HubFacts, host: HostFacts) -> Finding:
    who = {
        HubState.SILENT: "a program that does not answer",
        HubState.STRANGE: "a program that is no hub",
        HubState.UNPROVED: "the hub of somebody else",
    }[hub.state]
    code = "hub-foreign" if hub.state is HubState.UNPROVED else "port-taken"
    detail = f"{who} listens at {hub.url} ({hub.origin})"
    if hub.origin == "the running host":
        return found(code, detail, command=RESTART)
    if hub.named is not None:
        start = "" if host.state is HostState.RUNS else f" && {ELSEWHERE}"
        return found(code, detail, command=f"unset {URL}{start}")
    if hub.origin == "the default":
        return found(code, detail, command=ELSEWHERE, advice=ANOTHER_PORT)
    return found(code, detail, advice=f"name another hub in {hub.origin}")


# --- mail ------------------------------------------------------------------------------------


def judge_mail(facts: MailFacts | None) -> Iterator[Finding]:
    """What waits longer than it should, and what will not arrive."""
    if facts is None:
        return
    waiting = [agent for agent in facts.agents if agent.queued]
    unattended = [agent for agent in waiting if agent.unattended and agent.reachable]
    if unattended:
        yield found(
            "session-unattended",
            f"mail waits for {_listed(unattended)}, where nobody was seen for a while",
            advice="type anything into that session",
        )
    away = [agent for agent in waiting if not agent.reachable]
    if away:
        resumed = next((one for one in away if one.adapter == "codex" and one.thread_id), None)
        yield found(
            "session-away",
            f"mail waits for {_listed(away)}, which no host serves",
            command=None if resumed is None else typed("codex", "resume", resumed.thread_id),
            advice="it is kept, and delivered when the session is open again",
        )
    if facts.dead:
        count = f"{facts.dead} or more" if facts.dead_at_least else str(facts.dead)
        told = "1 delivery is" if facts.dead == 1 else f"{count} deliveries are"
        advice = "agent-relay dead shows them; agent-relay dead retry --all tries them again first"
        command = "agent-relay dead drop --all"
        yield found("dead-letters", f"{told} dead", command=command, advice=advice)
    if facts.stopped:
        yield found(
            "guard-stopped",
            f"the guard against loops has stopped {', '.join(facts.stopped)}",
            command=typed("agent-relay", "guard", "reset", *facts.stopped),
            advice="agent-relay guard shows who and why",
        )
    if facts.needs_yes:
        told = "1 delivery waits" if facts.needs_yes == 1 else f"{facts.needs_yes} deliveries wait"
        yield found(
            "needs-yes",
            f"{told} for your yes",
            command="agent-relay held approve --all",
            advice="read it first: agent-relay held",
        )


def _listed(agents: list[Agent]) -> str:
    shown = [f"{agent.id} ({agent.queued})" for agent in agents[:NAMES_SHOWN]]
    rest = len(agents) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
