"""`agent-relay why`."""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from relay_cli.connection import Here, look_around, open_hub
from relay_cli.options import json_option, message_number, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import Failed
from relay_cli.trying import loaded
from relay_cli.view import NOTHING, ago, words
from relay_core.decision_file import Found, read
from relay_core.discovery import Plugins, PluginState, installed
from relay_core.errors import HubRefused
from relay_core.messages import OPERATOR, AgentId, Message, MessageId, Struct
from relay_core.plans import Decision
from relay_core.recorded import (
    RECORDED_HOOKS,
    RecordedAnswer,
    RecordedDecision,
    last_of_each,
)
from relay_core.registrar import NO_TABLE
from relay_core.replay import (
    Powerless,
    ReplayedAnswer,
    SilentHooks,
    ask_again,
    can_be_asked,
)

if TYPE_CHECKING:
    from relay_core.hub_client import HubClient

NOT_FOUND = 404


class Then(Struct):
    """What was decided, and by which answers."""

    result: msgspec.Raw
    answers: tuple[RecordedAnswer, ...]


class Now(Struct):
    """What would be decided now; None where nothing comes of it."""

    result: msgspec.Raw | None
    answers: tuple[Decision, ...]


class Replayed(Struct):
    """One recorded decision and the same question asked again.

    `diff` compares the prompt's text with that of then; where that cannot be made again
    (`then_is_lost`), with what the plugins of the settings write now. `edited` are messages of
    which the session got another text than the one that was asked with.
    """

    agent_id: AgentId
    hook: str
    at_ms: int
    host: str
    messages: tuple[MessageId, ...]
    then: Then
    now: Now
    differs: bool
    diff: str | None = None
    then_is_lost: bool = False
    unsteady: tuple[str, ...] = ()
    edited: tuple[MessageId, ...] = ()
    problem: str | None = None


class Why(Struct):
    """What `why --json` prints.

    `not_started` are plugins that decide and have a `start` which was not called, `troubles` what
    went wrong where it was.
    """

    id: MessageId
    decisions: tuple[Replayed, ...]
    with_: tuple[str, ...] = msgspec.field(default=(), name="with")
    without: tuple[str, ...] = ()
    not_started: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    damaged: int = 0


@click.command(
    "why",
    help="""Ask again what was decided about a message, with other plugins if you like.

    The decisions come from the record, the texts of the messages from the hub. The plugins are
    loaded here as config.toml says, with and without those that you name, and are asked what they
    were asked then. Nothing is sent, and nothing changes.

    PLUGIN is an installed plugin or distribution that is blocked or not yet in use, a file
    PATH.py, or MODULE:ATTRIBUTE.

    What a session was registered with (`on_register`) is not asked again: it depends on files. No
    plugin's `start` is called unless you say `--start`, so that one which gets its settings there
    decides without them.

    \b
    Examples:
      agent-relay why 17
      agent-relay why 17 --with ./night_shift.py
      agent-relay why 17 --with night-shift --without relay.attention
    """,
)
@click.argument("message_id", metavar="ID", type=message_number)
@click.option(
    "--with",
    "beside",
    multiple=True,
    metavar="PLUGIN",
    help="Ask this one as well. May be repeated.",
)
@click.option(
    "--without", multiple=True, metavar="PLUGIN", help="Do not ask this one. May be repeated."
)
@click.option(
    "--start",
    is_flag=True,
    help="Call the plugins' `start` first: they get their settings, and may do what they do there, "
    "but what they ask of the relay is refused.",
)
@url_option
@json_option
def command(
    message_id: int,
    beside: tuple[str, ...],
    without: tuple[str, ...],
    start: bool,
    output: Output,
    url: str | None,
) -> None:
    """Ask again."""
    work = _ask(MessageId(message_id), beside, without, url, start=start)
    found = finish(work, output, "asking the plugins again")
    output.show_object(found)
    if not output.as_json:
        _print(found, output)


# --- asking ----------------------------------------------------------------------------------


async def _ask(
    number: MessageId,
    beside: tuple[str, ...],
    without: tuple[str, ...],
    url: str | None,
    *,
    start: bool,
) -> Why:
    # What a plugin does wrong is shown among its answers.
    logging.getLogger("relay").addHandler(logging.NullHandler())
    here = look_around()
    changed = bool(beside or without)
    chosen = here.settings.plugins
    wanted = loaded(installed(), chosen, beside=beside, without=without)
    plain = loaded(installed(), chosen) if changed else wanted
    async with open_hub(url) as hub:
        message = await hub.message(number)
        record = _record(here, number, message.created_at)
        known: dict[MessageId, Message] = {number: message}
        decisions = [each for each in last_of_each(record.decisions) if can_be_asked(each)]
        for decision in decisions:
            await _fetch(hub, decision, known)
    now, troubles = await _replayed(decisions, known, SilentHooks(wanted), here, start=start)
    before = now
    if changed:
        before, _ = await _replayed(decisions, known, SilentHooks(plain), here, start=start)
    return Why(
        id=number,
        decisions=tuple(map(_compared, decisions, before, now)),
        with_=beside,
        without=without,
        not_started=() if start else _with_start(wanted),
        troubles=troubles,
        damaged=record.damaged,
    )


async def _replayed(
    decisions: Sequence[RecordedDecision],
    known: Mapping[MessageId, Message],
    hooks: SilentHooks,
    here: Here,
    *,
    start: bool,
) -> tuple[list[ReplayedAnswer], tuple[str, ...]]:
    """Ask these plugins; also tell what went wrong with their `start`."""
    if not start:
        return [await ask_again(each, known, hooks) for each in decisions], ()
    tables = here.settings.plugin
    async with hooks.start(lambda name: Powerless(name, tables.get(name, NO_TABLE))):
        troubles = tuple(f"{each.name}: {each.reason}" for each in hooks.reports() if each.reason)
        return [await ask_again(each, known, hooks) for each in decisions], troubles


