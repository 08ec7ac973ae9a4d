"""Somebody types `codex`, and the session takes part, through whatever is restarted."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay_core.control import call
from relay_core.host_api import StopRequest
from relay_core.places import find_places
from relay_plugins.codex.testing.plain_codex import PlainCodex
from relay_plugins.codex.testing.replies import Hang
from user_commands import Relay, until

README = Path(__file__).parents[2] / "README.md"
DRAFT = "half a thought about the cart"
MAIL = ("tag:shop", "Which test fails on your branch?", "--subject", "the red build")


class Picture:
    """What README shows of a terminal, of the newest Codex that the tests know.

    `pytest -k before_its_first_prompt --write-pictures` writes it from what is seen.
    """

    def __init__(self, *, shown: bool, write: bool) -> None:
        self._shown = shown
        self._write = write

    def check(self, screen: str) -> None:
        """Hold README's picture to a screen, or write it from there."""
        text = README.read_text(encoding="utf-8")
        head, mark, rest = text.partition("<!-- ci: terminal -->\n```text\n")
        picture, fence, tail = rest.partition("\n```")
        seen = _without_ends(screen)
        if self._shown and self._write:
            README.write_text(f"{head}{mark}{seen}{fence}{tail}", encoding="utf-8")
        elif self._shown:
            assert _without_what_changes(seen) == _without_what_changes(picture)


def _without_ends(screen: str) -> str:
    """The conversation, with one blank line where there are several."""
    shown = screen.partition("\n\n\n")[2] if "OpenAI Codex" in screen else screen
    return re.sub(r"\n{3,}", "\n\n", shown.rpartition("\n")[0]).strip("\n")


def _without_what_changes(screen: str) -> list[str]:
    plain = re.sub(r"[0-9a-f]{32}|-[0-9a-f]{12}\b|[0-9]+", "N", screen)
    return plain.split()


@pytest.fixture
def picture(codex_binary: Any, request: pytest.FixtureRequest) -> Picture:
    return Picture(
        shown=codex_binary.version.startswith("0.169"),
        write=bool(request.config.getoption("--write-pictures")),
    )


@dataclass
class Desk:
    """One user: the terminals with Codex, and the relay's commands, of one home."""

    codex: PlainCodex
    relay: Relay

    def agents(self) -> list[dict[str, Any]]:
        return list(self.relay("agents", "--json").worked().json["agents"])

    def agent(self) -> str:
        """The one agent that there is, as soon as it can be reached."""

        def reachable() -> list[str]:
            return [str(each["id"]) for each in self.agents() if each["reachable"]]

        (agent,) = until("the session is an agent", reachable)
        return agent

    def install(self) -> None:
        """What a user types once, after installing the package."""
        self.relay.codex("install", "--yes", "--trust-hooks").worked()

    def told(self) -> str:
        """The agent id that the first request of the session's model had in its context."""
        request = next(each for each in self.codex.model.requests() if each.count("Agent Relay"))
        (context,) = (
            item.text
            for item in request.items
            if item.kind == "developer" and item.text.startswith("This session takes part")
        )
        return context.partition("agent id: ")[2].partition(";")[0]

    def session(self) -> dict[str, Any]:
        (session,) = self.relay("status", "--json").worked().json["sessions"]
        return dict(session)

    def rest(self) -> None:
        """Wait for the end of the turn: what is sent while it runs joins it, and starts none."""
        until("the turn has ended", lambda: self.session()["activity"] == "at_rest")

    def connection(self) -> str:
        return str(self.session()["connection"])

    def hand_over(self) -> None:
        """Ask the host to end for another one, as a new version does."""
        places = find_places(self.relay.environ, os.getuid())
        asyncio.run(call(places.control_socket, "stop", StopRequest(handover=True)))
        self.relay.started[-1].wait(30)

    def send(self, to: str, body: str, *options: str) -> None:
        sent = self.relay("send", to, body, *options, "--wait", "60", "--json").worked().json
        assert [each["state"] for each in sent["deliveries"]] == ["delivered"], sent


@pytest.fixture
def desk(plain_codex: PlainCodex) -> Iterator[Desk]:
    environ = {
        "CODEX_HOME": str(plain_codex.codex_home),
        "AGENT_RELAY_CODEX_BIN": str(plain_codex.binary.path),
    }
    relay = Relay(plain_codex.home, in_process=True, environ=environ)
    yield Desk(plain_codex, relay)
    relay.end()


