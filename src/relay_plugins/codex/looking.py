"""Looking for an attempt in a thread's history until there is an answer, or none to be had."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from relay_core import (
    Absent,
    AdapterError,
    Attempt,
    Clock,
    Evidence,
    Found,
    Unknown,
    WireError,
)
from relay_plugins.codex.address import is_alive
from relay_plugins.codex.app_server import AppServer
from relay_plugins.codex.client import CallRefused, Connection
from relay_plugins.codex.evidence import (
    Handed,
    Look,
    Rest,
    Taking,
    judge,
    next_wait_s,
    rest_of,
    search_back_to_ms,
    taking_of,
)
from relay_plugins.codex.history import (
    NoHistoryYet,
    Search,
    glance,
    has_no_turn,
    keeps_history,
    read_thread,
    recent_turns,
    search,
)
from relay_plugins.codex.injection import is_overloaded
from relay_plugins.codex.queueing import queued, take_out
from relay_plugins.codex.remnant import Remnant, take_back
from relay_plugins.codex.tracked import TrackedThread
from relay_plugins.codex.wire import CLIENT_ID_PREFIX

log = logging.getLogger("relay.codex")

LIMIT_S = 60.0
LEFT_WITH_THE_MODEL = "left_with_the_model"
"""Why an attempt is absent that the model will read all the same; sent again, it is read twice."""

QUICK_S = 0.4
"""For so long after a hand-over absence can mean nothing, and only the newest items are read."""


async def find(
    server: AppServer, tracked: TrackedThread, attempt: Attempt, marker: str, clock: Clock
) -> Evidence:
    """Look as often as is useful; `evidence` has the rules, `remnant` what goes with absence."""
    began = clock.monotonic()
    looks: list[Look] = []
    evidence: Evidence = Unknown(why="nothing could be read")
    while clock.monotonic() - began < LIMIT_S:
        connection = server.connection
        if connection is None:
            return Unknown(why="Codex is not reachable")
        moved = tracked.moved
        handed = tracked.handed(attempt.id, connection)
        since = clock.monotonic() - (began if handed is None else handed.at)
        try:
            if handed is not None and since < QUICK_S:
                seen = await _glance(connection, tracked, attempt, clock.monotonic())
            else:
                seen = await _look(connection, tracked, attempt, clock.monotonic())
        except (AdapterError, WireError) as error:
            log.info("thread %s: %s", tracked.id, error)
            seen = Look(at=clock.monotonic(), rest=Rest.UNREADABLE)
        looks.append(seen)
        evidence = judge(looks, tracked.handed(attempt.id, connection))
        if isinstance(evidence, Absent):
            try:
                was_queued = await _was_queued(connection, tracked.id, attempt)
            except (AdapterError, WireError) as error:
                return Unknown(why=f"it may wait in the thread's queue: {error}")
            if was_queued:
                looks.clear()
                continue
            return await _swept(connection, tracked, marker, evidence)
        if isinstance(evidence, Found) or seen.rest is Rest.NOT_LOADED:
            return evidence
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(next_wait_s(since)):
                await moved.wait()
    return evidence


async def _was_queued(connection: Connection, thread_id: str, attempt: Attempt) -> bool:
    """Take an attempt out of the thread's queue; True when it was taken out by Codex meanwhile.

    A session without a socket is reached through its queue, and what waits there would be run by
    whichever Codex opens the thread next.
    """
    try:
        rows = await queued(connection, thread_id)
    except CallRefused as refused:
        if is_overloaded(refused.error):
            raise
        log.info("thread %s: %s", thread_id, refused)  # it has none
        return False
    for row in rows:
        if row.client_user_message_id == CLIENT_ID_PREFIX + attempt.id:
            return not await take_out(connection, thread_id, row)
    return False


async def _swept(
    connection: Connection, tracked: TrackedThread, marker: str, absent: Absent
) -> Evidence:
    """See to it that the model does not read what the history lacks."""
    try:
        remnant = await take_back(connection, tracked.id, marker)
    except CallRefused as refused:
        log.info("thread %s: %s", tracked.id, refused)
        remnant = Remnant.STAYS
    except (AdapterError, WireError) as error:
        return Unknown(why=f"the thread was not swept: {error}")
    if remnant is Remnant.TAKEN_BACK:
        log.info("thread %s: took back what a killed Codex had left of %s", tracked.id, marker)
    if remnant is Remnant.STAYS:
        log.warning("thread %s: the model has %s, its history does not", tracked.id, marker)
        return Absent(reason=LEFT_WITH_THE_MODEL, agent_crashed=absent.agent_crashed)
    return absent


async def _glance(
    connection: Connection, tracked: TrackedThread, attempt: Attempt, at: float
) -> Look:
    """Read what is newest, and nothing that could show an absence."""
    try:
        result = await glance(connection, tracked.thread, attempt.id)
    except NoHistoryYet:
        result = Search()
    return Look(at=at, rest=Rest.IN_TURN, found=result.found, found_in=result.turn_id)


async def _look(
    connection: Connection, tracked: TrackedThread, attempt: Attempt, at: float
) -> Look:
    """Look once, all the way back to the attempt's time.

    The status is read before the history, so that a thread which was at rest then has all in it
    that had come by then.
    """
    gone = _process_gone(tracked, attempt)
    thread = await read_thread(connection, tracked.id)
    if thread is None:
        return Look(at=at, rest=Rest.MISSING, complete=True, process_gone=gone)
    rest = rest_of(thread.status)
    if rest is Rest.AT_REST and connection.may_come(thread.id):
        rest = Rest.IN_TURN
    handed = tracked.handed(attempt.id, connection)
    back_to_ms = search_back_to_ms(attempt, handed)
    try:
        result = await search(connection, thread, attempt.id, back_to_ms=back_to_ms)
    except NoHistoryYet:
        empty = rest is Rest.AT_REST and keeps_history(thread)
        result = Search(complete=empty and await has_no_turn(connection, thread.id))
    if result.found:
        return Look(at=at, rest=rest, found=True, found_in=result.turn_id)
    return Look(
        at=at,
        rest=rest,
        complete=result.complete,
        taking=await _taking(connection, tracked.id, handed),
        process_gone=gone,
    )


async def _taking(connection: Connection, thread_id: str, handed: Handed | None) -> Taking:
    if handed is None or handed.turn_id is None:
        return Taking.UNKNOWN
    return taking_of(handed.turn_id, await recent_turns(connection, thread_id))


def _process_gone(tracked: TrackedThread, attempt: Attempt) -> bool:
    """Whether the Codex process that was handed an attempt is surely dead."""
    process = tracked.process_of(attempt.id)
    return process is not None and not is_alive(process)
