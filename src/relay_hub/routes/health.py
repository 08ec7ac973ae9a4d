"""`/healthz`, `/readyz`, `/metrics` and the description of all routes."""

from __future__ import annotations

import re
from collections.abc import Callable

from relay_core.errors import HubRefused
from relay_core.hub_proof import hub_proof
from relay_core.messages import Struct
from relay_hub.routes import ROUTES, openapi
from relay_hub.routes.call import Answer, Call, Handler, Route

_CHALLENGE = re.compile(r"[0-9a-f]{32,128}")


class Health(Struct):
    """GET /healthz. `proof` answers `?nonce=HEX&key=HEX`: see `relay_core.hub_proof`."""

    status: str = "ok"
    proof: str | None = None


def healthz(user_hash: bytes, port: Callable[[], int]) -> Handler:
    """Answer that the process is there, and prove on request that it knows a token."""

    async def handler(call: Call) -> Answer:
        challenge = call.query().get("nonce")
        if challenge is None:
            return Answer(body=Health())
        if not _CHALLENGE.fullmatch(challenge):
            raise HubRefused(422, "bad_query", "nonce is 32 to 128 hex digits, lower case")
        key = call.query().get("key")
        known = None if key is None else call.service.tokens.named(key)
        return Answer(body=Health(proof=hub_proof(known or user_hash, challenge, port())))

    return handler


async def readyz(call: Call) -> Answer:
    await call.service.messages.latest_id()  # 503 when the store cannot be read
    return Answer(body=Health(status="ready"))


def metrics(numbers: Callable[[], dict[str, float]]) -> Handler:
    """Answer the hub's figures in the text format that monitoring systems read."""

    async def handler(call: Call) -> Answer:
        del call
        return Answer(text="".join(f"{name} {value:g}\n" for name, value in numbers().items()))

    return handler


async def describe(call: Call) -> Answer:
    del call
    return Answer(body=openapi.document((*ROUTES, *routes(b"", int, dict))))


def routes(
    user_hash: bytes, port: Callable[[], int], numbers: Callable[[], dict[str, float]]
) -> tuple[Route, ...]:
    """The routes of this file, which need to know what the service does not."""
    return (
        Route(
            method="GET",
            path="/healthz",
            handler=healthz(user_hash, port),
            gives=Health,
            query=("nonce", "key"),
            open=True,
        ),
        Route(method="GET", path="/readyz", handler=readyz, gives=Health, open=True),
        Route(method="GET", path="/metrics", handler=metrics(numbers), gives=str),
        Route(method="GET", path="/api/openapi.json", handler=describe),
    )
