"""Completion in the shell: what each of the programs' words may be.

The script that a shell loads calls the program with a variable set, and the program answers what
could stand there. Agents, labels and tags are asked from the hub, for a moment only; where there is
none, nothing is offered.
"""

# Rule 1: nothing here prints an error or takes long: whoever presses Tab has not asked for it.
# Rule 2: what others named goes to the shell only where no shell and no terminal could obey it.

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

from relay_core.errors import RelayError
from relay_core.messages import OPERATOR
from relay_core.sessions import Agent

ASK_S = 1.5
"""How long the hub may take to say who is there."""

_HARMLESS = re.compile(r"[\w.:@%+=,/-]+")

_BASH = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:$COMP_POINT}" kind value word
    local IFS=$'\\n'
    word="${line##*[[:space:]]}"
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case "$kind" in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain)
                # For readline a word begins anew after a colon.
                if [[ "$word" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
                    value="${value#"${word%%"${word##*:}"}"}"
                fi
                COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="$line" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Reads the line as it was typed: bash takes words apart at colons, and targets hold them."""

    source_template: ClassVar[str] = _BASH

    def source(self) -> str:
        return self.source_template % self.source_vars()  # click would run bash to ask its version

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE", "")
        words = _words(line)
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], incomplete


_SHELLS: Mapping[str, type[ShellComplete]] = {
    "bash": _Bash,
    "zsh": ZshComplete,
    "fish": FishComplete,
}
SHELLS = tuple(_SHELLS)


def script(shell: str, programs: Iterable[str]) -> str:
    """Write what a shell must load, for every one of these programs."""
    parts: list[str] = []
    for name in programs:
        unasked = click.Command(name)
        parts.append(_SHELLS[shell](unasked, {}, name, completion_variable(name)).source())
    return "\n".join(part.strip("\n") for part in parts)


def completion_variable(program: str) -> str:
    """Name the variable in which a shell asks a program what could stand here."""
    return f"_{program.upper().replace('-', '_')}_COMPLETE"


def answer(program: click.Group, question: str) -> str | None:
    """Answer a shell's question, `bash_complete` and the like; None where it is none."""
    shell, _, asked = question.partition("_")
    if asked != "complete" or shell not in _SHELLS:
        return None
    name = program.name or ""
    try:
        return _SHELLS[shell](program, {}, name, completion_variable(name)).complete()
    except (RelayError, click.ClickException):
        return ""  # what stands before the word is wrong; running it will say so


Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offer(listed: Callable[[tuple[Agent, ...]], Iterable[tuple[str, str]]]) -> Offer:
    def offered(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del parameter
        return [
            CompletionItem(value, help=shown if _HARMLESS.fullmatch(shown) else None)
            for value, shown in dict(listed(_agents(context.params))).items()
            if value.startswith(incomplete) and _HARMLESS.fullmatch(value)
        ]

    return offered


def _ids(agents: tuple[Agent, ...]) -> Iterable[tuple[str, str]]:
    return ((agent.id, agent.label or "") for agent in agents)


def _readers(agents: tuple[Agent, ...]) -> Iterable[tuple[str, str]]:
    return (*_ids(agents), (OPERATOR, ""))


def _targets(agents: tuple[Agent, ...]) -> Iterable[tuple[str, str]]:
    yield from _ids(agents)
    for agent in agents:
        if agent.label:
            yield f"label:{agent.label}", ""
        for tag in agent.tags:
            yield f"tag:{tag}", ""
        for capability in agent.capabilities:
            yield f"cap:{capability}", ""
    yield "broadcast", ""


def _tags(agents: tuple[Agent, ...]) -> Iterable[tuple[str, str]]:
    return ((tag, "") for agent in agents for tag in agent.tags)


agent_ids = _offer(_ids)
"""Offers the ids of agents."""
readers = _offer(_readers)
"""Offers whoever has an inbox."""
targets = _offer(_targets)
"""Offers what a message can be sent to."""
tags = _offer(_tags)
"""Offers the tags that there are."""


def _agents(given: Mapping[str, Any]) -> tuple[Agent, ...]:
    try:
        return asyncio.run(_ask(given.get("url")))
    except (RelayError, OSError, ValueError):
        return ()


async def _ask(url: str | None) -> tuple[Agent, ...]:
    from relay_cli.connection import open_hub

    async with asyncio.timeout(ASK_S), open_hub(url) as hub:
        return await hub.agents()


def _words(line: str) -> list[str]:
    """Take a line apart as a shell does, the last word however unfinished."""
    parser = shlex.shlex(line, posix=True, punctuation_chars=False)
    parser.whitespace_split = True
    parser.commenters = ""
    found: list[str] = []
    try:
        found.extend(parser)
    except ValueError:  # an open quote, or a backslash at the end
        found.append(parser.token)
    return found
