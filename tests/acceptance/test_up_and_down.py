"""Starting, stopping and what can be in the way of it."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from relay_plugins.codex.testing.processes import lives
from user_commands import Relay, as_version, free_port

REPORT_KEYS = {"url", "pid", "version", "controlSocket", "already", "embedded", "log"}


def test_up_in_the_background_serves_until_down(relay: Relay):
    report = relay("up", "--port", "0", "--detach", "--json").worked().json
    assert set(report) == REPORT_KEYS
    assert lives(report["pid"])

    status = relay("status", "--json").worked().json
    assert status["hub"]["reachable"]
    assert status["hub"]["url"] == report["url"]
    assert status["host"]["pid"] == report["pid"]

    assert relay("down", "--json").worked().json == {"stopped": True, "pid": report["pid"]}
    assert not lives(report["pid"])
    assert not Path(report["controlSocket"]).exists()


def test_what_a_detached_up_prints_stays_short(relay: Relay):
    log = relay.data / "logs" / "up.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"an old line\n" * 100_000)

    report = relay("up", "--port", "0", "--detach", "--json").worked().json

    assert report["log"] == str(log)
    assert log.stat().st_size < 1_000
    assert log.with_name("up.log.1").stat().st_size == 1_200_000


@pytest.mark.parametrize(("stderr", "mirrored"), [("up.log", []), ("journal", ["gone"])])
def test_a_warning_is_mirrored_to_standard_error_but_not_to_the_detached_log(
    tmp_path: Path, stderr: str, mirrored: list[str]
):
    code = (
        "import logging, pathlib, sys; from relay_cli.logs import write_logs;"
        "write_logs(pathlib.Path(sys.argv[1])); logging.warning('the hub is gone')"
    )
    with (tmp_path / stderr).open("wb") as stream:
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / "host.log"], stderr=stream, check=True
        )

    assert "the hub is gone" in (tmp_path / "host.log").read_text()
    assert (tmp_path / stderr).read_text().split()[-1:] == mirrored


def test_down_where_nothing_runs_is_no_error(relay: Relay):
    assert relay("down", "--json").worked().json == {"stopped": False, "pid": None}
    assert relay("down").worked().out == "no host was running\n"


def test_a_second_up_says_that_one_runs_already(relay: Relay):
    first = relay.up()

    second = relay("up", "--json").worked().json

    assert second["already"]
    assert second["pid"] == first["pid"]
    assert "already running" in relay("up").worked().out


def test_two_ups_at_once_end_with_one_host(relay: Relay):
    both = [relay.start("up", "--port", "0", "--detach", "--json") for _ in range(2)]
    endings = [process.communicate(timeout=90) for process in both]

    status = relay("status", "--json").worked().json
    assert 0 in [process.returncode for process in both], endings
    for process, (out, err) in zip(both, endings, strict=True):
        assert "Traceback" not in out + err
        if process.returncode == 0:
            assert f'"pid":{status["host"]["pid"]}' in out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_up_cleanly(relay: Relay, how: signal.Signals):
    report = relay.up()
    process = relay.started[0]

    process.send_signal(how)
    _, complaints = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "Traceback" not in complaints
    assert not Path(report["controlSocket"]).exists()


def test_a_second_signal_ends_up_at_once(relay: Relay):
    relay.up()
    process = relay.started[0]

    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=30)

    assert process.returncode in (0, 143)
    assert "Traceback" not in complaints


def test_status_without_anything_says_what_to_do_and_that_mends_it(relay: Relay):
    before = relay("status")
    assert before.code == 3
    assert "agent-relay up --detach" in before.out
    assert relay("status", "--json").code == 3

    relay("up", "--detach", "--port", "0").worked()

    assert relay("status").code == 0


@pytest.mark.parametrize(
    "arguments", [("agents",), ("send", "someone", "hello"), ("show", "1"), ("inbox", "someone")]
)
def test_without_a_hub_the_advice_is_to_start_one(relay: Relay, arguments: tuple[str, ...]):
    line = relay(*arguments, "--url", f"http://127.0.0.1:{free_port()}").failed(3)

    assert "agent-relay up" in line


def test_without_a_host_attach_says_to_start_it(relay: Relay):
    address = "unix:///tmp/no-such.sock"
    assert "agent-relay up" in relay.codex("attach", "--app-server", address).failed(3)
    assert "agent-relay up" in relay.codex("status").failed(3)


def test_a_taken_port_is_one_line_and_the_advice_mends_it(relay: Relay):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = relay("up", "--port", port).failed(1)
        assert port in line
        assert "--port 0" in line
        assert relay("up", "--port", port, "--detach").failed(1) == line

        relay("up", "--port", "0", "--detach").worked()


def test_after_a_kill_everything_is_still_there(relay: Relay):
    report = relay.up()
    relay.register("builder", report["url"])
    sent = relay("send", "builder", "kept over the crash", "--json").worked().json
    os.kill(report["pid"], signal.SIGKILL)
    relay.started[0].communicate(timeout=30)
    assert relay("show", str(sent["id"])).code == 3

    relay("up", "--port", "0", "--detach").worked()

    shown = relay("show", str(sent["id"]), "--json").worked().json
    assert shown["body"] == "kept over the crash"
    assert [one["state"] for one in shown["deliveries"]] == ["queued"]


def test_another_version_hands_over(relay: Relay):
    old = subprocess.Popen(
        [sys.executable, "-c", OLD_HOST, str(_control_socket(relay))],
        env=relay.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert old.stdout is not None
    assert old.stdout.readline() == "listening\n"

    done = relay("up", "--port", "0", "--detach").worked()

    assert "taking over from version 0.0.1" in done.out
    said, _ = old.communicate(timeout=30)
    assert said == 'stopped {"handover":true}\n'
    assert old.returncode == 0
    assert relay("status").code == 0


def test_a_real_host_of_another_version_hands_over_everything(relay: Relay, short_path: Path):
    relay.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    older = {"PYTHONPATH": str(as_version("0.0.9", short_path / "older"))}
    report = relay.up(environ=older)
    assert report["version"] == "0.0.9"
    sent = relay("send", "echo", "before", "--wait", "30", "--json").worked().json

    done = relay("up", "--detach", "--port", "0").worked()

    out, complaints = relay.started[0].communicate(timeout=30)
    assert "taking over from version 0.0.9" in done.out
    assert relay.started[0].returncode == 0
    assert "Traceback" not in out + complaints
    status = relay("status", "--json").worked().json
    assert status["host"]["version"] != "0.0.9"
    assert relay("show", str(sent["id"]), "--json").worked().json["body"] == "before"
    assert relay("send", "echo", "after", "--wait", "30").code == 0


def test_a_broken_config_is_refused_with_file_and_line(relay: Relay):
    relay.write_config("[hub]\nport = 0\nprot = 1\n")
    line = relay("up").failed(4)
    assert f"{relay.config}:3:" in line
    assert "did you mean port?" in line
    assert relay("agents").failed(4) == line

    relay.write_config("[hub]\nport = 0\n")

    relay("up", "--detach").worked()


def test_a_token_that_others_can_read_is_refused_and_the_advice_mends_it(relay: Relay):
    relay.up()
    token = relay.data / "token"
    token.chmod(0o644)
    line = relay("agents").failed(4)

    advice = line.split(" — ")[1].split(", or")[0]
    assert advice == f"chmod 600 {token}"
    subprocess.run(advice.split(), check=True)

    relay("agents").worked()


def test_a_damaged_store_is_refused(relay: Relay):
    relay.data.mkdir(parents=True)
    (relay.data / "hub.sqlite").write_bytes(b"this is no database, not at all" * 100)

    line = relay("up", "--port", "0").failed(4)

    assert "hub.sqlite" in line


@pytest.mark.parametrize("home", ["", "relative/home", "/dev/null"])
def test_a_home_that_is_none_is_refused(relay: Relay, home: str):
    line = relay("up", "--port", "0", environ={"HOME": home}).code
    assert line in (1, 4)
    done = relay("up", "--port", "0", environ={"HOME": home})
    assert len(done.err.splitlines()) == 1 + done.err.count("running as root")
    assert "Traceback" not in done.err


def test_a_wrong_setting_in_the_environment_is_refused(relay: Relay):
    for value in ("ftp://127.0.0.1", "http://192.0.2.1:4850", "127.0.0.1:4850"):
        line = relay("agents", environ={"AGENT_RELAY_URL": value}).failed(4)
        assert "AGENT_RELAY_URL" in line


def test_a_wrong_token_is_refused_without_showing_it(relay: Relay):
    relay.up()

    done = relay("agents", environ={"AGENT_RELAY_TOKEN": "CANARY-not-the-token"})

    assert done.code != 0
    assert "AGENT_RELAY_TOKEN" in done.err
    assert "CANARY" not in done.out + done.err


def test_no_token_is_sent_to_a_stranger_on_the_hubs_port(relay: Relay, stranger: "Stranger"):
    relay("up", "--port", "0", "--detach").worked()
    token = (relay.data / "token").read_text().strip()
    relay("down").worked()

    for arguments in (("agents",), ("send", "x", "y"), ("show", "1"), ("status",)):
        done = relay(*arguments, "--url", stranger.url)
        assert done.code != 0
        assert "Traceback" not in done.err
    assert stranger.seen
    assert not [seen for seen in stranger.seen if token in seen]


def test_up_works_in_an_empty_environment(relay: Relay):
    only = {"HOME": relay.environ["HOME"]}
    done = subprocess.run(
        [Path(sys.executable).parent / "agent-relay", "up", "--port", "0", "--detach"],
        env=only,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    relay.was_up = True

    assert done.returncode == 0, done.stderr
    assert relay("status").code == 0


class Stranger:
    """A program that listens where a hub might, answers everything, and keeps what it is told."""

    def __init__(self) -> None:
        seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode(errors="replace")
                seen.append(f"{self.path}\n{self.headers}\n{body}")
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

            def log_message(self, *arguments: object) -> None:
                """Print nothing."""

        self.seen = seen
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """A stranger that listens while the test runs."""
    listener = Stranger()
    thread = threading.Thread(target=listener.server.serve_forever)
    thread.start()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()
    thread.join()


OLD_HOST = """
import asyncio, os, pathlib, sys
from relay_core.control import ControlServer, body_of

async def main():
    stop = asyncio.Event()
    said = {}
    async def ping(body):
        return body_of({"version": "0.0.1", "pid": os.getpid(), "hubUrl": "http://127.0.0.1:1"})
    async def end(body):
        said["stop"] = bytes(body).decode()
        asyncio.get_running_loop().call_soon(stop.set)
        return await ping(body)
    server = ControlServer(pathlib.Path(sys.argv[1]))
    server.register("ping", ping)
    server.register("hub", ping)
    server.register("stop", end)
    await server.open()
    print("listening", flush=True)
    await stop.wait()
    await asyncio.sleep(0.2)
    await server.close()
    print("stopped", said["stop"], flush=True)

asyncio.run(main())
"""


def _control_socket(relay: Relay) -> Path:
    from relay_core.places import find_places

    return find_places(relay.environ, os.getuid()).control_socket
