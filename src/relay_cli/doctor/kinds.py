"""Every kind of finding: its stable code, how bad it is, what it means and what mends it."""

# Rule: pure. This table makes docs/reference/doctor.md, too.

from __future__ import annotations

import enum

from relay_core.messages import Struct


class Severity(enum.StrEnum):
    """How bad a finding is; one that is `wrong` makes `doctor` end with 1."""

    WRONG = "wrong"
    NOTE = "note"


class Kind(Struct):
    """One row of the table. `mended` says what `--fix` does, None where it does nothing."""

    code: str
    severity: Severity
    means: str
    mend: str
    mended: str | None = None


class Finding(Struct):
    """Something that was found here.

    `command` is what to type, as it stands; `advice` says in words what no command can do. `safe`
    says that `--fix` does it.
    """

    code: str
    severity: Severity
    detail: str
    command: str | None = None
    advice: str | None = None
    safe: bool = False


WRONG, NOTE = Severity.WRONG, Severity.NOTE


def _kind(
    code: str, severity: Severity, means: str, mend: str, *, mended: str | None = None
) -> Kind:
    return Kind(code=code, severity=severity, means=means, mend=mend, mended=mended)


KINDS: tuple[Kind, ...] = (
    # --- what was set ---
    _kind(
        "variable-wrong",
        WRONG,
        "An environment variable has a value that means nothing, so that commands refuse to run.",
        "Unset it, or give it a value as told.",
    ),
    _kind(
        "variable-unknown",
        WRONG,
        "A variable that begins with `AGENT_RELAY_` is set, and nothing reads it.",
        "Write it as told, or unset it.",
    ),
    _kind(
        "variable-in-vain",
        NOTE,
        "A variable for one session is set in this shell. It counts for the sessions that "
        "`agent-relay-codex start` opens from here; a plain `codex` never sees it.",
        "Open the session with `agent-relay-codex start`, give a profile a `match`, or unset it.",
    ),
    _kind(
        "config-broken",
        WRONG,
        "config.toml cannot be read or understood; neither host nor commands run then.",
        "Correct the line that is named.",
    ),
    _kind(
        "profiles-broken",
        WRONG,
        "profiles.json cannot be read or understood; no session registers then, because none may "
        "get a weaker profile than its user meant.",
        "Correct the line that is named.",
    ),
    _kind(
        "profile-unknown",
        WRONG,
        "`AGENT_RELAY_PROFILE` names a profile that is not in the file.",
        "Unset it, or name one that is there.",
    ),
    # --- files of ours ---
    _kind(
        "socket-folder-unsafe",
        WRONG,
        "The folder of the control socket is not this user's alone, so that the host refuses it.",
        "Take the others' rights away; where it is somebody else's, have it removed.",
        mended="takes the others' rights away, where the folder is yours",
    ),
    _kind(
        "socket-stale",
        NOTE,
        "A control socket is left of a host that was killed.",
        "Remove it; the next host does so, too.",
        mended="removes it",
    ),
    _kind(
        "token-exposed",
        WRONG,
        "Others can read the token file, and whoever has the token can act as you.",
        "Take the others' rights away. If somebody may have read it, remove it and restart.",
        mended="takes the others' rights away",
    ),
    _kind(
        "token-unusable",
        WRONG,
        "The token file holds no token, is no plain file or belongs to somebody else.",
        "Remove it: the next start makes a new one. Programs that were given the old one need it.",
    ),
    _kind(
        "token-short",
        WRONG,
        "`AGENT_RELAY_TOKEN` is so short that others could guess it; no hub starts with it.",
        "Unset it, so that a token is made, or choose a longer one.",
    ),
    _kind(
        "store-damaged",
        WRONG,
        "The hub's database is damaged, or is no database of this hub.",
        "Restore it from a backup, or set it aside to begin with an empty one.",
    ),
    _kind(
        "store-too-new",
        WRONG,
        "A newer release has written the hub's database; this one must not.",
        "Install that release again, or set the database aside to begin with an empty one.",
    ),
    _kind(
        "store-unsafe",
        WRONG,
        "The hub's database is no plain file, or belongs to somebody else.",
        "See what it is, and set it aside.",
    ),
    _kind(
        "store-unusable",
        WRONG,
        "The hub's database is not known to be damaged, but cannot be read: the disk fails.",
        "Look at the disk; copy the database away while you can.",
    ),
    _kind(
        "store-no-room",
        WRONG,
        "So little of the disk is free that the hub accepts no mail; it shows and delivers what is "
        "there.",
        "Free some of it, or lower `free_bytes` in `[hub.limits]` of config.toml.",
    ),
    # --- plugins of ours ---
    _kind(
        "plugin-conflict",
        WRONG,
        "Two installed packages bring a plugin of the same name; no host starts then.",
        "Uninstall one, or block one by the name of its distribution.",
    ),
    _kind(
        "plugin-failed",
        WRONG,
        "A plugin is installed and cannot be loaded; everything goes on without it.",
        "Update or uninstall it, or block it in `[plugins]` of config.toml.",
    ),
    _kind(
        "plugin-set-aside",
        WRONG,
        "A plugin did not answer in time, and the running host asks it no more.",
        "Restart the host to ask it again; block it if that does not last.",
    ),
    _kind(
        "plugin-unmatched",
        WRONG,
        "config.toml names a plugin that is not installed, so that the line does nothing.",
        "Write the name as told, or take it out.",
    ),
    # --- Codex ---
    _kind(
        "codex-missing",
        WRONG,
        "There is no Codex on this machine, so that no session of it can be an agent.",
        "Install Codex so that `codex` is on PATH, or install the extra `codex`.",
    ),
    _kind(
        "codex-bin-wrong",
        WRONG,
        "`AGENT_RELAY_CODEX_BIN`, or `bin` in `[codex]` of config.toml, names no program.",
        "Unset it or take it out, or name the program.",
    ),
    _kind(
        "codex-broken",
        WRONG,
        "Codex is there and does not tell its version.",
        "Run it by hand to see why, and install it again.",
    ),
    _kind(
        "codex-too-old",
        WRONG,
        "This Codex is older than 0.163, and sessions of it cannot be reached.",
        "Update Codex.",
    ),
    _kind(
        "codex-untested",
        NOTE,
        "This Codex is newer than what this release was tested with.",
        "Nothing, as long as `agent-relay demo` proves that a message arrives.",
    ),
    # --- the plugin in Codex ---
    _kind(
        "codex-config-broken",
        WRONG,
        "Codex's own config.toml cannot be read, by Codex neither.",
        "Correct the line that is named.",
    ),
    _kind(
        "plugin-not-installed",
        NOTE,
        "The relay's plugin is not installed into Codex: sessions are found without it, but are "
        "not told what they can do.",
        "Install it; it shows what it will change, and asks.",
    ),
    _kind(
        "marketplace-vanished",
        WRONG,
        "The folder that Codex has the plugin from is gone, so that `codex plugin list` fails.",
        "Install again, which puts it back.",
    ),
    _kind(
        "plugin-incomplete",
        WRONG,
        "Parts of the installation into Codex are missing, changed or of another release.",
        "Install again, which mends what is missing.",
    ),
    _kind(
        "plugin-disabled",
        NOTE,
        "The plugin is switched off in Codex.",
        "Install again, which switches it on.",
    ),
    _kind(
        "launcher-missing",
        WRONG,
        "The launcher is missing, which the plugin runs.",
        "Install again, or let `--fix` write it.",
        mended="writes it",
    ),
    _kind(
        "launcher-damaged",
        WRONG,
        "The launcher is none of ours, was changed, cannot be run, or is open to others.",
        "Install again, or let `--fix` write it.",
        mended="writes it anew",
    ),
    _kind(
        "launcher-dead",
        WRONG,
        "The launcher leads to an environment that is gone.",
        "Install again from here, or let `--fix` write it; any other command does so, too.",
        mended="lets it lead here",
    ),
    _kind(
        "launcher-elsewhere",
        NOTE,
        "The launcher leads to another environment than the one of this command.",
        "Install from here, or use the commands from there.",
    ),
    _kind(
        "hooks-untrusted",
        WRONG,
        "Codex does not run the plugin's hook, because you have not trusted it.",
        "Answer `Hooks need review` in Codex, or trust it by the command; it is never trusted "
        "without your word.",
    ),
    _kind(
        "hooks-modified",
        WRONG,
        "The plugin's files have changed since you trusted its hook, so that Codex does not run "
        "it.",
        "See that you know of the change, then trust it again.",
    ),
    _kind(
        "hooks-disabled",
        NOTE,
        "The plugin's hook is switched off in Codex.",
        "Switch it on: `/hooks` in Codex.",
    ),
    # --- host and hub ---
    _kind(
        "sockets-forbidden",
        WRONG,
        "This command may open no socket: it was run in an agent's sandbox.",
        "Run it in a terminal. Agents use the relay's tools instead of commands.",
    ),
    _kind(
        "host-missing",
        WRONG,
        "No host runs, so that no session of this user gets its mail.",
        "Start it.",
        mended="starts it in the background",
    ),
    _kind(
        "host-silent",
        WRONG,
        "Something listens on the control socket and does not answer as a host does.",
        "End that process and start the host again; nothing that was sent is lost.",
    ),
    _kind(
        "host-other-version",
        WRONG,
        "The running host is of another version than this command.",
        "Let the host of this version take over; sessions go on.",
    ),
    _kind(
        "hub-unreachable",
        WRONG,
        "Nobody answers where the hub should be.",
        "Start it there, or let it be found where it is.",
    ),
    _kind(
        "hub-elsewhere",
        WRONG,
        "The running host serves one hub, and commands typed here ask another.",
        "Unset the variable that names the other hub, or restart the host where it is set.",
    ),
    _kind(
        "hub-foreign",
        WRONG,
        "The hub that listens on the usual port is another user's, so that none of yours starts.",
        "Take another port: for now with `--port 0`, for good with `port` in `[hub]`.",
    ),
    _kind(
        "port-taken",
        WRONG,
        "Another program listens where the hub should.",
        "Stop that program, or take another port: for now with `--port 0`, for good with `port` in "
        "`[hub]`.",
    ),
    _kind(
        "token-wrong",
        WRONG,
        "The hub does not know the token that is used here, so that it was not shown to it.",
        "Use the token that the hub knows, or another hub.",
    ),
    # --- mail ---
    _kind(
        "session-unattended",
        NOTE,
        "Mail waits for a session in which too much was done without a sign of its user.",
        "Type anything into that session.",
    ),
    _kind(
        "session-away",
        NOTE,
        "Mail waits for a session that is not open.",
        "Open it again.",
    ),
    _kind(
        "dead-letters",
        NOTE,
        "There is mail that could not be delivered; its senders were told.",
        "See it with `agent-relay dead`, try it again, or drop it.",
    ),
    _kind(
        "guard-stopped",
        NOTE,
        "Agents answered each other too often, or gave one all its turns of an hour.",
        "See it with `agent-relay guard`, and let it go on if it is to.",
    ),
    _kind(
        "needs-yes",
        NOTE,
        "There is mail that waits for your yes, as `hold_from` in config.toml says.",
        "See it with `agent-relay held`; approve, edit or drop it.",
    ),
    # --- the doctor itself ---
    _kind(
        "check-failed",
        WRONG,
        "A check itself failed or took too long, so that nothing is known there.",
        "Run it again; tell its authors where that does not help.",
    ),
)

BY_CODE = {kind.code: kind for kind in KINDS}


def found(
    code: str,
    detail: str,
    *,
    command: str | None = None,
    advice: str | None = None,
    safe: bool = True,
) -> Finding:
    """Make a finding of a kind; `safe` counts only where the kind can be mended."""
    kind = BY_CODE[code]
    return Finding(
        code=code,
        severity=kind.severity,
        detail=detail,
        command=command,
        advice=advice,
        safe=safe and kind.mended is not None,
    )
