"""Every state meets every event; nothing else can happen to a delivery."""

import msgspec
import pytest

from relay_core import AttemptId, Delivery, IllegalTransition
from relay_core import DeliveryState as S
from relay_core.delivery import (
    CLAIMED_BY_OTHER,
    EVENTS,
    FINAL,
    IN_DOUBT,
    MAX_STRIKES,
    TRANSITIONS,
    WAITING,
    AttemptDoubted,
    AttemptFailed,
    AttemptRecorded,
    CancelRequested,
    Claimed,
    ClaimExhausted,
    ClaimReopened,
    ClaimTakenByOther,
    Edited,
    Event,
    FoundAbsent,
    Held,
    MarkedRead,
    OfferAgain,
    Proved,
    RecipientRemoved,
    Released,
    ReopenClaim,
    Skipped,
    TellSender,
    TimeRanOut,
    allows,
    step,
)
from relay_core.retry import FIRST_MS, MAX_ATTEMPTS
from values import NOW_MS, delivery

LATER = NOW_MS + 1_000
ATTEMPT = AttemptId("a" * 32)

EXAMPLES: dict[type[Event], Event] = {
    type(event): event
    for event in (
        Held(reason="quiet", until_ms=LATER),
        Released(),
        Edited(),
        Skipped(reason="channel"),
        Claimed(token=7),
        ClaimTakenByOther(),
        ClaimReopened(),
        ClaimExhausted(),
        AttemptRecorded(attempt_id=ATTEMPT),
        AttemptDoubted(),
        Proved(turn_id="turn-1"),
        FoundAbsent(),
        AttemptFailed(reason="refused"),
        MarkedRead(),
        TimeRanOut(),
        CancelRequested(),
        RecipientRemoved(),
    )
}

# Written out once more by hand: where each event leads from each state, "-" where it may not come.
COLUMNS = ("queued", "leased", "injecting", "uncertain", "held", "skipped")
EXPECTED = {
    Held:              "held      held      -         -         held      -",
    Released:          "-         -         -         -         queued    -",
    Edited:            "-         -         -         -         held      -",
    Skipped:           "skipped   skipped   -         -         skipped   -",
    Claimed:           "leased    leased    -         -         -         -",
    ClaimTakenByOther: "skipped   skipped   -         -         skipped   -",
    ClaimReopened:     "-         queued    -         -         -         -",
    ClaimExhausted:    "dead      dead      -         -         dead      -",
    AttemptRecorded:   "injecting injecting -         -         -         -",
    AttemptDoubted:    "-         -         uncertain uncertain -         -",
    Proved:            "-         -         delivered delivered -         -",
    FoundAbsent:       "-         -         queued    queued    -         -",
    AttemptFailed:     "-         -         queued    queued    -         -",
    MarkedRead:        "delivered delivered -         -         delivered -",
    TimeRanOut:        "expired   expired   -         -         expired   -",
    CancelRequested:   "cancelled cancelled -         -         cancelled -",
    RecipientRemoved:  "dead      dead      dead      dead      dead      -",
}  # fmt: skip


def expected(state: S, kind: type[Event]) -> str:
    if state.value not in COLUMNS:
        return "-"
    return EXPECTED[kind].split()[COLUMNS.index(state.value)]


def test_the_examples_and_the_table_of_this_test_know_every_event():
    assert set(EXAMPLES) == set(EVENTS) == set(EXPECTED)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", S)
def test_each_event_leads_from_each_state_where_the_table_says(state: S, kind: type[Event]):
    before = delivery(state=state, updated_ms=NOW_MS)
    wanted = expected(state, kind)

    if wanted == "-":
        with pytest.raises(IllegalTransition) as caught:
            step(before, EXAMPLES[kind], now_ms=LATER)
        assert (caught.value.state, caught.value.event) == (state, kind.__name__)
        assert before == delivery(state=state, updated_ms=NOW_MS)
    else:
        after = step(before, EXAMPLES[kind], now_ms=LATER).delivery
        assert after.state == wanted
        assert after.updated_ms == LATER
        assert allows(before, kind)


