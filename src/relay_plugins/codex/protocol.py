"""Codex's app-server protocol without any I/O: text in, events out, text to send."""

# Rule 1: text that cannot be understood is an event, never an exception. ProtocolError is for the
#         caller's own mistakes: a call before the handshake, a line after the connection was lost.
# Rule 2: a request of the server's is never answered, not even with an error: an answer, any at
#         all, settles the approval that a human is being asked for.
# Rule 3: an answer counts once and only for a call that still waits. Late, repeated and unknown
#         ones are events of their own; they satisfy nothing else, as ids are never used again.
# Rule 4: when the connection is lost, every call that waits fails at that moment.
# Rule 5: `params` is always sent. Lines are text, one JSON object each, without "jsonrpc".
# Rule 6: time limits are the shell's; it says `forget` when one has passed.
#
#   NEW --start--> GREETING --its answer--> READY --connection_lost--> LOST
#                      |                                                 ^
#                      +-- refused, or connection_lost ------------------+

from __future__ import annotations

import enum

import msgspec

from relay_core import RelayError, Struct
from relay_plugins.codex.wire import (
    Capabilities,
    ClientInfo,
    Empty,
    Envelope,
    InitializeParams,
    InitializeResult,
    Notification,
    Request,
    RpcError,
)

OPT_OUT = (
    "account/rateLimits/updated",
    "configWarning",
    "deprecationNotice",
    "item/agentMessage/delta",
    "mcpServer/startupStatus/updated",
    "remoteControl/status/changed",
    "thread/goal/cleared",
    "thread/name/updated",
    "thread/tokenUsage/updated",
)
"""Notifications that are not worth their frames here."""

NO_ANSWER = RpcError(message="neither a result nor an error")


class ProtocolError(RelayError):
    """The caller used the protocol in a state that does not allow it."""

    code = "protocol_error"


class State(enum.Enum):
    """Where a connection stands."""

    NEW = enum.auto()
    GREETING = enum.auto()
    READY = enum.auto()
    LOST = enum.auto()


class Event(Struct):
    """Something that a line, or the end of the connection, meant."""


class Greeted(Event):
    """The handshake is done; calls may be made."""

    result: InitializeResult


class Rejected(Event):
    """Codex refused the handshake."""

    error: RpcError


class Answered(Event):
    """A call succeeded."""

    id: int
    result: msgspec.Raw


class Refused(Event):
    """A call was refused."""

    id: int
    error: RpcError


class Notified(Event):
    """Codex reported something."""

    method: str
    params: msgspec.Raw


class Asked(Event):
    """Codex asks something of its user; for the log alone."""

    method: str


class AnsweredLate(Event):
    """The answer of a call that is not waited for any more: it was given up, or answered before."""

    id: int
    refused: bool = False


class Abandoned(Event):
    """A call will never be answered: the connection is lost."""

    id: int


class Ignored(Event):
    """A line that means nothing to us."""

    why: str


