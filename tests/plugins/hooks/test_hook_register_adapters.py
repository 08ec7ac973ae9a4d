"""An agent of one's own: a notebook, which takes a note for each message and has no turns."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from relay_core import (
    Abilities,
    Absent,
    Activity,
    AdapterRegistrar,
    Attempt,
    AttemptId,
    Evidence,
    Found,
    HandedOver,
    Injection,
    Proof,
    SessionEvent,
    SessionSeen,
    agent_id_for,
    hookimpl,
)
from relay_core.testing import Harness


class Notebook:
    name = "notebook"

    def __init__(self) -> None:
        self.notes: dict[AttemptId, str] = {}

    @hookimpl
    def register_adapters(self, register: AdapterRegistrar) -> None:
        register.adapter(self)

    async def sessions(self) -> AsyncIterator[SessionEvent]:
        yield SessionSeen(
            key="desk", thread_id="desk", cwd="/", provider="notebook", activity=Activity.AT_REST
        )
        await asyncio.Event().wait()  # nothing else will happen

    def describe(self, key: str) -> Abilities:
        return Abilities(prove=Proof.BY_ID)

    async def inject(self, injection: Injection) -> HandedOver:
        self.notes[injection.id] = injection.text
        return HandedOver()

    async def find(self, key: str, attempt: Attempt, *, marker: str | None = None) -> Evidence:
        return Found() if attempt.id in self.notes else Absent()

    async def interrupt(self, key: str, turn_id: str) -> None: ...

    async def attach(self, request: msgspec.Raw) -> tuple[str, ...]:
        return ()

    async def detach(self, key: str) -> None: ...

    async def close(self) -> None: ...


def test_hook_register_adapters_brings_an_agent(relay: Harness) -> None:
    notebook = Notebook()
    relay.load(notebook, "notebook")
    relay.open()

    sent = relay.send(agent_id_for("notebook", "/", "desk"), "buy milk")
    relay.until(sent)

    assert "buy milk" in "".join(notebook.notes.values())
