"""Starting, stopping and being known: the hub as a server, its token, its proof."""

import asyncio
import os
import socket
import stat

import httpx
import pytest

from hub_kit import SeededRandom, served_hub
from raw_http import exchange, request
from relay_core.clock import SystemClock, SystemRandom
from relay_core.errors import SettingsError
from relay_core.hub_api import RegisterRequest, SendRequest
from relay_core.hub_client import HubClient
from relay_core.hub_proof import hub_proof, is_hub, token_hash
from relay_hub.server import HubServer, PortTaken, bind, open_hub
from relay_hub.store import StoreBusy
from relay_hub.tokens import read_or_make_token, read_token

NONCE = "ab" * 16


async def test_a_hub_on_port_0_says_where_it_listens(tmp_path):
    async with served_hub(tmp_path) as hub:
        assert hub.port > 0
        assert hub.url == f"http://127.0.0.1:{hub.port}"


async def test_a_taken_port_is_said_and_nothing_is_left_behind(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for _ in range(2):
            with pytest.raises(PortTaken, match=f"127.0.0.1:{port} is taken") as refused:
                async with _hub(tmp_path, port=port):
                    pass

    assert "--port 0" in refused.value.fix
    async with _hub(tmp_path, port=0):
        pass


def _hub(folder, **fields: object):
    return open_hub(
        store_file=folder / "hub.sqlite",
        token_file=folder / "token",
        clock=SystemClock(),
        random=SystemRandom(),
        **fields,
    )


async def test_a_second_hub_on_the_same_store_is_refused(tmp_path):
    async with _hub(tmp_path, port=0):
        with pytest.raises(StoreBusy):
            async with _hub(tmp_path, port=0):
                pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "::", "example.com", ""])  # noqa: S104
def test_only_loopback_is_bound(host: str):
    with pytest.raises(SettingsError, match="not loopback"):
        bind(host, 0)


def test_what_is_bound_is_tcp_by_name():
    # asyncio leaves Nagle's algorithm on else, and each answer on a kept connection takes 40 ms.
    with bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_a_port_that_is_none_is_refused():
    with pytest.raises(SettingsError, match="no port"):
        bind("127.0.0.1", 70_000)


async def test_a_request_in_flight_is_answered_when_the_hub_stops(tmp_path):
    async with _hub(tmp_path, port=0) as hub:
        token = (tmp_path / "token").read_text().strip()
        store = hub.service.store
        async with HubClient(hub.url, token) as client:
            await client.register(RegisterRequest(id="a"))
            written, go = asyncio.Event(), asyncio.Event()
            real = store.write

            async def slow(unit):
                written.set()
                await go.wait()
                return await real(unit)

            store.write = slow
            sending = asyncio.create_task(client.send(SendRequest(to="a", body="x")))
            await written.wait()
            stopping = asyncio.create_task(hub.stop())
            await asyncio.sleep(0.2)
            go.set()
            sent = await sending
            await stopping
            store.write = real

    assert sent.id == 1


async def test_a_server_stops_twice_and_starts_not_at_all_without_harm(tmp_path):
    async with _hub(tmp_path, port=0) as hub:
        await hub.stop()
        await hub.stop()
        never = HubServer(hub.service, token="x" * 32)
        await never.stop()


async def test_a_hub_proves_that_it_knows_the_token_for_its_own_port(tmp_path):
    async with served_hub(tmp_path) as hub, httpx.AsyncClient(base_url=hub.url) as client:
        plain = (await client.get("/healthz")).json()
        proved = (await client.get("/healthz", params={"nonce": NONCE})).json()
        short = await client.get("/healthz", params={"nonce": "ab"})

    assert plain == {"status": "ok", "proof": None}
    assert is_hub(hub.token, NONCE, hub.port, proved["proof"])
    assert not is_hub(hub.token, NONCE, hub.port + 1, proved["proof"])
    assert not is_hub(hub.token, "cd" * 16, hub.port, proved["proof"])
    assert not is_hub("another", NONCE, hub.port, proved["proof"])
    assert short.status_code == 422


def test_a_proof_does_not_show_the_tokens_hash():
    hashed = token_hash("secret")

    assert hashed.hex() not in hub_proof(hashed, NONCE, 1)


async def test_metrics_show_numbers_and_need_the_token(tmp_path):
    async with served_hub(tmp_path) as hub:
        headers = {"Authorization": f"Bearer {hub.token}"}
        async with httpx.AsyncClient(base_url=hub.url) as client:
            refused = await client.get("/metrics")
            shown = await client.get("/metrics", headers=headers)

    lines = dict(line.rsplit(" ", 1) for line in shown.text.splitlines())
    assert refused.status_code == 401
    assert lines['agent_relay_refused_total{status="401"}'] == "1"
    assert float(lines["agent_relay_commits_total"]) >= 1


async def test_an_answer_names_no_server(tmp_path):
    async with served_hub(tmp_path) as hub:
        host = [("Host", f"127.0.0.1:{hub.port}")]
        reply = await asyncio.to_thread(exchange, hub.port, request("GET", "/healthz", host))

    assert reply.header("server") is None


async def test_a_fault_of_ours_costs_one_answer(tmp_path, caplog):
    async with served_hub(tmp_path) as hub:
        headers = {"Authorization": f"Bearer {hub.token}"}
        real = hub.server.service.agents.all

        async def broken(caller):
            raise RuntimeError("a secret detail")

        hub.server.service.agents.all = broken
        async with httpx.AsyncClient(base_url=hub.url, headers=headers) as client:
            failed = await client.get("/api/agents")
            hub.server.service.agents.all = real
            good = await client.get("/api/agents")

    assert (failed.status_code, failed.json()["code"]) == (500, "internal")
    assert "secret" not in failed.text
    assert "a secret detail" in caplog.text
    assert good.status_code == 200


# The token file --------------------------------------------------------------------------------


def test_a_token_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "token"
    before = os.umask(0)
    try:
        first = read_or_make_token(path, SeededRandom(1))
    finally:
        os.umask(before)
    second = read_or_make_token(path, SeededRandom(2))

    assert first == second
    assert len(first) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["token"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.chmod(0o644), "can be read by others"),
        (lambda path: path.write_text(""), "holds no token"),
        (lambda path: path.write_text("two lines\nof it\n"), "holds no token"),
        (lambda path: path.write_text("short\n"), "holds no token"),
        (lambda path: path.write_text("x" * 32 + "\r\n"), "holds no token"),
        (lambda path: path.write_bytes(b"\xff" * 40), "holds no token"),
    ],
)
def test_a_token_file_that_is_none_is_refused_with_what_to_do(tmp_path, spoil, words):
    path = tmp_path / "token"
    read_or_make_token(path, SeededRandom())
    spoil(path)

    with pytest.raises(SettingsError, match=words) as refused:
        read_or_make_token(path, SeededRandom())

    assert str(path) in str(refused.value)
    assert refused.value.fix


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "fifo"])
def test_a_token_is_read_from_a_regular_file_only(tmp_path, kind):
    path, target = tmp_path / "token", tmp_path / "target"
    if kind == "link":
        target.write_text("x" * 32)
    if kind.endswith("link"):
        path.symlink_to(target)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)

    with pytest.raises(SettingsError):
        read_or_make_token(path, SeededRandom())

    assert kind == "link" or not target.exists()


def test_a_missing_token_is_not_made_by_reading(tmp_path):
    with pytest.raises(SettingsError):
        read_token(tmp_path / "token")

    assert not (tmp_path / "token").exists()
