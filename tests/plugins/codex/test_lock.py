"""One host per thread, whoever comes first."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from relay_core import AdapterError, SettingsError
from relay_plugins.codex.lock import ThreadLock

THREAD = "01a20238-55cd-79d2-ad22-fc94608eaedc"


def test_the_second_does_not_get_it_until_the_first_lets_go(tmp_path: Path):
    first, second = ThreadLock(tmp_path, THREAD), ThreadLock(tmp_path, THREAD)

    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    assert (first.held, second.held) == (False, True)
    second.release()


def test_another_thread_is_another_lock(tmp_path: Path):
    one, other = ThreadLock(tmp_path, THREAD), ThreadLock(tmp_path, THREAD.replace("0", "1"))

    assert one.acquire()
    assert other.acquire()
    one.release()
    other.release()


def test_the_file_stays_and_is_private(tmp_path: Path):
    lock = ThreadLock(tmp_path, THREAD)
    lock.acquire()
    lock.release()

    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(lock.path.parent.stat().st_mode) == 0o700


def test_a_killed_process_frees_it(tmp_path: Path):
    program = (
        "import pathlib, sys, time\n"
        "from relay_plugins.codex.lock import ThreadLock\n"
        "lock = ThreadLock(pathlib.Path(sys.argv[1]), sys.argv[2])\n"
        "print('held' if lock.acquire() else 'not held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), THREAD], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "held\n"
        lock = ThreadLock(tmp_path, THREAD)
        held_by_child = not lock.acquire()
        child.kill()
        child.wait()

    assert held_by_child
    assert lock.acquire()
    lock.release()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path):
    lock = ThreadLock(tmp_path, THREAD)
    lock.path.parent.mkdir(mode=0o700)
    target = tmp_path / "target"
    lock.path.symlink_to(target)

    with pytest.raises(AdapterError):
        lock.acquire()
    assert not target.exists()


def test_an_id_that_would_leave_the_folder_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError):
        ThreadLock(tmp_path, "../../etc/x")
