"""Messages are counted by the label of the session that got them."""

from collections import Counter

from relay_core import Delivered, RelayEvent, Session, hookimpl
from relay_core.testing import Harness


class Tally:
    def __init__(self) -> None:
        self.delivered: Counter[str] = Counter()

    @hookimpl
    def on_event(self, event: RelayEvent, session: Session | None) -> None:
        if isinstance(event, Delivered) and session is not None:
            self.delivered[session.label or session.id] += 1


def test_hook_on_event_sees_what_has_happened(relay: Harness) -> None:
    tally = Tally()
    relay.load(tally, "tally")
    session = relay.open(label="shop")

    for text in ("one", "two"):
        relay.until(relay.send(session, text))
    relay.advance(1)

    assert tally.delivered == {"shop": 2}
