"""Answers to requests that carry an idempotency key."""

from __future__ import annotations

from relay_hub.store import Store
from relay_hub.store.rows import AnswerRow
from relay_hub.testing.samples import NOW


class AnswerCases:
    """Answers to requests that carry an idempotency key."""

    async def test_an_answer_is_remembered_until_it_is_old(self, store: Store) -> None:
        row = AnswerRow(asked=b"asked", answer=b"{}")
        await store.write(lambda tx: tx.put_answer("user", "/r", "key", row, NOW))

        assert await store.read(lambda reads: reads.answer("user", "/r", "key")) == row
        assert await store.read(lambda reads: reads.answer("agent:a", "/r", "key")) is None
        await store.write(lambda tx: tx.forget_answers(NOW))
        assert await store.read(lambda reads: reads.answer("user", "/r", "key")) == row
        await store.write(lambda tx: tx.forget_answers(NOW + 1))
        assert await store.read(lambda reads: reads.answer("user", "/r", "key")) is None
