"""The host at login: what is written, and what systemd is told."""

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from relay_core import SettingsError
from relay_plugins.codex.login_service import (
    UNIT,
    LoginServiceFailed,
    Service,
    forget_login,
    start_at_login,
    systemd_text,
    this_service,
)

ODD = '/a b/50%/"q"\\python'


class Systemctl:
    """A stand-in on PATH that writes down what it is told, and does what `enable` does."""

    def __init__(self, folder: Path, *, status: int = 0) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.log = folder / "told"
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "systemctl"
        program.write_text(
            f'#!/bin/sh\necho "$*" >> {self.log}\necho "no bus" >&2\n'
            f"[ {status} = 0 ] || exit {status}\n"
            f'wants="$HOME/.config/systemd/user/default.target.wants"\n'
            f'case "$2" in\n'
            f'enable) /bin/mkdir -p "$wants"; /bin/ln -sf ../{UNIT} "$wants/{UNIT}" ;;\n'
            f'disable) /bin/rm -f "$wants/{UNIT}" ;;\nesac\n'
        )
        program.chmod(0o755)
        self.environ = {"HOME": str(self.home), "PATH": str(programs)}

    @property
    def service(self) -> Service:
        return this_service(self.environ, "linux")

    @property
    def told(self) -> list[str]:
        return self.log.read_text().splitlines()


def test_systemd_is_given_the_unit_and_told_to_start_it(tmp_path: Path):
    systemctl = Systemctl(tmp_path)

    start_at_login(systemctl.service, systemctl.environ)

    assert systemctl.told == ["--user daemon-reload", f"--user enable --now {UNIT}"]
    assert systemctl.service.is_current


def test_nothing_is_left_where_systemd_refuses(tmp_path: Path):
    systemctl = Systemctl(tmp_path, status=1)

    with pytest.raises(
        LoginServiceFailed, match=r"systemctl --user daemon-reload`: no bus"
    ) as caught:
        start_at_login(systemctl.service, systemctl.environ)

    assert caught.value.fix == "use --no-start-at-login"
    assert not systemctl.service.is_written


def test_a_unit_that_was_there_is_put_back_where_systemd_refuses(tmp_path: Path):
    systemctl = Systemctl(tmp_path, status=1)
    systemctl.service.file.parent.mkdir(parents=True)
    systemctl.service.file.write_text("[Unit]\n")

    with pytest.raises(LoginServiceFailed):
        start_at_login(systemctl.service, systemctl.environ)

    assert systemctl.service.file.read_text() == "[Unit]\n"


def test_it_is_switched_off_before_its_file_goes(tmp_path: Path):
    systemctl = Systemctl(tmp_path)
    start_at_login(systemctl.service, systemctl.environ)

    complaint = forget_login(systemctl.service, systemctl.environ)

    assert complaint is None
    assert systemctl.told[2:] == [f"--user disable {UNIT}"]
    assert [path for path in systemctl.home.rglob("*") if not path.is_dir()] == []


def test_without_systemd_its_file_and_its_link_go_all_the_same(tmp_path: Path):
    systemctl = Systemctl(tmp_path)
    start_at_login(systemctl.service, systemctl.environ)
    environ = {**systemctl.environ, "PATH": "/nowhere"}

    complaint = forget_login(systemctl.service, environ)

    assert complaint is None
    assert [path for path in systemctl.home.rglob("*") if not path.is_dir()] == []


def test_what_systemd_did_not_do_is_told_and_the_rest_is_done(tmp_path: Path):
    systemctl = Systemctl(tmp_path)
    start_at_login(systemctl.service, systemctl.environ)
    program = tmp_path / "bin" / "systemctl"
    program.write_text("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n")

    complaint = forget_login(systemctl.service, systemctl.environ)

    assert complaint == f"`systemctl --user disable {UNIT}`: Failed to connect to bus"
    assert [path for path in systemctl.home.rglob("*") if not path.is_dir()] == []


def test_a_host_at_login_knows_what_this_one_knows_and_no_token():
    environ = {
        "HOME": "/h",
        "PATH": "/bin",
        "CODEX_HOME": "/c",
        "AGENT_RELAY_TOKEN": "a-secret-token",
        "LANG": "C",
    }

    text = this_service(environ, "linux").text

    assert 'Environment="CODEX_HOME=/c"\nEnvironment="PATH=/bin"\n' in text
    assert "a-secret-token" not in text
    assert "LANG" not in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_itself_finds_no_fault_in_the_unit(tmp_path: Path):
    unit = tmp_path / UNIT
    python = tmp_path / "50% $x python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    unit.write_text(systemd_text(str(python), {"AGENT_RELAY_HOME": ODD, "PATH": "/bin:/a b"}))

    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, UNIT in done.stderr) == (0, False), done


def test_the_file_for_launchd_is_a_property_list():
    service = this_service({"HOME": "/h", "PATH": "/bin"}, "darwin")
    described = plistlib.loads(service.text.encode())

    assert service.file == Path("/h/Library/LaunchAgents/agent-relay.plist")
    assert described["ProgramArguments"][1:] == ["-m", "relay_cli", "up"]
    assert described["EnvironmentVariables"] == {"PATH": "/bin"}


def test_a_home_that_is_no_path_is_refused():
    with pytest.raises(SettingsError, match="HOME is not set"):
        this_service({"HOME": "here"}, "linux")
