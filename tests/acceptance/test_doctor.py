"""Each fault is found, and what the doctor prints for it mends it: variables, files, host, hub."""

import asyncio
import errno
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from patient import Patient, codes
from relay_cli.doctor import looking
from relay_core.places import find_places
from relay_hub.store.errors import StoreError
from relay_hub.store.sqlite.opening import LOOK_AT_THE_DISK
from user_commands import Relay, as_version, free_port, until


@pytest.fixture
def patient(relay: Relay) -> Patient:
    return Patient(relay)


@pytest.fixture
def other(short_path: Path) -> Iterator[Relay]:
    """A second user, with a hub and a token of their own."""
    user = Relay(short_path / "other", in_process=True)
    yield user
    user.end()


# --- nothing is wrong, and looking changes nothing -------------------------------------------


def test_where_all_is_well_nothing_is_found(patient: Patient):
    patient.relay("up", "--detach").worked()

    assert [one for one in patient.looked()["findings"] if one["severity"] == "wrong"] == []
    told = patient.relay("doctor").worked().out
    assert told.endswith("nothing is wrong\n")
    assert f"http://127.0.0.1:{patient.port}" in told


def test_looking_changes_nothing(patient: Patient):
    before = sorted(patient.relay.home.rglob("*"))

    assert "host-missing" in codes(patient.looked())

    assert sorted(patient.relay.home.rglob("*")) == before


def test_what_is_wrong_stands_on_lines_of_its_own(patient: Patient):
    patient.environ["AGENT_RELAY_LABLE"] = "x"

    done = patient.relay("doctor", environ=patient.environ)

    assert done.code == 1
    assert "wrong: variable-unknown: AGENT_RELAY_LABLE is set" in done.out
    assert "\n  $ unset AGENT_RELAY_LABLE\n" in done.out
    assert "\n  did you mean AGENT_RELAY_LABEL?\n" in done.out
    assert "doctor --fix mends what is safe" in done.out


# --- what was set ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "name", "value"),
    [
        ("variable-wrong", "AGENT_RELAY_URL", "ftp://hub"),
        ("variable-wrong", "AGENT_RELAY_HOME", "here"),
        ("variable-wrong", "AGENT_RELAY_CODEX_SANDBOX", "none"),
        ("variable-unknown", "AGENT_RELAY_CHANELS", "a"),
        ("variable-in-vain", "AGENT_RELAY_LABEL", "x"),
        ("profile-unknown", "AGENT_RELAY_PROFILE", "nobody"),
        ("token-short", "AGENT_RELAY_TOKEN", "short"),
        ("codex-bin-wrong", "AGENT_RELAY_CODEX_BIN", "/no/such/codex"),
        ("codex-broken", "AGENT_RELAY_CODEX_BIN", "/bin/false"),
    ],
)
def test_a_variable_that_does_harm_is_unset(patient: Patient, code: str, name: str, value: str):
    patient.environ[name] = value

    finding = patient.heals(code)

    assert finding["command"].startswith("unset ")
    assert name in finding["command"]


def test_a_variable_that_counts_somewhere_is_only_a_note(patient: Patient):
    patient.relay("up", "--detach").worked()
    patient.environ |= {"AGENT_RELAY_TAGS": "a", "CODEX_MODEL": "m"}

    finding = patient.finding("variable-in-vain")

    assert finding["severity"] == "note"
    assert finding["command"] == "unset AGENT_RELAY_TAGS CODEX_MODEL"


def test_what_codex_itself_sets_is_not_in_vain(patient: Patient):
    patient.environ |= {"CODEX_THREAD_ID": "1-2", "CODEX_SESSION_ID": "1-2"}

    assert "variable-in-vain" not in codes(patient.looked())


def test_a_broken_config_file_is_named_with_its_line(patient: Patient):
    patient.config('[hub.limits]\nttl = "soon"\n')

    finding = patient.finding("config-broken")
    assert f"line 4 of {patient.relay.config}" in finding["advice"]
    lines = patient.relay.config.read_text().splitlines()
    lines[3] = 'ttl = "2d"'
    patient.relay.config.write_text("\n".join(lines))

    assert codes(patient.looked()) == {"host-missing", "plugin-not-installed"}


