"""`relay.codex`: reaches Codex sessions through the app-server that their terminal UI talks to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from relay_core import (
    AdapterRegistrar,
    Environment,
    Registration,
    SettingsError,
    Struct,
    hookimpl,
)
from relay_plugins.codex.adapter import CodexAdapter, CodexSettings
from relay_plugins.codex.address import ADAPTER
from relay_plugins.codex.servers import AttachRequest, ServerReport
from relay_plugins.codex.session_start import SessionStart
from relay_plugins.codex.terminals import LaunchRequest, LeaveRequest
from relay_plugins.codex.tool_calls import ToolCalls

__all__ = [
    "AttachRequest",
    "CodexAdapter",
    "CodexSettings",
    "LaunchRequest",
    "LeaveRequest",
    "PrepareRequest",
    "StatusReport",
    "codex_home",
    "read_settings",
]


class StatusReport(Struct):
    """The answer of `codex.status`."""

    servers: tuple[ServerReport, ...]


class PrepareRequest(Struct):
    """The body of `codex.prepare`: what is known of a session that does not exist yet.

    It is answered with the patch of the `on_register` hooks, or refused for what they refuse.
    """

    cwd: str
    environment: dict[str, str] = {}
    model: str | None = None


@hookimpl(trylast=True)
def register_adapters(register: AdapterRegistrar) -> None:
    """Add the adapter `codex` and the operations `codex.status`, `codex.hook`, `codex.tools`,
    and those of `start`: `codex.prepare`, `codex.launch` and `codex.leave`."""
    adapter = CodexAdapter(
        codex_home=codex_home(register.environ),
        clock=register.clock,
        failpoint=register.failpoint,
        settings=read_settings(register.table),
        environ=register.environ,
        memory=register.places.data / "codex.json",
    )

    async def status(_: msgspec.Raw) -> msgspec.Raw:
        return _encoded(StatusReport(servers=adapter.report()))

    async def prepare(body: msgspec.Raw) -> msgspec.Raw:
        wanted = msgspec.json.decode(body, type=PrepareRequest)
        registration = Registration(
            adapter=ADAPTER, provider=ADAPTER, cwd=wanted.cwd, model=wanted.model, launched=True
        )
        return _encoded(await register.prepare(registration, wanted.environment))

    async def launch(body: msgspec.Raw) -> msgspec.Raw:
        return _encoded(await adapter.launch(msgspec.json.decode(body, type=LaunchRequest)))

    async def leave(body: msgspec.Raw) -> msgspec.Raw:
        await adapter.leave(msgspec.json.decode(body, type=LeaveRequest).launch)
        return msgspec.Raw(b"null")

    register.adapter(adapter)
    register.operation("codex.status", status)
    register.operation("codex.hook", SessionStart(adapter, register))
    register.operation("codex.tools", ToolCalls(adapter, register))
    register.operation("codex.prepare", prepare)
    register.operation("codex.launch", launch)
    register.operation("codex.leave", leave)


def codex_home(environ: Environment) -> Path:
    """Where Codex keeps its files: CODEX_HOME, else `.codex` in HOME."""
    for name, tail in (("CODEX_HOME", ""), ("HOME", ".codex")):
        value = environ.get(name, "")
        if not value:
            continue
        path = Path(value) / tail
        if not path.is_absolute() or "\0" in value:
            raise SettingsError(f"{name}={value!r} is not an absolute path", fix=f"unset {name}")
        return path
    raise SettingsError("HOME is not set", fix="export HOME to your home folder")


def _encoded(value: Struct) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def read_settings(table: msgspec.Raw) -> CodexSettings:
    """Read the table `[codex]`; SettingsError where anything in it means nothing."""
    try:
        return msgspec.json.decode(table, type=CodexSettings)
    except msgspec.MsgspecError as error:
        raise SettingsError(
            f"[codex]: {error}",
            fix='discover is true or false, bin the whole path of the program ("/…" or "~/…")',
        ) from error
