"""What the port promises, one function for each promise; its docstring is the check's line.

A check ends well, or raises Unfit with what was seen, or NotMeasured with why not. Those named in
`ABILITIES` answer with what was measured, in the words of `adapter_report.RANKS`.
"""

from __future__ import annotations

import asyncio

from relay_core.errors import AdapterError, SessionGone, SessionMoved
from relay_core.messages import Attempt, TurnStatus
from relay_core.plans import Mode
from relay_core.ports import Absent, Evidence, Found, Injection, SessionTurnEnded, Unknown
from relay_core.sessions import Activity, Proof, Provenance, Steering
from relay_core.testing.adapter_driver import NotMeasured, Play
from relay_core.testing.adapter_scene import (
    PATIENCE_S,
    SETTLE_S,
    Scene,
    happens,
    must,
    refusal,
    unfit,
)

LIVE_S = 5.0
"""Input that is taken while the agent thinks is in the history within so many seconds."""

# What it can do ----------------------------------------------------------------------------------


async def wake(scene: Scene) -> str:
    """A message to a session at rest begins a turn."""
    words = scene.words("wake up")
    await scene.inject(scene.attempt(), words)
    return "yes" if await scene.comes(words, PATIENCE_S) else "no"


async def steer(scene: Scene) -> str:
    """A message to a running turn joins that turn: while the agent thinks, or at its next step."""
    turn = await scene.begin_turn(Play.THINK)
    attempt, words = scene.attempt(), scene.words("by the way")
    await scene.inject(attempt, words, Mode.STEER, turn.id)
    live = await scene.comes(words, LIVE_S)
    await scene.driver.release(scene.key)
    await scene.rest()
    evidence = await scene.find(attempt)
    joined = isinstance(evidence, Found) and evidence.turn_id in {turn.id, None}
    if not joined or await scene.count(words) != 1:
        return Steering.NONE
    return Steering.LIVE if live else Steering.NEXT_STEP


async def interrupt(scene: Scene) -> str:
    """An interrupt has ended the running turn when it returns, and is reported as ours."""
    turn = await scene.begin_turn(Play.THINK)
    await scene.adapter.interrupt(scene.key, turn.id)
    if not await scene.driver.resting(scene.key):
        return "no"
    await scene.driver.release(scene.key)
    ended = await scene.ended(lambda end: end.turn_id == turn.id, "the interrupted turn")
    must(ended.status is TurnStatus.INTERRUPTED, f"the turn's end is reported as {ended.status}")
    must(
        ended.interrupted_by_us is True,
        f"our own interrupt is reported with interrupted_by_us={ended.interrupted_by_us}",
    )
    words = scene.words("urgent")
    await scene.inject(scene.attempt(), words, Mode.INTERRUPT)
    return "yes" if await scene.comes(words, PATIENCE_S) else "no"


async def prove(scene: Scene) -> str:
    """What is in the history is found, by its id alone or by the mark in its text."""
    for proof in (Proof.BY_ID, Proof.BY_TEXT):
        if proof is Proof.BY_ID and scene.claims.prove is Proof.BY_TEXT:
            continue
        attempt, words = scene.attempt(), scene.words("prove it")
        await scene.inject(attempt, words, marked=proof is Proof.BY_TEXT)
        await scene.until_there(words)
        await scene.rest()
        evidence = await scene.find(attempt)
        if _proves(evidence):
            return proof
    return Proof.NONE


async def reply(scene: Scene) -> str:
    """What our turn ended with is told, linked to the attempt that began it."""
    attempt = scene.attempt()
    await scene.inject(attempt, scene.words("answer me"))
    ended = await _end_of(scene, attempt)
    said = await scene.driver.last_words(scene.key)
    if said is None:
        raise NotMeasured("the driver cannot tell what a turn ended with")
    if ended.final_text != said:
        return "none"
    return "linked" if ended.started_by == attempt.id else "ordered"


