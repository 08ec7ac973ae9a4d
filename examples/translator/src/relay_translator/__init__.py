"""Shows messages in the language that a session reads, with the original below."""

# Rule 1: decisions do no I/O. `on_message` holds, the worker of `start` translates, annotates and
#         releases, and the annotation is what the decisions see.
# Rule 2: every hold ends. It has a time of its own, after which `on_message` is asked again, so
#         that an event that was missed in a crash costs time and no message.
# Rule 3: a translator that fails costs the translation and no message: the note says why.
# Rule 4: what a person edited is left as it is: the hub shows plugins only what was sent.

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Generator, Sequence

import httpx
import msgspec

from relay_core import (
    DeliveryPlan,
    DeliveryState,
    HubError,
    Message,
    Part,
    Prompt,
    Relay,
    RelayEvent,
    Session,
    Verdict,
    WasHeld,
    hookimpl,
    is_from,
)

KEY = "translator"
REASON = "translating"
WORKERS = 4
NOTE_LIMIT_BYTES = 16 * 1024
AGAIN_MS = 60_000
"""How long a hold is that nobody ends."""

log = logging.getLogger(__name__)


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugin.translator]` of config.toml; names are ids, `tag:x`, `label:x` or `*`."""

    url: str = ""
    limit_s: float = 20.0
    senders: dict[str, str] = {}
    sessions: dict[str, str] = {}


class Languages(msgspec.Struct, frozen=True):
    """From which language into which."""

    source: str
    target: str


class Note(msgspec.Struct, frozen=True):
    """What is annotated: the translation, or why there is none."""

    languages: Languages
    text: str | None = None
    trouble: str | None = None


class _Answer(msgspec.Struct):
    translated: str = msgspec.field(name="translatedText")


class Translator:
    """The plugin; `transport` stands for the translator in tests."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._table = Table()
        self._held: asyncio.Queue[tuple[WasHeld, Session]] = asyncio.Queue()

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        """Keep the workers running; without a URL nothing is translated."""
        table = msgspec.json.decode(relay.table, type=Table)
        self._held = asyncio.Queue()
        async with (
            # No proxy of the environment's: what is translated goes to the URL and nowhere else.
            httpx.AsyncClient(transport=self._transport, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            workers = [tasks.create_task(self._work(relay, client)) for _ in range(WORKERS)]
            try:
                self._table = table if table.url else Table()
                yield
            finally:
                self._table = Table()  # nobody translates any more, so nothing is held for it
                for worker in workers:
                    worker.cancel()

    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        """Hold what is to be translated until its annotation is there."""
        if KEY in message.annotations or self._languages(message, session) is None:
            return None
        return Verdict.hold(REASON, until_ms=session.now + AGAIN_MS)

    @hookimpl
    async def on_event(self, event: RelayEvent, session: Session | None) -> None:
        """Hand to the workers what was held for them."""
        if isinstance(event, WasHeld) and event.reason == REASON and session is not None:
            self._held.put_nowait((event, session))

    @hookimpl(wrapper=True)
    def format_prompt(
        self, messages: Sequence[Message], plan: DeliveryPlan
    ) -> Generator[None, Prompt | None, Prompt | None]:
        """Show both texts, or why there is one only; a digest shows no texts."""
        prompt = yield
        if prompt is None or plan.digest:
            return prompt
        notes = {
            each.id: msgspec.json.decode(each.annotations[KEY], type=Note)
            for each in messages
            if KEY in each.annotations
        }
        parts = (_shown(part, notes.get(part.message_id)) for part in prompt.parts)
        return msgspec.structs.replace(prompt, parts=tuple(parts))

    def _languages(self, message: Message, session: Session) -> Languages | None:
        """Say what is to be translated; None where nothing is."""
        if message.edited_by is not None:
            return None
        table, own = self._table, _names(session)
        target = next((table.sessions[name] for name in table.sessions if name in own), None)
        source = next(
            (table.senders[name] for name in table.senders if is_from(message, (name,))), None
        )
        if source is None or target is None or source == target:
            return None
        return Languages(source=source, target=target)

    async def _work(self, relay: Relay, client: httpx.AsyncClient) -> None:
        while True:
            event, session = await self._held.get()
            try:
                await self._translate(event, session, relay, client)
            except HubError as error:
                # It was cancelled meanwhile, or the hub restarts: then the hold ends by itself.
                log.info("message %s: %s", event.message_id, error)

    async def _translate(
        self, event: WasHeld, session: Session, relay: Relay, client: httpx.AsyncClient
    ) -> None:
        message = await relay.message(event.message_id)
        row = next((each for each in message.deliveries if each.id == event.delivery_id), None)
        if row is None or row.state is not DeliveryState.HELD:
            return
        languages = self._languages(message, session)
        if languages is not None:
            note = msgspec.json.encode(await self._note(message.body, languages, client))
            if len(note) > NOTE_LIMIT_BYTES:
                trouble = "the translation is too long"
                note = msgspec.json.encode(Note(languages=languages, trouble=trouble))
            await relay.annotate(event.delivery_id, KEY, msgspec.Raw(note))
        await relay.release(event.delivery_id)

    async def _note(self, text: str, languages: Languages, client: httpx.AsyncClient) -> Note:
        asked = {"q": text, "source": languages.source, "target": languages.target}
        try:
            async with asyncio.timeout(self._table.limit_s):
                answer = await client.post(self._table.url, json=asked, timeout=None)
            found = msgspec.json.decode(answer.raise_for_status().content, type=_Answer)
        # Rule 3: each of these goes into the note, and the message goes on.
        except TimeoutError:
            trouble = "the translator took too long"
        except httpx.HTTPError as error:
            log.info("translator: %r", error)
            trouble = "the translator did not answer as it should"
        except msgspec.MsgspecError:
            trouble = "the translator's answer cannot be read"
        else:
            return Note(languages=languages, text=found.translated)
        return Note(languages=languages, trouble=trouble)


def _names(session: Session) -> set[str]:
    """What a table may call a session."""
    return {session.id, f"label:{session.label}", *(f"tag:{tag}" for tag in session.tags), "*"}


def _shown(part: Part, note: Note | None) -> Part:
    if note is None:
        return part
    way = f"{note.languages.source} to {note.languages.target}"
    if note.text is None:
        line = ("Not translated", f"{way}: {note.trouble}")
        return msgspec.structs.replace(part, header=(*part.header, line))
    both = f"{note.text}\n\nThe original:\n\n{part.body}"
    return msgspec.structs.replace(part, header=(*part.header, ("Translated", way)), body=both)


plugin = Translator()
