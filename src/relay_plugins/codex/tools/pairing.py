"""Pairs: two agents that write to each other alone."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from relay_core import AgentId, Pair, PairState, RelayError, Struct
from relay_plugins.codex.tools.mail import Body, SentOutput, Subject, sent_output
from relay_plugins.codex.tools.tool import Call, Given, Input

PairName = Annotated[
    str, Meta(description="The pair's id. Empty: the one that you are in or invited to.")
]


class InviteInput(Input):
    target: Annotated[
        str, Meta(min_length=1, description="The one other agent: its id, label or tag.")
    ]
    objective: Annotated[str, Meta(description="What the two of you are to work on.")] = ""


class PairInput(Input):
    pair_id: PairName = ""


class PairSendInput(Input):
    body: Body
    subject: Subject = ""
    pair_id: PairName = ""


class PairOutput(Struct):
    """A pair; `reason` says why it has ended."""

    pair_id: str
    state: PairState
    partner: str
    note: str
    objective: str = ""
    reason: str = ""


async def invite(call: Call, given: InviteInput) -> Given[PairOutput]:
    """Invite an agent."""
    pair = await call.agent.invite(given.target, objective=given.objective or None, once=call.once)
    return _output(pair, call.agent.agent_id, "{} is invited; you hear when it has answered.")


async def accept(call: Call, given: PairInput) -> Given[PairOutput]:
    """Accept an invitation."""
    pair = await call.agent.accept(await _named(call, given.pair_id))
    return _output(pair, call.agent.agent_id, "You are paired with {}: relay_pair_send writes.")


async def reject(call: Call, given: PairInput) -> Given[PairOutput]:
    """Turn an invitation down."""
    pair = await call.agent.reject(await _named(call, given.pair_id))
    return _output(pair, call.agent.agent_id, "The invitation of {} is turned down.")


async def send(call: Call, given: PairSendInput) -> Given[SentOutput]:
    """Write to the partner."""
    sent = await call.agent.tell_partner(
        await _named(call, given.pair_id),
        given.body,
        subject=given.subject or None,
        once=call.once,
    )
    return sent_output(sent)


async def hang_up(call: Call, given: PairInput) -> Given[PairOutput]:
    """End the pair."""
    pair = await call.agent.hang_up(await _named(call, given.pair_id))
    return _output(pair, call.agent.agent_id, "The pair with {} has ended.")


def partner_of(pair: Pair, agent_id: AgentId) -> AgentId:
    """The other one."""
    return pair.invitee if pair.inviter == agent_id else pair.inviter


async def _named(call: Call, pair_id: str) -> str:
    if pair_id:
        return pair_id
    pair = await call.agent.pair()
    if pair is None:
        raise RelayError("you are in no pair", fix="Invite an agent with relay_pair_invite.")
    return pair.id


def _output(pair: Pair, agent_id: AgentId, note: str) -> Given[PairOutput]:
    partner = partner_of(pair, agent_id)
    said = note.format(partner)
    value = PairOutput(
        pair_id=pair.id,
        state=pair.state,
        partner=partner,
        note=said,
        objective=pair.objective or "",
        reason=pair.reason or "",
    )
    return Given(value=value, text=said)