def _record(here: Here, number: MessageId, created_at: int) -> Found:
    file = here.places.decisions_file
    found = read(file, number, created_at)
    if not found.decisions:
        raise Failed(
            f"nothing is on record of message {number}",
            fix=f"`agent-relay show {number} --why` tells whether it was decided at all",
        )
    return found


async def _fetch(
    hub: HubClient, decision: RecordedDecision, known: dict[MessageId, Message]
) -> None:
    for asked in decision.messages:
        if asked.id not in known:
            try:
                known[asked.id] = await hub.message(asked.id)
            except HubRefused as refused:
                if refused.status != NOT_FOUND:
                    raise  # one that is gone is told with the decision


def _with_start(plugins: Plugins) -> tuple[str, ...]:
    return tuple(
        each.name
        for each in plugins.reports
        if each.state is PluginState.LOADED
        and "start" in each.hooks
        and not set(RECORDED_HOOKS).isdisjoint(each.hooks)
    )


def _compared(decision: RecordedDecision, before: ReplayedAnswer, now: ReplayedAnswer) -> Replayed:
    then_is_lost = decision.digest is not None and before.digest != decision.digest
    diff = None
    if now.text is not None and before.text is not None and now.text != before.text:
        diff = _diff(before.text, now.text, "as set" if then_is_lost else "then")
    return Replayed(
        agent_id=decision.agent_id,
        hook=decision.hook,
        at_ms=decision.at_ms,
        host=decision.host,
        messages=tuple(each.id for each in decision.messages),
        then=Then(result=decision.result, answers=decision.answers),
        now=Now(result=now.result, answers=now.answers),
        differs=not now.is_as(decision),
        diff=diff,
        then_is_lost=then_is_lost,
        unsteady=now.unsteady,
        edited=tuple(each.id for each in decision.messages if "editedBy" in each.own),
        problem=now.problem,
    )


def _diff(before: str, now: str, name: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), name, "now", lineterm="")
    return "\n".join(lines)


# --- printing --------------------------------------------------------------------------------


def _print(why: Why, output: Output) -> None:
    now_ms = time.time_ns() // 1_000_000
    for agent in dict.fromkeys(each.agent_id for each in why.decisions):
        own = [each for each in why.decisions if each.agent_id == agent]
        last = max(own, key=lambda each: each.at_ms)
        output.line(f"{agent}, decided {ago(last.at_ms, now_ms)} by host {last.host}")
        output.line()
        output.table(
            ("", "HOOK", "PLUGIN", "THEN", "NOW"),
            [row for each in own for row in _rows(each)],
            empty="no plugin was asked, and none would be",
        )
        output.line()
        for each in own:
            _print_difference(each, output)
        if not any(each.differs for each in own):
            output.line("the same would be decided now")
    if why.not_started:
        output.remark(
            f"decided without what `start` gives them, such as their settings: "
            f"{words(why.not_started)} — try `--start`"
        )
    for trouble in why.troubles:
        output.remark(f"plugin {trouble}")
    if why.damaged:
        output.remark(f"damaged lines of the record that were skipped: {why.damaged}")


def _rows(replayed: Replayed) -> list[tuple[str, ...]]:
    then = {each.plugin: _answer(each) for each in replayed.then.answers}
    now = {each.plugin: _answer(each) for each in replayed.now.answers}
    return [
        (
            "differs" if then.get(plugin) != now.get(plugin) else "",
            replayed.hook,
            plugin,
            then.get(plugin, NOTHING),
            now.get(plugin, NOTHING),
        )
        for plugin in dict.fromkeys([*now, *then])
        if plugin != OPERATOR or plugin in then
    ]


def _answer(answer: RecordedAnswer | Decision) -> str:
    return f"{'* ' if answer.chosen else ''}{_short(answer.answer)}"


def _short(value: msgspec.Raw) -> str:
    """Show an answer as JSON, without what it leaves open."""
    raw = bytes(value)
    if not raw.startswith(b"{"):
        return raw.decode()
    told = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    set_ = {name: each for name, each in told.items() if bytes(each) not in {b"null", b"false"}}
    return msgspec.json.encode(set_).decode()


def _print_difference(replayed: Replayed, output: Output) -> None:
    hook = replayed.hook
    if replayed.unsteady:
        output.remark(
            f"{hook}: {words(replayed.unsteady)} answered differently when asked twice: "
            "a decision must give the same answer for the same arguments"
        )
    if replayed.edited:
        numbers = words(map(str, replayed.edited))
        output.remark(f"{hook}: asked with the text as it was sent; edited since: {numbers}")
    if replayed.problem is not None or replayed.now.result is None:
        output.line(f"{hook} cannot be asked again: {replayed.problem}")
        return
    if not replayed.differs:
        return
    then, now = _short(replayed.then.result), _short(replayed.now.result)
    if then != now:
        output.line(f"{hook} was {then} and would be {now}")
    else:
        output.line(f"{hook} would write another text")
    if replayed.then_is_lost and replayed.edited:
        output.line("the text of then was of an edited message, which cannot be read here")
    elif replayed.then_is_lost:
        output.line(f"the text of then cannot be made again: {_what_changed(replayed)}")
    if replayed.diff is not None:
        output.line()
        output.block(replayed.diff)
        output.line()


def _what_changed(replayed: Replayed) -> str:
    names: Sequence[str] = [
        f"{each.plugin} {each.version}".strip() for each in replayed.then.answers
    ]
    return f"it was written with {words(names)}"
