"""A host whose sidecars believe what the agent answers: the kill test must find it out.

It says `delivered` as soon as the agent has answered, and takes what is in doubt after a crash for
absent without looking. Everything else is the real host.
"""

from __future__ import annotations

import sys

from relay_cli.main import main
from relay_core.attempting import Attempts
from relay_core.messages import Attempt
from relay_core.ports import Absent, Evidence, Found

_answered: set[str] = set()


async def _believe(self: Attempts, attempt: Attempt) -> Evidence:
    del self
    return Found() if attempt.id in _answered else Absent(reason="not_looked")


def believe_answers() -> None:
    honest = Attempts._inject

    async def inject(self: Attempts, injection: object, attempt: Attempt, offers: object) -> bool:
        adapter = self._seat.adapter
        hand_over = adapter.inject

        async def note(wanted: object) -> object:
            answer = await hand_over(wanted)  # type: ignore[arg-type]
            _answered.add(attempt.id)
            return answer

        adapter.inject = note  # type: ignore[method-assign, assignment]
        try:
            return await honest(self, injection, attempt, offers)  # type: ignore[arg-type]
        finally:
            adapter.inject = hand_over  # type: ignore[method-assign]

    Attempts._inject = inject  # type: ignore[method-assign, assignment]
    Attempts._find = _believe  # type: ignore[method-assign]


if __name__ == "__main__":
    believe_answers()
    sys.argv = ["agent-relay", "up"]
    main()
