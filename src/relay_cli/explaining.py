"""What was decided about a message: the running host is asked, else its record is read."""

from __future__ import annotations

from relay_cli.connection import Here, ask_host
from relay_core.control import HostUnreachable
from relay_core.decision_file import read
from relay_core.host_api import DecisionList, DecisionsRequest, HostStatus
from relay_core.messages import AgentId, MessageId, Struct
from relay_core.plans import Decision
from relay_core.recorded import last_of_each


class ToldDecision(Decision):
    """One plugin's answer, and from the record: for whom, when, and by which version."""

    agent_id: AgentId | None = None
    at_ms: int | None = None
    version: str | None = None


class ToldBy(Struct):
    """Who told the decisions: `host`, or `record`.

    `version` is that of the host that made them, `at_ms` when the last one was made; `damaged`
    lines of the record could not be read.
    """

    source: str
    version: str | None = None
    at_ms: int | None = None
    damaged: int = 0


class Told(Struct):
    """Decisions about one message; the agents that the host serves, where it knows of none."""

    decisions: tuple[ToldDecision, ...] = ()
    by: ToldBy | None = None
    served: frozenset[AgentId] | None = None


async def what_was_decided(here: Here, message_id: MessageId, created_at: int | None) -> Told:
    """Find every plugin's last answers about a message; of a hub's that is not known, by its number
    alone.

    HostUnreachable where no host runs and nothing is on record; SettingsError where the record
    cannot be read.
    """
    unreachable: HostUnreachable | None = None
    served = None
    try:
        request = DecisionsRequest(message_id=message_id)
        decisions = (await ask_host("decisions", request, DecisionList)).decisions
        if decisions:
            told = tuple(map(_told_by_host, decisions))
            return Told(decisions=told, by=ToldBy(source="host"))
        status = await ask_host("status", None, HostStatus)
        served = frozenset(session.agent_id for session in status.sessions)
    except HostUnreachable as error:
        unreachable = error
    found = read(here.places.decisions_file, message_id, created_at)
    last = last_of_each(found.decisions)
    if last:
        newest = max(last, key=lambda each: each.at_ms)
        by = ToldBy(source="record", version=newest.host, at_ms=newest.at_ms, damaged=found.damaged)
        told = tuple(
            ToldDecision(
                hook=each.hook,
                plugin=answer.plugin,
                answer=answer.answer,
                chosen=answer.chosen,
                agent_id=each.agent_id,
                at_ms=each.at_ms,
                version=answer.version or None,
            )
            for each in last
            for answer in each.answers
        )
        return Told(decisions=told, by=by)
    if unreachable is not None:
        raise unreachable
    return Told(served=served)


def _told_by_host(decision: Decision) -> ToldDecision:
    return ToldDecision(
        hook=decision.hook, plugin=decision.plugin, answer=decision.answer, chosen=decision.chosen
    )
