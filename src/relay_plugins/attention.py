"""What a session is not to hear yet: while it is quiet, and what waits for a person's yes."""

# Rule 1: what the user sends with their own token is never held here.
# Rule 2: mail of senders in `hold_from` waits for a yes, however long that takes. What the hub
#         itself has to say is nobody's mail and needs none.
# Rule 3: while a session is quiet, all else waits for the end of it, but for urgent mail of
#         senders who may interrupt.

from __future__ import annotations

from relay_core import HUB, OPERATOR, QUIET, Message, Session, Verdict, hookimpl, is_from

NEEDS_YES = "needs_yes"
"""The reason of what is held until a person lets it through."""


@hookimpl(trylast=True)
def on_message(message: Message, session: Session) -> Verdict | None:
    """Hold what needs a yes, and what comes in while the session is quiet; see the rules."""
    if is_from(message, (OPERATOR,)):
        return None
    policy = session.policy
    if message.from_ != HUB and is_from(message, policy.hold_from):
        return Verdict.hold(NEEDS_YES)
    until_ms = session.quiet_until_ms
    if until_ms is None or until_ms <= session.now:
        return None
    if message.urgent and is_from(message, policy.urgent_from):
        return None
    return Verdict.hold(QUIET, until_ms=until_ms)
