"""How messages enter a session: every strategy in every activity."""

import pytest

from relay_core import (
    OPERATOR,
    Abilities,
    Activity,
    Credential,
    DeliveryPlan,
    Message,
    Mode,
    Policy,
    Provenance,
    Sender,
    Session,
    Steering,
    Turn,
)
from relay_core.testing import Asked
from values import ABLE, NOW_MS, in_turn, message, session

choose_delivery = Asked("relay.delivery").choose_delivery

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
PATIENT = Policy(strategy="patient")


def urgent(number: int = 1, sender: str = "lead", **fields: object) -> Message:
    return message(number, sender, urgent=True, **fields)


def allowing(*names: str, **fields: object) -> Policy:
    return Policy(urgent_from=names, **fields)


@pytest.mark.parametrize("strategy", ["adaptive", "patient", "none of ours"])
def test_at_rest_all_that_waits_starts_one_turn(strategy: str):
    resting = session(policy=Policy(strategy=strategy))

    assert choose_delivery([message(1), message(2)], resting) == DeliveryPlan.start()


def test_during_a_turn_adaptive_joins_it_with_all_that_waits():
    assert choose_delivery([message(1), message(2)], in_turn()) == DeliveryPlan.steer(take=2)


def test_during_a_turn_patient_waits_for_its_end():
    plan = choose_delivery([message()], in_turn(policy=PATIENT))

    assert (plan.mode, plan.until_ms) == (Mode.WAIT, None)
    assert plan.reason == "patient: waits for the end of the turn"


@pytest.mark.parametrize(
    "moment",
    [
        in_turn(abilities=Abilities(steer=Steering.NONE, interrupt=True)),
        in_turn(turn=None),
        in_turn(activity=Activity.WAITING_FOR_USER),
        session(activity=Activity.AWAY),
    ],
)
def test_where_nothing_can_join_adaptive_waits_and_says_why(moment: Session):
    plan = choose_delivery([message()], moment)

    assert plan.mode is Mode.WAIT
    assert plan.reason


def test_a_strategy_that_nobody_knows_delivers_nothing_into_a_turn_and_says_so():
    plan = choose_delivery([message()], in_turn(policy=Policy(strategy="patiant")))

    assert plan.mode is Mode.WAIT
    assert "'patiant'" in (plan.reason or "")
    assert "adaptive, patient" in (plan.reason or "")


def test_each_sender_can_have_a_strategy_of_its_own():
    policy = Policy(strategy="adaptive", sender_strategies={"slow": "patient"})
    quick, slow = message(1, "quick"), message(2, "slow")

    assert choose_delivery([quick], in_turn(policy=policy)).mode is Mode.STEER
    assert choose_delivery([slow], in_turn(policy=policy)).mode is Mode.WAIT


def test_a_mixed_batch_keeps_its_order():
    policy = Policy(strategy="adaptive", sender_strategies={"slow": "patient"})
    a, b, slow, c = message(1), message(2), message(3, "slow"), message(4)

    assert choose_delivery([a, b, slow, c], in_turn(policy=policy)) == DeliveryPlan.steer(take=2)
    assert choose_delivery([slow, a], in_turn(policy=policy)).mode is Mode.WAIT


# --- urgent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["adaptive", "patient"])
@pytest.mark.parametrize("activity", [Activity.IN_TURN, Activity.WAITING_FOR_USER])
def test_an_urgent_message_from_an_allowed_sender_interrupts(strategy: str, activity: Activity):
    busy = in_turn(activity=activity, policy=allowing("lead", strategy=strategy))
    plan = choose_delivery([message(1), urgent(2)], busy)

    assert (plan.mode, plan.take) == (Mode.INTERRUPT, None)
    assert plan.reason == "urgent from lead"


def test_an_urgent_message_from_anybody_else_is_delivered_as_any_other_and_the_plan_says_so():
    joined = choose_delivery([urgent()], in_turn(policy=allowing("boss")))
    waiting = choose_delivery([urgent()], in_turn(policy=allowing("boss", strategy="patient")))

    assert joined.mode is Mode.STEER
    assert joined.reason == "urgent from lead is not in urgent_from: delivered as any other"
    assert waiting.mode is Mode.WAIT
    assert "not in urgent_from" in (waiting.reason or "")


def test_a_turn_that_waits_for_the_user_is_not_interrupted_by_those_who_may_not():
    asking = in_turn(activity=Activity.WAITING_FOR_USER, policy=allowing("boss"))

    assert choose_delivery([urgent()], asking).mode is Mode.WAIT


def test_where_the_agent_cannot_be_interrupted_the_plan_says_so():
    abilities = Abilities(steer=Steering.LIVE, interrupt=False)
    plan = choose_delivery([urgent()], in_turn(policy=allowing("lead"), abilities=abilities))

    assert plan.mode is Mode.STEER
    assert "cannot be interrupted" in (plan.reason or "")


def test_at_rest_there_is_nothing_to_interrupt():
    assert choose_delivery([urgent()], session(policy=allowing("*"))) == DeliveryPlan.start()


# --- whom the turn does not concern ----------------------------------------------------------


def steering(*names: str, **fields: object) -> Session:
    return in_turn(policy=Policy(steer_from=names, **fields))


def test_who_is_not_in_steer_from_waits_for_the_end_of_the_turn_and_is_told_why():
    plan = choose_delivery([message(1, "lead")], steering("operator"))

    assert plan.mode is Mode.WAIT
    assert "lead is not in steer_from" in (plan.reason or "")
    assert choose_delivery([message(1, "lead")], steering("lead")) == DeliveryPlan.steer(take=1)


def test_at_rest_whoever_may_only_queue_starts_a_turn():
    only = Policy(steer_from=())

    assert choose_delivery([message()], session(policy=only)) == DeliveryPlan.start()


