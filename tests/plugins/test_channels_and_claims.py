"""What a session is shown, and which work it tries for."""

import pytest

from relay_core import Verdict
from relay_core.testing import Asked
from relay_plugins.channels import subscribed
from values import message, session

on_message = Asked("relay.channels").on_message
on_claim = Asked("relay.claims").on_claim


@pytest.mark.parametrize(
    ("channel", "channels", "heard"),
    [
        (None, (), True),
        (None, ("frontend",), True),
        ("", ("frontend",), True),
        ("frontend", (), True),
        ("frontend", ("frontend",), True),
        ("frontend", ("backend", "frontend"), True),
        ("frontend", ("backend",), False),
        ("Frontend", ("frontend",), False),
        ("front", ("frontend",), False),
    ],
)
def test_a_session_hears_its_channels_and_what_has_none(
    channel: str | None,
    channels: tuple[str, ...],
    heard: bool,  # noqa: FBT001
):
    verdict = on_message(message(channel=channel), session(channels=channels))

    assert subscribed(channel, channels) is heard
    assert verdict == (None if heard else Verdict.skip("channel"))


@pytest.mark.parametrize(
    ("to", "capabilities", "tries"),
    [
        ("codex-demo-1", (), True),
        ("tag:review", (), True),
        ("broadcast", (), True),
        ("cap:review", ("chat", "review"), True),
        ("cap:review", ("chat",), False),
        ("cap:review", (), False),
    ],
)
def test_a_session_tries_for_work_that_it_can_do(
    to: str,
    capabilities: tuple[str, ...],
    tries: bool,  # noqa: FBT001
):
    work = message(to=to, claimable=True)

    assert on_claim(work, session(capabilities=capabilities)) is tries
