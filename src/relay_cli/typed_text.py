"""The text of a message as it was typed: an argument, or standard input."""

from __future__ import annotations

import sys

from relay_cli.problems import Usage

MOST_READ_BYTES = 64 * 1024 * 1024
"""The most that is read from standard input; how large a message may be, the hub says."""

AS_A_FILE = "write it to a file and send the file's path"
FROM_STANDARD_INPUT = "-"


def read_text(argument: str, where: str) -> str:
    """Read a message's text; Usage where it is empty, with `where` to give it, or is no text."""
    text = _standard_input() if argument == FROM_STANDARD_INPUT else argument
    if not text.strip():
        raise Usage("the message is empty", fix=where)
    return text


def _standard_input() -> str:
    data = sys.stdin.buffer.read(MOST_READ_BYTES + 1)
    if len(data) > MOST_READ_BYTES:
        detail = f"standard input has more than {MOST_READ_BYTES // 1024**2} MiB"
        raise Usage(detail, fix=AS_A_FILE)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        detail = f"standard input is not UTF-8 text (byte {error.start})"
        raise Usage(detail, fix="send text; for other data send a file's path") from error
