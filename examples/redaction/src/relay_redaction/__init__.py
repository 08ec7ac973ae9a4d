"""Takes keys, tokens and passwords out of what a session is shown."""

# Rule 1: what was there is written nowhere, neither in a log nor in a trace; how much there was of
#         which kind stands in the header of the message.
# Rule 2: a wrong table withholds all texts: half a guard is none. A wrapper must not raise, as the
#         prompt would then be written without it.
# Rule 3: what a session is told when it starts holds no message, and is left alone.

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping

import msgspec

from relay_core import Part, Prompt, Relay, hookimpl

KNOWN = {
    "private key": (
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    ),
    "AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "GitHub token": r"\bgh[opsur]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{22,}",
    "API key": r"\bsk-[\w-]{20,}",
    "Slack token": r"\bxox[abeprs]-[\w-]{10,}",
    "web token": r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    "bearer token": r"(?i)\b(?<=bearer )[\w.~+/-]{16,}=*",
    "password": r"(?i)\b(?:(?<=password[=:])|(?<=passwd[=:])|(?<=password: )) *[^\s\[]\S*",
}
EMAIL = {"e-mail address": r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"}

WITHHELD = "[withheld: the table of the plugin redaction is wrong, see agent-relay plugins]"


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugin.redaction]` of config.toml; `patterns` are regular expressions by their kind."""

    email: bool = False
    patterns: dict[str, str] = {}


class Redaction:
    """The plugin; without a table that it could read it knows no patterns and withholds all."""

    def __init__(self) -> None:
        self._patterns: Mapping[str, re.Pattern[str]] | None = None

    @hookimpl
    @contextlib.asynccontextmanager
    async def start(self, relay: Relay) -> AsyncGenerator[None]:
        """Read the table and compile its patterns."""
        self._patterns = None
        table = msgspec.json.decode(relay.table, type=Table)
        wanted = KNOWN | (EMAIL if table.email else {}) | table.patterns
        self._patterns = {kind: re.compile(pattern) for kind, pattern in wanted.items()}
        yield

    @hookimpl(wrapper=True, tryfirst=True)
    def format_prompt(self) -> Generator[None, Prompt | None, Prompt | None]:
        """Redact what the other plugins wrote."""
        prompt = yield
        if prompt is None:
            return None
        return msgspec.structs.replace(prompt, parts=tuple(map(self._redacted, prompt.parts)))

    def _redacted(self, part: Part) -> Part:
        if self._patterns is None:
            return msgspec.structs.replace(part, header=(), body=WITHHELD)
        found: Counter[str] = Counter()
        header = tuple((name, self._clean(value, found)) for name, value in part.header)
        body = self._clean(part.body, found)
        if found:
            counted = ", ".join(f"{count} x {kind}" for kind, count in found.items())
            header = (*header, ("Redacted", counted))
        return msgspec.structs.replace(part, header=header, body=body)

    def _clean(self, text: str, found: Counter[str]) -> str:
        """Replace what the patterns match, and count it by kind."""
        for kind, pattern in (self._patterns or {}).items():
            text, count = pattern.subn(f"[redacted: {kind}]".replace("\\", r"\\"), text)
            if count:
                found[kind] += count
        return text


plugin = Redaction()
