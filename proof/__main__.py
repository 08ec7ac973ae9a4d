"""``python -m proof``: every part tries to break a promise for its share of the time."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from proof.part import Part, PartResult
from relay_core import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARES: Mapping[str, float] = {
    "simulation": 10,
    "kills": 14,
    "storage": 3,
    "load": 5,
    "fuzz": 28,
}
"""Minutes of an hour; each part is `proof.NAME.run`."""
SETTINGS = ("AGENT_RELAY_", "CODEX_")
KEPT = ("AGENT_RELAY_TEST_CODEX_",)
FIRST_SEED = "AGENT_RELAY_TEST_FIRST_SEED"
FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"


class Reached(Struct):
    """What a whole run came to; `minutes` is what was asked for, `seconds` what each part took."""

    minutes: float
    started_at_ms: int
    parts: tuple[PartResult, ...]
    seconds: dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; 0 when no promise was broken, 1 when one was, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
            _move_into(Path(folder))
            os.environ[FIRST_SEED] = str(options.seed)
            reached = _run(options.only or list(SHARES), options.minutes)
    except KeyboardInterrupt:
        return 130
    print("\n".join(_summary(reached)))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(reached), indent=1))
    return 1 if any(part.failures for part in reached.parts) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proof",
        description="Try to break the relay's promises (docs/explanation/guarantees.md).",
    )
    parser.add_argument(
        "--minutes", type=_minutes, default=60.0, metavar="N",
        help="how long in all, shared out among the parts (default: 60)",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", choices=list(SHARES), metavar="PART",
        help=f"this part alone, more than once for several: {', '.join(SHARES)}",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, metavar="K",
        help="where chance begins: the same number, the same run (default: 0)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was reached")
    return parser


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= 24 * 60:
        raise argparse.ArgumentTypeError("minutes go from more than 0 to 1440")
    return minutes


def _move_into(folder: Path) -> None:
    """Have a home of our own, and no setting of the relay or of Codex from the caller."""
    for name in list(os.environ):
        if name.startswith(SETTINGS) and not name.startswith(KEPT):
            del os.environ[name]
    home = folder / "home"
    home.mkdir()
    os.environ |= {"HOME": str(home), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    tempfile.tempdir = str(folder)


def _run(names: Sequence[str], minutes: float) -> Reached:
    started, whole = time.time(), sum(SHARES[name] for name in names)
    seconds: dict[str, float] = {}
    parts: list[PartResult] = []
    for name in names:
        share = 60 * minutes * SHARES[name] / whole
        began = time.monotonic()
        _say(name, f"{share:.0f} s")
        parts.append(_part(name)(share, functools.partial(_say, name)))
        seconds[name] = round(time.monotonic() - began, 1)
    return Reached(
        minutes=minutes, started_at_ms=int(1000 * started), parts=tuple(parts), seconds=seconds
    )


def _part(name: str) -> Part:
    run: Part = importlib.import_module(f"proof.{name}").run
    return run


def _say(name: str, line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {line}", flush=True)


def _summary(reached: Reached) -> Iterator[str]:
    yield ""
    yield f"proof of {reached.minutes:g} minutes"
    for part in reached.parts:
        figures = ", ".join(f"{value:,} {name}" if isinstance(value, int) else f"{name} {value}"
                            for name, value in part.reached.items())  # fmt: skip
        broken = f"{len(part.failures)} BROKEN" if part.failures else "nothing broken"
        yield f"  {part.name} ({reached.seconds[part.name]:.0f} s): {broken}; {figures}"
        for failure in part.failures:
            yield f"    {failure}"


if __name__ == "__main__":
    sys.path.insert(0, str(FIXTURES))
    sys.exit(main())
