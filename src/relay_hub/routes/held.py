"""`/api/held`: deliveries that wait, and what the user decides about them."""

from __future__ import annotations

from relay_core.held_mail import DropRequest, HeldList, HeldPatch, HeldView
from relay_core.messages import AgentId, Delivery, DeliveryId
from relay_hub.routes.call import LARGEST_ID, LISTED, MOST_LISTED, Answer, Call, Route


async def list_held(call: Call) -> Answer:
    agent = call.query().get("for")
    found = await call.service.held.all(
        None if agent is None else AgentId(agent),
        DeliveryId(call.query_number("before", LARGEST_ID)),
        call.query_number("limit", LISTED, most=MOST_LISTED),
        call.caller,
    )
    return Answer(body=found)


async def show(call: Call) -> Answer:
    return Answer(body=await call.service.held.one(_delivery(call), call.caller))


async def edit(call: Call) -> Answer:
    patch = call.read(HeldPatch)
    return Answer(body=await call.service.held.edit(_delivery(call), patch, call.caller))


async def approve(call: Call) -> Answer:
    return Answer(body=await call.service.held.approve(_delivery(call), call.caller))


async def drop(call: Call) -> Answer:
    request = call.read(DropRequest) if call.body else DropRequest()
    return Answer(body=await call.service.held.drop(_delivery(call), request, call.caller))


def _delivery(call: Call) -> DeliveryId:
    return DeliveryId(call.number("delivery_id"))


ROUTES = (
    Route(
        method="GET",
        path="/api/held",
        handler=list_held,
        gives=HeldList,
        query=("for", "before", "limit"),
    ),
    Route(method="GET", path="/api/held/{delivery_id}", handler=show, gives=HeldView),
    Route(
        method="PATCH",
        path="/api/held/{delivery_id}",
        handler=edit,
        takes=HeldPatch,
        gives=HeldView,
    ),
    Route(method="POST", path="/api/held/{delivery_id}/approve", handler=approve, gives=Delivery),
    Route(
        method="POST",
        path="/api/held/{delivery_id}/drop",
        handler=drop,
        takes=DropRequest,
        gives=Delivery,
        may_be_empty=True,
    ),
)
