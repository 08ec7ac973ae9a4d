"""What other people wrote can neither move a terminal nor break JSON."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_cli.terminal import safe_json, safe_line, safe_text

# What must never reach a terminal, beside what Unicode calls control, format or private.
DANGEROUS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
ATTACKS = (
    "\x1b[2J\x1b[H",
    "\x1b]52;c;Y2FuYXJ5\x07",
    "\x9b31m",
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\rall is well",
    "a\x08b",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "zero\u200bwidth\ufeff",
    "\U000e0041\U000e0042",
    "\x00",
    "\x7f",
    "\u2028line\u2029",
    "\ud800",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_made_visible(attack: str):
    assert not DANGEROUS.search(safe_text(attack))
    assert "⟦U+" in safe_text(attack)


@given(st.text(alphabet=st.characters()))
def test_no_text_at_all_moves_a_terminal(text: str):
    assert not DANGEROUS.search(safe_text(text))


@given(st.text(alphabet=st.characters()))
def test_a_line_stays_one_line(text: str):
    assert len(safe_line(f"a{text}").splitlines()) == 1
    assert "\t" not in safe_line(text)


@given(st.text(), st.booleans())
def test_json_made_safe_says_the_same(text: str, ascii_only: bool):  # noqa: FBT001 - hypothesis passes it by name
    encoded = msgspec.json.encode({"body": text}).decode()

    safe = safe_json(encoded, ascii_only=ascii_only)

    assert json.loads(safe) == {"body": text}
    assert not DANGEROUS.search(safe)
    assert not ascii_only or safe.isascii()
