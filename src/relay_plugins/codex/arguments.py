"""The command line of Codex that `agent-relay-codex start` runs, made from the user's."""

# Rule 1: what the user types beats the environment, the environment beats the profile.
# Rule 2: what Codex would refuse or what would open no session is refused here, in one line.
# Rule 3: everything else is passed on as it is, and after `--` nothing is looked at.

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relay_core import RelayError, Struct
from relay_plugins.codex.approval import MODES, Flags, mode_of
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


class BadArguments(RelayError):
    """These arguments open no session."""

    code = "usage"


class Typed(Struct):
    """What the user typed.

    `command` is the command that opens a session, `at` the place behind it (0 without one),
    `thread` the thread that it names. `asks_only` when help or the version is wanted, and no
    session. The others are what Codex's options say; `permissions` is the approval mode of an
    option that settles both approval and sandbox, empty for one that is none of ours.
    """

    command: str | None = None
    at: int = 0
    thread: str | None = None
    asks_only: bool = False
    cwd: str | None = None
    model: str | None = None
    approval: str | None = None
    sandbox: str | None = None
    permissions: str | None = None


class CommandLine(Struct):
    """What Codex is run with; `mode` is the approval mode that it asks for, where it is known."""

    arguments: tuple[str, ...]
    thread: str | None = None
    mode: str | None = None
    warning: str | None = None


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
    at, first = words[0] if words else (0, "")
    asks_only = not found.keys().isdisjoint(("help", "version"))
    command = first if "--" not in arguments[:at] else ""
    if command in OTHER_COMMANDS and not asks_only:
        raise BadArguments(f"`codex {command}` opens no session", fix=f"run `codex {command}`")
    opens = command in OPENING
    names_thread = command == RESUME and len(words) > 1 and "last" not in found
    return Typed(
        command=command if opens else None,
        at=at + 1 if opens else 0,
        thread=words[1][1] if names_thread else None,
        asks_only=asks_only,
        cwd=found.get("cd"),
        model=found.get("model", found.get("config model")),
        approval=found.get("ask-for-approval", found.get("config approval_policy")),
        sandbox=found.get("sandbox", found.get("config sandbox_mode")),
        permissions=next((PERMISSIONS[name] for name in PERMISSIONS if name in found), None),
    )


def command_line(
    arguments: Sequence[str],
    typed: Typed,
    wishes: SessionWishes,
    *,
    address: str,
    cwd: str,
    mode: str | None,
    is_saved: bool,
) -> CommandLine:
    """Put together what Codex is run with.

    `mode` is the approval mode that environment or profile ask for; `is_saved` tells whether Codex
    has the thread of CODEX_THREAD_ID.
    """
    flags = _flags(typed, wishes, mode)
    ours = ["--remote", address]
    if typed.cwd is None:
        ours += ["-C", cwd]
    if typed.model is None and wishes.model is not None:
        ours += ["-m", wishes.model]
    if typed.permissions is None and typed.sandbox is None and flags.sandbox:
        ours += ["-s", flags.sandbox]
    if typed.permissions is None and typed.approval is None and flags.approval:
        ours += ["-a", flags.approval]
    opening, thread = list(arguments[: typed.at]), typed.thread
    if typed.command is None and _resumes(wishes, is_saved=is_saved):
        opening, thread = [RESUME], wishes.thread_id
        ours.append(thread or "--last")
    asked = mode_of(flags.approval, flags.sandbox) if flags.approval and flags.sandbox else None
    return CommandLine(
        arguments=(*opening, *ours, *arguments[typed.at :]),
        thread=thread,
        mode=asked,
        warning=WARNING if asked == "open" and typed.permissions is None else None,
    )


def _resumes(wishes: SessionWishes, *, is_saved: bool) -> bool:
    """Whether the environment wants a thread resumed; Codex starts one where it has none to."""
    if wishes.thread_mode == "auto":
        return wishes.thread_id is None or is_saved
    return wishes.thread_mode == RESUME


def _flags(typed: Typed, wishes: SessionWishes, mode: str | None) -> Flags:
    """What is asked for, each by the first that says something; empty where nobody does."""
    if typed.permissions is not None:
        return MODES.get(typed.permissions, NOTHING)
    named = MODES.get(mode or "", NOTHING)
    return Flags(
        approval=typed.approval or wishes.approval_policy or named.approval,
        sandbox=typed.sandbox or wishes.sandbox or named.sandbox,
    )


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