class Protocol:
    """One connection. Feed it lines with `receive`; send what `outgoing` yields after each call."""

    def __init__(self, client: ClientInfo, *, opt_out: tuple[str, ...] = OPT_OUT) -> None:
        self.state = State.NEW
        self._client = client
        self._opt_out = opt_out
        self._next_id = 1
        self._waiting: set[int] = set()
        self._greeting = 0
        self._outgoing: list[str] = []

    def start(self) -> None:
        """Begin the handshake."""
        if self.state is not State.NEW:
            raise ProtocolError("the handshake was begun before")
        self.state = State.GREETING
        capabilities = Capabilities(opt_out_notification_methods=self._opt_out)
        params = InitializeParams(client_info=self._client, capabilities=capabilities)
        self._greeting = self._ask("initialize", params)

    def call(self, method: str, params: Struct) -> int:
        """Make a call; answers its id."""
        if self.state is not State.READY:
            raise ProtocolError(f"no call of {method} while the connection is {self.state.name}")
        return self._ask(method, params)

    def forget(self, call: int) -> None:
        """Stop waiting for a call: its time limit has passed."""
        self._waiting.discard(call)

    def outgoing(self) -> tuple[str, ...]:
        """Take the lines that are to be sent now, in order."""
        lines = tuple(self._outgoing)
        self._outgoing.clear()
        return lines

    def receive(self, text: str) -> tuple[Event, ...]:
        """Take in one line."""
        if self.state in {State.NEW, State.LOST}:
            raise ProtocolError(f"a line while the connection is {self.state.name}")
        try:
            envelope = msgspec.json.decode(text, type=Envelope)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            return (Ignored(why=f"not a JSON object: {error}"),)
        if not isinstance(envelope.method, msgspec.UnsetType):
            return (self._said(envelope.method, envelope),)
        if not isinstance(envelope.id, msgspec.UnsetType):
            return self._replied(envelope.id, envelope)
        return (Ignored(why="neither a method nor an id"),)

    def connection_lost(self) -> tuple[Event, ...]:
        """Fail everything that waits; nothing can be sent or received after it."""
        self.state = State.LOST
        self._outgoing.clear()
        waiting, self._waiting = sorted(self._waiting), set()
        return tuple(Abandoned(id=each) for each in waiting)

    def _ask(self, method: str, params: Struct) -> int:
        call = self._next_id
        # Encoded first: text that is no Unicode raises here, before the call exists.
        self._send(Request(id=call, method=method, params=params))
        self._next_id += 1
        self._waiting.add(call)
        return call

    def _send(self, line: Struct) -> None:
        self._outgoing.append(msgspec.json.encode(line).decode())

    def _said(self, raw_method: msgspec.Raw, envelope: Envelope) -> Event:
        method = _read_text(raw_method)
        if method is None:
            return Ignored(why="a method that is no string")
        if not isinstance(envelope.id, msgspec.UnsetType):
            return Asked(method=method)
        return Notified(method=method, params=envelope.params)

    def _replied(self, raw_id: msgspec.Raw, envelope: Envelope) -> tuple[Event, ...]:
        call = _read_id(raw_id)
        if call is None:
            return (Ignored(why="an answer with an id that is not ours"),)
        error = _read_error(envelope)
        if call not in self._waiting:
            if 0 < call < self._next_id:
                return (AnsweredLate(id=call, refused=error is not None),)
            return (Ignored(why="an answer to nothing that was asked"),)
        self._waiting.discard(call)
        if call == self._greeting:
            return (self._greeted(error, envelope),)
        if error is not None:
            return (Refused(id=call, error=error),)
        assert not isinstance(envelope.result, msgspec.UnsetType)  # noqa: S101 - _read_error saw to it
        return (Answered(id=call, result=envelope.result),)

    def _greeted(self, error: RpcError | None, envelope: Envelope) -> Event:
        if error is None:
            assert not isinstance(envelope.result, msgspec.UnsetType)  # noqa: S101 - see above
            try:
                result = msgspec.json.decode(envelope.result, type=InitializeResult)
            except (msgspec.MsgspecError, RecursionError) as broken:
                error = RpcError(message=f"the handshake cannot be read: {broken}")
            else:
                self.state = State.READY
                self._send(Notification(method="initialized", params=Empty()))
                return Greeted(result=result)
        self.state = State.LOST
        return Rejected(error=error)


def _read_text(raw: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _read_id(raw: msgspec.Raw) -> int | None:
    try:
        return msgspec.json.decode(raw, type=int)
    except msgspec.MsgspecError:
        return None


def _read_error(envelope: Envelope) -> RpcError | None:
    """Why the call failed; None for a success. An error beside a result is an error."""
    raw = envelope.error
    if isinstance(raw, msgspec.UnsetType) or bytes(raw) == b"null":
        return NO_ANSWER if isinstance(envelope.result, msgspec.UnsetType) else None
    try:
        return msgspec.json.decode(raw, type=RpcError)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return RpcError(message=bytes(raw)[:200].decode(errors="replace"))
