"""Installing the plugin into Codex, and taking it out again, as a user types it."""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay_plugins.codex.hook_launcher import Target, read_target, write_launcher
from relay_plugins.codex.testing.terminal import run_on_terminal
from user_commands import COMMAND_LIMIT_S, PROGRAMS, Done, Relay, Typed, as_version, until

if TYPE_CHECKING:
    from relay_plugins.codex.launcher import CodexBinary
    from relay_plugins.codex.testing import StubModel

KEY = 'hooks.state."relay@agent-relay:'
SHOWN = (
    "copy the plugin's files to ",
    "launcher, which runs ",
    "`codex plugin marketplace add ",
    "`codex plugin add relay@agent-relay`",
    "start the host",
    'relay.sh" hook',
    "Trust it now?",
    "`Hooks need review`",
)


@dataclass
class CodexUser:
    """Somebody who uses a real Codex whose model is the stub."""

    relay: Relay
    binary: "CodexBinary"
    model: "StubModel"

    @property
    def codex_home(self) -> Path:
        return self.relay.home / ".codex"

    @property
    def config(self) -> bytes:
        return (self.codex_home / "config.toml").read_bytes()

    @property
    def launcher(self) -> Path:
        return self.relay.data / "launcher"

    def run(self, *arguments: str) -> Done:
        return self.relay(*arguments, program="agent-relay-codex")

    def on_terminal(self, answers: Sequence[str], *arguments: str) -> str:
        """Type a command and its answers on a terminal; return all that it shows."""
        command = [PROGRAMS / "agent-relay-codex", *arguments]
        environ = {**self.relay.environ, "COLUMNS": "1000"}
        _, shown = run_on_terminal(command, environ=environ, cwd=self.relay.home, answers=answers)
        return shown

    def install(self, *arguments: str) -> Any:
        return self.run("install", "--yes", "--json", *arguments).worked().json

    def codex(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Codex itself."""
        return subprocess.run(
            [self.binary.path, *arguments],
            env=self.relay.environ,
            cwd=self.relay.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_LIMIT_S,
        )

    def stand_in_for_systemd(self) -> Path:
        """Put a systemctl on PATH that starts the host when it is told to; return what it heard."""
        folder = self.relay.home.parent / "bin"
        folder.mkdir()
        heard = folder / "heard"
        script = folder / "systemctl"
        script.write_text(
            "#!/bin/sh\n"
            f'[ "$1" = --user ] && shift && echo "$*" >> {heard}\n'
            f'[ "$1" != enable ] || exec {PROGRAMS / "agent-relay"} up --detach\n'
        )
        script.chmod(0o755)
        self.relay.environ["PATH"] = f"{folder}:{self.relay.environ['PATH']}"
        return heard

    def told(self) -> list[str]:
        """Run one turn in a new session and return what its hooks gave the model."""
        before = len(self.model.requests())
        done = self.codex("exec", "--skip-git-repo-check", "hello")
        assert done.returncode == 0, done.stderr
        (asked,) = [one for one in self.model.requests()[before:] if one.asks_model]
        return [
            item.text
            for item in asked.items
            if item.kind == "developer" and "Agent Relay" in item.text
            # Codex's own list of skills names ours.
            if "<skills_instructions>" not in item.text
        ]

    def listing(self) -> set[str]:
        """Everything in HOME but what Codex keeps for itself."""
        return {
            name
            for path in self.relay.home.rglob("*")
            if not (name := str(path.relative_to(self.relay.home))).startswith(".codex/")
            or "relay" in name
            or name.startswith(".codex/.hook-trust/")
        }


@pytest.fixture
def user(
    short_path: Path, codex_binary: "CodexBinary", stub_model: "StubModel"
) -> Iterator[CodexUser]:
    from relay_plugins.codex.testing import config_toml, write_config

    relay = Relay(short_path / "home", in_process=True)
    relay.environ["AGENT_RELAY_CODEX_BIN"] = str(codex_binary.path)
    relay.environ["PATH"] = codex_binary.path_variable(relay.environ)
    relay.was_up = True
    relay.write_config("[hub]\nport = 0\n")
    person = CodexUser(relay, codex_binary, stub_model)
    text = config_toml(
        stub_model.base_url,
        approval_policy="never",
        sandbox_mode="danger-full-access",
        extra='\n[projects."/a"]\ntrust_level = "trusted"   # as the user wrote it\n',
    )
    write_config(person.codex_home, text)
    yield person
    relay.end()


def test_an_installation_is_trusted_used_repaired_and_gone_without_a_trace(user: CodexUser):
    shutil.rmtree(user.relay.config.parent.parent)
    before, config = user.listing(), user.config
    user.relay.write_config("[hub]\nport = 0\n")
    for folder in (user.relay.config.parent, user.relay.config.parent.parent):
        folder.chmod(0o700)

    declined = user.on_terminal("n", "install")
    assert declined.strip().endswith("agent-relay-codex: nothing was changed")
    assert user.config == config

    systemd = user.stand_in_for_systemd()
    asked = user.on_terminal("yny", "install")
    assert [words for words in SHOWN if words not in asked] == []
    assert systemd.read_text().splitlines() == ["daemon-reload", "enable --now agent-relay.service"]
    assert KEY.encode() not in user.config
    assert user.told() == []

    first = user.install("--trust-hooks")
    again = user.install("--trust-hooks")
    assert [one["step"] for one in first["changed"]] == ["trust_hook"]
    assert (again["changed"], again["hook"]) == ([], "trusted")
    assert user.config.count(KEY.encode()) == 1
    assert len(user.told()) == 1

    shutil.rmtree(user.relay.data / "codex-plugin")
    assert user.codex("plugin", "list").returncode == 1
    user.launcher.unlink()
    repaired = user.install()
    assert [one["step"] for one in repaired["changed"]] == ["copy_plugin", "write_launcher"]
    assert repaired["hook"] == "trusted"
    assert user.codex("plugin", "list").returncode == 0

    shutil.rmtree(user.relay.data / "codex-plugin")  # it comes off in this state, too
    user.run("uninstall", "--yes", "--purge").worked()

    assert systemd.read_text().splitlines()[2:] == ["disable agent-relay.service"]
    assert user.listing() == before
    assert user.config == config
    assert user.codex("plugin", "list").returncode == 0
    nothing = user.run("uninstall", "--yes", "--purge", "--json").worked()
    assert nothing.json["changed"] == []


def test_a_new_version_keeps_the_trust_and_a_vanished_environment_is_told_of(
    user: CodexUser, tmp_path: Path
):
    user.install("--trust-hooks")
    python = _newer_version(tmp_path / "newer")

    upgraded = _install_with(python, user)

    assert [one["step"] for one in upgraded["changed"]] == ["write_launcher", "start_host"]
    assert upgraded["hook"] == "trusted"
    assert f"# uses {python}\n" in user.launcher.read_text()
    assert user.relay("status", "--json").worked().json["host"]["version"] == "9.9.9"
    assert len(user.told()) == 1

    shutil.rmtree(tmp_path / "newer")
    (lost,) = user.told()
    assert "the environment that it was installed to is gone" in lost

    user.relay("down").worked()
    assert f"# uses {sys.executable}\n" in user.launcher.read_text()
    (starting,) = user.told()
    assert "connecting this session" in starting
    until("a host", lambda: user.relay("status", "--json").code == 0)


class TestWithoutCodex:
    """What is refused before Codex is asked for anything."""

    @pytest.fixture(autouse=True)
    def _nothing_on_the_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setitem(sys.modules, "codex_cli_bin", None)

    @pytest.mark.parametrize("command", ["install", "uninstall"])
    def test_without_a_terminal_somebody_has_to_say_yes(self, typed: Typed, command: str):
        said = typed(command, program="agent-relay-codex").failed(2)

        assert "nobody here to ask" in said
        assert "--yes" in said

    def test_a_machine_without_codex_is_told_how_to_get_it(self, typed: Typed):
        said = typed("install", "--yes", program="agent-relay-codex").failed(1)

        assert "there is no Codex on this machine" in said

    def test_a_codex_that_is_too_old_is_named(
        self, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        codex = tmp_path / "codex"
        codex.write_text("#!/bin/sh\necho codex-cli 0.162.4\n")
        codex.chmod(0o755)
        monkeypatch.setenv("AGENT_RELAY_CODEX_BIN", str(codex))

        said = typed("install", "--yes", program="agent-relay-codex").failed(1)

        assert f"{codex} is Codex 0.162.4; the plugin needs 0.163 or later" in said
        assert "update Codex" in said

    def test_an_environment_for_one_run_is_refused(
        self, typed: Typed, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(sys, "prefix", "/h/.cache/uv/archive-v0/x")

        said = typed("install", "--yes", program="agent-relay-codex").failed(1)

        assert "made by uvx for one run" in said
        assert "`uv tool install`" in said

    def test_login_without_systemd_is_refused_before_anything_is_changed(
        self, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        codex = tmp_path / "codex"
        codex.write_text("#!/bin/sh\necho codex-cli 0.163.0\n")
        codex.chmod(0o755)
        monkeypatch.setenv("AGENT_RELAY_CODEX_BIN", str(codex))

        said = typed("install", "--yes", "--start-at-login", program="agent-relay-codex").failed(1)

        assert "--no-start-at-login" in said
        assert list(Path.home().iterdir()) == []

    def test_what_is_ours_goes_even_where_codex_itself_is_gone(
        self, typed: Typed, monkeypatch: pytest.MonkeyPatch
    ):
        config = Path.home() / ".codex" / "config.toml"
        config.parent.mkdir()
        config.write_text('[plugins."relay@agent-relay"]\nenabled = true\n')
        launcher = Path.home() / ".local" / "share" / "agent-relay" / "launcher"
        launcher.parent.mkdir(parents=True)
        launcher.write_text("#!/bin/sh\n")

        done = typed("uninstall", "--yes", program="agent-relay-codex")

        assert done.code == 1
        assert "there is no Codex on this machine" in done.err
        assert f"done: remove {launcher}" in done.out
        assert not launcher.exists()


class TestTheLauncher:
    """Commands keep it right, and make none where nobody installed one."""

    def test_an_up_by_itself_leaves_nothing_for_codex(self, relay: Relay):
        relay.up()

        assert not (relay.data / "launcher").exists()

    def test_an_up_claims_it_also_where_a_host_of_this_version_runs(
        self, relay: Relay, tmp_path: Path
    ):
        (relay.data / "codex-plugin").mkdir(parents=True)
        report = relay.up()
        ours = (relay.data / "launcher").read_text()
        for name in ("python", "run_cached.py", "hook.py"):
            (tmp_path / name).write_text("")
        others = Target(
            python=tmp_path / "python",
            folder=tmp_path,
            control_socket=Path(report["controlSocket"]),
        )
        write_launcher(relay.data / "launcher", others)

        again = relay("up", "--json", apart=True).worked().json

        assert again["already"]
        assert (relay.data / "launcher").read_text() == ours

    def test_a_second_relay_leaves_the_launcher_to_the_first(self, relay: Relay):
        (relay.data / "codex-plugin").mkdir(parents=True)
        relay.up()
        before = (relay.data / "launcher").read_text()

        relay.up(environ={"AGENT_RELAY_HOME": str(relay.home / "second")})
        relay("down", environ={"AGENT_RELAY_HOME": str(relay.home / "second")}).worked()

        assert (relay.data / "launcher").read_text() == before

    def test_any_command_revives_a_dead_one_and_leaves_its_socket(self, relay: Relay):
        launcher = relay.data / "launcher"
        dead = Target(
            python=Path("/gone/python"), folder=Path("/gone"), control_socket=Path("/t/its.sock")
        )
        write_launcher(launcher, dead)

        relay("agents")

        found = read_target(launcher.read_text())
        assert found is not None
        assert (found.python, found.control_socket) == (Path(sys.executable), Path("/t/its.sock"))

    def test_one_that_cannot_be_written_does_not_keep_commands_from_working(self, relay: Relay):
        launcher = relay.data / "launcher"
        launcher.parent.mkdir(parents=True)
        launcher.write_text("# uses /gone/python\n# asks /t/s\n")

        relay("plugins", "--json").worked()

        assert launcher.read_text() == "# uses /gone/python\n# asks /t/s\n"


def _newer_version(folder: Path) -> Path:
    """Make an environment that holds the same packages, ours as if it were a later version."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    paths = [path for path in sys.path if path and Path(path).is_dir()]
    (site / "same.pth").write_text("\n".join(paths) + "\n")
    as_version("9.9.9", site)
    return folder / "bin" / "python"


def _install_with(python: Path, user: CodexUser) -> Any:
    done = subprocess.run(
        [python, "-m", "relay_cli.codex_main", "install", "--yes", "--json"],
        env=user.relay.environ,
        cwd=user.relay.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_LIMIT_S,
    )
    return json.loads(done.stdout)
