"""The push connection to a hub, over one websocket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from relay_core.errors import HubUnreachable
from relay_core.hub_api import Served, ServeFrame, StreamFrame, WatchFrame
from relay_core.messages import AgentId


class SocketStream:
    """The push connection of one host; implements `relay_core.ports.HubStream`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def serve(self, agents: tuple[Served, ...]) -> None:
        await self._send(ServeFrame(agents=agents))

    async def watch(self, agents: tuple[AgentId, ...] | None = None) -> None:
        """Hear what concerns these agents, without serving them; None is every agent."""
        await self._send(WatchFrame(agents=agents))

    async def _send(self, frame: ServeFrame | WatchFrame) -> None:
        try:
            await self._socket.send(msgspec.json.encode(frame).decode())
        except WebSocketException as error:
            raise HubUnreachable("the hub's stream broke") from error

    async def frames(self) -> AsyncGenerator[StreamFrame]:
        """Yield what is pushed; frames of an unknown type are passed over."""
        decoder = msgspec.json.Decoder(StreamFrame)
        with contextlib.suppress(WebSocketException):
            async for text in self._socket:
                with contextlib.suppress(msgspec.DecodeError):
                    yield decoder.decode(text)

    async def close(self) -> None:
        await self._socket.close()
