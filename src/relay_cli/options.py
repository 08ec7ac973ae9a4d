"""Options and values that several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from relay_cli.output import Output

F = TypeVar("F", bound=Callable[..., Any])

_MESSAGE_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_LARGEST_ID = 2**63 - 1
LONGEST_WAIT_S = 86_400
LARGEST_PORT = 65535
LARGEST_LIMIT = 10_000


def message_number(text: str) -> int:
    """Read a message's number: digits, nothing else."""
    if not _MESSAGE_ID.fullmatch(text) or int(text) > _LARGEST_ID:
        raise click.BadParameter(f"{text!r} is no message number")
    return int(text)


def identifier(text: str) -> str:
    """Read the id of an agent, a pair or a thread; an empty one is a variable that was not set."""
    if not text.strip():
        raise click.BadParameter("it is empty")
    return text


def seconds(text: str) -> float:
    """Read a number of seconds above zero, at most a day."""
    if not _SECONDS.fullmatch(text) or not 0 < float(text) <= LONGEST_WAIT_S:
        raise click.BadParameter(
            f"{text!r} is no number of seconds above 0 and at most {LONGEST_WAIT_S}"
        )
    return float(text)


def port_number(text: str) -> int:
    """Read a TCP port; 0 takes a free one."""
    if not _PORT.fullmatch(text) or int(text) > LARGEST_PORT:
        raise click.BadParameter(f"{text!r} is no port from 0 (a free one) to {LARGEST_PORT}")
    return int(text)


def limit_option(default: int) -> Callable[[F], F]:
    """Add `--limit`: how much of a long list is shown."""

    def with_limit(function: F) -> F:
        return click.option(
            "--limit",
            type=click.IntRange(1, LARGEST_LIMIT),
            default=default,
            show_default=True,
            metavar="N",
            help="Show at most so many.",
        )(function)

    return with_limit


def before_option(function: F) -> F:
    """Add `--before`: what is older than the first that was shown."""
    return click.option(
        "--before", type=message_number, metavar="ID", help="Only what is older than this one."
    )(function)


def json_option(function: F) -> F:
    """Add `--json`; the command gets an `Output` named `output`."""
    return click.option(
        "--json",
        "output",
        is_flag=True,
        callback=_open_output,
        help="Print one JSON object instead of text.",
    )(function)


def url_option(function: F) -> F:
    """Add `--url`."""
    return click.option(
        "--url",
        metavar="URL",
        help="The hub to ask. Default: AGENT_RELAY_URL, the running host's hub, config.toml, "
        "http://127.0.0.1:4850.",
    )(function)


def _open_output(ctx: click.Context, param: click.Parameter, value: object) -> Output:
    del ctx, param
    return Output(as_json=bool(value))
