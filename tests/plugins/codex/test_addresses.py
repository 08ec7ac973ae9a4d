"""Where an app-server may be, which tokens may open it, and which process it is."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from relay_core import SettingsError
from relay_plugins.codex.address import (
    check_thread_id,
    is_alive,
    listening_process,
    parse_address,
    peer_process,
    read_token,
)

HOME = Path("/home/someone/.codex")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("unix:///run/codex.sock", "unix:///run/codex.sock"),
        ("unix://", f"unix://{HOME}/app-server-control/app-server-control.sock"),
        ("ws://127.0.0.1:4501", "ws://127.0.0.1:4501"),
        ("ws://127.0.0.1:4501/rpc", "ws://127.0.0.1:4501"),
        ("ws://[::1]:9", "ws://[::1]:9"),
        ("ws://localhost:9", "ws://localhost:9"),
    ],
)
def test_a_socket_or_a_port_of_this_machine_is_an_address(text: str, shown: str):
    assert parse_address(text, HOME).text == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "codex",
        "/run/codex.sock",
        "unix://run/codex.sock",
        "unix:///a b",
        "unix:///a\0b",
        "ws://127.0.0.1",
        "ws://127.0.0.1:0",
        "ws://127.0.0.1:99999",
        "ws://127.0.0.1:port",
        "ws://192.168.1.5:4501",
        "ws://example.org:4501",
        "ws://127.0.0.1.evil.example:4501",
        "ws://user:secret@127.0.0.1:4501",
        "ws://127.0.0.1:4501?token=x",
        "wss://127.0.0.1:4501",
        "http://127.0.0.1:4501",
        "file:///etc/passwd",
    ],
)
def test_everything_else_is_refused_with_the_forms_that_are_not(text: str):
    with pytest.raises(SettingsError) as caught:
        parse_address(text, HOME)

    assert "ws://127.0.0.1:PORT" in str(caught.value.fix)


@pytest.mark.parametrize("text", ["", "../x", "a/b", "a\nb", "a" * 65, "ü", "a\0", "x y"])
def test_a_thread_id_that_is_no_safe_file_name_is_refused(text: str):
    with pytest.raises(SettingsError):
        check_thread_id(text)


def test_a_token_is_read_from_a_private_file_without_its_newline(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("secret-token\n")
    file.chmod(0o600)

    assert read_token(file) == "secret-token"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\nb", b"\xff\xfe", b"a\tb"])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(SettingsError, match="holds no token"):
        read_token(file)


def test_a_token_that_others_can_read_is_refused_and_the_mend_is_named(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("secret")
    file.chmod(0o644)

    with pytest.raises(SettingsError) as caught:
        read_token(file)

    assert f"chmod 600 {file}" in str(caught.value.fix)


def test_a_link_a_folder_and_a_missing_file_hold_no_token(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("secret")
    file.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(file)

    for path in (link, tmp_path, tmp_path / "missing"):
        with pytest.raises(SettingsError):
            read_token(path)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_the_process_behind_a_socket_is_known_and_so_is_its_end(tmp_path: Path):
    program = (
        "import socket, sys, time\n"
        "unix, tcp = socket.socket(socket.AF_UNIX), socket.create_server(('127.0.0.1', 0))\n"
        "unix.bind(sys.argv[1]); unix.listen()\n"
        "print(tcp.getsockname()[1], flush=True); time.sleep(60)\n"
    )
    path = tmp_path / "s"
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            behind_unix = peer_process(client)
        behind_tcp = listening_process(port)
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()

    assert behind_unix is not None
    assert behind_unix.pid == child.pid
    assert behind_tcp == behind_unix
    assert not is_alive(behind_unix)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_a_later_process_with_the_same_number_is_another():
    me = peer_of_myself()

    assert is_alive(me)
    assert not is_alive(type(me)(pid=me.pid, started=me.started - 1))


def peer_of_myself():
    one, other = socket.socketpair()
    with one, other:
        process = peer_process(one)
    assert process is not None
    assert process.pid == os.getpid()
    return process
