"""``python -m benchmarks``: every benchmark in one run, as a table and as JSON."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from benchmarks import (
    decisions,
    hook,
    imports,
    listed,
    polling,
    push,
    rates,
    received,
    reconnect,
    sessions,
    tools,
    writer,
)
from benchmarks.child import ChildFailed
from benchmarks.figures import Section
from benchmarks.raw_sqlite import find_compiler
from benchmarks.report import Report, in_memory, machine, table, utc
from benchmarks.stage import FULL, QUICK, Stage

BENCHMARKS: Mapping[str, Callable[[Stage], Awaitable[Section]]] = {
    "received": received.measure,
    "listed": listed.measure,
    "rates": rates.measure,
    "writer": writer.measure,
    "decisions": decisions.measure,
    "imports": imports.measure,
    "polling": polling.measure,
    "push": push.measure,
    "sessions": sessions.measure,
    "hook": hook.measure,
    "tools": tools.measure,
    "reconnect": reconnect.measure,
}
SETTINGS = ("AGENT_RELAY_", "CODEX_")
KEPT = ("AGENT_RELAY_TEST_CODEX_", "AGENT_RELAY_CODEX_BIN")
CLEAR_LINE = "\r\x1b[K"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 when it ran, whatever it measured."""
    options = _parser().parse_args(arguments)
    for folder in (options.dir, options.json and options.json.absolute().parent):
        if folder is not None and not folder.is_dir():
            print(f"error: {folder} is no folder", file=sys.stderr)
            return 2
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(_run(options))
    except KeyboardInterrupt:
        return 130
    except (ChildFailed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(report))
    if options.json is not None:
        encoded = msgspec.json.format(msgspec.json.encode(report), indent=1)
        options.json.write_bytes(encoded + b"\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the relay beside yardsticks of the same run (benchmarks/README.md).",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=_name,
        help=f"what to measure, all by default: {', '.join(BENCHMARKS)}",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test of seconds; its figures say nothing"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write every round's figures to FILE"
    )
    parser.add_argument(
        "--dir", type=Path, metavar="FOLDER",
        help="where the databases lie: this disk is measured (default: the temporary folder)",
    )  # fmt: skip
    return parser


def _name(text: str) -> str:
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(BENCHMARKS)}")
    return text


async def _run(options: argparse.Namespace) -> Report:
    started, load = time.time(), os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="relay-bench-", dir=options.dir) as folder,
        tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp") as sockets,
    ):
        if in_memory(Path(folder)):
            _say("note: this folder is kept in memory, so a commit costs nothing here; use --dir")
            print(file=sys.stderr)
        stage = Stage(
            folder=Path(folder),
            socket_folder=Path(sockets),
            size=QUICK if options.quick else FULL,
            environ=_environ(Path(folder)),
            say=_say,
            compiler=find_compiler(os.environ),
        )
        sections = [await BENCHMARKS[name](stage) for name in options.names or BENCHMARKS]
    if sys.stderr.isatty():
        print(CLEAR_LINE, end="", file=sys.stderr, flush=True)
    return Report(
        command=_command(options),
        quick=options.quick,
        started_at=utc(started),
        seconds=time.time() - started,
        machine=machine(load),
        sections=tuple(sections),
    )


def _command(options: argparse.Namespace) -> str:
    quick = ["--quick"] if options.quick else []
    return " ".join(["python -m benchmarks", *quick, *options.names])


def _environ(folder: Path) -> dict[str, str]:
    """The caller's environment with a home of its own and no setting of the relay or of Codex."""
    home = folder / "home"
    home.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(SETTINGS) or name.startswith(KEPT)
    }
    return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1"}


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"{CLEAR_LINE}{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
