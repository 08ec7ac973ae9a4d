"""`/api/tokens`: tokens that act for one agent each."""

from __future__ import annotations

from relay_core.messages import AgentId, Struct
from relay_hub.routes.call import Answer, Call, Route


class TokenRequest(Struct):
    """POST /api/tokens, with the user token."""

    agent_id: AgentId


class TokenResponse(Struct):
    """201 of POST /api/tokens: the only time that the token is shown."""

    agent_id: AgentId
    token: str


async def make(call: Call) -> Answer:
    agent_id = call.read(TokenRequest).agent_id
    token = await call.service.tokens.make(agent_id, call.caller)
    return Answer(body=TokenResponse(agent_id=agent_id, token=token), status=201)


ROUTES = (
    Route(
        method="POST",
        path="/api/tokens",
        handler=make,
        takes=TokenRequest,
        gives=TokenResponse,
        status=201,
    ),
)
