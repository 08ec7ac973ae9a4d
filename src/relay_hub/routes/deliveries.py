"""`/api/attempts` and `/api/deliveries`: what a host says of the sessions that it serves."""

from __future__ import annotations

from relay_core.hub_api import (
    AnnotateRequest,
    AttemptRequest,
    AwaitedAnswer,
    Outcome,
    TurnReport,
    VerdictRequest,
)
from relay_core.messages import Attempt, AttemptId, Delivery, DeliveryId
from relay_hub.routes.call import Answer, Call, Route


async def record(call: Call) -> Answer:
    request = call.read(AttemptRequest)
    attempt = await call.service.deliveries.record_attempt(request, call.caller)
    return Answer(body=attempt, status=201)


async def outcome(call: Call) -> Answer:
    request = call.read(Outcome)
    await call.service.deliveries.report_outcome(_attempt(call), request, call.caller)
    return Answer(body={})


async def awaited(call: Call) -> Answer:
    return Answer(body=await call.service.deliveries.awaited(_attempt(call), call.caller))


async def turn(call: Call) -> Answer:
    report = call.read(TurnReport)
    await call.service.deliveries.report_turn(_attempt(call), report, call.caller)
    return Answer(body={})


async def verdict(call: Call) -> Answer:
    request = call.read(VerdictRequest)
    found = await call.service.deliveries.give_verdict(_delivery(call), request, call.caller)
    return Answer(body=found)


async def annotate(call: Call) -> Answer:
    request = call.read(AnnotateRequest)
    await call.service.deliveries.annotate(_delivery(call), request, call.caller)
    return Answer(body={})


def _attempt(call: Call) -> AttemptId:
    return AttemptId(call.params["attempt_id"])


def _delivery(call: Call) -> DeliveryId:
    return DeliveryId(call.number("delivery_id"))


ROUTES = (
    Route(
        method="POST",
        path="/api/attempts",
        handler=record,
        takes=AttemptRequest,
        gives=Attempt,
        status=201,
    ),
    Route(method="POST", path="/api/attempts/{attempt_id}/outcome", handler=outcome, takes=Outcome),
    Route(
        method="GET",
        path="/api/attempts/{attempt_id}/awaited",
        handler=awaited,
        gives=AwaitedAnswer,
    ),
    Route(method="POST", path="/api/attempts/{attempt_id}/turn", handler=turn, takes=TurnReport),
    Route(
        method="POST",
        path="/api/deliveries/{delivery_id}/verdict",
        handler=verdict,
        takes=VerdictRequest,
        gives=Delivery,
    ),
    Route(
        method="POST",
        path="/api/deliveries/{delivery_id}/annotations",
        handler=annotate,
        takes=AnnotateRequest,
    ),
)
