"""Reading a thread without subscribing to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from relay_core import AttemptId, Struct, WireError
from relay_plugins.codex.client import CallRefused, Connection
from relay_plugins.codex.evidence import (
    TurnReading,
    carries,
    no_history_yet,
    reaches_back,
    read_turn,
    turn_reaches_back,
)
from relay_plugins.codex.wire import (
    Item,
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
HELPER_SOURCES = frozenset({"thread_title"})
PAGINATED = "paginated"
FIRST_PAGE = 5
PAGE = 20
MAX_PAGES = 1_000
RECENT_TURNS = 5
MOST_ITEMS = 2_000
"""Items of one turn that are read for what it carries; a longer one is read in part."""


class NoHistoryYet(Exception):
    """The thread has no history, or keeps it the other way; neither evidence nor absence."""


class Search(Struct):
    """What a search gave; `complete` when it went back to the attempt's time."""

    turn_id: str | None = None
    found: bool = False
    complete: bool = False


def keeps_history(thread: Thread) -> bool:
    """Whether the way in which this thread keeps its history is known."""
    return thread.history_mode in {PAGINATED, LEGACY}


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


def is_helper(thread: Thread) -> bool:
    """Whether Codex made this thread for itself; nobody talks in it."""
    return thread.ephemeral or thread.thread_source in HELPER_SOURCES


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
    """Read all items of one turn; what its summary tells where they cannot be read.

    Such a turn may hold more than was seen, so it has no last words: they could be anybody's. Nor
    is anything known to be unread in it.
    """
    try:
        if thread.history_mode == LEGACY:
            params = TurnsListParams(thread_id=thread.id, items_view="full", limit=1)
            async for each in _turn_pages(connection, params):
                if each.id == turn.id:
                    return read_turn(each.items)
            return _in_part(turn.items)
        items = await items_of(connection, thread.id, turn.id, most=MOST_ITEMS)
        return read_turn(items) if len(items) < MOST_ITEMS else _in_part(items)
    except NoHistoryYet:
        return _in_part(turn.items)


def _in_part(items: Iterable[Item]) -> TurnReading:
    return msgspec.structs.replace(read_turn(items), final_text=None, unread=False)


async def items_of(
    connection: Connection, thread_id: str, turn_id: str, *, most: int
) -> tuple[Item, ...]:
    """Read the first items of a turn of a paginated thread, oldest first; raises NoHistoryYet."""
    params = ItemsListParams(thread_id=thread_id, turn_id=turn_id, sort_direction="asc")
    items: list[Item] = []
    async for listed in _item_pages(connection, params):
        items.append(listed.item)
        if len(items) == most:
            break
    return tuple(items)


async def search(
    connection: Connection, thread: Thread, attempt: AttemptId, *, back_to_ms: int
) -> Search:
    """Search the history for an attempt, newest first; raises NoHistoryYet."""
    if thread.history_mode == LEGACY:
        return await _search_turns(connection, thread.id, attempt, back_to_ms)
    return await _search_items(connection, thread.id, attempt, back_to_ms)


async def glance(connection: Connection, thread: Thread, attempt: AttemptId) -> Search:
    """Look for an attempt among what is newest, and nowhere else; raises NoHistoryYet."""
    if thread.history_mode == LEGACY:
        newest = TurnsListParams(thread_id=thread.id, items_view="full", limit=1)
        for turn in (await _turns(connection, newest)).data:
            if any(carries(item, attempt) for item in turn.items):
                return Search(found=True, turn_id=turn.id)
        return Search()
    params = ItemsListParams(thread_id=thread.id, sort_direction="desc", limit=FIRST_PAGE)
    for listed in (await _items(connection, params)).data:
        if carries(listed.item, attempt):
            return Search(found=True, turn_id=listed.turn_id or None)
    return Search()


async def _search_items(
    connection: Connection, thread_id: str, attempt: AttemptId, back_to_ms: int
) -> Search:
    params = ItemsListParams(thread_id=thread_id, sort_direction="desc")
    try:
        async for listed in _item_pages(connection, params):
            if carries(listed.item, attempt):
                return Search(found=True, turn_id=listed.turn_id or None)
            if reaches_back(listed, back_to_ms):
                break
    except WireError:
        return Search()
    return Search(complete=True)


async def _search_turns(
    connection: Connection, thread_id: str, attempt: AttemptId, back_to_ms: int
) -> Search:
    params = TurnsListParams(thread_id=thread_id, items_view="full", limit=1)
    try:
        async for turn in _turn_pages(connection, params):
            if any(carries(item, attempt) for item in turn.items):
                return Search(found=True, turn_id=turn.id)
            if turn_reaches_back(turn, back_to_ms):
                break
    except WireError:
        return Search()
    return Search(complete=True)


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
        page = await _items(connection, page_params)
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


async def _items(connection: Connection, params: ItemsListParams) -> ItemsListResult:
    try:
        return await connection.call("thread/items/list", params, ItemsListResult)
    except CallRefused as refused:
        raise _no_history(refused) from refused


async def _turns(connection: Connection, params: TurnsListParams) -> TurnsListResult:
    try:
        return await connection.call("thread/turns/list", params, TurnsListResult)
    except CallRefused as refused:
        raise _no_history(refused) from refused


async def has_no_turn(connection: Connection, thread_id: str) -> bool:
    """Whether a thread surely has no turn at all."""
    params = TurnsListParams(thread_id=thread_id, items_view="notLoaded", limit=1)
    try:
        return not (await _turns(connection, params)).data
    except NoHistoryYet:
        return True


def _no_history(refused: CallRefused) -> Exception:
    return NoHistoryYet() if no_history_yet(refused.error.message) else refused
