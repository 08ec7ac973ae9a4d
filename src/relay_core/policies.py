"""Whom a recipient's lists mean, and which policy holds for one session."""

# Rule 1: one function says whether a message is from somebody on a list, for every list.
# Rule 2: pure.

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from relay_core.messages import OPERATOR, Credential, Message, Struct
from relay_core.sessions import Policy

EVERYBODY = "*"
"""The name on a list that means every sender."""


class OwnPolicy(Struct):
    """What is different for some recipients; None leaves a value as it is for all.

    `name` says for whom: an agent's id, `tag:x` or `label:x`.
    """

    name: str
    strategy: str | None = None
    urgent_from: tuple[str, ...] | None = None
    steer_from: tuple[str, ...] | None = None
    hold_from: tuple[str, ...] | None = None


def policy_for(
    policy: Policy,
    own: Sequence[OwnPolicy],
    agent_id: str,
    *,
    label: str | None,
    tags: Collection[str],
) -> Policy:
    """Say what holds for one agent: `policy`, and what of `own` is meant for it.

    Each value by itself: the id's beats the label's, that one the tags'; of two tags it is the one
    that stands first.
    """
    if not own:
        return policy
    near = {each.name: _nearness(each.name, agent_id, label, tags) for each in own}
    meant = [each for each in own if near[each.name]]
    meant.sort(key=lambda each: near[each.name], reverse=True)  # which keeps the order of equals
    for each in reversed(meant):
        values = {name: getattr(each, name) for name in _VALUES}
        policy = replace(
            policy, **{key: value for key, value in values.items() if value is not None}
        )
    return policy


_VALUES = ("strategy", "urgent_from", "steer_from", "hold_from")


def _nearness(name: str, agent_id: str, label: str | None, tags: Collection[str]) -> int:
    if name == agent_id:
        return 3
    if label is not None and name == f"label:{label}":
        return 2
    return int(name.startswith("tag:") and name.removeprefix("tag:") in tags)


def is_from(message: Message, names: Collection[str]) -> bool:
    """Tell whether a message's sender is one of these: ids, `tag:x`, `label:x`, `*`.

    `operator` is the person at the keyboard: only the user's own token makes one.
    """
    sender = message.sender
    meant = {EVERYBODY, sender.id, *(f"tag:{tag}" for tag in sender.tags)}
    if sender.label:
        meant.add(f"label:{sender.label}")
    if sender.id == OPERATOR and sender.credential is not Credential.USER:
        meant.discard(OPERATOR)
    return not meant.isdisjoint(names)
