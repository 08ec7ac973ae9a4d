"""`/api/dead`: deliveries that are not tried again by themselves."""

from __future__ import annotations

from relay_core.dead_letters import DeadLetter, DeadList, DeadView
from relay_core.messages import AgentId, Delivery, DeliveryId
from relay_hub.routes.call import LARGEST_ID, LISTED, MOST_LISTED, Answer, Call, Route


async def list_dead(call: Call) -> Answer:
    agent = call.query().get("for")
    found = await call.service.dead.all(
        None if agent is None else AgentId(agent),
        DeliveryId(call.query_number("before", LARGEST_ID)),
        call.query_number("limit", LISTED, most=MOST_LISTED),
        call.caller,
    )
    return Answer(body=found)


async def show(call: Call) -> Answer:
    return Answer(body=await call.service.dead.one(_delivery(call), call.caller))


async def retry(call: Call) -> Answer:
    delivery = await call.service.dead.retry(_delivery(call), call.caller)
    return Answer(body=delivery, status=201)


async def drop(call: Call) -> Answer:
    return Answer(body=await call.service.dead.drop(_delivery(call), call.caller))


def _delivery(call: Call) -> DeliveryId:
    return DeliveryId(call.number("delivery_id"))


ROUTES = (
    Route(
        method="GET",
        path="/api/dead",
        handler=list_dead,
        gives=DeadList,
        query=("for", "before", "limit"),
    ),
    Route(method="GET", path="/api/dead/{delivery_id}", handler=show, gives=DeadView),
    Route(
        method="POST",
        path="/api/dead/{delivery_id}/retry",
        handler=retry,
        gives=Delivery,
        status=201,
    ),
    Route(method="POST", path="/api/dead/{delivery_id}/drop", handler=drop, gives=DeadLetter),
)