def test_a_broken_profiles_file_is_named_with_its_line(patient: Patient):
    patient.profiles.write_text('{\n "front": {\n  "approval": "all"\n }\n}\n')

    finding = patient.finding("profiles-broken")
    assert f"line 3 of {patient.profiles}" in finding["advice"]
    patient.profiles.write_text(patient.profiles.read_text().replace("all", "open"))

    assert "profiles-broken" not in codes(patient.looked())


@pytest.mark.parametrize(
    ("code", "name"), [("config-broken", "config.toml"), ("profiles-broken", "profiles.json")]
)
def test_a_file_that_others_can_write_to_is_closed_to_them(patient: Patient, code: str, name: str):
    file = patient.relay.config.parent / name
    file.write_text("{}" if name.endswith("json") else "")
    file.chmod(0o666)

    assert patient.heals(code)["command"] == f"chmod go-w {file}"


# --- files of ours ---------------------------------------------------------------------------


def test_a_token_that_others_can_read_is_closed_to_them(patient: Patient):
    token = _token(patient)
    token.chmod(0o644)

    finding = patient.heals("token-exposed")

    assert finding["command"] == f"chmod 600 {token}"
    assert finding["safe"]


def test_a_token_file_without_a_token_is_made_anew(patient: Patient):
    _token(patient, "too short")

    patient.heals("token-unusable")

    assert patient.looked()["healthy"]


def test_a_socket_of_a_killed_host_is_removed(patient: Patient):
    report = patient.relay.up("--port", str(patient.port))
    os.kill(report["pid"], signal.SIGKILL)
    patient.relay.started[0].communicate(timeout=30)

    finding = patient.heals("socket-stale")

    assert finding["command"] == f"rm {report['controlSocket']}"
    assert finding["safe"]


@pytest.mark.parametrize("log", [False, True], ids=["alone", "with a log beside it"])
def test_a_damaged_store_is_set_aside(patient: Patient, *, log: bool):
    store = _store(patient)
    if log:
        store.with_name("hub.sqlite-wal").write_bytes(b"")
    whole = store.read_bytes()
    store.write_bytes(whole[:100] + b"\xff" * 20_000)

    finding = patient.heals("store-damaged")

    assert "backup" in finding["advice"]
    aside = store.with_name("hub.sqlite.set-aside")
    assert (aside / "hub.sqlite").read_bytes().startswith(whole[:100])
    patient.relay("up", "--detach").worked()


def test_what_is_no_store_is_set_aside(patient: Patient):
    patient.relay.data.mkdir(parents=True)
    (patient.relay.data / "hub.sqlite").write_text("my diary")

    patient.heals("store-damaged")


def test_a_store_of_a_newer_release_is_set_aside(patient: Patient):
    store = _store(patient)
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE store SET schema_version = 999")
    connection.close()

    assert "newer release" in patient.heals("store-too-new")["advice"]


def test_a_store_whose_log_is_gone_is_set_aside(patient: Patient):
    report = patient.relay.up("--port", str(patient.port))
    patient.relay.register("ada", report["url"])
    os.kill(report["pid"], signal.SIGKILL)
    patient.relay.started[0].communicate(timeout=30)
    (patient.relay.data / "hub.sqlite-wal").unlink()

    finding = patient.heals("store-damaged")

    assert "the log that was beside it is gone" in finding["detail"]
    assert "mend-the-store" in finding["advice"]


def test_a_store_on_a_disk_that_fails_is_not_called_damaged(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
):
    store = _store(patient)

    def fail(path: object) -> None:
        detail = f"{store} cannot be read or written: disk I/O error"
        raise StoreError(detail, fix=LOOK_AT_THE_DISK)

    with monkeypatch.context() as disk:
        disk.setattr(looking, "inspect", fail)
        finding = patient.finding("store-unusable")
    assert finding["command"] is None
    assert "look at the disk" in finding["advice"]

    assert "store-unusable" not in codes(patient.looked())


def test_a_disk_with_too_little_room_is_named(patient: Patient):
    _store(patient)
    patient.config("[hub.limits]\nfree_bytes = 900_000_000_000_000\n")

    assert "df -h" in patient.finding("store-no-room")["advice"]
    patient.config("")

    assert "store-no-room" not in codes(patient.looked())


def test_a_store_that_is_no_file_is_set_aside(patient: Patient):
    (patient.relay.data / "hub.sqlite").mkdir(parents=True)

    patient.heals("store-unsafe")


