"""Nothing is shown that nobody has time for."""

from relay_core import Message, Session, Verdict, hookimpl
from relay_core.testing import Harness

HOUR_MS = 60 * 60 * 1000


class Patience:
    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        if message.channel == "noise":
            return Verdict.skip("noise")
        later_ms = message.created_at + HOUR_MS
        if message.subject == "news" and session.now < later_ms:
            return Verdict.hold("news can wait", until_ms=later_ms)
        return None


def test_hook_on_message_skips_and_holds(relay: Harness) -> None:
    relay.load(Patience(), "patience")
    session = relay.open()
    noise = relay.send(session, "hm", channel="noise")
    news = relay.send(session, "we have a new printer", subject="news")

    relay.until(noise, "skipped")
    relay.until(news, "held")
    relay.until(news, within_s=2 * 3600)

    assert (noise.reason, len(session.prompts)) == ("noise", 1)
