"""Whose a thread of an app-server is."""

from pathlib import Path

from relay_plugins.codex.terminals import Launch, Terminals
from relay_plugins.codex.wire import Thread


def thread(name: str, cwd: str = "/w") -> Thread:
    return Thread(id=name, cwd=cwd)


def test_a_terminal_that_is_alone_has_every_thread():
    assert Launch(id="1").owns(thread("a", "/anywhere"))


def test_where_others_are_a_terminal_has_what_began_in_its_folder_after_it(tmp_path: Path):
    real = str(tmp_path.resolve())
    launch = Launch(id="1", cwd=real, known=("before",))

    assert launch.owns(thread("new", real))
    assert not launch.owns(thread("before", real))
    assert not launch.owns(thread("new", "/elsewhere"))
    assert not launch.owns(thread("new", ""))


def test_and_the_thread_that_it_resumes_wherever_that_is():
    launch = Launch(id="1", cwd="/w", thread="old", known=("old",))

    assert launch.owns(thread("old", "/elsewhere"))


def test_of_two_terminals_in_a_folder_the_newer_one_has_a_new_thread(tmp_path: Path):
    real = str(tmp_path.resolve())
    terminals = Terminals()
    terminals.add(Launch(id="1", cwd=real, known=()))
    terminals.add(Launch(id="2", cwd=real, known=("first",)))

    owners = [terminals.owner_of(thread(each, real)) for each in ("first", "second")]

    assert [each and each.id for each in owners] == ["1", "2"]
