"""A throwaway CODEX_HOME whose model is a stub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

MARK = "# written for tests: the model is a stub on loopback\n"


def config_toml(
    base_url: str,
    *,
    approval_policy: str | None = None,
    sandbox_mode: str | None = None,
    retries: int = 0,
    trusted: Sequence[Path] = (),
    extra: str = "",
) -> str:
    """Write what Codex needs to talk to a Responses API at `base_url` and to nobody else.

    `approval_policy` and `sandbox_mode` are Codex's own words; None leaves Codex's default.
    `retries` is how often Codex asks again after a broken stream or an HTTP 5xx. `trusted` are
    folders that the terminal UI then does not ask about. `extra` is appended as it is.
    """
    top = {"approval_policy": approval_policy, "sandbox_mode": sandbox_mode}
    lines = [
        MARK.rstrip(),
        'model = "stub-model"',
        'model_provider = "stub"',
        *(f"{key} = {_string(value)}" for key, value in top.items() if value is not None),
        "check_for_update_on_startup = false",
        "",
        "[analytics]",
        "enabled = false",
        "",
        "[model_providers.stub]",
        'name = "Stub model"',
        f"base_url = {_string(base_url)}",
        'wire_api = "responses"',
        f"request_max_retries = {retries}",
        f"stream_max_retries = {retries}",
        "",
        *(f'[projects.{_string(str(path))}]\ntrust_level = "trusted"\n' for path in trusted),
    ]
    return "\n".join(lines) + extra


def write_config(codex_home: Path, text: str) -> Path:
    """Put `text` as config.toml into a CODEX_HOME, made where it is missing.

    Raises FileExistsError where a config.toml stands that was not written here: a user's home is
    never overwritten.
    """
    codex_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = codex_home / "config.toml"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(MARK):
        raise FileExistsError(f"{path} was not written for tests; choose another folder")
    path.write_text(text, encoding="utf-8")
    return path


def _string(text: str) -> str:
    """Quote for TOML, whose basic strings are JSON's."""
    return json.dumps(text, ensure_ascii=False)
