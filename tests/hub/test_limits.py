"""What the user sets in `[hub.limits]` is what the hub goes by."""

from pathlib import Path

import msgspec
import pytest

from relay_cli.serving import hub_limits
from relay_core import settings
from relay_core.settings import parse
from relay_hub.limits import Limits

DAY_MS = 24 * 3_600_000
FILE = Path("config.toml")
HUBS_NAMES = {"queue": "recipient_queue"}
FIELDS = {field.name: field for field in msgspec.structs.fields(settings.Limits)}
KEPT_FROM_USERS = {
    "ttl_least_ms",
    "frame_bytes",
    "stream_buffer_bytes",
    "header_bytes",
    "headers",
    "target_bytes",
    "json_depth",
    "json_keys",
    "json_items",
    "header_timeout_ms",
    "body_timeout_ms",
    "answer_timeout_ms",
    "idle_timeout_ms",
}


def test_without_settings_the_hub_has_its_own_limits():
    assert hub_limits(parse({}, "", file=FILE)) == Limits()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_setting_reaches_the_hub(name: str):
    key, is_time = FIELDS[name].encode_name, name.endswith("_ms")
    text = f"[hub.limits]\n{key} = " + ('"2h"' if is_time else "4321")

    limits = hub_limits(parse({}, text, file=FILE))

    expected = msgspec.structs.replace(
        Limits(), **{HUBS_NAMES.get(name, name): 2 * 3_600_000 if is_time else 4321}
    )
    assert limits == expected


def test_what_cannot_be_set_is_what_guards_the_door_and_the_wire():
    settable = {HUBS_NAMES.get(name, name) for name in FIELDS}

    assert set(Limits.__struct_fields__) - settable == KEPT_FROM_USERS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('keep = "10m"', "hub.limits.keep"),
        ('keep = "soon"', "is no duration"),
        ("store_bytes = -1", "hub.limits.store_bytes"),
        ("claim_lapses = 0", "hub.limits.claim_lapses"),
        ('idempotency = "0s"', "hub.limits.idempotency"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(text: str, told: str):
    with pytest.raises(settings.SettingsError, match=told):
        parse({}, f"[hub.limits]\n{text}", file=FILE)


def test_a_large_store_and_a_long_memory_can_be_had():
    text = '[hub.limits]\nkeep = "3650d"\nstore_bytes = 1_000_000_000_000\nfree_bytes = 0'

    limits = hub_limits(parse({}, text, file=FILE))

    assert (limits.keep_ms, limits.store_bytes, limits.free_bytes) == (3_650 * DAY_MS, 10**12, 0)
