"""Every example on every page works as it stands there."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from empty_venv import EmptyVenv, call
from pages import ROOT_WARNING, Example, Shell, examples, matches
from relay_plugins.codex.testing.plain_codex import READY
from relay_plugins.codex.testing.terminal import Terminal
from user_commands import PROGRAMS, Relay, until

ROOT = Path(__file__).parents[2]
WITH_CODEX = "needs a running Codex app-server"
PAGES = [
    Path("README.md"),
    *sorted(
        page.relative_to(ROOT)
        for folder in ("tutorial", "how-to")
        for page in (ROOT / "docs" / folder).glob("*.md")
    ),
]
IN_A_TERMINAL = "<!-- terminal -->"
ON_PATH = "needs Codex 0.163 or later"
INSTALLS = "pip install -e"
CODEX = [page for page in PAGES if WITH_CODEX in (ROOT / page).read_text()]
INSTALLING = [page for page in PAGES if ON_PATH in (ROOT / page).read_text()]
BUILDING = [page for page in PAGES if INSTALLS in (ROOT / page).read_text()]
SITTING = [
    page for page in PAGES if IN_A_TERMINAL in (ROOT / page).read_text() and page not in BUILDING
]
PLAIN = [page for page in PAGES if page not in {*CODEX, *INSTALLING, *SITTING, *BUILDING}]


@pytest.mark.parametrize("page", PLAIN, ids=str)
def test_the_examples_of_a_page_work(user: Relay, page: Path):
    _try(user, page)


@pytest.mark.codex
@pytest.mark.parametrize("page", CODEX, ids=str)
async def test_the_examples_of_a_page_work_with_codex(
    user: Relay, page: Path, codex_server: Any, workplace: Any
):
    async with codex_server.client() as codex:
        thread = await codex.start_thread(workplace.cwd)
        user.environ |= {"APP_SERVER": codex_server.address, "THREAD": thread}
        await _in_thread(user, page)


@pytest.mark.codex
@pytest.mark.parametrize("page", INSTALLING, ids=str)
def test_the_examples_of_a_page_work_where_codex_is_installed(
    user: Relay, page: Path, codex_binary: Any
):
    user.environ["AGENT_RELAY_CODEX_BIN"] = str(codex_binary.path)
    user.write_config("[hub]\nport = 0\n")
    _try(user, page)


@pytest.mark.codex
@pytest.mark.parametrize("codex_of_version", ["0.163"], indirect=True)
@pytest.mark.parametrize("page", SITTING, ids=str)
def test_the_examples_of_a_page_work_in_a_terminal(
    user: Relay, page: Path, codex_binary: Any, stub_model: Any
):
    _sit(user, page, codex_binary, stub_model)


@pytest.mark.codex
@pytest.mark.timeout(600)
@pytest.mark.parametrize("codex_of_version", ["0.163"], indirect=True)
@pytest.mark.parametrize("page", BUILDING, ids=str)
def test_the_examples_of_a_page_work_in_an_environment_of_ones_own(
    user: Relay, page: Path, codex_binary: Any, stub_model: Any, own_environment: Path
):
    user.environ["PATH"] = f"{own_environment}{os.pathsep}{user.environ['PATH']}"

    _sit(user, page, codex_binary, stub_model)


@pytest.fixture
def own_environment(tmp_path: Path) -> Path:
    """The programs of a virtual environment with the relay and what plugins' tests need."""
    wheels = tmp_path / "wheels"
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, ROOT, cwd=tmp_path)
    (wheel,) = wheels.glob("*.whl")
    environment = EmptyVenv(tmp_path)
    environment.install(f"{wheel}[testing]")
    return environment.bin


def _sit(user: Relay, page: Path, codex_binary: Any, stub_model: Any) -> None:
    """Try a page in front of a terminal, with a real Codex whose model is the stub."""
    from relay_plugins.codex.testing import config_toml, write_config

    user.environ["AGENT_RELAY_CODEX_BIN"] = str(codex_binary.path)
    user.write_config("[hub]\nport = 0\n")
    text = config_toml(stub_model.base_url, trusted=[user.home])
    write_config(user.home / ".codex", text)
    desk = Desk(user)
    try:
        _try(user, page, desk)
    finally:
        desk.close()


class Desk:
    """The terminals of a page, of which one at a time is open."""

    def __init__(self, user: Relay) -> None:
        self._user = user
        self._open: Terminal | None = None

    def __call__(self, example: Example) -> str:
        """Type a line and return what is left to be seen; nothing while it stays open."""
        if example.command == "/quit" and self._open is not None:
            self._open.type("/quit")
            self._open.until("exit Codex")
            self._open.press("enter")
            return self._until_ended(self._open)
        self.close()
        command = ["bash", "-c", example.command]
        terminal = Terminal(command, environ=self._user.environ, cwd=self._user.home, columns=500)
        self._open = terminal
        if example.expected:
            return self._until_ended(terminal)
        terminal.until(READY)
        until("an agent", self._is_reached)
        return ""

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _is_reached(self) -> bool:
        agents = self._user("agents", "--json").worked().json["agents"]
        return any(each["reachable"] for each in agents)

    @staticmethod
    def _until_ended(terminal: Terminal) -> str:
        terminal.wait()
        terminal.close()
        lines = [line for line in terminal.text.split("\n") if ROOT_WARNING not in line]
        return "\n".join(lines).strip("\n")


@pytest.fixture
def user(short_path: Path) -> Iterator[Relay]:
    """A user with the programs on PATH."""
    relay = Relay(short_path / "home")
    relay.environ["PATH"] = f"{PROGRAMS}{os.pathsep}{relay.environ['PATH']}"
    relay.was_up = True
    yield relay
    relay.end()


def _try(user: Relay, page: Path, desk: Desk | None = None) -> None:
    shell = Shell(user.environ, user.home)
    for example in examples(ROOT / page):
        if example.file is not None:
            shell.write(example)
            continue
        printed = desk(example) if desk and example.in_terminal else shell(example)
        where = f"{page}:{example.line}: {example.command}"
        assert matches(example.expected, printed), f"{where}\n{printed}"


async def _in_thread(user: Relay, page: Path) -> None:
    import asyncio

    await asyncio.to_thread(_try, user, page)
