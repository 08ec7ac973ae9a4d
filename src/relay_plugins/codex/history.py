"""Reading a thread without subscribing to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay_core import Attempt, Struct, WireError
from relay_plugins.codex.client import CallRefused, Connection
from relay_plugins.codex.evidence import (
    Look,
    Rest,
    Taking,
    TurnReading,
    attempt_of,
    carries,
    no_history_yet,
    reaches_back,
    read_turn,
    turn_reaches_back,
)
from relay_plugins.codex.wire import (
    ItemsListParams,
    ItemsListResult,
    ListedItem,
    LoadedListParams,
    LoadedListResult,
    Thread,
    ThreadParams,
    ThreadReadResult,
    Turn,
    TurnsListParams,
    TurnsListResult,
)

LEGACY = "legacy"
PAGINATED = "paginated"
FIRST_PAGE = 5
PAGE = 20
MAX_PAGES = 1_000
RECENT_TURNS = 5
AT_REST = frozenset({"idle", "systemError"})
NOT_LOADED = "notLoaded"


class NoHistoryYet(Exception):
    """The thread has no history, or keeps it the other way; neither evidence nor absence."""


class Found(Struct):
    """What a search through the history gave: the turn that holds the attempt, or how far it got."""

    turn_id: str | None = None
    found: bool = False
    complete: bool = False


async def read_thread(connection: Connection, thread_id: str) -> Thread | None:
    """Read one thread; None when Codex knows no such thread."""
    try:
        answer = await connection.call(
            "thread/read", ThreadParams(thread_id=thread_id), ThreadReadResult
        )
    except CallRefused as refused:
        if "thread not loaded" in refused.error.message or "not found" in refused.error.message:
            return None
        raise
    return answer.thread


async def loaded_threads(connection: Connection) -> tuple[str, ...]:
    """List the ids of all loaded threads, helpers included."""
    ids: list[str] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await connection.call(
            "thread/loaded/list", LoadedListParams(cursor=cursor), LoadedListResult
        )
        ids += page.data
        if page.next_cursor is None or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    return tuple(dict.fromkeys(ids))


async def recent_turns(connection: Connection, thread_id: str) -> tuple[Turn, ...]:
    """Read the newest turns, newest first, each with its first user message and its last words."""
    params = TurnsListParams(thread_id=thread_id, items_view="summary", limit=RECENT_TURNS)
    try:
        return (await _turns(connection, params)).data
    except NoHistoryYet:
        return ()


async def read_whole_turn(connection: Connection, thread: Thread, turn: Turn) -> TurnReading:
    """Read all items of one turn; what its summary tells where they cannot be read."""
    try:
        if thread.history_mode == LEGACY:
            params = TurnsListParams(thread_id=thread.id, items_view="full", limit=1)
            async for each in _turn_pages(connection, params):
                if each.id == turn.id:
                    return read_turn(each.items)
            return read_turn(turn.items)
        items = ItemsListParams(thread_id=thread.id, turn_id=turn.id, sort_direction="asc")
        listed = [each.item async for each in _item_pages(connection, items)]
    except NoHistoryYet:
        return read_turn(turn.items)
    return read_turn(listed)


async def look(
    connection: Connection,
    thread_id: str,
    attempt: Attempt,
    *,
    at: float,
    taken_by: str | None,
    process_gone: bool,
) -> Look:
    """Look for an attempt once, all the way back to its time.

    The status is read before the history, so that a thread which was at rest then has all in it that
    had come by then.
    """
    thread = await read_thread(connection, thread_id)
    if thread is None:
        return Look(at=at, rest=Rest.MISSING, complete=True, process_gone=process_gone)
    rest = rest_of(thread)
    try:
        result = await search(connection, thread, attempt)
    except NoHistoryYet:
        known = thread.history_mode in {PAGINATED, LEGACY}
        empty = known and rest is Rest.AT_REST and await _has_no_turn(connection, thread_id)
        result = Found(complete=empty)
    if result.found:
        return Look(at=at, rest=rest, found=True, found_in=result.turn_id)
    return Look(
        at=at,
        rest=rest,
        complete=result.complete,
        taking=await _taking(connection, thread_id, taken_by),
        process_gone=process_gone,
    )


async def search(connection: Connection, thread: Thread, attempt: Attempt) -> Found:
    """Search the history for an attempt, newest first; raises NoHistoryYet."""
    if thread.history_mode == LEGACY:
        return await _search_turns(connection, thread.id, attempt)
    return await _search_items(connection, thread.id, attempt)


def rest_of(thread: Thread) -> Rest:
    """Tell what a thread was doing when it was read."""
    if thread.status.type in AT_REST:
        return Rest.AT_REST
    if thread.status.type == NOT_LOADED:
        return Rest.NOT_LOADED
    # A status that is not known yet is no rest: nothing may be concluded from it.
    return Rest.IN_TURN


def started_by_us(turn: Turn) -> bool:
    """Whether the first user message of a turn is ours."""
    first = next((item for item in turn.items if item.is_user_message), None)
    return first is not None and attempt_of(first) is not None


async def _search_items(connection: Connection, thread_id: str, attempt: Attempt) -> Found:
    params = ItemsListParams(thread_id=thread_id, sort_direction="desc")
    try:
        async for listed in _item_pages(connection, params):
            if carries(listed.item, attempt.id):
                return Found(found=True, turn_id=listed.turn_id or None)
            if reaches_back(listed, attempt.started_ms):
                break
    except WireError:
        return Found()
    return Found(complete=True)


async def _search_turns(connection: Connection, thread_id: str, attempt: Attempt) -> Found:
    params = TurnsListParams(thread_id=thread_id, items_view="full", limit=1)
    try:
        async for turn in _turn_pages(connection, params):
            if any(carries(item, attempt.id) for item in turn.items):
                return Found(found=True, turn_id=turn.id)
            if turn_reaches_back(turn, attempt.started_ms):
                break
    except WireError:
        return Found()
    return Found(complete=True)


async def _item_pages(connection: Connection, params: ItemsListParams) -> AsyncIterator[ListedItem]:
    """Yield items page by page; WireError when the pages run in a circle."""
    cursor: str | None = None
    seen: set[str] = set()
    limit = FIRST_PAGE
    for _ in range(MAX_PAGES):
        page_params = ItemsListParams(
            thread_id=params.thread_id,
            turn_id=params.turn_id,
            sort_direction=params.sort_direction,
            cursor=cursor,
            limit=limit,
        )
        try:
            page = await connection.call("thread/items/list", page_params, ItemsListResult)
        except CallRefused as refused:
            raise _no_history(refused) from refused
        for listed in page.data:
            yield listed
        cursor, limit = page.next_cursor, PAGE
        if cursor is None:
            return
        if cursor in seen:
            break
        seen.add(cursor)
    raise WireError("codex: thread/items/list does not come to an end")


async def _turn_pages(connection: Connection, params: TurnsListParams) -> AsyncIterator[Turn]:
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        page_params = TurnsListParams(
            thread_id=params.thread_id,
            items_view=params.items_view,
            limit=params.limit,
            cursor=cursor,
        )
        page = await _turns(connection, page_params)
        for turn in page.data:
            yield turn
        cursor = page.next_cursor
        if cursor is None:
            return
        if cursor in seen:
            break
        seen.add(cursor)
    raise WireError("codex: thread/turns/list does not come to an end")


async def _turns(connection: Connection, params: TurnsListParams) -> TurnsListResult:
    try:
        return await connection.call("thread/turns/list", params, TurnsListResult)
    except CallRefused as refused:
        raise _no_history(refused) from refused


async def _taking(connection: Connection, thread_id: str, turn_id: str | None) -> Taking:
    if turn_id is None:
        return Taking.UNKNOWN
    for turn in await recent_turns(connection, thread_id):
        if turn.id == turn_id:
            return Taking.RUNNING if turn.running else Taking.ENDED
    return Taking.UNLISTED


async def _has_no_turn(connection: Connection, thread_id: str) -> bool:
    params = TurnsListParams(thread_id=thread_id, items_view="notLoaded", limit=1)
    try:
        return not (await _turns(connection, params)).data
    except NoHistoryYet:
        return True


def _no_history(refused: CallRefused) -> Exception:
    return NoHistoryYet() if no_history_yet(refused.error.message) else refused
