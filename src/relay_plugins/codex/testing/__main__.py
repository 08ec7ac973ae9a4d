"""``python -m relay_plugins.codex.testing``: the stub model by hand."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from relay_plugins.codex.testing.codex_home import config_toml, write_config
from relay_plugins.codex.testing.stub_model import StubModel

SHOWN = 100
DIRECTIVES = """\
A line `stub: VERB ...` in a message tells the model what to do with it:
  say TEXT               slow DELTAS SECONDS    late SECONDS
  shell COMMAND          escalate COMMAND       call NAME JSON
  fail CODE MESSAGE      http STATUS            drop, hang
What follows a verb may be left out where there is a default for it.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM; one line per model request."""
    parser = argparse.ArgumentParser(
        prog="python -m relay_plugins.codex.testing",
        description="A model for Codex that runs on this machine and does what it is told.",
        epilog=DIRECTIVES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="listen here (default: a free port)")
    parser.add_argument(
        "--codex-home",
        type=Path,
        metavar="DIR",
        help="write a config.toml for the stub into this folder",
    )
    parser.add_argument(
        "--no-directives", action="store_true", help="ignore lines `stub: ...` in messages"
    )
    options = parser.parse_args(arguments)
    try:
        return _run(options.port, options.codex_home, directives=not options.no_directives)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(port: int, codex_home: Path | None, *, directives: bool) -> int:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    model = StubModel(directives=directives, port=port).start()
    try:
        print(f"the stub model listens on {model.base_url}", flush=True)
        if codex_home is None:
            print(config_toml(model.base_url), flush=True)
        else:
            path = write_config(codex_home, config_toml(model.base_url))
            print(f"wrote {path}; run Codex with CODEX_HOME={codex_home}", flush=True)
        told = 0
        while not stopped.wait(0.2):
            seen = model.requests()
            for request in seen[told:]:
                text = (request.newest_user_text or "(the output of a tool)").replace("\n", " ")
                print(f"{request.number}: {text[:SHOWN]!r}", flush=True)
            told = len(seen)
    finally:
        model.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
