"""Somebody types `codex`, and the session takes part, through whatever is restarted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from plain_codex import PlainCodex
from user_commands import Relay, until


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

    def send(self, to: str, body: str) -> None:
        sent = self.relay("send", to, body, "--wait", "60", "--json").worked().json
        assert [each["state"] for each in sent["deliveries"]] == ["delivered"], sent


@pytest.fixture
def desk(plain_codex: PlainCodex) -> Iterator[Desk]:
    environ = {"CODEX_HOME": str(plain_codex.codex_home)}
    relay = Relay(plain_codex.home, environ=environ)
    yield Desk(plain_codex, relay)
    relay.end()


def test_a_plain_session_is_an_agent_before_its_first_prompt_and_gets_its_mail_live(desk: Desk):
    desk.relay.up()
    terminal = desk.codex.open()
    agent = desk.agent()
    terminal.type("my half-typed draft")
    terminal.until("half-typed draft")

    desk.send(agent, "mark-4711")

    terminal.until("mark-4711")
    terminal.until("Understood.")
    assert "my half-typed draft" in terminal.screen
    assert set(desk.codex.model.counts("mark-4711")) == {1}
