"""Tells a local HTTP endpoint what happens to messages."""

# Rule 1: nothing waits for the endpoint: `on_event` only puts into a queue of a fixed length.
# Rule 2: what does not fit any more is dropped, oldest first, and counted in the next batch.
# Rule 3: a batch that could not be posted is kept and posted again; so an endpoint may get one
#         twice, and tells that by its ids.
# Rule 4: texts leave this process only where the table says so, and the machine only where it says
#         that as well.

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator
from ipaddress import ip_address

import httpx
import msgspec

from relay_core import (
    AgentId,
    HubError,
    MessageId,
    Relay,
    RelayEvent,
    SettingsError,
    hookimpl,
    messages_of,
)

KEPT = 1_000
"""How many events wait for the endpoint."""

TOGETHER = 50
POST_LIMIT_S = 10.0
AGAIN_S = 5.0
LAST_WORDS_S = 2.0
"""How long a host that ends waits for what is left."""

log = logging.getLogger(__name__)


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugin.chat-forwarder]` of config.toml; without a URL nothing is told to anybody."""

    url: str = ""
    events: tuple[str, ...] = ("delivered", "held", "skipped", "turn_ended")
    bodies: bool = False
    allow_remote: bool = False


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a message."""

    id: MessageId
    from_: AgentId = msgspec.field(name="from")
    subject: str | None = None
    body: str | None = None


class Note(msgspec.Struct, frozen=True):
    """One event, and the messages that it is about."""

    event: RelayEvent
    messages: tuple[About, ...]


class Batch(msgspec.Struct, frozen=True):
    """What is posted: some notes, oldest first, and how many events were lost before them."""

    notes: tuple[Note, ...]
    dropped: int


class ChatForwarder:
    """The plugin; `transport` stands for the endpoint in tests, `kept` is how much waits for it."""

    def __init__(
        self, transport: httpx.AsyncBaseTransport | None = None, *, kept: int = KEPT
    ) -> None:
        self._transport = transport
        self._kept = kept
        self._table = Table()
        self._told: frozenset[str] = frozenset()
        self._waiting: deque[RelayEvent] = deque()
        self._taken: tuple[RelayEvent, ...] = ()
        self._dropped = 0
        self._more = asyncio.Event()

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        """Post what comes, and at the end what is left."""
        table = msgspec.json.decode(relay.table, type=Table)
        if not table.url:
            yield
            return
        _check_address(table)
        self._table, self._more = table, asyncio.Event()
        # No proxy of the environment's: what is told goes to the URL and nowhere else.
        async with httpx.AsyncClient(transport=self._transport, trust_env=False) as client:
            worker = asyncio.create_task(self._work(relay, client))
            self._told = frozenset(table.events)
            try:
                yield
            finally:
                self._told = frozenset()
                worker.cancel()
                await asyncio.wait([worker])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORDS_S):
                        await self._post_all(relay, client)

    @hookimpl
    async def on_event(self, event: RelayEvent) -> None:
        """Put into the queue what is asked for; a coroutine, so that it runs where `start` does."""
        if event.__struct_config__.tag not in self._told:
            return
        if len(self._waiting) >= self._kept:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._more.set()

    async def _work(self, relay: Relay, client: httpx.AsyncClient) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            if not await self._post_all(relay, client):
                await asyncio.sleep(AGAIN_S)
                self._more.set()

    async def _post_all(self, relay: Relay, client: httpx.AsyncClient) -> bool:
        """Post what waits, batch by batch; False when the endpoint does not take it."""
        while self._taken or self._waiting:
            if not self._taken:
                together = min(TOGETHER, len(self._waiting))
                self._taken = tuple(self._waiting.popleft() for _ in range(together))
            dropped = self._dropped
            notes = [await self._note(event, relay) for event in self._taken]
            batch = msgspec.json.encode(Batch(notes=tuple(notes), dropped=dropped))
            if not await self._post(batch, client):
                return False
            self._taken, self._dropped = (), self._dropped - dropped
        return True

    async def _post(self, batch: bytes, client: httpx.AsyncClient) -> bool:
        headers = {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(POST_LIMIT_S):
                answer = await client.post(
                    self._table.url, content=batch, headers=headers, timeout=None
                )
            answer.raise_for_status()
        except (TimeoutError, httpx.HTTPError) as error:  # the caller tries it again, or counts it
            log.info("chat-forwarder: %r", error)
            return False
        return True

    async def _note(self, event: RelayEvent, relay: Relay) -> Note:
        try:
            found = [await relay.message(message_id) for message_id in messages_of(event)]
        except HubError as error:  # the event is told all the same
            log.info("chat-forwarder: %s", error)
            found = []
        told = (
            About(
                id=each.id,
                from_=each.from_,
                subject=each.subject,
                body=each.body if self._table.bodies else None,
            )
            for each in found
        )
        return Note(event=event, messages=tuple(told))


def _check_address(table: Table) -> None:
    """Refuse an address on another machine, and what is none."""
    host = httpx.URL(table.url).host
    if table.allow_remote or host == "localhost":
        return
    with contextlib.suppress(ValueError):
        if ip_address(host).is_loopback:
            return
    raise SettingsError(
        f"{table.url} is not on this machine",
        fix="set allow_remote = true if others may hear what happens here",
    )


plugin = ChatForwarder()
