"""The control socket: lines in, lines out, whatever comes."""

import asyncio
import os
import stat
from pathlib import Path

import msgspec
import pytest

from relay_core.control import (
    LINE_LIMIT,
    Answer,
    ControlServer,
    FolderNotOurs,
    HostRefused,
    HostUnreachable,
    body_of,
    call,
)
from relay_core.errors import RelayError, WireError


async def echo(body: msgspec.Raw) -> msgspec.Raw:
    return body


async def refuse(_: msgspec.Raw) -> msgspec.Raw:
    raise RelayError("not today", fix="come tomorrow")


async def want_a_number(body: msgspec.Raw) -> msgspec.Raw:
    return body_of(msgspec.json.decode(body, type=int))


@pytest.fixture
def socket(short_path: Path) -> Path:
    return short_path / "sockets" / "host.sock"


@pytest.fixture
async def server(socket: Path):
    server = ControlServer(socket)
    server.register("echo", echo)
    server.register("refuse", refuse)
    server.register("number", want_a_number)
    await server.open()
    yield server
    await server.close()


async def test_an_operation_is_answered_by_whoever_registered_it(server, socket):
    assert bytes(await call(socket, "echo", {"a": [1, 2]})) == b'{"a":[1,2]}'


async def test_an_error_keeps_its_code_and_what_mends_it(server, socket):
    with pytest.raises(HostRefused) as caught:
        await call(socket, "refuse")

    assert (caught.value.code, str(caught.value)) == ("relay_error", "not today")
    assert caught.value.fix == "come tomorrow"


async def test_an_unknown_operation_is_named(server, socket):
    with pytest.raises(HostRefused, match="no operation 'nonsense'"):
        await call(socket, "nonsense")


async def test_a_body_of_the_wrong_type_is_refused_and_the_next_line_served(server, socket):
    with pytest.raises(HostRefused, match="Expected `int`"):
        await call(socket, "number", "five")

    assert bytes(await call(socket, "number", 5)) == b"5"


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"v":1}', b'{"op":7}', b"[" * 100_000],
    ids=["cut", "list", "null", "text", "bytes", "no op", "op is a number", "deep"],
)
async def test_a_line_that_is_no_request_is_answered_as_one(server, line: bytes):
    assert (await server.answer(line)).code == "bad_line"


async def test_a_line_of_another_version_is_told_what_mends_it(server):
    answer = await server.answer(b'{"v":2,"op":"echo"}')

    assert (answer.code, answer.fix) == ("version", "agent-relay up")


async def test_a_line_that_is_too_long_ends_the_connection_with_a_word(server, socket):
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(b'{"op":"echo","body":"' + b"x" * (LINE_LIMIT + 10))
    writer.write_eof()
    answer = msgspec.json.decode(await reader.readline(), type=Answer)
    writer.close()

    assert answer.code == "too_long"
    assert bytes(await call(socket, "echo", 1)) == b"1"


async def test_a_client_that_goes_away_in_the_middle_hurts_nobody(server, socket):
    for cut in (b"", b"{", b'{"op":"echo"'):
        _, writer = await asyncio.open_unix_connection(socket)
        writer.write(cut)
        writer.close()

    assert bytes(await call(socket, "echo", 1)) == b"1"


async def test_nobody_listening_is_said_with_the_command_that_mends_it(socket):
    with pytest.raises(HostUnreachable) as caught:
        await call(socket, "echo")

    assert caught.value.fix == "agent-relay up"


async def test_a_host_that_never_answers_is_not_waited_for(socket):
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    socket.parent.mkdir(mode=0o700)
    silent = await asyncio.start_unix_server(say_nothing, socket)
    try:
        with pytest.raises(HostUnreachable, match="did not answer"):
            await call(socket, "echo", timeout_s=0.05)
        await gone.wait()
    finally:
        silent.close()


async def test_an_answer_that_is_no_answer_is_a_wire_error(socket):
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    socket.parent.mkdir(mode=0o700)
    server = await asyncio.start_unix_server(babble, socket)
    try:
        with pytest.raises(WireError):
            await call(socket, "echo")
    finally:
        server.close()


async def test_the_socket_and_its_folder_are_the_users_alone(server, socket):
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


async def test_a_folder_that_others_may_enter_is_refused(socket):
    socket.parent.mkdir()
    socket.parent.chmod(0o755)

    with pytest.raises(RelayError, match="nobody else may enter"):
        await ControlServer(socket).open()


async def test_nothing_is_asked_in_a_folder_that_others_may_enter(server, socket):
    socket.parent.chmod(0o770)

    with pytest.raises(FolderNotOurs, match="nobody else may enter"):
        await call(socket, "echo", 1)


async def test_nothing_is_asked_where_the_folder_is_a_link(server, socket):
    link = socket.parent.with_name("link")
    link.symlink_to(socket.parent)

    with pytest.raises(FolderNotOurs):
        await call(link / socket.name, "echo", 1)


async def test_a_second_host_does_not_take_the_socket(server, socket):
    with pytest.raises(RelayError, match="already listens"):
        await ControlServer(socket).open()

    assert bytes(await call(socket, "echo", 1)) == b"1"


async def test_a_socket_that_a_killed_host_left_is_taken_over(socket):
    socket.parent.mkdir(mode=0o700)
    left = await asyncio.start_unix_server(lambda *_: None, socket)
    left.close()
    await left.wait_closed()
    assert os.path.lexists(socket)

    server = ControlServer(socket)
    server.register("echo", echo)
    await server.open()
    try:
        assert bytes(await call(socket, "echo", 1)) == b"1"
    finally:
        await server.close()


async def test_a_closed_server_leaves_no_socket(server, socket):
    await server.close()

    assert not socket.exists()


def test_a_name_can_be_registered_once(socket):
    server = ControlServer(socket)

    assert server.register("echo", echo)
    assert not server.register("echo", echo)
