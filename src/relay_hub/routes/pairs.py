"""`/api/pairs`: two agents that talk to each other alone."""

from __future__ import annotations

from relay_core.hub_api import (
    Pair,
    PairAnswer,
    PairList,
    PairMessageRequest,
    PairRequest,
    SendResponse,
)
from relay_core.messages import AgentId, PairId, PairState
from relay_hub.routes.call import LISTED, MOST_LISTED, Answer, Call, Route, words


async def invite(call: Call) -> Answer:
    pair = await call.service.pairs.invite(call.read(PairRequest), call.caller)
    return Answer(body=pair, status=201)


async def list_pairs(call: Call) -> Answer:
    query = call.query()
    agent, before = query.get("agent"), query.get("before")
    found = await call.service.pairs.all(
        None if agent is None else AgentId(agent),
        words("state", query.get("state", "all"), PairState),
        None if before is None else PairId(before),
        call.query_number("limit", LISTED, most=MOST_LISTED),
        call.caller,
    )
    return Answer(body=found)


async def show(call: Call) -> Answer:
    return Answer(body=await call.service.pairs.one(_pair(call), call.caller))


async def accept(call: Call) -> Answer:
    return Answer(body=await call.service.pairs.accept(_pair(call), _answer(call), call.caller))


async def reject(call: Call) -> Answer:
    return Answer(body=await call.service.pairs.reject(_pair(call), _answer(call), call.caller))


async def hang_up(call: Call) -> Answer:
    return Answer(body=await call.service.pairs.hang_up(_pair(call), _answer(call), call.caller))


async def say(call: Call) -> Answer:
    request = call.read(PairMessageRequest)
    sent = await call.service.pairs.say(_pair(call), request, call.caller)
    return Answer(body=sent, status=201)


def _answer(call: Call) -> PairAnswer:
    # Old clients hang up without a body.
    return call.read(PairAnswer) if call.body else PairAnswer()


def _pair(call: Call) -> PairId:
    return PairId(call.params["pair_id"])


ROUTES = (
    Route(
        method="POST", path="/api/pairs", handler=invite, takes=PairRequest, gives=Pair, status=201
    ),
    Route(
        method="GET",
        path="/api/pairs",
        handler=list_pairs,
        gives=PairList,
        query=("agent", "state", "before", "limit"),
    ),
    Route(method="GET", path="/api/pairs/{pair_id}", handler=show, gives=Pair),
    Route(
        method="POST",
        path="/api/pairs/{pair_id}/accept",
        handler=accept,
        takes=PairAnswer,
        gives=Pair,
        may_be_empty=True,
    ),
    Route(
        method="POST",
        path="/api/pairs/{pair_id}/reject",
        handler=reject,
        takes=PairAnswer,
        gives=Pair,
        may_be_empty=True,
    ),
    Route(
        method="POST",
        path="/api/pairs/{pair_id}/messages",
        handler=say,
        takes=PairMessageRequest,
        gives=SendResponse,
        status=201,
    ),
    Route(
        method="POST",
        path="/api/pairs/{pair_id}/hangup",
        handler=hang_up,
        takes=PairAnswer,
        gives=Pair,
        may_be_empty=True,
    ),
)
