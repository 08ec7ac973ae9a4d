"""Whether a thread holds an attempt, decided from what was read of its history."""

# Rule 1: pure. Observations and times come in as arguments, an answer goes out.
# Rule 2: an attempt is there when a user message of the thread carries its id. One look is enough.
# Rule 3: an attempt is absent only when complete looks, SETTLE_S apart, all lack it, and at each of
#         them it could not come any more, because
#           (a) the Codex process that was handed it is dead, and another has loaded the thread, or
#           (b) the thread was at rest and no call of ours was still unanswered, or
#           (c) the turn that took it had ended.
# Rule 4: a look is complete when it reached back to the time of the attempt. "Not supported yet"
#         and "not materialized yet" mean that there is no history yet: on a thread at rest that is
#         an empty list, elsewhere it is no look at all.
# Rule 5: a turn that Codex named in its answer but does not list yet may still begin: for (b) that
#         turn must be listed, or UNLISTED_S must have passed.
# Rule 6: everything else is unknown. Time alone never makes an attempt absent.

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import msgspec

from relay_core import (
    Absent,
    Attempt,
    AttemptId,
    Evidence,
    Found,
    Provenance,
    Struct,
    Unknown,
)
from relay_plugins.codex.wire import CLIENT_ID_PREFIX, RUNNING, Item, ListedItem, ThreadStatus, Turn

SETTLE_S = 0.5
UNLISTED_S = 5.0
UNANSWERED_S = 10.0
CRASH_WINDOW_S = 10.0
"""A Codex that dies within so many seconds of being handed an attempt may have died of it."""

CLOCK_SLACK_MS = 60_000
"""How far the hub's clock, which dates attempts, and Codex's may be apart."""

OWN_SLACK_MS = 2_000
"""The same for our own clock, which dates hand-overs, where it is the clock of Codex's machine."""

AT_REST = frozenset({"idle", "systemError"})
NOT_LOADED = "notLoaded"

FIRST_LOOK_S = 0.010
LONGEST_EARLY_WAIT_S = 0.250
EARLY_S = 2.0
LATE_WAIT_S = 1.0


class Rest(enum.Enum):
    """What a thread was doing at a look."""

    AT_REST = enum.auto()
    IN_TURN = enum.auto()
    NOT_LOADED = enum.auto()
    MISSING = enum.auto()
    UNREADABLE = enum.auto()


class Taking(enum.Enum):
    """How it stands with the turn that took the attempt, at a look."""

    UNKNOWN = enum.auto()
    UNLISTED = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()


class Handed(Struct):
    """What is known of the hand-over of an attempt by this adapter, in this process.

    Times are monotonic seconds; `at_ms` is the hand-over's in milliseconds since the Unix epoch.
    `answered` is True when Codex answered, or when the connection that
    carried the call is lost: nothing is under way any more. `lost_at` is when that connection was
    lost. `turn_id` is the turn that Codex named.
    """

    at: float
    at_ms: int = 0
    answered: bool = False
    lost_at: float | None = None
    turn_id: str | None = None


class Look(Struct):
    """One reading of a thread's history, at a monotonic time in seconds.

    `found_in` is the turn that holds the attempt. `complete` tells that the reading went back to
    the attempt's time. `process_gone` tells that the Codex process that was handed it is dead.
    """

    at: float
    rest: Rest
    found: bool = False
    found_in: str | None = None
    complete: bool = False
    taking: Taking = Taking.UNKNOWN
    process_gone: bool = False


def judge(looks: Sequence[Look], handed: Handed | None) -> Evidence:
    """Decide what the looks say, oldest first. `handed` is None after a restart of the host."""
    for look in looks:
        if look.found:
            return Found(turn_id=look.found_in)
    last: Look | None = None
    for look in reversed(looks):
        if not _excludes(look, handed):
            break
        last = last or look
        if last.at - look.at >= SETTLE_S:
            return Absent(reason=_why_absent(last), agent_crashed=crashed(last, handed))
    return Unknown(why=_why_unknown(looks, handed))


def crashed(look: Look, handed: Handed | None) -> bool:
    """Whether the agent died right after the hand-over, as far as was seen."""
    if handed is None or handed.lost_at is None:
        return False
    return look.process_gone and handed.lost_at - handed.at <= CRASH_WINDOW_S


def next_wait_s(elapsed_s: float) -> float:
    """How long to wait before the next look, so many seconds after the first could have been made.

    Each 10 ms at first, then a third of the time that has passed, so that what is there is seen
    at most so much later than it could have been; each 250 ms at most, each second after two.
    """
    if elapsed_s >= EARLY_S:
        return LATE_WAIT_S
    return min(max(elapsed_s / 3, FIRST_LOOK_S), LONGEST_EARLY_WAIT_S)


def search_back_to_ms(attempt: Attempt, handed: Handed | None) -> int:
    """The time before which nothing can hold an attempt, in milliseconds since the Unix epoch."""
    if handed is None or not handed.at_ms:
        return attempt.started_ms - CLOCK_SLACK_MS
    return handed.at_ms - OWN_SLACK_MS


def reaches_back(item: ListedItem, to_ms: int) -> bool:
    """Whether an item was complete before that, so that what is listed as older need not be read.

    When it began says nothing: a command may begin before a message and be listed after it.
    """
    return item.completed_at_ms is not None and item.completed_at_ms < to_ms


def turn_reaches_back(turn: Turn, to_ms: int) -> bool:
    """Whether a turn had ended before that, so that nothing could join it any more.

    Codex gives these times in whole seconds.
    """
    return turn.completed_at is not None and (turn.completed_at + 1) * 1000 < to_ms


