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
    """Where the work stands; `untilMs` is when the claim would lapse, 0 where nobody holds it."""

    message_id: int
    state: ClaimState
    until_ms: int
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
    return _output(done, "The work of message {} is done.")


async def fail(call: Call, given: FailInput) -> Given[ClaimOutput]:
    """End the work as failed."""
    failed = await call.agent.fail(given.message_id, given.reason)
    return _output(failed, "The work of message {} has failed; nobody else is asked.")


async def release(call: Call, given: ClaimInput) -> Given[ClaimOutput]:
    """Give the work back."""
    released = await call.agent.release(given.message_id)
    return _output(released, "The work of message {} is offered to the others again.")


def _output(claim: Claim, note: str) -> Given[ClaimOutput]:
    said = note.format(claim.message_id)
    value = ClaimOutput(
        message_id=claim.message_id, state=claim.state, until_ms=claim.until_ms or 0, note=said
    )
    return Given(value=value, text=said)
