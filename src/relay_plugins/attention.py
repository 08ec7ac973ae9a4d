"""What a session is not to hear yet: while it is quiet, and what waits for a person's yes."""

# Rule 1: what the user sends with their own token is never held here.
# Rule 2: mail of senders in `hold_from` waits for a yes, however long that takes. What the hub
#         itself has to say is nobody's mail and needs none.
# Rule 3: while a session is quiet, all else waits for the end of it, but for urgent mail of
#         senders who may interrupt.

from __future__ import annotations

from relay_core import HUB, NEEDS_YES, OPERATOR, QUIET, Message, Session, Verdict, hookimpl, is_from


@hookimpl(trylast=True)
def on_message(message: Message, session: Session) -> Verdict | None:
    """Hold what needs a yes, and what comes in while the session is quiet; see the rules."""
    policy, until_ms = session.policy, session.quiet_until_ms
    quiet = until_ms is not None and until_ms > session.now
    if not (quiet or policy.hold_from) or is_from(message, (OPERATOR,)):
        return None
    if message.from_ != HUB and is_from(message, policy.hold_from):
        return Verdict.hold(NEEDS_YES)
    if not quiet:
        return None
    if message.urgent and is_from(message, policy.urgent_from):
        return None
    return Verdict.hold(QUIET, until_ms=until_ms)
