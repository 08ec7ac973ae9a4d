"""What Codex's app-server sends and is sent, as far as the adapter reads it.

Every line is read in two steps: first the envelope with everything inside left raw, then the body
of a method that is known. A field, a method, a status or an item type that is not known is left
alone.
Seen on codex-cli 0.163.0 and 0.169.0.
"""

from __future__ import annotations

import msgspec

from relay_core import Struct

CLIENT_ID_PREFIX = "relay:"
"""How the client message id of an attempt begins in Codex's history."""


class Envelope(msgspec.Struct, frozen=True):
    """Any line, with its parts unread: each may be of any JSON type."""

    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RpcError(Struct):
    """Why Codex refused a call. Nearly all have the code -32600: the text tells them apart."""

    code: int = 0
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class Request(Struct):
    """A call to Codex. `params` is always sent: Codex refuses a call without it."""

    id: int
    method: str
    params: Struct


class Notification(Struct):
    """A line to Codex that has no answer."""

    method: str
    params: Struct


class Empty(Struct):
    """No parameters, or an answer in which nothing is read."""


class ClientInfo(Struct):
    """Who is calling."""

    name: str
    version: str
    title: str | None = None


class Capabilities(Struct):
    """What this client asks for at the handshake."""

    experimental_api: bool = True
    opt_out_notification_methods: tuple[str, ...] = ()


class InitializeParams(Struct):
    """The handshake."""

    client_info: ClientInfo
    capabilities: Capabilities


class InitializeResult(Struct):
    """Codex's side of the handshake; `user_agent` holds its version."""

    codex_home: str
    user_agent: str = ""

    @property
    def version(self) -> str:
        """The version in `name/0.169.0 (…)`."""
        return self.user_agent.partition("/")[2].partition(" ")[0]


class ThreadParams(Struct):
    """A call about one thread."""

    thread_id: str


class ThreadStatus(Struct):
    """`type` is idle, active, systemError or notLoaded, or one that is not known yet."""

    type: str = ""
    active_flags: tuple[str, ...] = ()


class Thread(Struct):
    """A thread as `thread/read` and `thread/started` show it."""

    id: str
    status: ThreadStatus = ThreadStatus()
    ephemeral: bool = False
    thread_source: str | None = None
    history_mode: str = "paginated"
    cwd: str = ""
    path: str | None = None
    model: str | None = None
    source: object = None
    cli_version: str = ""


class ThreadReadResult(Struct):
    """One thread."""

    thread: Thread


class ThreadStarted(Struct):
    """A thread was started or loaded."""

    thread: Thread


class ThreadStatusChanged(Struct):
    """A thread does something else now; sent to every client, subscribed or not."""

    thread_id: str
    status: ThreadStatus = ThreadStatus()


class ThreadNamed(Struct):
    """A notification that names a thread: closed, archived, deleted."""

    thread_id: str


class LoadedListParams(Struct):
    """Which threads are loaded."""

    cursor: str | None = None


class LoadedListResult(Struct):
    """The ids of loaded threads, one page."""

    data: tuple[str, ...] = ()
    next_cursor: str | None = None


class Item(Struct):
    """One entry of a thread's history; `client_id` is the id that whoever sent a user message gave.

    Both may hold anything in a kind of item that is not known.
    """

    type: str = ""
    client_id: object = None
    text: object = None

    @property
    def is_user_message(self) -> bool:
        """Whether somebody said this to the agent."""
        return self.type == "userMessage"


class ListedItem(Struct):
    """An item with its turn; times are milliseconds since the Unix epoch by Codex's clock."""

    turn_id: str = ""
    item: Item = Item()
    completed_at_ms: float | None = None


class ItemsListParams(Struct, omit_defaults=True):
    """A page of a thread's items; paginated threads only."""

    thread_id: str
    turn_id: str | None = None
    cursor: str | None = None
    limit: int | None = None
    sort_direction: str | None = None


class ItemsListResult(Struct):
    """One page of items."""

    data: tuple[ListedItem, ...] = ()
    next_cursor: str | None = None


RUNNING = "inProgress"


class Turn(Struct):
    """One turn; `started_at` and `completed_at` are seconds since the Unix epoch by Codex's clock.

    `items` holds all of them only in the view `full`; `summary` has the first user message and the
    last words, and hides messages that were steered in. `root_turn_id` is another turn's id where
    this one only works for it, as the inner turn of a review does.
    """

    id: str
    root_turn_id: str | None = None
    status: str = ""
    items: tuple[Item, ...] = ()
    started_at: float | None = None
    completed_at: float | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.status == RUNNING

    @property
    def inner(self) -> bool:
        """Whether it only works for another turn."""
        return self.root_turn_id not in {None, self.id}


class TurnsListParams(Struct, omit_defaults=True):
    """A page of a thread's turns, newest first."""

    thread_id: str
    items_view: str
    cursor: str | None = None
    limit: int | None = None


class TurnsListResult(Struct):
    """One page of turns."""

    data: tuple[Turn, ...] = ()
    next_cursor: str | None = None


class TextInput(Struct, tag="text", tag_field="type"):
    """Text for the agent. `text_elements` is the one field that Codex spells with an underscore."""

    text: str
    text_elements: tuple[()] = msgspec.field(default=(), name="text_elements")


class TurnStartParams(Struct, omit_defaults=True):
    """Begin a turn. Nothing else is ever sent: approval, sandbox, model and cwd would stick.

    Without any input the model is asked about what is in the thread already; during a turn Codex
    refuses that (seen on 0.163.0 and 0.169.0).
    """

    thread_id: str
    input: tuple[TextInput, ...]
    client_user_message_id: str | None = None


class TurnStartResult(Struct):
    """The turn that took the input, which is the running one where there was one."""

    turn: Turn


class TurnSteerParams(Struct):
    """Add to a running turn."""

    thread_id: str
    input: tuple[TextInput, ...]
    client_user_message_id: str
    expected_turn_id: str


class TurnSteerResult(Struct):
    """The turn that took the input."""

    turn_id: str


class QueueListParams(Struct):
    """What waits in a thread's queue."""

    thread_id: str


class QueuedSubmission(Struct):
    """A message that waits; `id` is the queue's own."""

    id: str
    client_user_message_id: str = ""


class QueueListResult(Struct):
    """The messages that wait, in order."""

    data: tuple[QueuedSubmission, ...] = ()


class QueueDeleteParams(Struct):
    """Take one message out of a thread's queue."""

    thread_id: str
    queued_submission_id: str


class QueueDeleteResult(Struct):
    """Whether it was still there."""

    deleted: bool = False


class ThreadRevertParams(Struct):
    """Take back a turn and all that came after it."""

    thread_id: str
    before_turn_id: str


class TurnInterruptParams(Struct):
    """Stop a running turn."""

    thread_id: str
    turn_id: str
