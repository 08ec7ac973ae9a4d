"""Claims: a session tries for work that it says it can do."""

from __future__ import annotations

from relay_core import Message, Session, hookimpl

CAPABILITY = "cap:"


@hookimpl(trylast=True)
def on_claim(message: Message, session: Session) -> bool | None:
    """Decline work sent to a capability that the session no longer has; try for all other."""
    if not message.to.startswith(CAPABILITY):
        return True
    return message.to.removeprefix(CAPABILITY) in session.capabilities
