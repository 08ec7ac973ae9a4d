"""The command line of Codex that `agent-relay-codex start` runs, made from the user's."""

# Rule 1: what the user types beats the environment, the environment beats the profile.
# Rule 2: what Codex would refuse or what would open no session is refused here, in one line.
# Rule 3: on an app-server Codex takes no permissions for a session that it resumes or forks: that
#         keeps its own. Where they are known to be wider than what is asked for, it is not opened.
# Rule 4: everything else is passed on as it is, and after `--` nothing is looked at.

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relay_core import RelayError, Struct
from relay_plugins.codex.approval import MODES, Flags, is_wider, mode_of
from relay_plugins.codex.variables import SessionWishes

PERMISSIONS = {
    "dangerously-bypass-approvals-and-sandbox": "open",
    "yolo": "open",
    "approve-for-me": "",
}
"""Options that settle approval and sandbox at once, and the mode that each asks for."""

NOTHING = Flags(approval="", sandbox="")
WARNING = "approval mode open: what other agents send is acted on without asking, without a sandbox"

RESUME = "resume"
OPENING = (RESUME, "fork")
"""The commands of Codex that open a session."""

OTHER_COMMANDS = frozenset(
    {
        *("a", "agents", "app-server", "apply", "archive", "cloud", "completion", "debug"),
        *("delete", "doctor", "e", "exec", "exec-server", "features", "help", "login", "logout"),
        *("mcp", "migrate-nfs-db", "migrate-rollouts", "plugin", "queue", "remote-control"),
        *("review", "sandbox", "unarchive", "update"),
    }
)
"""The commands of Codex 0.163 and 0.169 that open none."""

ONE_TURN = frozenset({"exec", "e", "review"})
"""Those of them that end with the turn that they were started for."""

LONG_NAMES = {
    "a": "ask-for-approval",
    "C": "cd",
    "c": "config",
    "i": "image",
    "m": "model",
    "p": "profile",
    "s": "sandbox",
    "h": "help",
    "V": "version",
}
TAKE_A_VALUE = frozenset(
    {
        *("add-dir", "ask-for-approval", "cd", "config", "disable", "enable", "image"),
        *("local-provider", "model", "profile", "remote", "remote-auth-token-env", "sandbox"),
    }
)
REFUSED = {
    "add-dir": (
        "Codex takes no --add-dir for a session on an app-server",
        "add the folder to sandbox_workspace_write.writable_roots in Codex's config.toml",
    ),
    "worktree": (
        "Codex takes no --worktree for a session on an app-server",
        "make one with `git worktree add`, and start in it",
    ),
    "no-daemon": (
        "--no-daemon is for sessions without an app-server, which no message can reach at once",
        "leave it out: this session has an app-server of its own",
    ),
    "remote": (
        "the session's app-server is started for it, so that --remote can name no other",
        "name a running one in CODEX_APP_SERVER_URL",
    ),
}


NOT_APPLIED = (
    "Codex keeps the permissions of a session that it resumes or forks: approval mode {mode} is "
    "not applied"
)


class BadArguments(RelayError):
    """These arguments open no session."""

    code = "usage"


class NotResumed(RelayError):
    """There is nothing to resume, or not under these conditions."""

    code = "not_resumed"


class Typed(Struct):
    """What the user typed.

    `command` is the command that opens a session, `at` the place behind it (0 without one),
    `thread` the thread that it names, `last` whether it wants the last one. `asks_only` when help
    or the version is wanted, and no session. The others are what Codex's options say; `permissions`
    is the approval mode of an option that settles both approval and sandbox, empty for one that is
    none of ours.
    """

    command: str | None = None
    at: int = 0
    thread: str | None = None
    last: bool = False
    asks_only: bool = False
    cwd: str | None = None
    model: str | None = None
    approval: str | None = None
    sandbox: str | None = None
    permissions: str | None = None


class Wanted(Struct):
    """A session of before that is to be resumed: the one that is named, or the folder's last."""

    thread: str | None = None


class Saved(Struct):
    """A thread that Codex has; `flags` are what its newest turn ran with."""

    thread: str
    flags: Flags | None = None


