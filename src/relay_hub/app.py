"""The ASGI application: the guard in front of the routes and the stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.routing import Route as PathRoute
from starlette.routing import Router, WebSocketRoute

from relay_core.errors import HubRefused
from relay_hub.asgi import App, Receive, Scope, Send, respond_refused
from relay_hub.guard import Guard
from relay_hub.push import Stream
from relay_hub.routes import ROUTES, health
from relay_hub.routes.call import Endpoint, Handler, Route
from relay_hub.service import HubService

STREAM_PATH = "/api/stream"


def make_app(
    service: HubService,
    *,
    user_hash: bytes,
    port: int,
    numbers: Callable[[], dict[str, float]],
    token_file: Path | None = None,
) -> Guard:
    """Put the hub together for one port."""
    routes = (*ROUTES, *health.routes(user_hash, lambda: port, numbers))
    return Guard(
        make_router(service, routes),
        authorities=authorities(port),
        user_hash=user_hash,
        agent_caller=service.tokens.caller,
        limits=service.limits,
        token_file=token_file,
    )


def make_router(service: HubService, routes: tuple[Route, ...]) -> App:
    """One endpoint for each path; what nobody answers is 404 in JSON."""
    paths: dict[str, dict[str, Handler]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = route.handler
    stream = Stream(service)
    return Router(
        routes=[
            *(PathRoute(path, Endpoint(service, path, by)) for path, by in paths.items()),
            WebSocketRoute(STREAM_PATH, stream),
            PathRoute(STREAM_PATH, stream),
        ],
        redirect_slashes=False,
        default=_not_found,
    )


def authorities(port: int) -> frozenset[bytes]:
    """What a Host header may say."""
    names = (b"127.0.0.1", b"localhost", b"[::1]")
    whole = {name + b":%d" % port for name in names}
    return frozenset(whole | set(names) if port == 80 else whole)  # noqa: PLR2004 - HTTP's own


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    refused = HubRefused(404, "not_found", "there is nothing at this path")
    await respond_refused(send, refused, websocket=scope["type"] == "websocket")
