"""Asking before something is changed."""

from __future__ import annotations

import sys

import click

from relay_cli.output import Output
from relay_cli.problems import Usage
from relay_core.errors import RelayError


class Declined(RelayError):
    """The user said no."""

    code = "declined"

    def __init__(self) -> None:
        super().__init__("nothing was changed")


def must_ask(output: Output, *, yes: bool, fix: str) -> bool:
    """Tell whether the user is to be asked; Usage where that is wanted and impossible."""
    if yes:
        return False
    if output.as_json or not sys.stdin.isatty():
        raise Usage("there is nobody here to ask before anything is changed", fix=f"use {fix}")
    return True


def ask(question: str, *, default: bool) -> bool:
    """Ask one yes-or-no question on the terminal; Ctrl-C and the end of input end the command."""
    return click.confirm(question, default=default, err=True)


def agree(question: str, *, default: bool) -> None:
    """Ask a question on which everything depends; Declined after a no."""
    if not ask(question, default=default):
        raise Declined