def test_every_arrow_of_the_machine_is_walked_by_some_example():
    walked = {
        (state, kind, step(start, event, now_ms=LATER).delivery.state)
        for state in S
        for kind, event in EVENTS_AND_VARIANTS
        for start in starts(state)
        if allowed_here(start, event)
    }
    arrows = {
        (state, kind, target)
        for state, row in TRANSITIONS.items()
        for kind, targets in row.items()
        for target in targets
    }

    assert walked == arrows


EVENTS_AND_VARIANTS = [
    *EXAMPLES.items(),
    (FoundAbsent, FoundAbsent(agent_crashed=True)),
    (AttemptFailed, AttemptFailed(reason="refused", permanent=True)),
]


def starts(state: S) -> list[Delivery]:
    plain = delivery(state=state)
    return [
        plain,
        msgspec.structs.replace(plain, claim_token=5),
        msgspec.structs.replace(plain, strikes=MAX_STRIKES - 1),
        msgspec.structs.replace(plain, reason=CLAIMED_BY_OTHER),
    ]


def allowed_here(start: Delivery, event: Event) -> bool:
    try:
        step(start, event, now_ms=LATER)
    except IllegalTransition:
        return False
    return True


def test_the_named_groups_of_states_cover_all_but_held():
    assert set(S) - {S.HELD} == FINAL | IN_DOUBT | WAITING
    assert not FINAL & IN_DOUBT
    assert not FINAL & WAITING
    assert not IN_DOUBT & WAITING


def test_a_final_state_has_no_way_out_but_what_another_agent_claimed():
    assert [state for state in FINAL if TRANSITIONS[state]] == [S.SKIPPED]
    assert set(TRANSITIONS[S.SKIPPED]) == {ClaimReopened, CancelRequested}
    assert not allows(delivery(state=S.SKIPPED, reason="channel"), CancelRequested)


def test_what_another_agent_claimed_is_queued_again_when_that_claim_lapses():
    skipped = step(delivery(), ClaimTakenByOther(), now_ms=NOW_MS).delivery
    again = step(skipped, ClaimReopened(), now_ms=LATER)

    assert skipped.reason == CLAIMED_BY_OTHER
    assert again.delivery.state is S.QUEUED
    assert again.commands == (OfferAgain(at_ms=LATER),)


def test_what_was_skipped_for_its_channel_never_comes_back():
    skipped = step(delivery(), Skipped(reason="channel"), now_ms=NOW_MS).delivery

    with pytest.raises(IllegalTransition):
        step(skipped, ClaimReopened(), now_ms=LATER)


@pytest.mark.parametrize("state", sorted(IN_DOUBT))
@pytest.mark.parametrize(
    "event", [Held(reason="x"), Skipped(reason="x"), TimeRanOut(), CancelRequested(), MarkedRead()]
)
def test_nothing_but_evidence_decides_what_is_in_doubt(state: S, event: Event):
    with pytest.raises(IllegalTransition):
        step(delivery(state=state), event, now_ms=NOW_MS)


def test_proof_says_which_turn_and_when_and_tells_the_sender():
    proved = step(delivery(state=S.INJECTING), Proved(turn_id="turn-9"), now_ms=LATER)

    assert (proved.delivery.turn_id, proved.delivery.delivered_ms) == ("turn-9", LATER)
    assert proved.commands == (TellSender(),)


def test_an_attempt_found_absent_is_offered_at_once_and_counts_as_no_failure():
    absent = step(delivery(state=S.UNCERTAIN, attempts=2), FoundAbsent(), now_ms=NOW_MS)

    assert absent.delivery.state is S.QUEUED
    assert absent.delivery.attempts == 2
    assert absent.commands == (OfferAgain(at_ms=NOW_MS),)


def test_a_claim_in_hand_survives_a_failed_attempt():
    leased = step(delivery(), Claimed(token=7), now_ms=NOW_MS).delivery
    tried = step(leased, AttemptRecorded(attempt_id=ATTEMPT), now_ms=NOW_MS).delivery
    failed = step(tried, AttemptFailed(reason="refused"), now_ms=NOW_MS).delivery

    assert failed.state is S.LEASED
    assert failed.claim_token == 7


