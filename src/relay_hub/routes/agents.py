"""`/api/agents`: registering, and what agents show of themselves."""

from __future__ import annotations

from relay_core.hub_api import (
    AgentPatch,
    ClaimList,
    HeartbeatRequest,
    OfferList,
    ReadyRequest,
    RegisterRequest,
    StatusRequest,
)
from relay_core.messages import AgentId, DeliveryState, MessageId
from relay_core.sessions import Agent
from relay_hub.routes.call import LARGEST_ID, LISTED, MOST_LISTED, Answer, Call, Route, words


async def register(call: Call) -> Answer:
    done = await call.service.agents.register(call.read(RegisterRequest), call.caller)
    return Answer(body=done.agent, status=201 if done.new else 200)


async def list_agents(call: Call) -> Answer:
    query = call.query()
    if "limit" not in query and "since" not in query:
        return Answer(body=await call.service.agents.all(call.caller))
    found = await call.service.agents.all(
        call.caller,
        since=AgentId(query.get("since", "")),
        most=call.query_number("limit", LISTED, most=MOST_LISTED),
    )
    return Answer(body=found)


async def show(call: Call) -> Answer:
    return Answer(body=await call.service.agents.one(_agent(call), call.caller))


async def change(call: Call) -> Answer:
    patch = call.read(AgentPatch)
    return Answer(body=await call.service.agents.change(_agent(call), patch, call.caller))


async def remove(call: Call) -> Answer:
    await call.service.agents.remove(_agent(call), call.caller)
    return Answer(body={})


async def heartbeat(call: Call) -> Answer:
    # Old clients beat without a body; they are told about the epoch, not about JSON.
    request = call.read(HeartbeatRequest) if call.body else HeartbeatRequest()
    return Answer(body=await call.service.agents.heartbeat(_agent(call), request, call.caller))


async def set_status(call: Call) -> Answer:
    request = call.read(StatusRequest)
    return Answer(body=await call.service.agents.set_status(_agent(call), request, call.caller))


async def set_ready(call: Call) -> Answer:
    request = call.read(ReadyRequest)
    return Answer(body=await call.service.agents.set_ready(_agent(call), request, call.caller))


async def deliveries(call: Call) -> Answer:
    query = call.query()
    if (wanted := query.get("state")) is not None:
        found = await call.service.deliveries.history(
            _agent(call),
            words("state", wanted, DeliveryState),
            MessageId(call.query_number("before", LARGEST_ID)),
            call.query_number("limit", LISTED, most=MOST_LISTED),
            call.caller,
        )
        return Answer(body=found)
    found = await call.service.deliveries.offers(
        _agent(call), call.caller, instance_id=query.get("instanceId"), epoch=_epoch(call)
    )
    return Answer(body=found)


async def claims(call: Call) -> Answer:
    found = await call.service.claims.held_by(
        _agent(call), call.caller, instance_id=call.query().get("instanceId"), epoch=_epoch(call)
    )
    return Answer(body=found)


def _epoch(call: Call) -> int | None:
    epoch = call.query_number("epoch", -1)
    return None if epoch < 0 else epoch


def _agent(call: Call) -> AgentId:
    return AgentId(call.params["agent_id"])


ROUTES = (
    Route(
        method="POST",
        path="/api/agents",
        handler=register,
        takes=RegisterRequest,
        gives=Agent,
        also=201,
    ),
    Route(
        method="GET",
        path="/api/agents",
        handler=list_agents,
        gives=tuple[Agent, ...],
        query=("since", "limit"),
    ),
    Route(
        method="GET",
        path="/api/agents/{agent_id}/deliveries",
        handler=deliveries,
        gives=OfferList,
        query=("state", "before", "limit", "instanceId", "epoch"),
    ),
    Route(
        method="GET",
        path="/api/agents/{agent_id}/claims",
        handler=claims,
        gives=ClaimList,
        query=("instanceId", "epoch"),
    ),
    Route(
        method="POST",
        path="/api/agents/{agent_id}/heartbeat",
        handler=heartbeat,
        takes=HeartbeatRequest,
        gives=Agent,
        may_be_empty=True,
    ),
    Route(
        method="PATCH",
        path="/api/agents/{agent_id}/status",
        handler=set_status,
        takes=StatusRequest,
        gives=Agent,
    ),
    Route(
        method="PATCH",
        path="/api/agents/{agent_id}/ready",
        handler=set_ready,
        takes=ReadyRequest,
        gives=Agent,
    ),
    Route(method="GET", path="/api/agents/{agent_id}", handler=show, gives=Agent),
    Route(
        method="PATCH", path="/api/agents/{agent_id}", handler=change, takes=AgentPatch, gives=Agent
    ),
    Route(method="DELETE", path="/api/agents/{agent_id}", handler=remove),
)
