"""A real Codex without an account: a stub model, a server to control, a second look.

Shipped for the demo, for our own tests and for whoever writes a plugin:

* `StubModel` answers Codex's model requests with what a test told it, and remembers them all.
* `config_toml` and `write_config` make a CODEX_HOME that talks to it.
* `CodexServer` runs a real `codex app-server` and kills it on request.
* `AppServerClient` looks into a thread without the adapter's code.

``python -m relay_plugins.codex.testing --codex-home DIR`` runs the stub by hand.
"""

from relay_plugins.codex.testing.app_server_client import (
    AppServerClient,
    Disconnected,
    HistoryItem,
    Notification,
    RpcError,
    Thread,
    Turn,
)
from relay_plugins.codex.testing.codex_home import config_toml, write_config
from relay_plugins.codex.testing.codex_server import CodexServer, CodexServerError
from relay_plugins.codex.testing.recorded import Item, Request
from relay_plugins.codex.testing.replies import (
    BadDirective,
    Drop,
    Fail,
    Hang,
    HttpError,
    Late,
    Reply,
    Say,
    ShellCall,
    Slow,
    ToolCall,
    Until,
    directive,
)
from relay_plugins.codex.testing.stub_model import Script, StubModel

__all__ = [
    "AppServerClient",
    "BadDirective",
    "CodexServer",
    "CodexServerError",
    "Disconnected",
    "Drop",
    "Fail",
    "Hang",
    "HistoryItem",
    "HttpError",
    "Item",
    "Late",
    "Notification",
    "Reply",
    "Request",
    "RpcError",
    "Say",
    "Script",
    "ShellCall",
    "Slow",
    "StubModel",
    "Thread",
    "ToolCall",
    "Turn",
    "Until",
    "config_toml",
    "directive",
    "write_config",
]
