"""Faults of plugins, of the mail and of other users' files, found; what is advised mends them."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from installed_plugins import install
from other_user import OtherUser
from patient import Patient, codes
from relay_core.errors import HubRefused
from relay_core.hub_api import HeartbeatRequest, RegisterRequest, SendRequest, Served
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId
from user_commands import Relay, until

HANGING = """
import time
from relay_core import hookimpl

@hookimpl
def on_message(message, session):
    time.sleep(2)
"""


@pytest.fixture
def patient(relay: Relay) -> Patient:
    return Patient(relay)


def test_a_plugin_that_cannot_be_loaded_is_blocked(patient: Patient):
    install(patient.relay, "loud", "raise RuntimeError('not today')\n")

    finding = patient.finding("plugin-failed", apart=True)
    assert "not today" in finding["detail"]
    assert 'block = ["loud"] in [plugins]' in finding["advice"]
    patient.config('[plugins]\nblock = ["loud"]\n')

    assert "plugin-failed" not in codes(patient.looked(apart=True))


def test_of_two_plugins_of_one_name_one_is_blocked(patient: Patient):
    install(patient.relay, "loud", HANGING, distribution="first-dist")
    install(patient.relay, "loud", HANGING, distribution="second-dist")

    finding = patient.finding("plugin-conflict", apart=True)
    assert "host-missing" not in codes(patient.looked(apart=True))
    assert "second-dist into plugins.block" in finding["advice"]
    patient.config('[plugins]\nblock = ["second-dist"]\n')

    assert "plugin-conflict" not in codes(patient.looked(apart=True))


def test_a_name_that_no_plugin_has_is_taken_out(patient: Patient):
    patient.config('[plugins]\nblock = ["relay.channel"]\n')

    finding = patient.finding("plugin-unmatched")
    assert "did you mean relay.channels?" in finding["advice"]
    patient.config('[plugins]\nblock = ["relay.channels"]\n')

    assert "plugin-unmatched" not in codes(patient.looked())


def test_a_plugin_that_hung_is_asked_again_after_a_restart(patient: Patient):
    install(patient.relay, "slow", HANGING)
    patient.config('[plugin."relay.echo"]\nagents = ["ada"]\n')
    patient.relay("up", "--detach").worked()
    patient.relay("send", "ada", "hello", "--wait", "30").worked()

    finding = patient.heals("plugin-set-aside")

    assert "slow" in finding["detail"]


# --- mail ------------------------------------------------------------------------------------


def test_mail_for_a_session_that_is_away_comes_when_it_is_open_again(patient: Patient):
    echo = '[plugin."relay.echo"]\nagents = ["ada"]\n'
    patient.config(echo)
    patient.relay("up", "--detach").worked()
    patient.relay("down").worked()
    patient.config("")
    patient.relay("up", "--detach").worked()
    patient.relay("send", "ada", "are you there?").worked()

    finding = patient.finding("session-away")
    assert finding["severity"] == "note"
    assert "(1)" in finding["detail"]
    patient.relay("down").worked()
    patient.config(echo)
    patient.relay("up", "--detach").worked()

    until("it arrives", lambda: "session-away" not in codes(patient.looked()))


def test_the_session_of_a_codex_thread_is_opened_by_its_id(patient: Patient):
    patient.config("[hub.limits]\nheartbeat = 0.05\n")
    url = patient.relay.up("--port", str(patient.port))["url"]
    thread = "01a20238-55cd-79d2-ad22-fc94608eaedc"
    patient.relay.register("codex-x", url, adapter="codex", meta={"threadId": thread})
    patient.relay("send", "codex-x", "hello").worked()
    until("the hub misses it", lambda: "session-away" in codes(patient.looked()))

    assert patient.finding("session-away")["command"] == f"codex resume {thread}"


def test_a_session_that_nobody_attends_gets_its_mail_when_somebody_does(patient: Patient):
    url = patient.relay.up("--port", str(patient.port))["url"]
    token = (patient.relay.data / "token").read_text().strip()
    agent = AgentId("codex-y")

    async def scene() -> tuple[set[str], set[str]]:
        async with HubClient(url, token) as hub:
            known = await hub.register(RegisterRequest(id=agent, instance_id="i"))
            stream = await hub.open_stream()
            await stream.serve((Served(id=agent, instance_id="i", epoch=known.epoch),))
            shown = HeartbeatRequest(instance_id="i", epoch=known.epoch, unattended=True)
            await hub.heartbeat(agent, shown)
            await asyncio.to_thread(patient.relay, "send", agent, "hello", apart=True)
            before = await asyncio.to_thread(patient.looked, apart=True)
            # What the host says of a session once its user has typed something.
            await hub.heartbeat(agent, msgspec.structs.replace(shown, unattended=False))
            after = await asyncio.to_thread(patient.looked, apart=True)
            await stream.close()
            return codes(before), codes(after)

    before, after = asyncio.run(scene())
    assert "session-unattended" in before
    assert "session-unattended" not in after


def test_dead_letters_are_counted_until_they_are_dropped(patient: Patient):
    url = patient.relay.up("--port", str(patient.port))["url"]
    token = (patient.relay.data / "token").read_text().strip()
    patient.relay.register("gone", url)
    patient.relay("send", "gone", "hello").worked()

    async def forget() -> None:
        async with HubClient(url, token) as hub:
            await hub.remove_agent("gone")

    asyncio.run(forget())
    finding = patient.heals("dead-letters")
    assert finding["detail"].startswith("1 delivery is dead")
    assert "agent-relay dead retry --all" in finding["advice"]


def test_what_the_guard_has_stopped_is_named_until_it_is_let_go_on(patient: Patient):
    url = patient.relay.up("--port", str(patient.port))["url"]
    token = (patient.relay.data / "token").read_text().strip()
    for name in ("ann", "ben"):
        patient.relay.register(name, url)

    async def go_round() -> None:
        async with HubClient(url, token) as hub:
            last, names = None, (AgentId("ann"), AgentId("ben"))
            with suppress(HubRefused):
                while True:
                    names = names[::-1]
                    said = SendRequest(to=names[1], body="you?", from_=names[0], reply_to=last)
                    last = (await hub.as_agent(names[0]).send(said)).id

    asyncio.run(go_round())
    finding = patient.heals("guard-stopped")
    assert finding["command"] == "agent-relay guard reset 1"


def test_what_waits_for_a_yes_is_counted_until_somebody_decides(patient: Patient):
    patient.config(
        '[plugin."relay.echo"]\nagents = ["ada", "bob"]\n'
        '[delivery.agents."echo-home-bob"]\nhold_from = ["*"]\n'
    )
    patient.relay("up", "--detach").worked()
    until("they are there", lambda: "echo-home-bob" in patient.relay("agents").out)
    patient.relay("send", "echo-home-bob", "hello", "--from", "echo-home-ada").worked()
    until("it is held", lambda: "held" in patient.relay("show", "1").out)

    assert patient.heals("needs-yes")["detail"] == "1 delivery waits for your yes"


# --- as a user who is not root ---------------------------------------------------------------

ONLY_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


class Nobody(OtherUser):
    """Somebody who types `doctor`, and what it prints."""

    def findings(self) -> dict[str, dict[str, str | None]]:
        done = self("doctor", "--json")
        assert done.code in (0, 1), done
        return {one["code"]: one for one in done.json["findings"]}

    def heals(self, code: str) -> None:
        command = self.findings()[code]["command"]
        assert command
        self.types(command)
        assert code not in self.findings()


@pytest.fixture
def nobody(short_path: Path) -> Iterator[Nobody]:
    for folder in (short_path, *short_path.parents):
        if folder != Path("/tmp") and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    user = Nobody(short_path / "nobody")
    yield user
    if user.sockets.is_dir():
        user.sockets.rmdir()


@ONLY_ROOT
def test_a_folder_of_sockets_that_others_may_enter_is_closed_to_them(nobody: Nobody):
    nobody.sockets.mkdir()
    nobody.sockets.chmod(0o755)
    nobody.own(nobody.sockets)

    nobody.heals("socket-folder-unsafe")


@ONLY_ROOT
def test_a_folder_of_sockets_that_is_roots_is_removed_by_root(nobody: Nobody):
    nobody.sockets.mkdir(mode=0o700)

    finding = nobody.findings()["socket-folder-unsafe"]
    assert finding["advice"]
    advised = finding["advice"].partition("as root, ")[2]
    subprocess.run(["bash", "-c", advised], check=True, timeout=30)

    assert "socket-folder-unsafe" not in nobody.findings()


@ONLY_ROOT
@pytest.mark.parametrize(
    ("code", "name"), [("config-broken", "config.toml"), ("profiles-broken", "profiles.json")]
)
def test_a_file_that_its_owner_cannot_read_is_opened_to_them(nobody: Nobody, code: str, name: str):
    file = nobody.write(name, "{}" if name.endswith("json") else "")
    file.chmod(0o000)

    nobody.heals(code)
