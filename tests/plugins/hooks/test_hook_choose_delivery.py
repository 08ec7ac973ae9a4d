"""Small messages wait for one another: three of them make one turn."""

from collections.abc import Sequence

from relay_core import DeliveryPlan, Message, Session, hookimpl
from relay_core.testing import Harness

ENOUGH = 3


class Together:
    @hookimpl
    def choose_delivery(self, messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
        if session.turn is not None or any(message.urgent for message in messages):
            return None  # as it would be without this plugin
        if len(messages) < ENOUGH:
            return DeliveryPlan.wait("too few to read")
        return DeliveryPlan.start()


def test_hook_choose_delivery_says_when_and_how_many(relay: Harness) -> None:
    relay.load(Together(), "together")
    session = relay.open()
    first = relay.send(session, "one", from_="ann")
    relay.send(session, "two", from_="bob")
    relay.advance(3600)
    assert session.prompts == ()

    relay.send(session, "three", from_="eve")
    relay.until(first)

    assert [part.body for part in session.parts] == ["one", "two", "three"]
    assert len(session.prompts) == 1
