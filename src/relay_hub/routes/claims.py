"""`/api/claims`: the work of claimable messages, and whose hands it went through."""

from __future__ import annotations

from relay_core.messages import AgentId, ClaimState, MessageId
from relay_core.work import TaskList, TaskView
from relay_hub.routes.call import LARGEST_ID, LISTED, MOST_LISTED, Answer, Call, Route, words


async def list_claims(call: Call) -> Answer:
    query = call.query()
    agent = query.get("for")
    found = await call.service.claims.all(
        None if agent is None else AgentId(agent),
        words("state", query.get("state", "all"), ClaimState),
        MessageId(call.query_number("before", LARGEST_ID)),
        call.query_number("limit", LISTED, most=MOST_LISTED),
        call.caller,
    )
    return Answer(body=found)


async def show(call: Call) -> Answer:
    message_id = MessageId(call.number("message_id"))
    return Answer(body=await call.service.claims.one(message_id, call.caller))


ROUTES = (
    Route(
        method="GET",
        path="/api/claims",
        handler=list_claims,
        gives=TaskList,
        query=("for", "state", "before", "limit"),
    ),
    Route(method="GET", path="/api/claims/{message_id}", handler=show, gives=TaskView),
)
