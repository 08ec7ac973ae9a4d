"""Idempotency keys: the same request twice has one effect and one answer."""

# Rule 1: the answer is stored in the transaction of its effect: both are there, or neither.
# Rule 2: a key belongs to one caller and one route, for seven days.
# Rule 3: a refusal is not remembered: it had no effect.

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from relay_core.errors import HubRefused
from relay_hub.callers import Caller, Once
from relay_hub.store import Transaction
from relay_hub.store.rows import AnswerRow

T = TypeVar("T")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def once(caller: Caller, route: str, key: str, body: bytes) -> Once:
    """Check an idempotency key; 422 `bad_idempotency_key`."""
    if not _KEY.fullmatch(key):
        raise HubRefused(
            422, "bad_idempotency_key", "Idempotency-Key is 1 to 255 visible ASCII characters"
        )
    return Once(scope=caller.scope, route=route, key=key, asked=hashlib.sha256(body).digest())


async def answer_once(
    tx: Transaction,
    request: Once,
    kind: type[T],
    work: Callable[[], Awaitable[T]],
    now_ms: int,
) -> T:
    """Answer what was answered before, or do the work and remember the answer."""
    found = await tx.answer(request.scope, request.route, request.key)
    if found is not None:
        if found.asked != request.asked:
            raise HubRefused(
                422,
                "idempotency_mismatch",
                "this Idempotency-Key was used with another body",
                fix="use a new key for a new request",
            )
        return msgspec.json.decode(found.answer, type=kind)
    result = await work()
    row = AnswerRow(asked=request.asked, answer=msgspec.json.encode(result))
    await tx.put_answer(request.scope, request.route, request.key, row, now_ms)
    return result
