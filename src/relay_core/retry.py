"""How long to wait before trying again: attempts and a random number in, milliseconds out."""

# Rule: no clock and no randomness here; `jitter` comes in, 0 <= jitter < 1.

from __future__ import annotations

MAX_ATTEMPTS = 5
"""Failed attempts after which a delivery is dead."""

FIRST_MS = 1_000
CEILING_MS = 5 * 60_000


RECONNECT_FIRST_MS = 50
RECONNECT_CEILING_MS = 2_000


def reconnect_ms(failures: int, jitter: float) -> int:
    """How long to wait before asking a hub on this machine again that gave no answer.

    Full jitter up to a ceiling that doubles with each failure; never above two seconds, as a hub
    that restarts is back within one.
    """
    ceiling = min(RECONNECT_CEILING_MS, RECONNECT_FIRST_MS * 2 ** min(failures, 16))
    return RECONNECT_FIRST_MS + int(jitter * (ceiling - RECONNECT_FIRST_MS))


def delay_ms(
    failures: int, jitter: float, *, first_ms: int = FIRST_MS, most_ms: int = CEILING_MS
) -> int:
    """Full jitter between `first_ms` and a ceiling that grows fourfold with each failure.

    `failures` counts from 1. The answer is never below `first_ms` and never above `most_ms`.
    """
    ceiling = min(most_ms, first_ms * 4 ** min(failures, 16))
    return first_ms + int(jitter * (ceiling - first_ms))
