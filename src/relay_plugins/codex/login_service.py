"""Running the host at login: a systemd user unit, or a launchd file on macOS.

The launchd file is written as its manual says and has not been tried.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from relay_core import RelayError, SettingsError, Struct, make_private_folder

UNIT = "agent-relay.service"
LABEL = "agent-relay"
LIMIT_S = 60.0
ARGUMENTS = ("-m", "relay_cli", "up")
KEPT = ("AGENT_RELAY_CODEX_BIN", "AGENT_RELAY_HOME", "AGENT_RELAY_URL", "CODEX_HOME", "PATH")
"""What a host started at login would not know otherwise; no token ever stands in such a file."""
NEVER_AGAIN = "2 4"
"""Exit codes that starting it again does not mend: wrong settings, damaged files."""


class LoginServiceFailed(RelayError):
    """systemd or launchd did not do what it was asked."""

    code = "login_service_failed"


class Service(Struct):
    """What runs the host at login, as it would be written here.

    `program` is what has to know of the file: systemctl or launchctl.
    """

    file: Path
    text: str
    program: str
    enable: tuple[tuple[str, ...], ...]
    disable: tuple[str, ...]

    @property
    def is_written(self) -> bool:
        """The file is there, of whatever content."""
        return os.path.lexists(self.file)

    @property
    def is_current(self) -> bool:
        """The file is there, as it would be written now."""
        try:
            return self.file.read_text(encoding="utf-8") == self.text
        except (OSError, UnicodeDecodeError):
            return False


def this_service(environ: Mapping[str, str], platform: str = sys.platform) -> Service:
    """Describe the service for this environment's Python; SettingsError where HOME is no path."""
    home = Path(environ.get("HOME", ""))
    if not home.is_absolute():
        raise SettingsError("HOME is not set", fix="export HOME to your home folder")
    python = str(Path(sys.executable).absolute())
    kept = {name: environ[name] for name in KEPT if environ.get(name)}
    if any("\n" in value for value in (python, *kept.values())):
        raise SettingsError("a path of this environment has a line end in it")
    if platform == "darwin":
        file = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        return Service(
            file=file,
            text=launchd_text(python, kept),
            program="launchctl",
            enable=(("load", "-w", str(file)),),
            disable=("unload", "-w", str(file)),
        )
    return Service(
        file=home / ".config" / "systemd" / "user" / UNIT,
        text=systemd_text(python, kept),
        program="systemctl",
        enable=(("--user", "daemon-reload"), ("--user", "enable", "--now", UNIT)),
        disable=("--user", "disable", UNIT),
    )


def systemd_text(python: str, environ: Mapping[str, str]) -> str:
    """Write the unit."""
    command = " ".join((_quoted(python), *ARGUMENTS))
    lines = [
        "[Unit]",
        "Description=Agent Relay: messages between coding agents",
        "",
        "[Service]",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in environ.items()),
        f"ExecStart={command}",
        "Restart=on-failure",
        "RestartSec=5",
        f"RestartPreventExitStatus={NEVER_AGAIN}",
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    ]
    return "\n".join(lines)


def launchd_text(python: str, environ: Mapping[str, str]) -> str:
    """Write the property list."""
    described = {
        "Label": LABEL,
        "ProgramArguments": [python, *ARGUMENTS],
        "EnvironmentVariables": dict(environ),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
    }
    return plistlib.dumps(described).decode()


def find_program(service: Service, environ: Mapping[str, str]) -> str | None:
    """Find systemctl or launchctl; None where this machine has none."""
    return shutil.which(service.program, path=environ.get("PATH") or os.defpath)


def start_at_login(service: Service, environ: Mapping[str, str]) -> None:
    """Write the file and switch it on.

    Raises LoginServiceFailed where that fails; the file is taken away again then.
    """
    before = service.file.read_bytes() if service.is_written else None
    make_private_folder(service.file.parent)
    service.file.write_text(service.text, encoding="utf-8")
    service.file.chmod(0o600)
    try:
        for arguments in service.enable:
            _run(service, arguments, environ)
    except LoginServiceFailed:
        if before is None:
            service.file.unlink()
        else:
            service.file.write_bytes(before)
        raise


def forget_login(service: Service, environ: Mapping[str, str]) -> str | None:
    """Switch it off and remove the file; return what could not be switched off, and why."""
    complaint: str | None = None
    if find_program(service, environ) is not None:
        try:
            _run(service, service.disable, environ)
        except LoginServiceFailed as error:
            complaint = error.detail
    service.file.unlink(missing_ok=True)
    if service.program == "systemctl":
        # Where there was nobody to do it: the link that `enable` had made.
        (service.file.parent / "default.target.wants" / UNIT).unlink(missing_ok=True)
    return complaint


def _run(service: Service, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    program = find_program(service, environ)
    if program is None:
        raise LoginServiceFailed(f"there is no {service.program} on this machine")
    _complete([program, *arguments], environ)


def _complete(command: Sequence[str], environ: Mapping[str, str]) -> None:
    shown = " ".join((Path(command[0]).name, *command[1:]))
    try:
        done = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoginServiceFailed(f"`{shown}`: {error}") from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise LoginServiceFailed(f"`{shown}`: {said}", fix="use --no-start-at-login")


def _quoted(text: str) -> str:
    """Quote for a unit file, where % has a meaning of its own."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
