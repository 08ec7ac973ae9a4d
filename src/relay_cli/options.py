"""Options and values that several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from relay_cli.output import Output

F = TypeVar("F", bound=Callable[..., Any])

_MESSAGE_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_LARGEST_ID = 2**63 - 1
LARGEST_PORT = 65535


class MessageIdType(click.ParamType):
    """A message's number: digits, nothing else."""

    name = "id"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        if not _MESSAGE_ID.fullmatch(text) or int(text) > _LARGEST_ID:
            self.fail(f"{text!r} is no message number", param, ctx)
        return int(text)


class SecondsType(click.ParamType):
    """A number of seconds above zero, at most a day."""

    name = "seconds"
    most = 86_400

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text, re.ASCII):
            self.fail(f"{text!r} is no number of seconds", param, ctx)
        if not 0 < float(text) <= self.most:
            self.fail(f"{text!r} is not above 0 and at most {self.most}", param, ctx)
        return float(text)


class PortType(click.ParamType):
    """A TCP port; 0 takes a free one."""

    name = "port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or int(text) > LARGEST_PORT:
            self.fail(f"{text!r} is no port from 0 (a free one) to {LARGEST_PORT}", param, ctx)
        return int(text)


MESSAGE_ID = MessageIdType()
SECONDS = SecondsType()
PORT = PortType()


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
