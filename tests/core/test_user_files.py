"""A file of the user's is read only where nobody else could have written it."""

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay_core import SettingsError, read_user_file
from relay_core.user_files import make_private_folder, replace_user_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings"
    path.write_text("x = 1\n")
    path.chmod(0o600)
    return path


def refused(path: Path, reason: str, **options: int) -> SettingsError:
    with pytest.raises(SettingsError, match=reason) as caught:
        read_user_file(path, **options)
    assert caught.value.file == path
    assert "\n" not in caught.value.detail
    return caught.value


def test_a_plain_file_is_read(file: Path):
    assert read_user_file(file) == "x = 1\n"


def test_a_missing_file_is_none(tmp_path: Path, file: Path):
    assert read_user_file(tmp_path / "none") is None
    assert read_user_file(tmp_path / "none" / "none") is None
    assert read_user_file(file / "below") is None


def test_a_link_is_followed_to_a_plain_file(tmp_path: Path, file: Path):
    link = tmp_path / "link"
    link.symlink_to(file)

    assert read_user_file(link) == "x = 1\n"


def test_a_link_to_nothing_is_an_error_and_never_as_if_it_were_missing(tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")

    refused(link, "a link to nothing")


def test_a_loop_of_links_is_an_error(tmp_path: Path):
    link = tmp_path / "loop"
    link.symlink_to(link)

    refused(link, "cannot be read")


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602, 0o777])
def test_what_others_can_write_is_refused_and_the_command_mends_it(file: Path, mode: int):
    file.chmod(mode)
    error = refused(file, "can be written by others")

    assert error.fix == f"chmod go-w {file}"
    file.chmod(mode & ~0o022)
    assert read_user_file(file) == "x = 1\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_another_user_is_refused(file: Path):
    os.chown(file, 12345, -1)

    refused(file, "belongs to another user")


def test_a_folder_a_fifo_a_socket_and_a_device_are_refused(tmp_path: Path, short_path: Path):
    os.mkfifo(tmp_path / "fifo")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(short_path / "s"))
    bound.close()

    refused(tmp_path, "not a regular file")
    refused(tmp_path / "fifo", "not a regular file")
    refused(short_path / "s", "cannot be read")
    refused(Path("/dev/zero"), "not a regular file")


def test_a_large_file_is_refused_before_it_is_read(file: Path):
    os.truncate(file, 10**12)

    refused(file, "larger than 1048576 bytes")
    file.write_text("x" * 11)
    refused(file, "larger than 10 bytes", max_bytes=10)


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (b"\xef\xbb\xbfx = 1", "byte order mark", 1),
        ("x = 1".encode("utf-16"), "not UTF-8", 1),
        (b"x = 1\ny = '\xe9'\n", "not UTF-8", 2),
        (b"\n\n\xff", "not UTF-8", 3),
    ],
)
def test_text_that_is_no_utf_8_is_refused_with_its_line(
    file: Path, data: bytes, reason: str, line: int
):
    file.write_bytes(data)

    assert refused(file, reason).line == line


def test_a_path_that_cannot_be_one_is_refused():
    refused(Path("/x\0y"), "cannot be read")
    refused(Path("/" + "x" * 300), "cannot be read")


def test_a_file_that_changes_meanwhile_is_refused(file: Path, monkeypatch):
    read = os.read

    def read_and_change(opened: int, count: int) -> bytes:
        data = read(opened, count)
        os.utime(file, ns=(1, 1))
        return data

    monkeypatch.setattr(os, "read", read_and_change)
    refused(file, "changed while it was read")


def test_a_private_folder_and_what_is_made_above_it_are_the_users_alone(tmp_path: Path):
    old_mask = os.umask(0)
    try:
        make_private_folder(tmp_path / "data" / "logs")
        make_private_folder(tmp_path / "data" / "logs")
    finally:
        os.umask(old_mask)

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("data", "data/logs")]
    assert modes == [0o700, 0o700]


def test_two_that_replace_a_file_at_the_same_time_leave_one_whole_content(tmp_path: Path):
    path = tmp_path / "status.json"
    contents = [bytes([letter]) * 10_000 for letter in b"abcd"]

    with ThreadPoolExecutor(len(contents)) as threads:
        for _ in range(20):
            list(threads.map(lambda each: replace_user_file(path, each, durable=False), contents))

    assert path.read_bytes() in contents
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "folder"
    path.mkdir()

    with pytest.raises(OSError, match="folder"):
        replace_user_file(path, b"x")

    assert list(tmp_path.iterdir()) == [path]