class CommandLine(Struct):
    """What Codex is run with.

    `thread` is the one that is resumed, `mode` the approval mode that is asked for, where it is
    known; `resumes` that the session keeps what it had. `remark` is a line for the user.
    """

    arguments: tuple[str, ...]
    thread: str | None = None
    mode: str | None = None
    resumes: bool = False
    remark: str | None = None


def ends_with_its_turn(arguments: Sequence[str]) -> bool:
    """Whether a Codex with these arguments is one that nobody types into."""
    return _first_word(arguments)[1] in ONE_TURN


def read_arguments(arguments: Sequence[str]) -> Typed:
    """Understand as much as is needed of Codex's arguments; BadArguments for what is refused."""
    found: dict[str, str] = {}
    words: list[tuple[int, str]] = []
    for place, name, value in _parts(arguments):
        if name is None:
            words.append((place, value))
        elif refusal := REFUSED.get(name):
            raise BadArguments(refusal[0], fix=refusal[1])
        elif name == "config":
            key, _, setting = value.partition("=")
            found[f"config {key.strip()}"] = setting.strip().strip("\"'")
        else:
            found[name] = value
    at, command = _first_word(arguments)
    asks_only = not found.keys().isdisjoint(("help", "version"))
    if command in OTHER_COMMANDS and not asks_only:
        raise BadArguments(f"`codex {command}` opens no session", fix=f"run `codex {command}`")
    opens, last = command in OPENING, "last" in found
    typed = Typed(
        command=command if opens else None,
        at=at + 1 if opens else 0,
        thread=words[1][1] if opens and len(words) > 1 and not last else None,
        last=last,
        asks_only=asks_only,
        cwd=found.get("cd"),
        model=found.get("model", found.get("config model")),
        approval=found.get("ask-for-approval", found.get("config approval_policy")),
        sandbox=found.get("sandbox", found.get("config sandbox_mode")),
        permissions=next((PERMISSIONS[name] for name in PERMISSIONS if name in found), None),
    )
    if opens and not asks_only and _asks_for_permissions(typed):
        detail = f"Codex changes no permissions when it {command}s a session on an app-server"
        raise BadArguments(detail, fix="leave them out, and use /permissions in the session")
    return typed


def _asks_for_permissions(typed: Typed) -> bool:
    return not (typed.approval is typed.sandbox is typed.permissions is None)


def wanted_thread(typed: Typed, wishes: SessionWishes) -> Wanted | None:
    """Which session of before is to be resumed, as far as it is known before Codex asks."""
    if typed.command is not None:
        known = typed.command == RESUME and (typed.thread or typed.last)
        return Wanted(thread=typed.thread) if known else None
    return None if wishes.thread_mode == "start" else Wanted(thread=wishes.thread_id)


def command_line(
    arguments: Sequence[str],
    typed: Typed,
    wishes: SessionWishes,
    *,
    address: str,
    cwd: str,
    mode: str | None,
    saved: Saved | None,
) -> CommandLine:
    """Put together what Codex is run with; NotResumed when there is nothing to resume, or only with
    a wider sandbox than is asked for.

    `mode` is the approval mode that environment or profile ask for, `saved` the thread that
    `wanted_thread` meant, where Codex has it.
    """
    asked = _flags(typed, wishes, mode)
    ours = ["--remote", address]
    if typed.cwd is None:
        ours += ["-C", cwd]
    if typed.model is None and wishes.model is not None:
        ours += ["-m", wishes.model]
    if typed.command is not None or _resumes(wishes, saved):
        return _old_session(arguments, typed, ours, asked, saved)
    if typed.permissions is None and typed.sandbox is None and asked.sandbox:
        ours += ["-s", asked.sandbox]
    if typed.permissions is None and typed.approval is None and asked.approval:
        ours += ["-a", asked.approval]
    known = mode_of(asked.approval, asked.sandbox) if asked.approval and asked.sandbox else None
    return CommandLine(
        arguments=(*ours, *arguments),
        mode=known,
        remark=WARNING if known == "open" and typed.permissions is None else None,
    )


