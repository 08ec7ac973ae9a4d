"""What one part of the proof is asked and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from relay_core import Struct


class PartResult(Struct):
    """What a part reached in its time: `failures` is empty where no promise was broken.

    `reached` holds figures by name ("seeds": 1200, "kills": 512); each failure is one line that
    ends with the command that replays it.
    """

    name: str
    reached: dict[str, int | float | str]
    failures: tuple[str, ...] = ()


class Part(Protocol):
    """The `run` of a module: works for about `seconds`, and says now and then how far it is."""

    def __call__(self, seconds: float, say: Callable[[str], None]) -> PartResult: ...