def test_a_store_that_is_whole_is_left_as_it_is(patient: Patient):
    store = _store(patient)
    before = {each.name: each.read_bytes() for each in store.parent.glob("hub.sqlite*")}

    assert codes(patient.looked()) == {"host-missing", "plugin-not-installed"}

    assert {each.name: each.read_bytes() for each in store.parent.glob("hub.sqlite*")} == before


# --- the host --------------------------------------------------------------------------------


def test_a_host_that_does_not_run_is_started(patient: Patient):
    finding = patient.heals("host-missing")

    assert finding["command"] == "agent-relay up --detach"
    assert finding["safe"]


def test_a_host_that_hangs_is_ended_and_started_again(patient: Patient):
    report = patient.relay.up("--port", str(patient.port))
    os.kill(report["pid"], signal.SIGSTOP)
    reaper = threading.Thread(target=patient.relay.started[0].communicate)
    reaper.start()

    finding = patient.heals("host-silent")

    assert f"kill -9 {report['pid']}" in finding["command"]
    assert not finding["safe"]
    reaper.join(timeout=30)


def test_what_listens_and_is_no_host_is_ended(patient: Patient):
    stranger = _listening_stranger(_control_socket(patient))

    patient.heals("host-silent")

    assert stranger.wait(timeout=30) == -signal.SIGKILL


def test_a_host_of_another_version_hands_over(patient: Patient, short_path: Path):
    older = {"PYTHONPATH": str(as_version("0.0.9", short_path / "older"))}
    patient.relay.up("--port", str(patient.port), environ=older)
    patient.relay.started[0].stdin = None

    finding = patient.heals("host-other-version")

    assert "0.0.9" in finding["detail"]