async def visible(scene: Scene) -> str:
    """The session's user sees what was brought in."""
    scene.needs(Play.SHOW)
    words = scene.words("look here")
    await scene.inject(scene.attempt(), words)

    async def shown() -> bool:
        return await scene.driver.shows(scene.key, words)

    return "yes" if await happens(shown, PATIENCE_S) else "no"


# Evidence ----------------------------------------------------------------------------------------


async def every_character_arrives_once_and_as_it_was(scene: Scene) -> None:
    """Every character of a text arrives, once."""
    words = scene.words("“quotes”, \\backslashes\\, {braces}, <tags>, 日本語, 🦊, `ticks`, $HOME")
    await scene.inject(scene.attempt(), words)
    await scene.until_there(words)
    await scene.rest()
    must(await scene.count(words) == 1, f"it stands {await scene.count(words)} times")


async def found_is_said_only_of_what_the_history_shows(scene: Scene) -> None:
    """A hand-over is no evidence: an attempt is found only once the history shows it."""
    _needs_proof(scene)
    attempt, words = scene.attempt(), scene.words("not before it is there")
    await scene.inject(attempt, words)
    evidence = await scene.find(attempt)
    there = await scene.count(words)
    if isinstance(evidence, Found):
        must(there == 1, f"found, and it stands there {there} times")
    await scene.until_there(words)
    must(not isinstance(evidence, Absent), "called absent, and it came all the same")


async def what_waits_for_a_tool_is_neither_found_nor_absent(scene: Scene) -> None:
    """Input that waits for the end of a tool run is neither found nor absent until then."""
    _needs_proof(scene)
    _needs_steering(scene)
    turn = await scene.begin_turn(Play.TOOL)
    attempt, words = scene.attempt(), scene.words("after the tool")
    await scene.inject(attempt, words, Mode.STEER, turn.id)
    async with scene.looking_for(attempt) as looking:
        await asyncio.wait([looking], timeout=SETTLE_S)
        if looking.done() and not await scene.count(words):
            evidence = looking.result()
            must(isinstance(evidence, Unknown), f"not there yet, and the answer was {evidence}")
    await scene.driver.release(scene.key)
    await scene.rest()
    await _must_agree(scene, attempt, words)


async def what_was_never_handed_over_is_never_found(scene: Scene) -> None:
    """An attempt that was never handed over is never found."""
    _needs_proof(scene)
    await scene.inject(scene.attempt(), scene.words("another one"))
    await scene.rest()
    evidence = await scene.find(scene.attempt())
    must(not isinstance(evidence, Found), f"the answer was {evidence}")


async def what_an_interrupt_swallows_is_not_found(scene: Scene) -> None:
    """What the user's interrupt swallowed is absent for good, or it is in the history."""
    scene.needs(Play.TYPE, Play.STOP)
    _needs_proof(scene)
    _needs_steering(scene)
    turn = await scene.begin_turn(Play.TOOL)
    attempt, words = scene.attempt(), scene.words("lost or not")
    await scene.inject(attempt, words, Mode.STEER, turn.id)
    await scene.driver.stop(scene.key)
    await scene.driver.release(scene.key)
    await scene.rest()
    await _must_agree(scene, attempt, words)


async def _must_agree(scene: Scene, attempt: Attempt, words: str) -> Evidence:
    """The adapter's evidence and the driver's look must say the same, then and a while later."""
    evidence = await scene.find(attempt)
    await asyncio.sleep(SETTLE_S)
    there = await scene.count(words)
    must(there <= 1, f"it stands there {there} times")
    if isinstance(evidence, Found):
        must(there == 1, "found, and it is not there")
    if isinstance(evidence, Absent):
        must(there == 0, "called absent, and it is there")
    return evidence


# Turns -------------------------------------------------------------------------------------------


async def the_end_of_our_turn_names_its_attempt(scene: Scene) -> None:
    """The end of a turn that we began names the attempt, as ours and completed."""
    attempt = scene.attempt()
    await scene.inject(attempt, scene.words("do this"))
    ended = await _end_of(scene, attempt)
    must(ended.status is TurnStatus.COMPLETED, f"its status is {ended.status}")
    must(ended.provenance is Provenance.OURS, f"its provenance is {ended.provenance}")
    must(ended.started_by in {attempt.id, None}, f"it was begun by {ended.started_by}")
    must(not ended.other_user_messages, "it is said to hold another message")


