"""A session is told when it starts in which language it is to answer."""

from collections.abc import Generator

from relay_core import Session, hookimpl
from relay_core.testing import Harness


class Language:
    @hookimpl(wrapper=True)
    def format_context(self, session: Session) -> Generator[None, str, str]:
        text = yield
        return f"{text}\nAnswer in French." if "fr" in session.tags else text


def test_hook_format_context_writes_what_a_session_starts_with(relay: Harness) -> None:
    relay.load(Language(), "language")

    french, other = relay.open(tags=("fr",)), relay.open()

    assert french.context.endswith("Answer in French.")
    assert "French" not in other.context
