"""What is known of sessions from their hooks' calls alone, kept over restarts of the host."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from relay_core import RelayError, Struct, make_private_folder, read_user_file, replace_user_file
from relay_plugins.codex.address import CodexProcess, is_alive

log = logging.getLogger("relay.codex")

MOST_HOMES = 20


class Sighting(Struct):
    """A session that is inside of a process, with no socket."""

    thread_id: str
    codex_home: str
    owner: CodexProcess


class Sightings(Struct):
    """All of them, and each CODEX_HOME beside the host's own in which a session was started."""

    homes: tuple[str, ...] = ()
    embedded: tuple[Sighting, ...] = ()

    def with_home(self, home: Path) -> Sightings:
        """With one more CODEX_HOME; the oldest one is forgotten when they are many."""
        others = tuple(each for each in self.homes if each != str(home))
        return msgspec.structs.replace(self, homes=(*others, str(home))[-MOST_HOMES:])

    def with_sighting(self, sighting: Sighting) -> Sightings:
        """With one more session, without those whose process has ended."""
        others = (each for each in self.alive() if each.thread_id != sighting.thread_id)
        return msgspec.structs.replace(self, embedded=(*others, sighting))

    def alive(self) -> tuple[Sighting, ...]:
        """The sessions whose process still runs."""
        return tuple(each for each in self.embedded if is_alive(each.owner.process))


def recall(file: Path | None) -> Sightings:
    """Read them; none where the file is not there or says nothing that can be read."""
    try:
        content = None if file is None else read_user_file(file)
        return Sightings() if content is None else msgspec.json.decode(content, type=Sightings)
    except (RelayError, msgspec.MsgspecError, UnicodeError, RecursionError, OSError) as error:
        log.warning("what was known of Codex sessions cannot be read: %s", error)
        return Sightings()


def remember(file: Path | None, sightings: Sightings) -> None:
    """Write them down; that it fails is told in the log, and found again by the next hook."""
    if file is None:
        return
    try:
        make_private_folder(file.parent)
        replace_user_file(file, msgspec.json.encode(sightings), durable=False)
    except OSError as error:
        log.warning("what is known of Codex sessions cannot be kept: %s", error)