async def the_users_turn_is_not_taken_for_ours(scene: Scene) -> None:
    """The end of the user's own turn carries nothing of ours."""
    scene.needs(Play.TYPE)
    seen = len(scene.watched.events)
    await scene.driver.type(scene.key, scene.words("the user's own words"))
    ended = await scene.watched.until(
        SessionTurnEnded, lambda end: end.key == scene.key, "the end of the user's turn", after=seen
    )
    must(ended.provenance is not Provenance.OURS, "its provenance is ours")
    must(not ended.attempts and ended.started_by is None, f"it names {ended.attempts}")


async def the_words_of_a_shared_turn_are_the_users(scene: Scene) -> None:
    """A turn of the user's that we joined is not linked to us: its words may be the user's."""
    scene.needs(Play.TYPE)
    _needs_steering(scene)
    turn = await scene.begin_turn(Play.THINK)
    attempt, words = scene.attempt(), scene.words("me too")
    await scene.inject(attempt, words, Mode.STEER, turn.id)
    await scene.driver.release(scene.key)
    await scene.until_there(words)
    ended = await scene.ended(lambda end: end.turn_id == turn.id, "the user's turn")
    must(ended.started_by is None, f"it is said to be begun by {ended.started_by}")
    must(ended.other_user_messages, "it is said to hold no message but ours")


async def a_turn_that_the_user_stops_is_not_said_to_be_stopped_by_us(scene: Scene) -> None:
    """A turn that the user stops is interrupted, and not by us."""
    scene.needs(Play.STOP)
    turn = await scene.begin_turn(Play.THINK)
    await scene.driver.stop(scene.key)
    ended = await scene.ended(lambda end: end.turn_id == turn.id, "the stopped turn")
    must(ended.status is TurnStatus.INTERRUPTED, f"its status is {ended.status}")
    must(ended.interrupted_by_us is not True, "it is said to be interrupted by us")


async def _end_of(scene: Scene, attempt: Attempt) -> SessionTurnEnded:
    return await scene.ended(lambda end: attempt.id in end.attempts, "the turn of our attempt")


# Manners -----------------------------------------------------------------------------------------


async def a_steer_at_a_turn_that_is_over_is_session_moved(scene: Scene) -> None:
    """A message for a turn that is over is SessionMoved, and goes nowhere."""
    _needs_steering(scene)
    attempt = scene.attempt()
    await scene.inject(attempt, scene.words("in time"))
    over = await _end_of(scene, attempt)
    await scene.rest()
    words = scene.words("too late")
    error = await refusal(scene.inject(scene.attempt(), words, Mode.STEER, over.turn_id))
    must(isinstance(error, SessionMoved), f"it was answered with {_named(error)}")
    await asyncio.sleep(SETTLE_S)
    must(await scene.count(words) == 0, "it is in the history all the same")


async def a_session_that_is_not_there_is_session_gone(scene: Scene) -> None:
    """A message for a session that nobody knows is SessionGone."""
    nowhere = Injection(
        id=scene.attempt().id,
        key="no-such-session",
        text="anybody there?",
        marker="anybody",
        mode=Mode.START,
    )
    error = await refusal(scene.adapter.inject(nowhere))
    must(isinstance(error, SessionGone), f"it was answered with {_named(error)}")


async def approvals_are_left_to_the_user(scene: Scene) -> None:
    """What the agent asks its user stays unanswered until the user answers."""
    scene.needs(Play.ASK)
    await scene.driver.ask(scene.key)
    await asyncio.sleep(SETTLE_S)
    must(await scene.driver.asking(scene.key), "somebody but the user answered")
    if Play.RENEW not in scene.driver.cannot:
        await scene.renew()
        await asyncio.sleep(SETTLE_S / 2)
        must(
            await scene.driver.asking(scene.key),
            "somebody but the user answered when the adapter was closed and made anew",
        )
    await scene.driver.answer(scene.key)
    await scene.rest()


