"""Tokens that are known beforehand, looked for in everything that a run leaves behind."""

import logging
from pathlib import Path

from host_bench import KEY, Bench, running
from hub_kit import served_hub
from relay_core.errors import HubError
from relay_core.hub_api import SendRequest
from relay_core.hub_client import HubClient
from relay_core.messages import DeliveryState
from relay_core.places import Places

CANARY = "CANARY" + "c0ffee" * 8


def files(*folders: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


async def test_no_token_is_left_anywhere_but_in_its_file(
    tmp_path: Path, places: Places, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(f"{CANARY}\n")
    async with served_hub(tmp_path) as served, HubClient(served.url, CANARY) as client:
        bench = Bench(places, served.server.service)
        bench.hub = client  # the host asks over the wire, with the token
        async with running(bench.host()):
            name = await bench.attach()
            of_agent = await client.new_agent_token(name)
            message = await bench.send(name)
            await bench.becomes(message, DeliveryState.DELIVERED)
            for wrong in (CANARY + "x", of_agent):
                async with HubClient(served.url, wrong) as other:
                    try:
                        await other.send(SendRequest(to=name, body="x", from_="somebody"))
                    except HubError as error:
                        refused = str(error)
                    else:
                        refused = ""
                assert refused
                assert wrong not in refused
            history = repr(bench.agent.threads[KEY].history)
            left = files(tmp_path, places.data, places.config)

    told = caplog.text + "".join(capfd.readouterr()) + Path("/proc/self/cmdline").read_text()
    del left[token_file]
    assert "hello" in history
    assert b"hello" in b"".join(left.values())
    for secret in (CANARY, of_agent):
        assert secret not in told
        assert secret not in history
        assert [path for path, data in left.items() if secret.encode() in data] == []
