"""Commands that list deliveries and decide about some of them, or about all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relay_cli.completion import agent_ids
from relay_cli.connection import open_hub
from relay_cli.options import identifier
from relay_cli.output import Output
from relay_cli.problems import ExitCode, Usage
from relay_core.errors import HubRefused
from relay_core.messages import DeliveryId, Struct

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Refusal(Struct):
    """A delivery about which nothing was done, and the hub's word why."""

    delivery_id: int
    code: str
    detail: str


def agent_option(help_text: str) -> Callable[[F], F]:
    """Add `--agent`."""
    return click.option(
        "--agent", type=identifier, metavar="AGENT", shell_complete=agent_ids, help=help_text
    )


class ListByDefault(click.Group):
    """A group that lists where no command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] == "--help" or not args[0].startswith("-"))
        if not named and not ctx.resilient_parsing:
            args = ["list", *args]
        return super().parse_args(ctx, args)


async def pages(
    ask: Callable[[DeliveryId | None], Awaitable[tuple[T, ...]]],
    number: Callable[[T], DeliveryId],
    *,
    before: int | None = None,
    most: int | None = None,
) -> tuple[T, ...]:
    """Ask for page after page of what is listed newest first, until there is enough or no more."""
    found: tuple[T, ...] = ()
    last = None if before is None else DeliveryId(before)
    while most is None or len(found) < most:
        page = await ask(last)
        if not page:
            break
        found += page
        last = number(page[-1])
    return found[:most]


def must_name(delivery_ids: tuple[int, ...], agent: str | None, *, every: bool) -> None:
    """Usage where it is not clear which deliveries are meant."""
    if every == bool(delivery_ids):
        raise Usage("say which ones", fix="name each DELIVERY, or use --all")
    if agent is not None and not every:
        raise Usage("--agent goes with --all only", fix="leave one of them out")


async def for_each(
    delivery_ids: tuple[int, ...],
    listed: Callable[[HubClient], Awaitable[Iterable[int]]],
    url: str | None,
    work: Callable[[HubClient, int], Awaitable[T]],
) -> tuple[tuple[T, ...], tuple[Refusal, ...]]:
    """Do something about each that is named, or that is listed; one that is refused stops none."""
    done: list[T] = []
    refused: list[Refusal] = []
    async with open_hub(url) as hub:
        for number in delivery_ids or await listed(hub):
            try:
                done.append(await work(hub, number))
            except HubRefused as error:
                if len(delivery_ids) == 1:
                    raise
                # Told at the end, with exit status 1; the others are not to wait for it.
                refused.append(Refusal(delivery_id=number, code=error.code, detail=error.detail))
    return tuple(done), tuple(refused)


def tell_refused(refused: tuple[Refusal, ...], output: Output) -> None:
    """Name what was refused, and end with 1 where there is any."""
    for one in refused:
        output.remark(f"delivery {one.delivery_id}: {one.detail}")
    if refused:
        raise click.exceptions.Exit(ExitCode.FAILED)
