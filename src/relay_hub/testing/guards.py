"""What the guard against loops remembers."""

from __future__ import annotations

from msgspec.structs import replace

from relay_core.guards import Guard, GuardKind
from relay_core.messages import MessageId
from relay_hub.store import Store, Transaction
from relay_hub.testing.samples import NOW, A


class GuardCases:
    """What the guard against loops remembers."""

    async def test_what_the_guard_has_stopped_is_kept_and_listed_newest_first(
        self, store: Store
    ) -> None:
        mark = Guard(
            kind=GuardKind.CONVERSATION, subject="1", reason="hops", sender=A, recipient="tag:b",
            refused=3, stopped_ms=NOW, reset_ms=7, more_hops=8, notice_id=MessageId(4),
        )  # fmt: skip
        turns = replace(mark, kind=GuardKind.TURNS, subject=str(A), stopped_ms=NOW + 1)

        async def work(tx: Transaction) -> None:
            for each in (mark, turns, replace(mark, subject="2", stopped_ms=None)):
                await tx.put_guard(each)

        await store.write(work)

        assert await store.read(lambda reads: reads.guards()) == (turns, mark)
        assert await store.read(lambda reads: reads.guard(GuardKind.CONVERSATION, "1")) == mark
        await store.write(lambda tx: tx.put_guard(replace(mark, refused=4, notice_id=None)))
        found = await store.read(lambda reads: reads.guard(GuardKind.CONVERSATION, "1"))
        assert found == replace(mark, refused=4, notice_id=None)
        assert await store.read(lambda reads: reads.guard(GuardKind.TURNS, "1")) is None
