"""`codex-relay`: a session with an app-server of its own, on the real Codex in a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import StubModel, config_toml, write_config
from relay_plugins.codex.testing.plain_codex import READY
from relay_plugins.codex.testing.processes import processes_with
from relay_plugins.codex.testing.terminal import Terminal
from user_commands import PROGRAMS, Relay, until

PROFILES = {
    "frontend-developer": {
        "label": "frontend dev",
        "tags": ["frontend", "ui"],
        "capabilities": ["chat", "review", "frontend"],
        "channels": ["frontend"],
        "approval": "guarded",
    }
}
ENDED = "this session's app-server has ended"


@dataclass
class Desk:
    """One user who types `codex-relay` in terminals."""

    relay: Relay
    cwd: Path
    model: StubModel
    terminals: list[Terminal] = field(default_factory=list[Terminal])

    def type(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Terminal:
        terminal = Terminal(
            [PROGRAMS / "codex-relay", *arguments],
            environ={**self.relay.environ, **(environ or {})},
            cwd=self.cwd,
        )
        self.terminals.append(terminal)
        return terminal

    def open(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Terminal:
        terminal = self.type(*arguments, environ=environ)
        terminal.until(READY)
        return terminal

    def quit(self, terminal: Terminal) -> str:
        """Type `/quit`, wait for the end, and return what was said at last."""
        terminal.type("/quit")
        terminal.until("exit Codex")
        terminal.press("enter")
        assert terminal.wait() == 0, terminal.text
        terminal.close()
        return terminal.text

    def agents(self, reachable: int) -> list[dict[str, Any]]:
        """The agents, as soon as so many of them can be reached."""

        def found() -> list[dict[str, Any]]:
            listed = self.relay("agents", "--json").worked().json["agents"]
            there = [each for each in listed if each["reachable"]]
            return listed if len(there) == reachable else []

        return until(f"{reachable} agents", found)

    def send(self, to: str, body: str) -> None:
        sent = self.relay("send", to, body, "--wait", "60", "--json").worked().json
        assert [each["state"] for each in sent["deliveries"]] == ["delivered"], sent

    def processes(self, mark: str = "") -> dict[int, str]:
        """Everything that runs with this user's HOME and is no host, with its command line."""
        commands = processes_with("HOME", self.relay.home).items()
        return {pid: said for pid, said in commands if mark in said and " up" not in said}

    def server(self) -> int:
        """The process of the one app-server."""
        (pid,) = self.processes("app-server --listen")
        return pid

    def files(self) -> list[Path]:
        """What the app-servers that run now have put where: folders and sockets."""
        commands = self.processes("app-server --listen").values()
        sockets = [Path(each.split("unix://")[1].split()[0]) for each in commands]
        behind = [each.resolve() for each in sockets]
        return [*(each.parent for each in sockets), *behind, *(Path(f"{s}.lock") for s in behind)]

    def gone(self, files: list[Path]) -> bool:
        """Whether no process is left, and none of these files."""
        return not self.processes() and not any(map(os.path.lexists, files))

    def end(self) -> None:
        for terminal in self.terminals:
            terminal.close()
        self.relay.was_up = True
        self.relay.end()


@pytest.fixture
def desk(codex_binary: CodexBinary, stub_model: StubModel, short_path: Path) -> Iterator[Desk]:
    relay = Relay(
        short_path / "home",
        in_process=True,
        environ={"AGENT_RELAY_CODEX_BIN": str(codex_binary.path)},
    )
    cwd = relay.home / "shop"
    cwd.mkdir()
    write_config(relay.home / ".codex", config_toml(stub_model.base_url, trusted=[cwd]))
    relay.write_config("[hub]\nport = 0\n")
    (relay.config.parent / "profiles.json").write_text(json.dumps(PROFILES))
    desk = Desk(relay, cwd, stub_model)
    yield desk
    desk.end()


