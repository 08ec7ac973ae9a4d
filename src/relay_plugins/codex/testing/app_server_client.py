"""A small client of Codex's app-server, for looking into a thread independently of the adapter.

It shares no code with the adapter on purpose: what both see is seen twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
_T = TypeVar("_T")

UNIX = "unix://"
CALL_TIMEOUT_S = 30.0
PAGE = 100
LOOK_S = 0.02
# What Codex says of a thread whose first item is not written yet.
NO_HISTORY_YET = ("is not supported yet", "is not materialized yet", "no rollout found")


class RpcError(Exception):
    """Codex answered a call with an error; almost all of them carry the code -32600."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {code} {message}")
        self.method = method
        self.code = code
        self.message = message


class Disconnected(Exception):
    """The connection to Codex is closed; Codex never says why."""


class Notification(msgspec.Struct, frozen=True):
    """What Codex said unasked: a notification, or a request, which has an id.

    This client answers a request only when it is told to.
    """

    method: str
    params: msgspec.Raw = msgspec.Raw(b"null")
    id: int | str | None = None


class Status(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    active_flags: tuple[str, ...] = ()


class Content(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


class HistoryItem(msgspec.Struct, frozen=True, rename="camel"):
    """One item of a thread's history; `turn_id` is filled in by `items`."""

    id: str
    type: str
    client_id: str | None = None
    content: tuple[Content, ...] = ()
    turn_id: str = ""

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content)


class Turn(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    status: str
    items: tuple[HistoryItem, ...] = ()


class Thread(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    status: Status
    history_mode: str = "legacy"
    ephemeral: bool = False
    thread_source: str | None = None


class _ThreadReply(msgspec.Struct, frozen=True):
    thread: Thread


class _TurnReply(msgspec.Struct, frozen=True):
    turn: Turn


class _SteerReply(msgspec.Struct, frozen=True, rename="camel"):
    turn_id: str


class _ItemEntry(msgspec.Struct, frozen=True, rename="camel"):
    item: HistoryItem
    turn_id: str


class _ItemPage(msgspec.Struct, frozen=True, rename="camel"):
    data: tuple[_ItemEntry, ...]
    next_cursor: str | None = None


class _TurnPage(msgspec.Struct, frozen=True, rename="camel"):
    data: tuple[Turn, ...]
    next_cursor: str | None = None


class _LoadedPage(msgspec.Struct, frozen=True):
    data: tuple[str, ...]


class _TurnNote(msgspec.Struct, frozen=True, rename="camel"):
    thread_id: str
    turn: Turn


class _Fault(msgspec.Struct, frozen=True):
    code: int
    message: str


class _Frame(msgspec.Struct, frozen=True):
    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"null")
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Fault | None = None


class AppServerClient:
    """One connection, as an async context manager: `async with AppServerClient(address) as codex`.

    `address` is ``unix:///path`` or ``ws://127.0.0.1:port``. A client that starts or resumes a
    thread is subscribed to it and sees its turns; any other sees status broadcasts only.
    """

    def __init__(self, address: str, *, token: str | None = None, name: str = "relay-test") -> None:
        self._address = address
        self._token = token
        self._name = name
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[_Frame]] = {}
        self._last_id = 0
        self._news = asyncio.Condition()
        self.notifications: list[Notification] = []

    # --- life ---

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and shake hands.

        Raises OSError, Disconnected, RpcError, or what websockets raises at a refused handshake.
        """
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
        if self._address.startswith(UNIX):
            self._socket = await unix_connect(
                self._address.removeprefix(UNIX),
                "ws://localhost/",
                max_size=None,
                compression=None,
                additional_headers=headers,
            )
        else:
            self._socket = await connect(
                self._address, max_size=None, compression=None, additional_headers=headers
            )
        self._reader = asyncio.create_task(self._read(self._socket))
        try:
            await self._shake_hands()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    # --- calls ---

    async def call(self, method: str, params: Mapping[str, Json]) -> msgspec.Raw:
        """Call Codex; raises RpcError, Disconnected, or TimeoutError after 30 s."""
        self._last_id += 1
        number = self._last_id
        future: asyncio.Future[_Frame] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._send({"id": number, "method": method, "params": params})
            async with asyncio.timeout(CALL_TIMEOUT_S):
                frame = await future
        finally:
            self._waiting.pop(number, None)
        if frame.error is not None:
            raise RpcError(method, frame.error.code, frame.error.message)
        return frame.result

    async def start_thread(
        self,
        cwd: Path,
        *,
        history_mode: str | None = None,
        approval_policy: str | None = None,
        sandbox: str | None = None,
    ) -> str:
        """Start a thread and subscribe to it; returns its id. None leaves Codex's default."""
        chosen = {
            "historyMode": history_mode,
            "approvalPolicy": approval_policy,
            "sandbox": sandbox,
        }
        asked = {key: value for key, value in chosen.items() if value is not None}
        raw = await self.call("thread/start", {"cwd": str(cwd), **asked})
        return _decode(raw, _ThreadReply).thread.id

    async def resume(self, thread_id: str) -> None:
        """Load a thread and subscribe to it."""
        await self.call("thread/resume", {"threadId": thread_id, "excludeTurns": True})

    async def read(self, thread_id: str) -> Thread:
        raw = await self.call("thread/read", {"threadId": thread_id})
        return _decode(raw, _ThreadReply).thread

    async def loaded(self) -> tuple[str, ...]:
        """List the ids of the threads that this server holds, helper threads among them."""
        return _decode(await self.call("thread/loaded/list", {}), _LoadedPage).data

    async def start_turn(self, thread_id: str, text: str, client_id: str | None = None) -> str:
        """Start a turn, or join the running one; returns the turn's id."""
        raw = await self.call("turn/start", _input(thread_id, text, client_id))
        return _decode(raw, _TurnReply).turn.id

    async def steer(
        self, thread_id: str, turn_id: str, text: str, client_id: str | None = None
    ) -> str:
        """Put a text into the running turn; raises RpcError where that turn does not run."""
        params = {**_input(thread_id, text, client_id), "expectedTurnId": turn_id}
        return _decode(await self.call("turn/steer", params), _SteerReply).turn_id

    async def interrupt(self, thread_id: str, turn_id: str) -> None:
        await self.call("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})

    async def answer(self, request: Notification, result: Json) -> None:
        """Answer what Codex asks its user."""
        await self._send({"id": request.id, "result": result})

    # --- what the thread's own history says ---

    async def items(self, thread_id: str) -> tuple[HistoryItem, ...]:
        """List the whole history, oldest first, whichever way this thread keeps it.

        A thread whose first item is not written yet has an empty history.
        """
        thread = await self.read(thread_id)
        if thread.history_mode == "legacy":
            return tuple(
                msgspec.structs.replace(item, turn_id=turn.id)
                for turn in await self.turns(thread_id, items_view="full")
                for item in turn.items
            )
        found: list[HistoryItem] = []
        cursor: str | None = None
        while True:
            raw = await self._page("thread/items/list", thread_id, {"cursor": cursor})
            page = _decode(raw, _ItemPage)
            found += [
                msgspec.structs.replace(entry.item, turn_id=entry.turn_id) for entry in page.data
            ]
            cursor = page.next_cursor
            if cursor is None:
                return tuple(found)

    async def user_items(self, thread_id: str) -> tuple[HistoryItem, ...]:
        """List the user messages in the history, oldest first."""
        return tuple(item for item in await self.items(thread_id) if item.type == "userMessage")

    async def turns(self, thread_id: str, *, items_view: str = "notLoaded") -> tuple[Turn, ...]:
        """List all turns, oldest first."""
        found: list[Turn] = []
        cursor: str | None = None
        while True:
            asked = {"cursor": cursor, "itemsView": items_view, "sortDirection": "asc"}
            page = _decode(await self._page("thread/turns/list", thread_id, asked), _TurnPage)
            found += page.data
            cursor = page.next_cursor
            if cursor is None:
                return tuple(found)

    async def _page(self, method: str, thread_id: str, asked: Mapping[str, Json]) -> msgspec.Raw:
        params = {key: value for key, value in asked.items() if value is not None}
        try:
            return await self.call(method, {"threadId": thread_id, "limit": PAGE, **params})
        except RpcError as error:
            if any(words in error.message for words in NO_HISTORY_YET):
                return msgspec.Raw(b'{"data":[]}')
            raise

    # --- waiting ---

    async def until(
        self,
        method: str,
        matches: Callable[[Notification], bool] = lambda _: True,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Notification:
        """Wait for a notification, also one that is here already."""
        seen = 0
        async with asyncio.timeout(timeout_s), self._news:
            while True:
                for note in self.notifications[seen:]:
                    if note.method == method and matches(note):
                        return note
                seen = len(self.notifications)
                await self._news.wait()

    async def turn_end(self, turn_id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Turn:
        """Wait for the end of a turn of a thread that this client is subscribed to."""
        note = await self.until(
            "turn/completed",
            lambda note: _decode(note.params, _TurnNote).turn.id == turn_id,
            timeout_s=timeout_s,
        )
        return _decode(note.params, _TurnNote).turn

    async def rest(self, thread_id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Wait until no turn runs in the thread; looks each 20 ms, so it needs no subscription."""
        async with asyncio.timeout(timeout_s):
            while True:
                if (await self.read(thread_id)).status.type != "active":
                    return
                await asyncio.sleep(LOOK_S)

    async def listed(
        self, thread_id: str, client_id: str, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> HistoryItem:
        """Wait until the history shows the user message with this client id."""
        async with asyncio.timeout(timeout_s):
            while True:
                for item in await self.user_items(thread_id):
                    if item.client_id == client_id:
                        return item
                await asyncio.sleep(LOOK_S)

    # --- the wire ---

    async def _shake_hands(self) -> None:
        about: dict[str, Json] = {
            "clientInfo": {"name": self._name, "version": "0"},
            "capabilities": {"experimentalApi": True},
        }
        await self.call("initialize", about)
        await self._send({"method": "initialized"})

    async def _send(self, frame: Mapping[str, Json]) -> None:
        if self._socket is None:
            raise Disconnected("not connected")
        try:
            await self._socket.send(msgspec.json.encode(frame).decode())
        except ConnectionClosed as error:
            raise Disconnected(str(error)) from error

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for raw in socket:
                frame = msgspec.json.decode(raw, type=_Frame)
                if frame.method is not None:
                    note = Notification(frame.method, frame.params, frame.id)
                    async with self._news:
                        self.notifications.append(note)
                        self._news.notify_all()
                    continue
                waiting = self._waiting.get(frame.id) if isinstance(frame.id, int) else None
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
        except ConnectionClosed:
            pass  # Codex sends no close frame, whatever the reason
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Disconnected("the connection was closed"))


def _input(thread_id: str, text: str, client_id: str | None) -> Mapping[str, Json]:
    params: dict[str, Json] = {
        "threadId": thread_id,
        "input": [{"type": "text", "text": text, "text_elements": []}],
    }
    return params if client_id is None else {**params, "clientUserMessageId": client_id}


def _decode(raw: msgspec.Raw, kind: type[_T]) -> _T:
    return msgspec.json.decode(raw, type=kind)