def test_where_no_socket_may_be_opened_it_is_to_be_run_elsewhere(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
):
    async def forbidden(path: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as sandbox:
        sandbox.setattr(asyncio, "open_unix_connection", forbidden)
        found = {one["code"]: one for one in patient.looked()["findings"]}
    assert "host-missing" not in found
    assert "outside of the sandbox" in found["sockets-forbidden"]["advice"]

    assert "sockets-forbidden" not in codes(patient.looked())


def test_a_check_that_fails_hides_nothing_of_the_others(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
):
    def fail(environ: object) -> None:
        raise RuntimeError("no\nway")

    with monkeypatch.context() as fault:
        fault.setattr(looking, "look_at_profiles", fail)
        found = {one["code"]: one for one in patient.looked()["findings"]}
    assert found["check-failed"]["detail"] == "profiles: RuntimeError: no way"
    assert "host-missing" in found

    assert "check-failed" not in codes(patient.looked())


def test_a_check_that_never_ends_is_left_alone(patient: Patient, monkeypatch: pytest.MonkeyPatch):
    forever = threading.Event()
    monkeypatch.setattr(looking, "look_at_profiles", lambda environ: forever.wait())
    monkeypatch.setattr(looking, "CHECK_LIMIT_S", 1)

    assert "profiles: not done" in patient.finding("check-failed")["detail"]
    forever.set()


# --- the hub ---------------------------------------------------------------------------------


class _Silent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status":"ok"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def stranger(patient: Patient) -> Iterator[HTTPServer]:
    """A web server where the hub should be."""
    server = HTTPServer(("127.0.0.1", patient.port), _Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_where_a_web_server_listens_another_port_is_taken(patient: Patient, stranger: HTTPServer):
    assert "no hub" in patient.heals("port-taken")["detail"]


def test_where_something_listens_that_does_not_answer_another_port_is_taken(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server(("127.0.0.1", patient.port)):
        assert "does not answer" in patient.heals("port-taken")["detail"]


def test_a_variable_that_names_a_taken_port_is_unset(patient: Patient, stranger: HTTPServer):
    patient.environ["AGENT_RELAY_URL"] = f"http://127.0.0.1:{patient.port}"

    assert "unset AGENT_RELAY_URL" in patient.heals("port-taken")["command"]


def test_where_another_users_hub_listens_another_port_is_taken(patient: Patient, other: Relay):
    other.up("--port", str(patient.port))
    _token(patient)

    patient.heals("hub-foreign")

    assert patient.looked()["healthy"]


def test_a_variable_that_names_nobodys_hub_is_unset(patient: Patient):
    patient.relay("up", "--detach").worked()
    patient.environ["AGENT_RELAY_URL"] = f"http://127.0.0.1:{free_port()}"

    assert patient.heals("hub-unreachable")["command"] == "unset AGENT_RELAY_URL"


def test_a_variable_that_names_another_hub_than_the_hosts_is_unset(patient: Patient, other: Relay):
    patient.relay("up", "--detach").worked()
    other.environ["AGENT_RELAY_TOKEN"] = (patient.relay.data / "token").read_text().strip()
    patient.environ["AGENT_RELAY_URL"] = other.up()["url"]

    assert patient.heals("hub-elsewhere")["command"] == "unset AGENT_RELAY_URL"


def test_another_name_of_this_machine_is_no_other_hub(patient: Patient):
    patient.relay("up", "--detach").worked()
    patient.environ["AGENT_RELAY_URL"] = f"http://LOCALHOST:{patient.port}/"

    assert "hub-elsewhere" not in codes(patient.looked())


def test_a_wrong_token_in_the_environment_is_unset(patient: Patient):
    patient.relay("up", "--detach").worked()
    patient.environ["AGENT_RELAY_TOKEN"] = "x" * 40

    assert patient.heals("token-wrong")["command"] == "unset AGENT_RELAY_TOKEN"


def test_a_token_file_that_was_changed_counts_after_a_restart(patient: Patient):
    patient.relay("up", "--detach").worked()
    _token(patient, "y" * 40)

    patient.heals("token-wrong")

    assert (patient.relay.data / "token").read_text() == "y" * 40


def test_a_variable_that_names_another_users_hub_is_unset(patient: Patient, other: Relay):
    patient.relay("up", "--detach").worked()
    patient.environ["AGENT_RELAY_URL"] = other.up()["url"]

    assert patient.heals("token-wrong")["command"] == "unset AGENT_RELAY_URL"


# --- what --fix does -------------------------------------------------------------------------


def test_fix_mends_what_is_safe_and_looks_again(patient: Patient):
    _token(patient).chmod(0o640)

    report = patient.looked("--fix")

    assert {one["code"]: one["failed"] for one in report["mended"]} == {
        "token-exposed": None,
        "host-missing": None,
    }
    assert report["healthy"]
    assert patient.relay("status").code == 0
    assert patient.looked("--fix")["mended"] == []


def test_fix_leaves_what_loses_something(patient: Patient):
    patient.relay.data.mkdir(parents=True)
    (patient.relay.data / "hub.sqlite").write_text("my diary")

    report = patient.looked("--fix")

    assert report["mended"] == []
    assert codes(report) == {"store-damaged", "plugin-not-installed"}
    assert (patient.relay.data / "hub.sqlite").read_text() == "my diary"


def test_fix_says_what_it_could_not_do(patient: Patient, stranger: HTTPServer):
    # Who listens there is no matter, until the host wants the port.
    patient.config("[delivery]\nstrategy = 'patient'\n")
    patient.relay.write_config(f"[hub]\nport = 0\nurl = 'http://127.0.0.1:{free_port()}'\n")
    (patient.relay.data / "logs").mkdir(parents=True)
    (patient.relay.data / "logs" / "up.log").mkdir()

    report = patient.looked("--fix")

    assert [one["code"] for one in report["mended"]] == ["host-missing"]
    assert report["mended"][0]["failed"]
    assert "host-missing" in codes(report)


# --- making faults ---------------------------------------------------------------------------


def _token(patient: Patient, text: str = "a-token-for-the-tests") -> Path:
    token = patient.relay.data / "token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text(text)
    token.chmod(0o600)
    return token


def _store(patient: Patient) -> Path:
    """A store that a hub has made and left."""
    patient.relay("up", "--detach").worked()
    patient.relay("down").worked()
    return patient.relay.data / "hub.sqlite"


def _control_socket(patient: Patient) -> Path:
    return find_places(patient.relay.environ, os.getuid()).control_socket


def _listening_stranger(path: Path) -> "subprocess.Popen[bytes]":
    path.parent.mkdir(mode=0o700, exist_ok=True)
    code = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])"
    stranger = subprocess.Popen([sys.executable, "-c", f"{code}; s.listen(); time.sleep(90)", path])
    until("the stranger listens", path.exists)
    return stranger


def test_every_command_is_quoted(patient: Patient):
    home = patient.relay.home.parent / "a home; with spaces"
    user = Patient(Relay(home, in_process=True))
    _token(user).chmod(0o644)

    command = user.finding("token-exposed")["command"]

    assert shlex.split(command) == ["chmod", "600", str(user.relay.data / "token")]
    assert "token-exposed" not in user.codes_after(command)