async def closing_leaves_the_session_alone(scene: Scene) -> None:
    """Closing the adapter ends no turn, and another adapter goes on with the session."""
    scene.needs(Play.RENEW)
    await scene.begin_turn(Play.THINK)
    await scene.adapter.close()
    await asyncio.sleep(SETTLE_S / 2)
    must(not await scene.driver.resting(scene.key), "the running turn was ended")
    await scene.driver.release(scene.key)
    await scene.renew()
    await scene.rest()
    words = scene.words("going on")
    await scene.inject(scene.attempt(), words)
    await scene.until_there(words)


async def a_new_adapter_finds_what_its_forerunner_brought(scene: Scene) -> None:
    """An adapter that is made anew reports the session, and finds what the former one brought."""
    scene.needs(Play.RENEW)
    _needs_proof(scene)
    attempt, words = scene.attempt(), scene.words("from my forerunner")
    await scene.inject(attempt, words)
    await scene.until_there(words)
    await scene.rest()
    await scene.renew()
    evidence = await scene.find(attempt)
    must(isinstance(evidence, Found), f"the answer was {evidence}")


async def an_agent_that_died_is_away_until_it_is_back(scene: Scene) -> None:
    """An agent that died is shown as away, takes nothing, and is there again when it is back."""
    scene.needs(Play.KILL)
    await scene.driver.kill(scene.key)
    await scene.until_activity(Activity.AWAY)
    lost = scene.words("nobody is there")
    error = await refusal(scene.inject(scene.attempt(), lost))
    must(error is not None, "a dead agent was said to have taken a message")
    evidence = await scene.find(scene.attempt())
    must(not _proves(evidence), "a dead agent was said to hold what it never got")
    await scene.driver.revive(scene.key)
    await scene.until_activity(Activity.AT_REST)
    words = scene.words("welcome back")
    await scene.inject(scene.attempt(), words)
    await scene.until_there(words)
    must(await scene.count(lost) == 0, "what was refused is in the history all the same")


def _needs_proof(scene: Scene) -> None:
    if scene.claims.prove is Proof.NONE:
        raise NotMeasured("the adapter claims no proof")


def _needs_steering(scene: Scene) -> None:
    if scene.claims.steer is Steering.NONE:
        raise NotMeasured("the adapter does not claim to steer")


def _proves(evidence: Evidence) -> bool:
    return isinstance(evidence, Found) and evidence.reason is None


def _named(error: AdapterError | None) -> str:
    return "a hand-over" if error is None else f"{type(error).__name__}: {error}"


async def never_proved(scene: Scene) -> None:
    """An adapter that claims no proof says of nothing that it is proved."""
    if scene.claims.prove is not Proof.NONE:
        raise NotMeasured("the adapter claims proof")
    attempt = scene.attempt()
    await scene.inject(attempt, scene.words("unproved"))
    evidence = await scene.find(attempt)
    if _proves(evidence):
        unfit("an attempt is found, without the reason `unproved`")


ABILITIES = (wake, steer, interrupt, prove, reply, visible)
"""The checks of what `describe` claims, by the names of `Abilities`."""

PROMISES = (
    every_character_arrives_once_and_as_it_was,
    found_is_said_only_of_what_the_history_shows,
    what_waits_for_a_tool_is_neither_found_nor_absent,
    what_was_never_handed_over_is_never_found,
    what_an_interrupt_swallows_is_not_found,
    never_proved,
    the_end_of_our_turn_names_its_attempt,
    the_users_turn_is_not_taken_for_ours,
    the_words_of_a_shared_turn_are_the_users,
    a_turn_that_the_user_stops_is_not_said_to_be_stopped_by_us,
    a_steer_at_a_turn_that_is_over_is_session_moved,
    a_session_that_is_not_there_is_session_gone,
    approvals_are_left_to_the_user,
    closing_leaves_the_session_alone,
    a_new_adapter_finds_what_its_forerunner_brought,
    an_agent_that_died_is_away_until_it_is_back,
)
"""The checks of the port's other promises, in the order in which they are made."""