def test_only_those_join_a_turn_that_stand_before_one_who_may_not():
    mail = [message(1, "lead"), message(2, "lead"), message(3, "builder"), message(4, "lead")]

    assert choose_delivery(mail, steering("lead")) == DeliveryPlan.steer(take=2)
    assert choose_delivery(mail[2:], steering("lead")).mode is Mode.WAIT


def test_who_may_interrupt_needs_no_place_in_steer_from():
    plan = choose_delivery([urgent()], steering("boss", urgent_from=("lead",)))

    assert plan.mode is Mode.INTERRUPT


def test_an_urgent_one_that_may_do_neither_says_both():
    plan = choose_delivery([urgent()], steering("boss"))

    assert plan.mode is Mode.WAIT
    assert "not in urgent_from" in (plan.reason or "")
    assert "not in steer_from" in (plan.reason or "")


# --- after a quiet ---------------------------------------------------------------------------


def after_quiet(**fields: object) -> Session:
    return session(quiet_until_ms=NOW_MS - 5, **fields)


def held(number: int, by: str = "builder", **fields: object) -> Message:
    return message(number, by, created_at=NOW_MS - 10, **fields)


def test_what_was_held_by_a_quiet_comes_as_one_digest_and_a_single_one_whole():
    plan = choose_delivery([held(1), held(2, "lead")], after_quiet())

    assert (plan.mode, plan.take, plan.digest) == (Mode.START, 2, True)
    assert choose_delivery([held(1)], after_quiet()) == DeliveryPlan.start()


def test_what_came_in_after_the_quiet_is_no_part_of_its_digest():
    mail = [held(1), held(2), message(3), message(4)]

    assert choose_delivery(mail, after_quiet()).take == 2
    assert choose_delivery(mail[2:], after_quiet()) == DeliveryPlan.start()


@pytest.mark.parametrize("until_ms", [None, NOW_MS + 1])
def test_before_the_end_of_a_quiet_there_is_no_digest(until_ms: int | None):
    # What may go in meanwhile is from the user, or urgent: it goes whole.
    mail = [held(1), held(2)]

    assert choose_delivery(mail, session(quiet_until_ms=until_ms)) == DeliveryPlan.start()


def test_a_request_and_what_the_user_sent_are_shown_whole_after_a_quiet():
    user = Sender(id=OPERATOR, credential=Credential.USER)
    words = [held(1, OPERATOR, sender=user), held(2), held(3)]

    assert choose_delivery([held(1, type="request")], after_quiet()) == DeliveryPlan.start()
    assert choose_delivery(words, after_quiet()) == DeliveryPlan.start(take=1)
    assert choose_delivery(words[1:], after_quiet()).digest


def test_during_a_turn_the_digest_of_a_quiet_waits_for_its_end():
    busy = in_turn(quiet_until_ms=NOW_MS - 5)

    assert choose_delivery([held(1), held(2)], busy).mode is Mode.WAIT
    assert choose_delivery([held(1)], busy) == DeliveryPlan.steer(take=1)
    assert choose_delivery([message(1), message(2)], busy) == DeliveryPlan.steer(take=2)


# --- coming back -----------------------------------------------------------------------------


def back_after(away_ms: int, **fields: object) -> Session:
    return session(away_ms=away_ms, **fields)


@pytest.mark.parametrize(
    ("away_ms", "count", "age_ms", "digest"),
    [
        (10 * MINUTE_MS, 9, 0, False),
        (10 * MINUTE_MS + 1, 3, HOUR_MS, False),
        (10 * MINUTE_MS + 1, 4, 0, True),
        (10 * MINUTE_MS + 1, 1, HOUR_MS + 1, True),
        (0, 50, 9 * HOUR_MS, False),
    ],
)
def test_after_a_long_absence_much_or_old_mail_comes_as_one_digest(
    away_ms: int,
    count: int,
    age_ms: int,
    digest: bool,  # noqa: FBT001
):
    mail = [message(number, created_at=NOW_MS - age_ms) for number in range(1, count + 1)]
    plan = choose_delivery(mail, back_after(away_ms))

    assert (plan.mode, plan.take, plan.digest) == (Mode.START, None, digest)


def test_how_long_an_absence_is_long_can_be_set():
    mail = [message(number) for number in range(1, 6)]
    policy = Policy(away_after_ms=HOUR_MS)

    assert not choose_delivery(mail, back_after(HOUR_MS, policy=policy)).digest
    assert choose_delivery(mail, back_after(HOUR_MS + 1, policy=policy)).digest


def test_into_a_running_turn_goes_no_digest():
    mail = [message(number) for number in range(1, 6)]

    assert not choose_delivery(mail, in_turn(away_ms=HOUR_MS, abilities=ABLE)).digest


REQUEST = message(1, "lead", type="request")


@pytest.mark.parametrize("provenance", [Provenance.OURS, Provenance.UNKNOWN])
def test_a_request_joins_no_turn_but_one_of_the_users(provenance: Provenance):
    ours = in_turn(turn=Turn(id="turn-1", provenance=provenance))
    users = in_turn(turn=Turn(id="turn-1", provenance=Provenance.USERS))

    assert choose_delivery([REQUEST], ours).mode is Mode.WAIT
    assert choose_delivery([REQUEST], users) == DeliveryPlan.steer(take=1)
    assert choose_delivery([message()], ours) == DeliveryPlan.steer(take=1)


def test_a_request_that_waited_long_is_shown_whole():
    back = session(away_ms=24 * HOUR_MS, now=NOW_MS + 24 * HOUR_MS)

    assert choose_delivery([message()], back).digest
    assert choose_delivery([REQUEST], back) == DeliveryPlan.start()
