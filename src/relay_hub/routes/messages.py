"""`/api/messages`: sending, reading, claiming."""

from __future__ import annotations

from relay_core.errors import HubRefused
from relay_core.hub_api import (
    Cancellation,
    Claim,
    ClaimRequest,
    Cursor,
    MessagePatch,
    MessageView,
    SendRequest,
    SendResponse,
)
from relay_core.messages import AgentId, Message, MessageId
from relay_hub.routes.call import LISTED, MOST_LISTED, Answer, Call, Route


async def send(call: Call) -> Answer:
    sent = await call.service.messages.send(call.read(SendRequest), call.caller)
    return Answer(body=sent, status=201)


async def inbox(call: Call) -> Answer:
    agent_id = call.query().get("for")
    if not agent_id:
        raise HubRefused(422, "bad_query", "for=AGENT is needed: whose messages?")
    asked = call.query_number("limit", LISTED, most=MOST_LISTED), call.caller
    messages, reader = call.service.messages, AgentId(agent_id)
    if "before" not in call.query():
        since = MessageId(call.query_number("since", 0))
        return Answer(body=await messages.inbox(reader, since, *asked))
    if "since" in call.query():
        raise HubRefused(422, "bad_query", "since and before exclude each other")
    before = MessageId(call.query_number("before", 0))
    return Answer(body=await messages.inbox_before(reader, before, *asked))


async def cursor(call: Call) -> Answer:
    return Answer(body=Cursor(latest_id=await call.service.messages.latest_id()))


async def show(call: Call) -> Answer:
    return Answer(body=await call.service.messages.one(_message(call), call.caller))


async def thread(call: Call) -> Answer:
    since = MessageId(call.query_number("since", 0))
    most = call.query_number("limit", MOST_LISTED, most=MOST_LISTED)
    found = await call.service.messages.thread(_message(call), since, most, call.caller)
    return Answer(body=found)


async def cancel(call: Call) -> Answer:
    return Answer(body=await call.service.messages.cancel(_message(call), call.caller))


async def mark_read(call: Call) -> Answer:
    read_by = call.read(MessagePatch).read_by
    found = await call.service.messages.mark_read(_message(call), read_by, call.caller)
    return Answer(body=found)


async def take(call: Call) -> Answer:
    asked = _message(call), call.read(ClaimRequest), call.caller
    return Answer(body=await call.service.claims.take(*asked))


async def renew(call: Call) -> Answer:
    asked = _message(call), call.read(ClaimRequest), call.caller
    return Answer(body=await call.service.claims.renew(*asked))


async def complete(call: Call) -> Answer:
    asked = _message(call), call.read(ClaimRequest), call.caller
    return Answer(body=await call.service.claims.complete(*asked))


async def fail(call: Call) -> Answer:
    asked = _message(call), call.read(ClaimRequest), call.caller
    return Answer(body=await call.service.claims.fail(*asked))


async def release(call: Call) -> Answer:
    asked = _message(call), call.read(ClaimRequest), call.caller
    return Answer(body=await call.service.claims.release(*asked))


def _message(call: Call) -> MessageId:
    return MessageId(call.number("message_id"))


_CLAIM = "/api/messages/{message_id}/claim"

ROUTES = (
    Route(
        method="POST",
        path="/api/messages",
        handler=send,
        takes=SendRequest,
        gives=SendResponse,
        status=201,
    ),
    Route(
        method="GET",
        path="/api/messages",
        handler=inbox,
        gives=tuple[Message, ...],
        query=("for", "since", "before", "limit"),
    ),
    Route(method="GET", path="/api/messages/cursor", handler=cursor, gives=Cursor),
    Route(method="POST", path=_CLAIM, handler=take, takes=ClaimRequest, gives=Claim),
    Route(method="POST", path=f"{_CLAIM}/renew", handler=renew, takes=ClaimRequest, gives=Claim),
    Route(
        method="POST", path=f"{_CLAIM}/complete", handler=complete, takes=ClaimRequest, gives=Claim
    ),
    Route(method="POST", path=f"{_CLAIM}/fail", handler=fail, takes=ClaimRequest, gives=Claim),
    Route(
        method="POST", path=f"{_CLAIM}/release", handler=release, takes=ClaimRequest, gives=Claim
    ),
    Route(
        method="GET",
        path="/api/messages/{message_id}/thread",
        handler=thread,
        gives=tuple[MessageView, ...],
        query=("since", "limit"),
    ),
    Route(
        method="POST", path="/api/messages/{message_id}/cancel", handler=cancel, gives=Cancellation
    ),
    Route(method="GET", path="/api/messages/{message_id}", handler=show, gives=MessageView),
    Route(
        method="PATCH",
        path="/api/messages/{message_id}",
        handler=mark_read,
        takes=MessagePatch,
        gives=MessageView,
    ),
)
