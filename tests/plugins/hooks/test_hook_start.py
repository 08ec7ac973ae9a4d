"""What takes time is looked up from `start`: hold the message, note what was found, release it."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from relay_core import (
    Arrived,
    Message,
    Prompt,
    Relay,
    RelayEvent,
    Verdict,
    hookimpl,
)
from relay_core.testing import Harness


class Tickets:
    @hookimpl
    @asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        self.relay = relay
        self.titles = msgspec.json.decode(relay.table, type=Mapping[str, str])
        yield  # the host runs

    @hookimpl
    def on_message(self, message: Message) -> Verdict | None:
        known = "title" in message.annotations or not message.body.startswith("#")
        return None if known else Verdict.hold("looking the ticket up")

    @hookimpl
    async def on_event(self, event: RelayEvent) -> None:
        if isinstance(event, Arrived):
            message = await self.relay.message(event.message_id)
            title = msgspec.json.encode(self.titles.get(message.body, "no such ticket"))
            await self.relay.annotate(event.delivery_id, "title", msgspec.Raw(title))
            await self.relay.release(event.delivery_id)

    @hookimpl(wrapper=True)
    def format_prompt(self, messages: Sequence[Message]) -> Generator[None, Prompt, Prompt]:
        prompt = yield
        titles = [str(each.annotations.get("title", b""), "utf-8") for each in messages]
        return msgspec.structs.replace(prompt, footer=" ".join(titles))


def test_hook_start_hands_out_the_power_to_look_things_up(relay: Harness) -> None:
    relay.load(Tickets(), "tickets")
    relay.configure("tickets", **{"#7": "The door squeaks"})
    session = relay.open()

    relay.until(relay.send(session, "#7"))

    assert "The door squeaks" in session.prompts[0]