def _resumes(wishes: SessionWishes, saved: Saved | None) -> bool:
    if wishes.thread_mode == RESUME and saved is None:
        which = wishes.thread_id or "of this folder"
        raise NotResumed(f"Codex has no session {which}", fix="set CODEX_THREAD_MODE=auto")
    return wishes.thread_mode != "start" and saved is not None


def _old_session(
    arguments: Sequence[str],
    typed: Typed,
    ours: list[str],
    asked: Flags,
    saved: Saved | None,
) -> CommandLine:
    """Resume or fork: with `--remote` Codex takes no permissions then, the session keeps its own.

    Where that is known to be more than is asked for, nothing is opened.
    """
    wanted = asked.sandbox or asked.approval
    is_known = saved is not None and saved.flags is not None
    if saved is not None and saved.flags is not None and asked.sandbox:
        _refuse_wider(saved.flags, asked)
    if typed.command == RESUME and typed.last and saved is None and wanted:
        raise NotResumed("Codex has no session of this folder", fix="leave `resume --last` out")
    opening = list(arguments[: typed.at])
    if typed.command is None and saved is not None:
        opening, ours = [RESUME], [*ours, saved.thread]
    mode = mode_of(asked.approval or "?", asked.sandbox or "?")
    return CommandLine(
        arguments=(*opening, *ours, *arguments[typed.at :]),
        thread=saved.thread if saved else None,
        resumes=typed.command != "fork",
        remark=NOT_APPLIED.format(mode=mode) if wanted and not is_known else None,
    )


def _refuse_wider(has: Flags, asked: Flags) -> None:
    if is_wider(has.sandbox, asked.sandbox):
        detail = (
            f"this session ran with the sandbox {has.sandbox}, {asked.sandbox} is asked for, and "
            "Codex changes no permissions when it resumes one"
        )
        raise NotResumed(detail, fix="start a new one, or ask for no approval mode")


def _flags(typed: Typed, wishes: SessionWishes, mode: str | None) -> Flags:
    """What is asked for, each by the first that says something; empty where nobody does."""
    if typed.permissions is not None:
        return MODES.get(typed.permissions, NOTHING)
    named = MODES.get(mode or "", NOTHING)
    return Flags(
        approval=typed.approval or wishes.approval_policy or named.approval,
        sandbox=typed.sandbox or wishes.sandbox or named.sandbox,
    )


def _first_word(arguments: Sequence[str]) -> tuple[int, str]:
    """The word that may name a command, and its place; empty without one, and behind `--`."""
    words = ((place, value) for place, name, value in _parts(arguments) if name is None)
    at, word = next(words, (0, ""))
    return at, "" if "--" in arguments[:at] else word


def _parts(arguments: Sequence[str]) -> Iterator[tuple[int, str | None, str]]:
    """Take arguments apart: (place, name of the option or None, its value or the word)."""
    place = 0
    while place < len(arguments):
        argument = arguments[place]
        if argument == "--":
            for rest in range(place + 1, len(arguments)):
                yield rest, None, arguments[rest]
            return
        began = place
        name, value, needs_value = _option(argument)
        if name is None:
            yield place, None, argument
        elif not needs_value:
            yield place, name, value
        elif name == "image":  # takes as many as there are
            while place + 1 < len(arguments) and not arguments[place + 1].startswith("-"):
                place += 1
            yield began, name, ""
        else:
            place += 1
            yield began, name, arguments[place] if place < len(arguments) else ""
        place += 1


def _option(argument: str) -> tuple[str | None, str, bool]:
    """Read one argument as an option: its long name, its value, and whether that comes next."""
    if argument.startswith("--"):
        name, has_value, value = argument[2:].partition("=")
        return name, value, name in TAKE_A_VALUE and not has_value
    if argument.startswith("-") and len(argument) > 1:
        name = LONG_NAMES.get(argument[1], argument[1])
        value = argument[2:].removeprefix("=")
        return name, value, name in TAKE_A_VALUE and not argument[2:]
    return None, argument, False
