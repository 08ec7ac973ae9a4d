"""The app-server protocol without I/O: what lines mean, and that none of them can break it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_plugins.codex.protocol import (
    NO_ANSWER,
    Abandoned,
    Answered,
    AnsweredLate,
    Asked,
    Event,
    Greeted,
    Ignored,
    Notified,
    Protocol,
    ProtocolError,
    Refused,
    Rejected,
    State,
)
from relay_plugins.codex.wire import ClientInfo, Empty, TextInput, ThreadParams, TurnStartParams

CLIENT = ClientInfo(name="agent-relay", version="0")
HELLO = '{"id":1,"result":{"codexHome":"/c","userAgent":"tui/0.169.0 (x)"}}'


def ready() -> Protocol:
    protocol = Protocol(CLIENT)
    protocol.start()
    protocol.outgoing()
    protocol.receive(HELLO)
    protocol.outgoing()
    return protocol


def asked(protocol: Protocol) -> int:
    call = protocol.call("thread/read", ThreadParams(thread_id="t"))
    protocol.outgoing()
    return call


def only(events: tuple[Event, ...]) -> Event:
    (event,) = events
    return event


# The handshake -----------------------------------------------------------------------------------


def test_the_handshake_asks_for_the_experimental_api_and_opts_out_of_floods():
    protocol = Protocol(CLIENT)

    protocol.start()

    (line,) = protocol.outgoing()
    sent = json.loads(line)
    assert sent["method"] == "initialize"
    assert sent["params"]["capabilities"]["experimentalApi"] is True
    assert "item/agentMessage/delta" in sent["params"]["capabilities"]["optOutNotificationMethods"]
    assert "jsonrpc" not in sent


def test_initialized_follows_the_answer_and_calls_may_be_made():
    protocol = Protocol(CLIENT)
    protocol.start()
    protocol.outgoing()

    event = only(protocol.receive(HELLO))

    assert isinstance(event, Greeted)
    assert event.result.codex_home == "/c"
    assert protocol.outgoing() == ('{"method":"initialized","params":{}}',)
    assert protocol.state is State.READY


@pytest.mark.parametrize(
    "line",
    [
        '{"id":1,"error":{"code":-32600,"message":"no"}}',
        '{"id":1,"result":{}}',
        '{"id":1,"result":[]}',
        '{"id":1}',
    ],
)
def test_a_handshake_that_is_refused_or_unreadable_ends_the_connection(line: str):
    protocol = Protocol(CLIENT)
    protocol.start()

    event = only(protocol.receive(line))

    assert isinstance(event, Rejected)
    assert protocol.state is State.LOST


def test_a_call_before_the_handshake_is_the_callers_mistake():
    with pytest.raises(ProtocolError):
        Protocol(CLIENT).call("thread/read", ThreadParams(thread_id="t"))


def test_a_line_after_the_connection_was_lost_is_the_callers_mistake():
    protocol = ready()
    protocol.connection_lost()

    with pytest.raises(ProtocolError):
        protocol.receive("{}")


# Calls and answers -------------------------------------------------------------------------------


def test_a_call_always_carries_params_and_never_a_field_that_would_stick():
    protocol = ready()

    protocol.call(
        "turn/start",
        TurnStartParams(
            thread_id="t", input=(TextInput(text="hi"),), client_user_message_id="relay:a"
        ),
    )
    protocol.call("thread/loaded/list", Empty())

    start, listing = map(json.loads, protocol.outgoing())
    assert start["params"] == {
        "threadId": "t",
        "input": [{"type": "text", "text": "hi", "text_elements": []}],
        "clientUserMessageId": "relay:a",
    }
    assert listing["params"] == {}


def test_an_answer_settles_its_own_call():
    protocol = ready()
    first, second = asked(protocol), asked(protocol)

    assert only(protocol.receive(f'{{"id":{second},"result":{{"n":2}}}}')) == Answered(
        id=second, result=msgspec.Raw(b'{"n":2}')
    )
    assert only(protocol.receive(f'{{"id":{first},"result":null}}')) == Answered(
        id=first, result=msgspec.Raw(b"null")
    )


def test_an_answer_counts_once():
    protocol = ready()
    call = asked(protocol)
    line = f'{{"id":{call},"result":{{}}}}'
    protocol.receive(line)

    assert only(protocol.receive(line)) == AnsweredLate(id=call)


def test_an_answer_after_its_time_limit_satisfies_nothing_else():
    protocol = ready()
    late = asked(protocol)
    protocol.forget(late)
    other = asked(protocol)

    assert only(protocol.receive(f'{{"id":{late},"result":{{}}}}')) == AnsweredLate(id=late)
    assert only(protocol.receive(f'{{"id":{other},"result":1}}')) == Answered(
        id=other, result=msgspec.Raw(b"1")
    )


@pytest.mark.parametrize("identity", ["99", "0", "-1", '"2"', "null", "1.5", "true", "[2]", "{}"])
def test_an_answer_with_an_id_that_is_not_ours_is_ignored(identity: str):
    protocol = ready()
    call = asked(protocol)
    assert call == 2

    assert isinstance(only(protocol.receive(f'{{"id":{identity},"result":{{}}}}')), Ignored)
    assert protocol.connection_lost() == (Abandoned(id=call),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id":2,"error":{"code":-32600,"message":"thread not found: x"}}', "thread not found: x"),
        ('{"id":2,"error":{"code":-32603}}', ""),
        ('{"id":2,"result":{},"error":{"code":1,"message":"both"}}', "both"),
        ('{"id":2,"error":"<html>502</html>"}', '"<html>502</html>"'),
        ('{"id":2,"error":{"code":"x","message":"y"}}', '{"code":"x","message":"y"}'),
        ('{"id":2}', NO_ANSWER.message),
        ('{"id":2,"error":null}', NO_ANSWER.message),
    ],
)
def test_an_error_in_any_shape_refuses_the_call(line: str, message: str):
    protocol = ready()
    asked(protocol)

    event = only(protocol.receive(line))

    assert isinstance(event, Refused)
    assert event.error.message == message


def test_a_result_beside_a_null_error_is_a_result():
    protocol = ready()
    call = asked(protocol)

    event = only(protocol.receive(f'{{"id":{call},"result":{{}},"error":null}}'))

    assert isinstance(event, Answered)


def test_all_calls_that_wait_fail_when_the_connection_is_lost():
    protocol = ready()
    calls = [asked(protocol) for _ in range(3)]
    protocol.forget(calls[1])

    assert protocol.connection_lost() == (Abandoned(id=calls[0]), Abandoned(id=calls[2]))
    assert protocol.connection_lost() == ()


def test_text_that_is_no_unicode_is_refused_before_the_call_exists():
    protocol = ready()
    params = TurnStartParams(
        thread_id="t", input=(TextInput(text="\ud800"),), client_user_message_id="relay:a"
    )

    with pytest.raises(UnicodeError):
        protocol.call("turn/start", params)

    assert protocol.outgoing() == ()
    assert protocol.connection_lost() == ()


# What Codex says by itself -----------------------------------------------------------------------

APPROVALS = (
    "item/commandExecution/requestApproval",
    "item/fileChange/requestApproval",
    "item/permissions/requestApproval",
    "item/tool/requestUserInput",
    "item/tool/call",
    "mcpServer/elicitation/request",
    "account/chatgptAuthTokens/refresh",
    "applyPatchApproval",
    "execCommandApproval",
    "attestation/generate",
    "no/such/request",
)


@pytest.mark.parametrize("method", APPROVALS)
def test_a_request_of_the_servers_is_never_answered(method: str):
    protocol = ready()
    call = asked(protocol)

    event = only(protocol.receive(f'{{"method":"{method}","id":{call},"params":{{}}}}'))

    assert event == Asked(method=method)
    assert protocol.outgoing() == ()
    assert protocol.connection_lost() == (Abandoned(id=call),), "its ids are not ours"


def test_a_notification_that_is_not_known_is_passed_on_unread():
    protocol = ready()

    event = only(protocol.receive('{"method":"no/such","params":{"x":[1]},"emittedAtMs":5}'))

    assert event == Notified(method="no/such", params=msgspec.Raw(b'{"x":[1]}'))


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "hello",
        "{",
        '{"id":2',
        "null",
        "17",
        "[]",
        '[{"id":2,"result":{}}]',
        "{}",
        '{"params":{}}',
        '{"method":5}',
        '{"method":"\\ud800"}',
        '{"method":null,"id":2}',
        '{"id":2,"result":{}}x',
        "[" * 100_000,
        '{"id":2,"result":' + "[" * 100_000,
        '\ufeff{"id":2,"result":{}}',
        '{"id":2,"result":NaN}',
    ],
    ids=range(19),
)
def test_a_line_that_means_nothing_is_ignored_and_settles_no_call(line: str):
    protocol = ready()
    call = asked(protocol)

    assert all(isinstance(event, Ignored) for event in protocol.receive(line))
    assert protocol.connection_lost() == (Abandoned(id=call),)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
envelopes = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "method", "params", "result", "error"), json_values)
).map(json.dumps)


@given(lines=st.lists(st.text() | json_values.map(json.dumps) | envelopes, max_size=8))
def test_no_text_at_all_makes_the_protocol_raise_or_speak(lines: list[str]):
    protocol = ready()
    asked(protocol)

    for line in lines:
        protocol.receive(line)

    assert protocol.state is State.READY
    assert protocol.outgoing() == ()


@given(lines=st.lists(st.text() | json_values.map(json.dumps) | envelopes, max_size=8))
def test_no_text_at_all_breaks_the_handshake_but_an_answer_to_it(lines: list[str]):
    protocol = Protocol(CLIENT)
    protocol.start()

    for line in lines:
        if protocol.state is State.GREETING:
            protocol.receive(line)

    assert protocol.state in {State.GREETING, State.READY, State.LOST}


@given(order=st.permutations(range(6)), refused=st.sets(st.integers(0, 5)))
def test_answers_in_any_order_settle_each_call_exactly_once(order: list[int], refused: set[int]):
    protocol = ready()
    calls = [asked(protocol) for _ in range(6)]
    settled: list[int] = []

    for place in order:
        answer = '"error":{"message":"no"}' if place in refused else '"result":{}'
        event = only(protocol.receive(f'{{"id":{calls[place]},{answer}}}'))
        assert isinstance(event, Refused if place in refused else Answered)
        settled.append(event.id)

    assert sorted(settled) == calls
    assert protocol.connection_lost() == ()