def test_a_plain_session_is_an_agent_before_its_first_prompt_and_gets_its_mail_live(
    desk: Desk, picture: Picture
):
    desk.relay.up()
    desk.install()
    terminal = desk.codex.open()
    agent = desk.agent()
    terminal.type(DRAFT)
    terminal.until(DRAFT)

    desk.send(*MAIL)

    terminal.until(MAIL[1])
    terminal.until("Understood.")
    assert DRAFT in terminal.screen
    assert set(desk.codex.model.counts(MAIL[1])) == {1}
    assert desk.told() == agent, "the first turn's request tells the model who it is"
    terminal.until("Worked for")
    picture.check(terminal.screen)

    # Whoever presses Esc wants quiet.
    terminal.press(*["backspace"] * len(DRAFT))
    desk.codex.model.enqueue(Hang())
    terminal.enter("a long turn")
    terminal.until("esc to interrupt")
    terminal.press("escape")
    terminal.until("Conversation interrupted")
    desk.relay("send", agent, "mark-4712").worked()
    until("mail waits", lambda: desk.session()["waiting"] == "user_interrupted")
    assert "mark-4712" not in terminal.screen


def test_a_session_without_a_socket_is_an_agent_from_its_first_turn(desk: Desk):
    desk.relay.up()
    desk.install()
    terminal = desk.codex.open("--no-daemon")
    terminal.enter("a first word")
    terminal.until("Understood.")
    agent = desk.agent()

    desk.send(agent, "mark-4711")

    terminal.until("mark-4711")
    assert desk.told() == agent
    assert max(desk.codex.model.counts("mark-4711")) == 1
    terminal.close()
    until("the session is away", lambda: desk.connection() == "away")

    desk.codex.run("mark-exec")
    request = next(each for each in desk.codex.model.requests() if each.count("mark-exec"))
    assert request.count("This run of Codex ends with its turn") == 1
    assert [each["id"] for each in desk.agents()] == [agent]


def test_a_plain_session_stays_the_same_agent_through_every_restart(desk: Desk):
    codex, relay = desk.codex, desk.relay
    relay.write_config("[delivery]\nunattended_budget = 2\n")
    host = relay.up()["pid"]
    terminal = codex.open()
    agent = desk.agent()
    terminal.enter("a first word")
    terminal.until("Understood.")

    relay_again = [0]

    def said(what: str) -> str:
        relay_again[0] += 1
        return f"mail-{relay_again[0]} {what}"

    # Codex is stopped, and killed: nobody is there, and what is sent meanwhile waits.
    for end in (codex.stop_daemon, codex.kill_daemon):
        end()
        until("the session is away", lambda: desk.connection() == "away")
        text = said(end.__name__)
        relay("send", agent, text).worked()
        codex.start_daemon()
        terminal.until(text)

    # The terminal is closed and opened again; meanwhile the host was killed.
    thread = codex.quit(terminal).rpartition("codex resume ")[2].split()[0]
    codex.kill_daemon()
    os.kill(host, signal.SIGKILL)
    elsewhere = codex.cwd.parent / "elsewhere"
    elsewhere.mkdir()
    relay.up()
    text = said("resumed")
    relay("send", agent, text).worked()
    terminal = codex.open("resume", thread, "-C", str(elsewhere))
    terminal.until(text)

    # The host gives way to another one.
    desk.hand_over()
    relay.up()
    desk.send(agent, said("handed over"))
    desk.rest()

    # Nobody has typed since: after as many turns as are allowed, mail waits for a sign of the user.
    desk.send(agent, said("the last one"))
    desk.rest()
    relay("send", agent, said("nobody is there")).worked()
    until("mail waits", lambda: desk.session()["waiting"] == "unattended")
    terminal.enter("I am back")
    terminal.until("nobody is there")

    assert [each["id"] for each in desk.agents()] == [agent], "one thread, one agent"
    for word in ("mail-1", "mail-2", "mail-3", "mail-4", "mail-5", "mail-6"):
        requests = [each for each in codex.model.requests() if each.thread_id == thread]
        twice = [each.items for each in requests if each.count(word) > 1]
        shown = relay("show", word.removeprefix("mail-"), "--json").out
        assert not twice, (twice[0], shown)
        assert any(each.count(word) for each in requests), shown