@pytest.mark.parametrize("event", [Held(reason="later"), Skipped(reason="channel"), TimeRanOut()])
def test_whoever_leaves_the_queue_with_a_claim_gives_it_back(event: Event):
    left = step(delivery(state=S.LEASED, claim_token=7), event, now_ms=NOW_MS)

    assert left.delivery.claim_token is None
    assert ReopenClaim() in left.commands


def test_a_yes_stays_with_a_delivery_whatever_happens_to_it_afterwards():
    yes = step(delivery(state=S.HELD), Released(approved=True), now_ms=NOW_MS).delivery
    known, left = {yes.state: yes}, [yes]
    while left:
        start = left.pop()
        for _, event in EVENTS_AND_VARIANTS:
            if allowed_here(start, event):
                after = step(start, event, now_ms=LATER).delivery
                assert after.approved_ms is not None, event
                if known.setdefault(after.state, after) is after:
                    left.append(after)

    assert (yes.state, yes.reason, yes.approved_ms) == (S.QUEUED, "approved", NOW_MS)
    assert set(known) == set(S)


def test_a_hold_that_ends_by_itself_is_no_yes():
    released = step(delivery(state=S.HELD), Released(), now_ms=NOW_MS).delivery

    assert (released.reason, released.approved_ms) == ("released", None)


def test_an_edit_changes_neither_why_nor_until_when_it_is_held_and_tells_the_sender():
    held = delivery(state=S.HELD, reason="needs_yes", held_until_ms=LATER)
    edited = step(held, Edited(), now_ms=LATER)

    assert edited.delivery == msgspec.structs.replace(held, edited=True, updated_ms=LATER)
    assert edited.commands == (TellSender(),)


def test_a_refused_input_is_tried_five_times_and_then_dead():
    row = delivery(state=S.INJECTING)
    waits: list[int] = []
    for _ in range(MAX_ATTEMPTS - 1):
        failed = step(row, AttemptFailed(reason="refused"), now_ms=NOW_MS, jitter=0.5)
        assert failed.delivery.state is S.QUEUED
        assert failed.commands == (OfferAgain(at_ms=failed.delivery.not_before_ms),)
        waits.append(failed.delivery.not_before_ms - NOW_MS)
        row = msgspec.structs.replace(failed.delivery, state=S.INJECTING)
    last = step(row, AttemptFailed(reason="refused"), now_ms=NOW_MS)

    assert waits == sorted(set(waits))
    assert waits[0] >= FIRST_MS
    assert (last.delivery.state, last.delivery.reason) == (S.DEAD, "refused")
    assert last.commands == (TellSender(),)


def test_an_input_that_would_be_refused_again_is_dead_at_once():
    failed = step(
        delivery(state=S.INJECTING), AttemptFailed(reason="too large", permanent=True), now_ms=1
    )

    assert (failed.delivery.state, failed.delivery.attempts) == (S.DEAD, 1)


def test_a_message_that_an_agent_crashed_on_twice_is_poison():
    crash = FoundAbsent(agent_crashed=True)
    once = step(delivery(state=S.UNCERTAIN), crash, now_ms=NOW_MS).delivery
    again = msgspec.structs.replace(once, state=S.UNCERTAIN)
    twice = step(again, crash, now_ms=NOW_MS).delivery

    assert (once.state, once.strikes) == (S.QUEUED, 1)
    assert (twice.state, twice.reason) == (S.DEAD, "poison")


def test_a_hold_ends_by_release_and_forgets_when_it_would_have_ended():
    held = step(delivery(), Held(reason="quiet", until_ms=LATER), now_ms=NOW_MS).delivery
    freed = step(held, Released(), now_ms=LATER)

    assert held.held_until_ms == LATER
    assert freed.delivery.held_until_ms is None
    assert freed.commands == (OfferAgain(at_ms=LATER),)
