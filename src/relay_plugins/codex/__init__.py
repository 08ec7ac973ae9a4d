"""`relay.codex`: reaches Codex sessions through the app-server that their terminal UI talks to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from relay_core import AdapterRegistrar, Environment, SettingsError, Struct, hookimpl
from relay_plugins.codex.adapter import CodexAdapter, CodexSettings
from relay_plugins.codex.servers import AttachRequest, ServerReport
from relay_plugins.codex.session_start import SessionStart

__all__ = ["AttachRequest", "CodexAdapter", "CodexSettings", "StatusReport"]


class StatusReport(Struct):
    """The answer of `codex.status`."""

    servers: tuple[ServerReport, ...]


@hookimpl(trylast=True)
def register_adapters(register: AdapterRegistrar) -> None:
    """Add the adapter `codex` and the operations `codex.status` and `codex.hook`."""
    adapter = CodexAdapter(
        codex_home=codex_home(register.environ),
        clock=register.clock,
        failpoint=register.failpoint,
        settings=_settings(register.table),
    )

    async def status(_: msgspec.Raw) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(StatusReport(servers=adapter.report())))

    register.adapter(adapter)
    register.operation("codex.status", status)
    register.operation("codex.hook", SessionStart(adapter, register))


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


def _settings(table: msgspec.Raw) -> CodexSettings:
    try:
        return msgspec.json.decode(table, type=CodexSettings)
    except msgspec.MsgspecError as error:
        raise SettingsError(
            f"config.toml, [codex]: {error}", fix="discover is true or false"
        ) from error
