"""Claimable work: taking it, ending it, giving it back."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from relay_core import Claim, ClaimState, Struct
from relay_plugins.codex.tools.mail import MessageNumber
from relay_plugins.codex.tools.tool import Call, Given, Input


class ClaimInput(Input):
    message_id: MessageNumber


class CompleteInput(Input):
    message_id: MessageNumber
    result: Annotated[str, Meta(description="What came of it, for whoever asked.")] = ""


class FailInput(Input):
    message_id: MessageNumber
    reason: Annotated[str, Meta(min_length=1, description="Why it cannot be done.")]


class ClaimOutput(Struct):
    """Where the work stands; `untilMs` is when the claim would lapse, 0 where nobody holds it.

    `resultId` is the message that brought the result to the sender, 0 where there is none.
    """

    message_id: int
    state: ClaimState
    until_ms: int
    result_id: int
    note: str


async def claim(call: Call, given: ClaimInput) -> Given[ClaimOutput]:
    """Take the work, unless this session holds it already."""
    agent, number = call.agent, given.message_id
    held = next((each for each in await agent.claims() if each.message_id == number), None)
    taken = held or await agent.claim(number)
    how = "End it with relay_complete, relay_fail or relay_release."
    return _output(taken, f"The work of message {{}} is yours. {how}")


async def complete(call: Call, given: CompleteInput) -> Given[ClaimOutput]:
    """End the work as done."""
    done = await call.agent.complete(given.message_id, given.result or None)
    return _output(done, f"The work of message {{}} is done. {_told(done)}".rstrip())


async def fail(call: Call, given: FailInput) -> Given[ClaimOutput]:
    """End the work as failed."""
    failed = await call.agent.fail(given.message_id, given.reason)
    how = f"The work of message {{}} has failed; nobody else is asked. {_told(failed)}"
    return _output(failed, how.rstrip())


async def release(call: Call, given: ClaimInput) -> Given[ClaimOutput]:
    """Give the work back."""
    released = await call.agent.release(given.message_id)
    return _output(released, "The work of message {} is offered to the others again.")


def _told(claim: Claim) -> str:
    if claim.result_id is not None:
        return f"Its sender has that as message {claim.result_id}."
    if claim.not_sent is not None:
        return f"Its sender was not told ({claim.not_sent}): that stays with the claim."
    return ""


def _output(claim: Claim, note: str) -> Given[ClaimOutput]:
    said = note.format(claim.message_id)
    value = ClaimOutput(
        message_id=claim.message_id,
        state=claim.state,
        until_ms=claim.until_ms or 0,
        result_id=claim.result_id or 0,
        note=said,
    )
    return Given(value=value, text=said)
