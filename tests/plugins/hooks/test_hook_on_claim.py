"""A session takes one piece of work at a time."""

from relay_core import Session, hookimpl
from relay_core.testing import Decisions, Harness


class OneAtATime:
    @hookimpl
    def on_claim(self, session: Session) -> bool | None:
        return None if session.claims == 0 else False


def test_hook_on_claim_declines_work(relay: Harness, decisions: Decisions) -> None:
    relay.load(OneAtATime(), "one-at-a-time")
    session = relay.open(capabilities=("paint",))
    first = relay.send("cap:paint", "paint the door", claimable=True)
    relay.until(first)

    second = relay.send("cap:paint", "paint the fence", claimable=True)
    relay.advance(60)

    assert decisions.chosen("on_claim", message=second.id).value() is False
    assert len(session.prompts) == 1