def rest_of(status: ThreadStatus) -> Rest:
    """What a thread was doing. A status that is not known is no rest: it could mean anything."""
    if status.type in AT_REST:
        return Rest.AT_REST
    return Rest.NOT_LOADED if status.type == NOT_LOADED else Rest.IN_TURN


def taking_of(turn_id: str, newest: Sequence[Turn]) -> Taking:
    """How it stands with the turn that took an attempt, by the newest turns of its thread."""
    for turn in newest:
        if turn.id == turn_id:
            return Taking.RUNNING if turn.running else Taking.ENDED
    return Taking.UNLISTED


def carries(item: Item, attempt: AttemptId) -> bool:
    """Whether an item is the user message of an attempt."""
    return item.is_user_message and item.client_id == CLIENT_ID_PREFIX + attempt


def no_history_yet(message: str) -> bool:
    """Whether a refusal means that a thread has no history yet, or keeps it the other way."""
    return "is not supported yet" in message or "is not materialized yet" in message


# Whose turn it is --------------------------------------------------------------------------------


def outer_turns(turns: Sequence[Turn], *, at_rest: bool) -> tuple[Turn, ...]:
    """The turns that anybody talks to, without the inner ones that work for them.

    During a review the inner turn is listed as running and the review itself as completed or not at
    all; what can be stopped is the review. On a thread at rest an inner turn may be listed as
    running for ever, and one that has ended as interrupted: neither means anything.
    """
    running = [] if at_rest else [turn for turn in turns if turn.inner and turn.running]
    roots = {turn.root_turn_id or turn.id: turn.items for turn in running}
    outer = [turn for turn in turns if not turn.inner]
    unlisted = roots.keys() - {turn.id for turn in outer}
    return (
        *(Turn(id=root, status=RUNNING, items=roots[root]) for root in sorted(unlisted)),
        *(
            msgspec.structs.replace(turn, status=RUNNING, items=roots[turn.id])
            if turn.id in roots
            else turn
            for turn in outer
        ),
    )


class TurnReading(Struct):
    """What the items of a turn tell: whose it is, what of ours it carries, its last words.

    `unread` tells that the turn ends with a message of ours that had joined it: the agent did
    nothing after it. Codex 0.163 takes a message in at the very end of a turn and ends the turn
    without asking the model.
    """

    provenance: Provenance
    started_by: AttemptId | None
    attempts: tuple[AttemptId, ...]
    other_user_messages: bool
    final_text: str | None
    unread: bool = False


def read_turn(items: Iterable[Item]) -> TurnReading:
    """Read a turn's items, oldest first."""
    first: Item | None = None
    last: Item | None = None
    attempts: list[AttemptId] = []
    others = False
    final: str | None = None
    for item in items:
        last = item
        if item.is_user_message:
            first = first or item
            attempt = attempt_of(item)
            if attempt is None:
                others = True
            elif attempt not in attempts:
                attempts.append(attempt)
        elif item.type == "agentMessage" and isinstance(item.text, str):
            final = item.text
    started_by = None if first is None else attempt_of(first)
    return TurnReading(
        provenance=_provenance(first),
        started_by=started_by,
        attempts=tuple(attempts),
        other_user_messages=others,
        final_text=final,
        unread=last is not None and last is not first and attempt_of(last) is not None,
    )


def attempt_of(item: Item) -> AttemptId | None:
    """The attempt that a user message carries, None for any other item."""
    client_id = item.client_id if item.is_user_message else None
    if not isinstance(client_id, str) or not client_id.startswith(CLIENT_ID_PREFIX):
        return None
    return AttemptId(client_id.removeprefix(CLIENT_ID_PREFIX))


def _provenance(first: Item | None) -> Provenance:
    if first is None:
        return Provenance.UNKNOWN
    return Provenance.USERS if attempt_of(first) is None else Provenance.OURS


# Why ---------------------------------------------------------------------------------------------


def _excludes(look: Look, handed: Handed | None) -> bool:
    """Whether the attempt was lacking at this look and could not come any more."""
    if not look.complete:
        return False
    if look.rest is Rest.MISSING:
        return look.process_gone
    if look.rest not in {Rest.AT_REST, Rest.IN_TURN}:
        return False
    if look.process_gone or look.taking is Taking.ENDED:
        return True
    return look.rest is Rest.AT_REST and _nothing_under_way(look, handed)


def _nothing_under_way(look: Look, handed: Handed | None) -> bool:
    if look.taking is Taking.RUNNING:
        return False
    if handed is None:
        return True
    since = look.at - handed.at
    if not handed.answered and since < UNANSWERED_S:
        return False
    return look.taking is not Taking.UNLISTED or since >= UNLISTED_S


def _why_absent(look: Look) -> str:
    if look.rest is Rest.MISSING:
        return "thread_lost"
    if look.process_gone:
        return "agent_restarted"
    return "turn_ended" if look.taking is Taking.ENDED else "at_rest"


def _why_unknown(looks: Sequence[Look], handed: Handed | None) -> str:
    if not looks:
        return "nothing could be read"
    look = looks[-1]
    if look.rest is Rest.NOT_LOADED:
        return "the thread is not loaded"
    if look.rest in {Rest.UNREADABLE, Rest.MISSING}:
        return "the thread cannot be read"
    if not look.complete:
        return "the history could not be read to the end"
    if look.rest is Rest.IN_TURN:
        return "a turn is running that may still take it in"
    if handed is not None and not handed.answered:
        return "Codex has not answered the call"
    return "not seen long enough"
