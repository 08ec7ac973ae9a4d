"""When an attempt is there, when it is surely not, and when nobody knows."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core import Absent, AgentId, Attempt, AttemptId, Found, Provenance, Unknown
from relay_plugins.codex.evidence import (
    AT_REST,
    CLOCK_SLACK_MS,
    CRASH_WINDOW_S,
    OWN_SLACK_MS,
    SETTLE_S,
    UNANSWERED_S,
    UNLISTED_S,
    Handed,
    Look,
    Rest,
    Taking,
    carries,
    judge,
    next_wait_s,
    no_history_yet,
    reaches_back,
    read_turn,
    rest_of,
    search_back_to_ms,
    taking_of,
    turn_reaches_back,
)
from relay_plugins.codex.wire import Item, ListedItem, ThreadStatus, Turn

ATTEMPT = AttemptId("0" * 32)
ANSWERED = Handed(at=0.0, answered=True)
T0 = 100.0


def lacking(at: float = T0, **facts: object) -> Look:
    look = Look(at=at, rest=Rest.AT_REST, complete=True)
    return msgspec.structs.replace(look, **facts)


def twice(look: Look) -> list[Look]:
    return [look, msgspec.structs.replace(look, at=look.at + SETTLE_S)]


# Found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", Rest)
def test_one_look_that_shows_it_is_proof_whatever_the_thread_does(rest: Rest):
    look = Look(at=T0, rest=rest, found=True, found_in="turn")

    assert judge([lacking(T0 - 9), look], ANSWERED) == Found(turn_id="turn")


# Absent ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look", "handed", "reason"),
    [
        (lacking(), ANSWERED, "at_rest"),
        (lacking(), None, "at_rest"),
        (lacking(rest=Rest.IN_TURN, taking=Taking.ENDED), ANSWERED, "turn_ended"),
        (lacking(rest=Rest.IN_TURN, process_gone=True), ANSWERED, "agent_restarted"),
        (lacking(process_gone=True), ANSWERED, "agent_restarted"),
        (lacking(rest=Rest.MISSING, process_gone=True), ANSWERED, "thread_lost"),
        (lacking(taking=Taking.UNLISTED), ANSWERED, "at_rest"),
    ],
)
def test_it_is_absent_when_it_could_not_come_any_more_at_two_looks(
    look: Look, handed: Handed | None, reason: str
):
    assert judge(twice(look), handed) == Absent(reason=reason)


@pytest.mark.parametrize(
    ("facts", "handed"),
    [
        ({"rest": Rest.IN_TURN}, ANSWERED),
        ({"rest": Rest.IN_TURN}, None),
        ({"rest": Rest.IN_TURN, "taking": Taking.RUNNING}, ANSWERED),
        ({"rest": Rest.IN_TURN, "taking": Taking.UNLISTED}, ANSWERED),
        ({"rest": Rest.NOT_LOADED}, None),
        ({"rest": Rest.NOT_LOADED, "process_gone": True}, ANSWERED),
        ({"rest": Rest.UNREADABLE}, ANSWERED),
        ({"rest": Rest.MISSING}, ANSWERED),
        ({"complete": False}, ANSWERED),
        ({"complete": False, "process_gone": True}, ANSWERED),
        ({"taking": Taking.RUNNING}, ANSWERED),
        ({}, Handed(at=T0 - 1)),
        ({"taking": Taking.UNLISTED}, Handed(at=T0 - 1, answered=True)),
    ],
)
def test_it_is_unknown_while_it_may_still_come_however_often_one_looks(
    facts: dict[str, object], handed: Handed | None
):
    looks = [lacking(T0 + place * SETTLE_S, **facts) for place in range(4)]

    assert isinstance(judge(looks, handed), Unknown)


def test_one_look_is_never_enough_for_absence():
    assert isinstance(judge([lacking()], ANSWERED), Unknown)


def test_looks_too_close_together_are_not_enough():
    looks = [lacking(T0), lacking(T0 + SETTLE_S * 0.9)]

    assert isinstance(judge(looks, ANSWERED), Unknown)


def test_a_turn_between_two_looks_at_rest_begins_the_wait_anew():
    looks = [lacking(T0), lacking(T0 + 0.3, rest=Rest.IN_TURN), lacking(T0 + 0.6)]

    assert isinstance(judge(looks, ANSWERED), Unknown)
    assert isinstance(judge([*looks, lacking(T0 + 1.1)], ANSWERED), Absent)


def test_a_call_without_an_answer_is_waited_for_but_not_for_ever():
    handed = Handed(at=T0)

    assert isinstance(judge(twice(lacking(T0 + UNANSWERED_S - 1)), handed), Unknown)
    assert isinstance(judge(twice(lacking(T0 + UNANSWERED_S)), handed), Absent)


def test_a_turn_that_was_named_but_is_not_listed_is_waited_for():
    handed = Handed(at=T0, answered=True, turn_id="turn")
    look = lacking(T0 + UNLISTED_S - 1, taking=Taking.UNLISTED)

    assert isinstance(judge(twice(look), handed), Unknown)
    assert isinstance(
        judge(twice(msgspec.structs.replace(look, at=T0 + UNLISTED_S)), handed), Absent
    )


def test_nothing_is_known_before_the_first_look():
    assert isinstance(judge([], None), Unknown)


def test_a_codex_that_died_soon_after_the_hand_over_may_have_died_of_it():
    look = lacking(process_gone=True)

    for lost_at, crashed in ((0.1, True), (CRASH_WINDOW_S + 0.1, False), (None, False)):
        handed = Handed(at=0.0, answered=True, lost_at=lost_at)
        assert judge(twice(look), handed) == Absent(reason="agent_restarted", agent_crashed=crashed)


def test_a_lost_connection_to_a_codex_that_lives_is_no_crash():
    handed = Handed(at=0.0, answered=True, lost_at=0.1)

    assert judge(twice(lacking()), handed) == Absent(reason="at_rest", agent_crashed=False)


looks = st.builds(
    Look,
    at=st.floats(0, 60),
    rest=st.sampled_from(Rest),
    found=st.booleans(),
    complete=st.booleans(),
    taking=st.sampled_from(Taking),
    process_gone=st.booleans(),
)


@given(
    seen=st.lists(looks, max_size=8),
    handed=st.none() | st.builds(Handed, at=st.just(0.0), answered=st.booleans()),
)
def test_absence_always_stands_on_complete_looks_and_never_on_a_turn_that_may_take_it(
    seen: list[Look], handed: Handed | None
):
    seen.sort(key=lambda look: look.at)
    verdict = judge(seen, handed)

    assert isinstance(verdict, Found) == any(look.found for look in seen)
    if isinstance(verdict, Absent):
        last = seen[-1]
        assert all(look.complete for look in seen if last.at - look.at < SETTLE_S)
        assert last.process_gone or last.taking is Taking.ENDED or last.rest is Rest.AT_REST


# When to look ------------------------------------------------------------------------------------


def test_what_is_there_is_seen_at_most_a_third_later_than_it_could_have_been():
    times = [0.0]
    while times[-1] < 5:
        times.append(times[-1] + next_wait_s(times[-1]))

    assert [round(at, 3) for at in times[:5]] == [0, 0.01, 0.02, 0.03, 0.04]
    for sooner, later in itertools.pairwise(times):
        wait = later - sooner
        assert wait <= max(0.0101, sooner / 3 + 0.0001) or sooner >= 2
    assert (
        max(later - sooner for sooner, later in itertools.pairwise(times) if sooner < 2) <= 0.2501
    )
    assert len([at for at in times if at <= 1]) < 20, "and that is no flood"
    assert times[-1] - times[-2] == 1


@pytest.mark.parametrize(
    "message",
    [
        "thread/items/list is not supported yet",
        "list_turns is not supported yet",
        "thread X is not materialized yet; thread/turns/list is unavailable before first user …",
    ],
)
def test_a_thread_without_history_is_told_by_these_words(message: str):
    assert no_history_yet(message)
    assert not no_history_yet("thread not found: X")


def attempt(started_ms: int) -> Attempt:
    return Attempt(
        id=ATTEMPT,
        agent_id=AgentId("a"),
        thread_id="t",
        delivery_ids=(),
        started_ms=started_ms,
    )


def test_a_search_goes_back_to_the_hand_over_or_else_well_before_the_attempt():
    made = attempt(1_000_000_000)

    assert search_back_to_ms(made, None) == 1_000_000_000 - CLOCK_SLACK_MS
    assert search_back_to_ms(made, Handed(at=1.0)) == 1_000_000_000 - CLOCK_SLACK_MS
    assert search_back_to_ms(made, Handed(at=1.0, at_ms=999)) == 999 - OWN_SLACK_MS


def test_a_search_ends_at_what_is_older_and_at_nothing_whose_age_is_not_known():
    assert reaches_back(ListedItem(completed_at_ms=999), 1_000)
    assert not reaches_back(ListedItem(completed_at_ms=1_000), 1_000)
    assert not reaches_back(ListedItem(), 1_000)
    assert turn_reaches_back(Turn(id="t", completed_at=3), 4_001)
    assert not turn_reaches_back(Turn(id="t", completed_at=3), 4_000), "it may be 3.9 s"
    assert not turn_reaches_back(Turn(id="t", started_at=1, completed_at=None), 9_000)


@pytest.mark.parametrize(
    ("status", "rest"),
    [
        *((each, Rest.AT_REST) for each in sorted(AT_REST)),
        ("active", Rest.IN_TURN),
        ("notLoaded", Rest.NOT_LOADED),
        ("new", Rest.IN_TURN),
        ("", Rest.IN_TURN),
    ],
)
def test_a_status_that_is_not_known_is_no_rest(status: str, rest: Rest):
    assert rest_of(ThreadStatus(type=status)) is rest


def test_how_it_stands_with_the_turn_that_took_it_is_read_from_the_newest_turns():
    turns = [Turn(id="b", status="inProgress"), Turn(id="a", status="completed")]

    assert taking_of("b", turns) is Taking.RUNNING
    assert taking_of("a", turns) is Taking.ENDED
    assert taking_of("c", turns) is Taking.UNLISTED


# Whose turn it is --------------------------------------------------------------------------------


def said(client_id: object = None) -> Item:
    return Item(type="userMessage", client_id=client_id)


def answered(text: object) -> Item:
    return Item(type="agentMessage", text=text)


@pytest.mark.parametrize(
    "client_id",
    [None, "", "relay:", "relay:" + "0" * 31, "relay:" + "0" * 33, "x" + "0" * 32, 5, ["relay:"]],
)
def test_an_id_that_is_nearly_the_attempts_is_not_the_attempts(client_id: object):
    assert not carries(said(client_id), ATTEMPT)
    assert carries(said("relay:" + ATTEMPT), ATTEMPT)


def test_only_a_user_message_carries_an_attempt():
    assert not carries(Item(type="agentMessage", client_id="relay:" + ATTEMPT), ATTEMPT)


def test_a_turn_is_ours_when_its_first_user_message_is():
    reading = read_turn([said("relay:a"), answered("first"), said(), answered("last")])

    assert reading.provenance is Provenance.OURS
    assert reading.started_by == "a"
    assert reading.attempts == ("a",)
    assert reading.other_user_messages
    assert reading.final_text == "last"


def test_a_turn_that_was_steered_into_stays_the_users():
    reading = read_turn([said(), said("relay:a"), said("relay:b"), said("relay:a")])

    assert reading.provenance is Provenance.USERS
    assert reading.started_by is None
    assert reading.attempts == ("a", "b")
    assert reading.other_user_messages
    assert reading.final_text is None


def test_a_turn_without_a_user_message_is_nobodys():
    reading = read_turn([answered("a review"), Item(type="no such item")])

    assert reading.provenance is Provenance.UNKNOWN
    assert reading.final_text == "a review"
    assert not reading.other_user_messages


@pytest.mark.parametrize(
    ("items", "unread"),
    [
        ([said(), answered("done"), said("relay:a")], True),
        ([said("relay:a"), answered("done"), said("relay:b")], True),
        ([said(), said("relay:a"), answered("to both")], False),
        ([said(), said("relay:a"), Item(type="commandExecution")], False),
        ([said(), answered("done"), said("relay:a"), said()], False),
        ([said("relay:a")], False),
        ([said(), answered("done"), Item(type="agentMessage", client_id="relay:a")], False),
        ([], False),
    ],
)
def test_what_joined_a_turn_and_stands_last_was_not_read(items: list[Item], *, unread: bool):
    assert read_turn(items).unread is unread


def test_words_that_are_no_text_are_no_words():
    assert read_turn([answered({"a": 1}), answered(None)]).final_text is None
