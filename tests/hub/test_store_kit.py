"""The conformance suite finds what is wrong with a store, and says where."""

import inspect
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

import relay_hub.testing
from relay_core.messages import AgentId, DeliveryId, MessageId, Offer
from relay_hub.store import Reads, Store, Transaction
from relay_hub.store.inline import InlineExecutor
from relay_hub.store.rows import ClaimRow
from relay_hub.store.sqlite import SqliteStore
from relay_hub.testing import Report, StoreConformance, check_store

T = TypeVar("T")
CASES = sorted(name for name in dir(StoreConformance) if name.startswith("test_"))


class Twist:
    """A transaction of a good store with one thing wrong."""

    def __init__(self, good: Transaction, memory: dict[object, object]) -> None:
        self.good = good
        self.memory = memory

    def __getattr__(self, name: str) -> object:
        return getattr(self.good, name)


class ForgetsAnnotations(Twist):
    async def annotate(self, delivery_id: DeliveryId, key: str, value: msgspec.Raw) -> None: ...


class HandsOutAClaimTwice(Twist):
    """Answers from what it saw first, as a store does that lets units overlap."""

    async def claim(self, message_id: MessageId) -> ClaimRow | None:
        if message_id not in self.memory:
            self.memory[message_id] = await self.good.claim(message_id)
        return self.memory[message_id]  # type: ignore[return-value]


class GivesANumberTwice(Twist):
    async def next_seq(self, agent_id: AgentId) -> int:
        return max(1, await self.good.next_seq(agent_id) - 1)


class LeavesAGap(Twist):
    """Counts outside of the transaction, so that what a failed unit took stays taken."""

    async def next_seq(self, agent_id: AgentId) -> int:
        taken = int(str(self.memory.get(agent_id, 0))) + 1
        self.memory[agent_id] = taken
        return taken


class OffersNewestFirst(Twist):
    async def offers(self, agent_id: AgentId, most_bytes: int) -> tuple[Offer, ...]:
        return (await self.good.offers(agent_id, most_bytes))[::-1]


class Wrong:
    """A store whose transactions are twisted."""

    def __init__(self, store: SqliteStore, twist: type[Twist]) -> None:
        self.store = store
        self.twist = twist
        self.memory: dict[object, object] = {}

    async def write(self, unit: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self.store.write(lambda tx: unit(self.twist(tx, self.memory)))

    async def read(self, unit: Callable[[Reads], Awaitable[T]]) -> T:
        return await self.store.read(lambda tx: unit(self.twist(tx, self.memory)))

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


async def tried(twist: type[Twist]) -> Report:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[Store]:
        store = SqliteStore.in_memory(executor=InlineExecutor())
        yield Wrong(store, twist)  # type: ignore[misc]
        await store.close()

    return await check_store(open_store)


async def test_our_store_does_everything_that_the_report_asks_for():
    report = await tried(Twist)

    assert [row for row in report.rows if not row.ok] == []
    assert report.ok
    assert str(report) == f"{len(CASES)} of {len(CASES)} cases ok"


@pytest.mark.parametrize(
    ("twist", "case", "line"),
    [
        (ForgetsAnnotations, "open_deliveries_are_offered_oldest_first", '"lang"|annotations'),
        (HandsOutAClaimTwice, "of_units_that_want_the_same_claim_one_gets_it", r"== \[1\]"),
        (GivesANumberTwice, "sequences_have_no_gap_and_no_number_twice", "tx.add_delivery|seqs"),
        (LeavesAGap, "sequences_have_no_gap_and_no_number_twice", r"sorted\(seqs\) =="),
        (OffersNewestFirst, "open_deliveries_are_offered_oldest_first", r'== \["1", "3"\]'),
    ],
)
async def test_a_store_that_is_wrong_on_purpose_fails_where_it_is_wrong(
    twist: type[Twist], case: str, line: str
):
    report = await tried(twist)

    failed = {row.case: row.detail or "" for row in report.rows if not row.ok}
    (name,) = (each for each in failed if each.startswith(case.replace("_", " ")))
    assert re.match(rf"\w+\.py:\d+: .*({line})", failed[name]), failed[name]
    assert f"failed: {name}" in str(report)


@pytest.mark.parametrize("twist", [HandsOutAClaimTwice, LeavesAGap])
async def test_what_else_a_wrong_store_does_right_is_not_blamed(twist: type[Twist]):
    report = await tried(twist)

    assert len([row for row in report.rows if not row.ok]) <= 3
    assert not report.ok


async def test_a_store_that_cannot_be_opened_fails_every_case_with_its_own_words():
    @asynccontextmanager
    async def open_store() -> AsyncIterator[Store]:
        raise OSError("no disk")
        yield

    report = await check_store(open_store)

    assert {row.detail for row in report.rows} == {"OSError: no disk"}
    assert len(report.rows) == len(CASES)


def test_the_suite_asks_for_everything_that_the_port_has():
    folder = Path(inspect.getfile(relay_hub.testing)).parent
    asked = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    port = {
        name
        for part in (Reads, Transaction, Store)
        for name, value in vars(part).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }

    assert len(port) > 60
    assert [name for name in sorted(port) if f".{name}(" not in asked] == []


def test_the_suite_needs_no_pytest():
    program = "import sys, relay_hub.testing; sys.exit('pytest' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_asserts_nothing_is_said_to_be_right():
    program = "import asyncio, relay_hub.testing as t; asyncio.run(t.check_store(None))"
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], check=False, capture_output=True, text=True
    )

    assert "checks nothing under python -O" in done.stderr
