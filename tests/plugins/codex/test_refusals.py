"""What Codex's refusals mean for an injection; the words are those of 0.163 and 0.169."""

import msgspec
import pytest

from relay_core import AdapterError, InjectionRefused, SessionGone, SessionMoved
from relay_plugins.codex.client import CallRefused
from relay_plugins.codex.injection import is_draining, is_unsteerable, meaning_of
from relay_plugins.codex.wire import RpcError

T = "01a20238-55cd-79d2-ad22-fc94608eaedc"


def refusal(code: int, message: str, data: object = None) -> CallRefused:
    raw = msgspec.Raw(msgspec.json.encode(data))
    return CallRefused("turn/start", RpcError(code=code, message=message, data=raw))


@pytest.mark.parametrize(
    ("refused", "meaning"),
    [
        (refusal(-32600, f"thread not found: {T}"), SessionGone),
        (refusal(-32600, f"no rollout found for thread id {T}"), SessionGone),
        (refusal(-32600, f"session {T} is archived. Run `codex unarchive`"), SessionGone),
        (refusal(-32600, "no active turn to steer"), SessionMoved),
        (refusal(-32600, "expected active turn id `a` but found `b`"), SessionMoved),
        (refusal(-32600, "expected active turn id a but found b"), SessionMoved),
        (refusal(-32600, "cannot steer a review turn"), SessionMoved),
        (refusal(-32603, "failed to submit turn input: ActiveTurnNotSteerable {…}"), SessionMoved),
        (refusal(-32600, "Server is draining; retry after reconnecting"), SessionMoved),
        (refusal(-32600, "later", {"reason": "serverShuttingDown"}), SessionMoved),
        (refusal(-32600, f"thread {T} already has an active writer"), SessionMoved),
        (refusal(-32001, "Server overloaded; retry later."), SessionMoved),
        (refusal(-32602, "x", {"input_error_code": "input_too_large"}), InjectionRefused),
        (refusal(-32602, "Input exceeds the maximum length of 1048576 chars."), InjectionRefused),
        (refusal(-32603, "<html>502</html>"), InjectionRefused),
        (refusal(0, ""), InjectionRefused),
    ],
)
def test_a_refusal_is_told_by_its_words(refused: CallRefused, meaning: type[AdapterError]):
    assert type(meaning_of(refused)) is meaning


def test_only_what_can_never_be_accepted_is_refused_for_good():
    too_large = meaning_of(refusal(-32602, "", {"input_error_code": "input_too_large"}))
    odd = meaning_of(refusal(-32603, "something else"))

    assert isinstance(too_large, InjectionRefused)
    assert too_large.permanent
    assert isinstance(odd, InjectionRefused)
    assert not odd.permanent


def test_a_turn_that_takes_no_input_and_a_server_that_is_ending_are_told_apart():
    review = refusal(-32600, "no", {"codexErrorInfo": {"activeTurnNotSteerable": {}}}).error
    ending = refusal(-32600, "Server is draining; retry after reconnecting").error

    assert (is_unsteerable(review), is_draining(review)) == (True, False)
    assert (is_unsteerable(ending), is_draining(ending)) == (False, True)
