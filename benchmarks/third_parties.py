"""Twenty plugins as third parties write them, for the decisions' benchmark."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from msgspec.structs import replace

from relay_core import DeliveryPlan, Message, Prompt, Session, Verdict, hookimpl
from relay_core.discovery import Candidate

NUMBER = 20
JUDGES = 5
WRAPPERS = 5
NOTE = (
    f"{NUMBER} third parties, each in on_message and choose_delivery: {JUDGES} give a verdict "
    f"(deliver), the others none; none gives a plan; {WRAPPERS} are wrappers of format_prompt and "
    "add a sentence to the footer. Wall time, of each message; the median of a round."
)


class Listener:
    """Knows a channel of its own and looks whether a message is on it."""

    def __init__(self, number: int) -> None:
        self._channel = f"channel-{number}"

    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        """Skip what is on that channel for those who do not listen; there is no such message."""
        if message.channel == self._channel and self._channel not in session.channels:
            return Verdict.skip("channel")
        return None

    @hookimpl
    def choose_delivery(self, messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
        """Wait where the oldest is on that channel; there is no such message."""
        if messages[0].channel == self._channel:
            return DeliveryPlan.wait(session.id)
        return None


class Judge(Listener):
    """Has a verdict of its own about every message."""

    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        """Deliver what is no empty text."""
        return Verdict.deliver() if message.body else Verdict.skip(f"empty for {session.id}")


class Signer(Listener):
    """Writes below each prompt."""

    @hookimpl(wrapper=True)
    def format_prompt(self) -> Generator[None, Prompt, Prompt]:
        """Add a sentence to the footer."""
        prompt = yield
        return replace(prompt, footer=f"{prompt.footer}\nSeen on {self._channel}.")


def third_parties() -> tuple[Candidate, ...]:
    """Make all of them, as discovery finds them."""
    others = NUMBER - JUDGES - WRAPPERS
    kinds = (*[Judge] * JUDGES, *[Signer] * WRAPPERS, *[Listener] * others)
    return tuple(_candidate(f"sample-{at:02}", kind(at)) for at, kind in enumerate(kinds))


def _candidate(name: str, plugin: object) -> Candidate:
    return Candidate(name=name, distribution=f"{name}-dist", version="1.0", load=lambda: plugin)