def test_a_session_is_what_its_profile_says_and_leaves_nothing(desk: Desk, short_path: Path):
    state = short_path / "state.json"
    environ = {
        "AGENT_RELAY_PROFILE": "frontend-developer",
        "AGENT_RELAY_CODEX_STATE_PATH": str(state),
        "CODEX_THREAD_ID": "01a2035e-65cf-7a23-8732-e01ec8959ad9",
    }
    terminal = desk.open(environ=environ)
    (agent,) = desk.agents(1)
    told = {key: agent[key] for key in ("label", "capabilities", "channels", "approval")}
    assert told == {
        "label": "frontend dev",
        "capabilities": ["chat", "review", "frontend"],
        "channels": ["frontend"],
        "approval": "guarded",
    }
    assert agent["tags"] == ["codex", "codex-live", "shop", "frontend", "ui"]

    desk.send(agent["id"], "mark-4711")
    terminal.until("mark-4711")
    terminal.until("Understood.")
    assert set(desk.model.counts("mark-4711")) == {1}
    assert _turn(desk, agent["threadId"]) == ("on-request", "workspace-write")
    (after,) = desk.agents(1)
    assert after["approval"] == "guarded"
    shown = json.loads(until("the turn has ended", lambda: _if_idle(state)))
    assert state.stat().st_mode & 0o777 == 0o600
    assert (shown["agentId"], shown["threadId"]) == (agent["id"], agent["threadId"])
    assert (shown["agentEpoch"], shown["activeTurnId"]) == (1, None)
    assert shown["agentInstanceId"] == shown["instanceId"]

    files = desk.files()
    assert [oct(each.stat().st_mode & 0o777) for each in files[:2]] == ["0o700", "0o600"]
    said = desk.quit(terminal)
    assert ENDED in said
    assert desk.gone([*files, state]), desk.processes()
    assert desk.relay("status", "--json").worked().json["sessions"] == []

    again = desk.open("resume", "--last", environ=environ)
    (resumed,) = desk.agents(1)
    assert (resumed["id"], resumed["approval"]) == (agent["id"], "guarded")
    desk.quit(again)

    strict = environ | {"CODEX_THREAD_MODE": "auto", "AGENT_RELAY_APPROVAL": "read-only"}
    strict["CODEX_THREAD_ID"] = agent["threadId"]
    refused = desk.type(environ=strict)
    assert refused.wait() == 1
    refused.close()
    assert "this session ran with the sandbox workspace-write" in refused.text.replace("\n", " ")
    assert desk.gone([])


def test_two_terminals_in_a_folder_are_two_agents_whatever_is_killed(desk: Desk):
    up = desk.relay.up()
    one = desk.open(environ={"AGENT_RELAY_LABEL": "one"})
    two = desk.open(environ={"AGENT_RELAY_LABEL": "two", "AGENT_RELAY_APPROVAL": "open"})
    before = {each["label"]: each["id"] for each in desk.agents(2)}
    assert len(set(before.values())) == len(before) == 2
    files = desk.files()

    os.kill(up["pid"], signal.SIGKILL)
    desk.relay.up()
    assert {each["label"]: each["id"] for each in desk.agents(2)} == before
    desk.send("label:one", "after the host's crash")
    one.until("crash")

    one.kill()
    (left,) = [each for each in desk.agents(1) if each["reachable"]]
    assert left["label"] == "two"
    until("its app-server has gone", lambda: len(desk.processes("app-server --listen")) == 1)

    two.close()
    until("nothing is left of the other", lambda: desk.gone(files))
    assert not any(each["reachable"] for each in desk.agents(0))
    assert not (desk.relay.data / "host.json").exists()


def test_an_app_server_that_dies_ends_its_terminal_in_one_line(desk: Desk):
    terminal = desk.open()
    desk.agents(1)
    files = desk.files()

    os.kill(desk.server(), signal.SIGKILL)

    assert terminal.wait() == 1
    terminal.close()
    assert "codex-relay: Codex's app-server has ended (signal 9)" in terminal.text
    assert desk.gone(files)


async def test_a_shared_app_server_gives_this_terminals_threads_alone(
    desk: Desk, codex_server: Any, workplace: Any
):
    desk.cwd, desk.relay.in_process = workplace.cwd, False
    environ = {
        "CODEX_HOME": str(workplace.codex_home),
        "CODEX_APP_SERVER_URL": codex_server.address,
        "AGENT_RELAY_LABEL": "guest",
        "CODEX_MODEL": "other-model",
    }
    async with codex_server.client() as other:
        await other.start_thread(workplace.cwd)
        await asyncio.to_thread(_share, desk, environ)
    assert codex_server.is_running()


def _share(desk: Desk, environ: dict[str, str]) -> None:
    terminal = desk.open(environ=environ)
    (agent,) = desk.agents(1)
    assert agent["label"] == "guest"
    desk.send(agent["id"], "mark-4711")
    terminal.until("mark-4711")
    desk.quit(terminal)
    desk.agents(0)
    assert desk.relay("status", "--json").worked().json["sessions"] == []
    assert not desk.processes("codex --remote")


def _if_idle(state: Path) -> str:
    text = state.read_text()
    return text if json.loads(text)["threadStatus"] == "idle" else ""


def _turn(desk: Desk, thread: str) -> tuple[str, str]:
    """Approval policy and sandbox of the newest turn, as Codex wrote them down."""
    (rollout,) = (desk.relay.home / ".codex").glob(f"sessions/*/*/*/*-{thread}.jsonl")
    lines = [json.loads(line) for line in rollout.read_text().splitlines()]
    newest = [line["payload"] for line in lines if line["type"] == "turn_context"][-1]
    return newest["approval_policy"], newest["sandbox_policy"]["type"]
