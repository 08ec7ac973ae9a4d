"""The extension points, in the order in which a message meets them.

Decision hooks are plain functions: no I/O, the same answer for the same arguments, immutable values
in, a value out; what they need of time is `session.now`. A coroutine there is refused when the
plugin is registered. Return None to leave the decision to the next plugin. The plugin asked first
is the one that comes first in `plugins.order`, then by name; the built-in ones are asked last.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from relay_core.events import RelayEvent
    from relay_core.messages import Message, Prompt
    from relay_core.plans import DeliveryPlan, Verdict
    from relay_core.ports import AdapterRegistrar, Relay
    from relay_core.sessions import Environment, Registration, RegistrationPatch, Session

PROJECT = "agent_relay"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_adapters(register: AdapterRegistrar) -> None:
    """Contribute adapters and control-socket operations; called once, at load.

    Args:
        register: knows which plugin is speaking and refuses a name that is taken.

    Default: `relay.codex` and `relay.echo`. Since: 0.1.
    """


@hookspec
def start(relay: Relay) -> AbstractAsyncContextManager[None] | None:
    """Give a plugin its power, once per host: an async context manager open while the host runs.

    The only place for I/O of a decision plugin: look things up here, annotate, then release.

    Args:
        relay: the plugin's own settings table, and what it may do.

    Every plugin is asked. Since: 0.1.
    """


@hookspec
def on_register(registration: Registration, environment: Environment) -> RegistrationPatch | None:
    """Complete what is known of a session before it registers, or registers again.

    May read files: it runs in a thread with a limit of 2 seconds. All plugins are asked; for each
    field the plugin that is asked first wins.

    Args:
        registration: `thread_id` is None when the launcher asks before the thread exists.
        environment: the variables that count for this session; empty for one found by itself,
            because its process shares its environment with all others.

    Raising: the session does not register; the error names the plugin. Default: `relay.profiles`.
    Since: 0.1.
    """


@hookspec
def on_message(message: Message, session: Session) -> Verdict | None:
    """Say whether a delivery that has arrived is delivered, held or skipped.

    Asked before any claim, and again when a hold ends, or when the user has set another quiet,
    label or tags for the session. All plugins are asked; the strictest answer wins: skip, then
    hold, then deliver.

    Default: `relay.attention` and `relay.channels`. Since: 0.1.
    """


@hookspec
def on_claim(message: Message, session: Session) -> bool | None:
    """Say whether this session should try to claim a claimable message.

    All plugins are asked; any False wins. The lease itself is the hub's. Default: `relay.claims`.
    Since: 0.1.
    """


@hookspec(firstresult=True)
def choose_delivery(messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
    """Decide how the waiting messages enter the session, and how many of the oldest go together.

    Asked before each attempt, and again when the session has moved. Stops at the first answer that
    is not None.

    Args:
        messages: all that may go now, oldest first; those that start no turn come last, after at
            least one that does.
        session: as its adapter last saw it. It may have moved since; then you are asked again.

    Default: `relay.delivery`. Since: 0.1.
    """


@hookspec(firstresult=True)
def format_prompt(
    messages: Sequence[Message], session: Session, plan: DeliveryPlan
) -> Prompt | None:
    """Write the text of one attempt: a header, one part for each message, a footer.

    Called once per attempt. The core puts the fence round each part afterwards and refuses a prompt
    that leaves a message out or shows one that was not asked for. Stops at the first answer that is
    not None; use a wrapper to decorate.

    Default: `relay.prompt`. Since: 0.1.
    """


@hookspec(firstresult=True)
def format_context(session: Session) -> str | None:
    """Write the text that a session is given when it starts.

    Stops at the first answer that is not None; use a wrapper to decorate. Default: `relay.prompt`.
    Since: 0.1.
    """


@hookspec
def on_event(event: RelayEvent, session: Session | None) -> None:
    """Observe what has happened; may be a coroutine function.

    Every plugin is called, each isolated from the others, with a limit of 5 seconds. Events may be
    missed when the host crashes. Nothing is returned. Since: 0.1.
    """


HOOK_NAMES: tuple[str, ...] = (
    "register_adapters",
    "start",
    "on_register",
    "on_message",
    "on_claim",
    "choose_delivery",
    "format_prompt",
    "format_context",
    "on_event",
)
"""All hooks, in this order."""

DECISION_HOOKS: frozenset[str] = frozenset(
    {"on_register", "on_message", "on_claim", "choose_delivery", "format_prompt", "format_context"}
)
"""Hooks that must be plain functions."""
