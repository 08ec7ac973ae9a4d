"""Every example on every page works as it stands there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pages import Shell, examples, matches
from user_commands import PROGRAMS, Relay

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
ON_PATH = "needs Codex 0.163 or later"
CODEX = [page for page in PAGES if WITH_CODEX in (ROOT / page).read_text()]
INSTALLING = [page for page in PAGES if ON_PATH in (ROOT / page).read_text()]
PLAIN = [page for page in PAGES if page not in {*CODEX, *INSTALLING}]


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


@pytest.fixture
def user(short_path: Path) -> Iterator[Relay]:
    """A user with the programs on PATH."""
    relay = Relay(short_path / "home")
    relay.environ["PATH"] = f"{PROGRAMS}{os.pathsep}{relay.environ['PATH']}"
    relay.was_up = True
    yield relay
    relay.end()


def _try(user: Relay, page: Path) -> None:
    shell = Shell(user.environ, user.home)
    for example in examples(ROOT / page):
        if example.file is not None:
            shell.write(example)
            continue
        printed = shell(example)
        where = f"{page}:{example.line}: {example.command}"
        assert matches(example.expected, printed), f"{where}\n{printed}"


async def _in_thread(user: Relay, page: Path) -> None:
    import asyncio

    await asyncio.to_thread(_try, user, page)
