"""`/api/guards`: what the guard against loops has stopped."""

from __future__ import annotations

from relay_core.guards import Guard, GuardList
from relay_hub.routes.call import Answer, Call, Route


async def list_guards(call: Call) -> Answer:
    return Answer(body=await call.service.guards.all(call.caller))


async def reset(call: Call) -> Answer:
    return Answer(body=await call.service.guards.reset(call.params["subject"], call.caller))


ROUTES = (
    Route(method="GET", path="/api/guards", handler=list_guards, gives=GuardList),
    Route(method="POST", path="/api/guards/{subject}/reset", handler=reset, gives=Guard),
)
