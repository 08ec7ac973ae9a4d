"""What may reach a terminal: text of other people's, made harmless.

Every command prints text that came from a message, an agent or a file through `safe_text` or
`safe_line`, and JSON through `safe_json`. Control characters, escape sequences, bidirectional
overrides and invisible characters show as `⟦U+001B⟧`.
"""

# Rule: pure. The one place that knows what a terminal could obey.

from __future__ import annotations

import re

from relay_core.fence import visible

_LINE_BREAKS = str.maketrans({"\n": "⟦U+000A⟧", "\t": "⟦U+0009⟧"})
# The characters that no JSON on a terminal may hold raw; JSON itself escapes those below U+0020.
_UNSAFE_IN_JSON = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_NOT_ASCII = re.compile("[\x7f-\U0010ffff]")
_BEYOND_BMP = 0x10000


def safe_text(text: str) -> str:
    """Make text of several lines harmless; line feeds and tabs stay."""
    return visible(text)


def safe_line(text: str) -> str:
    """Make text harmless and keep it on one line."""
    return visible(text).translate(_LINE_BREAKS)


def safe_json(encoded: str, *, ascii_only: bool = False) -> str:
    """Escape, within valid JSON, what a terminal could obey; the value stays the same.

    `ascii_only` is for output whose encoding cannot hold every character.
    """
    unsafe = _NOT_ASCII if ascii_only else _UNSAFE_IN_JSON
    return unsafe.sub(_escaped, encoded)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < _BEYOND_BMP:
        return f"\\u{code:04x}"
    code -= _BEYOND_BMP
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
