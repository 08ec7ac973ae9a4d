"""What the user has set: environment and config.toml become one frozen Settings, read once.

An environment variable beats the file, the file beats the default. Whatever cannot be understood is
an error that names the file, the line and what mends it; nothing falls back to a weaker setting.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, TypeVar, cast, dataclass_transform

import msgspec

from relay_core.errors import SettingsError
from relay_core.located_toml import TomlText, Tree
from relay_core.places import Places
from relay_core.policies import EVERYBODY, OwnPolicy
from relay_core.sessions import Policy
from relay_core.user_files import read_user_file
from relay_core.variables import DEFAULT_PORT, MAX_PORT, SHORTEST_MS, URL, VARIABLES, hub_url

ADAPTER_TABLES = ("codex",)
"""Tables of config.toml that belong to adapters; handed to them unread."""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
DAY_MS = 24 * 60 * MINUTE_MS

Port = Annotated[int, msgspec.Meta(ge=0, le=MAX_PORT)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, msgspec.Meta(ge=1_024, le=64 * 1024 * 1024)]
Room = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=366 * DAY_MS)]
Interval = Annotated[int, msgspec.Meta(ge=SHORTEST_MS, le=DAY_MS)]
Age = Annotated[int, msgspec.Meta(ge=60 * MINUTE_MS, le=3_660 * DAY_MS)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]

T = TypeVar("T")

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_UNITS_MS = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "h": 60 * MINUTE_MS, "d": DAY_MS}
_PLACE = re.compile(r"(.*) - at `\$(.*)`")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of config.toml; its fields are the keys that may stand there."""


class Limits(Table):
    """`[hub.limits]`: what the hub refuses, and how long it waits and remembers, in milliseconds.

    `keep` counts from the last event of a conversation, `heartbeat` from an agent's last sign,
    `pair_invite` until an invitation to a pair has expired.
    """

    request_bytes: Bytes = 512 * 1024
    body_bytes: Bytes = 256 * 1024
    meta_bytes: Bytes = 16 * 1024
    offer_bytes: Bytes = 8 * 1024 * 1024
    store_bytes: Room = 2 * 1024 * 1024 * 1024
    free_bytes: Room = 256 * 1024 * 1024
    fan_out: Count = 100
    queue: Count = 1_000
    sends_per_minute: Count = 60
    hops: Count = 8
    conversation_messages: Count = 30
    conversation_window_ms: Milliseconds = msgspec.field(
        default=10 * MINUTE_MS, name="conversation_window"
    )
    turns_per_hour: Count = 120
    ttl_ms: Milliseconds = msgspec.field(default=7 * DAY_MS, name="ttl")
    ttl_most_ms: Milliseconds = msgspec.field(default=30 * DAY_MS, name="ttl_most")
    claim_lease_ms: Interval = msgspec.field(default=60 * SECOND_MS, name="claim_lease")
    claim_lapses: Count = 3
    heartbeat_ms: Interval = msgspec.field(default=90 * SECOND_MS, name="heartbeat")
    pair_invite_ms: Interval = msgspec.field(default=10 * MINUTE_MS, name="pair_invite")
    keep_ms: Age = msgspec.field(default=30 * DAY_MS, name="keep")
    idempotency_ms: Age = msgspec.field(default=7 * DAY_MS, name="idempotency")
    streams: Count = 2_048
    connections: Count = 4_096


class HubSettings(Table):
    """`[hub]`. `token` comes from the environment only, None where the token file is to be used.

    `url` is where the hub is, None to look for it. `allow_remote` lets a hub on another machine be
    used, over https.
    """

    url: str | None = None
    port: Port = DEFAULT_PORT
    store: str | None = None
    token: str | None = None
    allow_remote: bool = False
    limits: Limits = Limits()


class HostSettings(Table):
    """`[host]`. How often a session's mail is looked for without a push, and how often it says it
    lives."""

    repair_ms: Interval = msgspec.field(default=30 * SECOND_MS, name="repair")
    heartbeat_ms: Interval = msgspec.field(default=30 * SECOND_MS, name="heartbeat")


class SenderSettings(Table):
    """`[delivery.senders."ID"]`: what is different for one sender."""

    strategy: Word | None = None


class RecipientSettings(Table, omit_defaults=True):
    """`[delivery.agents."NAME"]`: what is different for one recipient, or for those with a tag or a
    label."""

    strategy: Word | None = None
    urgent_from: tuple[Word, ...] | None = None
    steer_from: tuple[Word, ...] | None = None
    hold_from: tuple[Word, ...] | None = None


class DeliverySettings(Table):
    """`[delivery]`; what `agents` says of one recipient beats the rest."""

    strategy: Word = "adaptive"
    urgent_from: tuple[Word, ...] = ("operator",)
    steer_from: tuple[Word, ...] = (EVERYBODY,)
    hold_from: tuple[Word, ...] = ()
    away_after_ms: Milliseconds = msgspec.field(default=10 * MINUTE_MS, name="away_after")
    quiet_after_interrupt_ms: Milliseconds = msgspec.field(
        default=60 * SECOND_MS, name="quiet_after_interrupt"
    )
    unattended_budget: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 25
    senders: dict[str, SenderSettings] = {}
    agents: dict[str, RecipientSettings] = {}


class PluginSettings(Table):
    """`[plugins]`: names of plugins or distributions. `only` None: everything that is installed."""

    block: tuple[Word, ...] = ()
    order: tuple[Word, ...] = ()
    only: tuple[Word, ...] | None = None


class Origin(Table):
    """Where one value comes from: `environment NAME`, `PATH:LINE`, or `default`.

    `value` is JSON, durations as config.toml takes them; a token is only said to be set.
    """

    key: str
    value: str
    origin: str


class Settings(Table):
    """All settings of host, hub and plugins.

    `adapters` and `plugin` are the tables of adapters and plugins as JSON, by name, unread here.
    `origins` tells for each value where it comes from; the token's value is not in it.
    """

    hub: HubSettings = HubSettings()
    host: HostSettings = HostSettings()
    delivery: DeliverySettings = DeliverySettings()
    plugins: PluginSettings = PluginSettings()
    adapters: dict[str, msgspec.Raw] = {}
    plugin: dict[str, msgspec.Raw] = {}
    origins: tuple[Origin, ...] = ()

    def policy(self) -> Policy:
        """What the delivery hooks see of these settings, where nothing is set for a recipient."""
        return Policy(
            strategy=self.delivery.strategy,
            sender_strategies={
                sender: own.strategy
                for sender, own in self.delivery.senders.items()
                if own.strategy is not None
            },
            urgent_from=self.delivery.urgent_from,
            steer_from=self.delivery.steer_from,
            hold_from=self.delivery.hold_from,
            away_after_ms=self.delivery.away_after_ms,
        )

    def own_policies(self) -> tuple[OwnPolicy, ...]:
        """What is set for some recipients, in the order of the file; see `policy_for`."""
        return tuple(
            OwnPolicy(
                name=name,
                strategy=own.strategy,
                urgent_from=own.urgent_from,
                steer_from=own.steer_from,
                hold_from=own.hold_from,
            )
            for name, own in self.delivery.agents.items()
        )


def load(
    environ: Mapping[str, str], places: Places, *, adapters: Collection[str] = ADAPTER_TABLES
) -> Settings:
    """Read config.toml, where there is one, and the environment; SettingsError when either is
    wrong."""
    text = read_user_file(places.config_file)
    return parse(environ, text or "", file=places.config_file, adapters=adapters)


def parse(
    environ: Mapping[str, str],
    text: str,
    *,
    file: Path,
    adapters: Collection[str] = ADAPTER_TABLES,
) -> Settings:
    """Put environment and the text of a config.toml together."""
    source = TomlText(file, text)
    tree = _tables(source, adapters)
    origins = {".".join(path): source.where(path) for path, _ in _leaves(source.tree)}
    variables = _environment(environ)
    for name, (path, value) in variables.items():
        _plant(tree, path, value)
        origins[".".join(path)] = f"environment {name}"
    settings = _convert(tree, source)
    _check_url(settings.hub, origins.get("hub.url", "default"), source)
    return msgspec.structs.replace(settings, origins=_origins(settings, origins))


def loopback(host: str) -> bool:
    """Tell whether a host name of a URL can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


# --- the file --------------------------------------------------------------------------------


def _tables(source: TomlText, adapters: Collection[str]) -> Tree:
    own: Tree = {}
    theirs: dict[str, msgspec.Raw] = {}
    plugins: dict[str, msgspec.Raw] = {}
    for name, value in source.tree.items():
        table = _table(value, (name,), source)
        if name in adapters:
            theirs[name] = _opaque(table)
        elif name == "plugin":
            plugins = {k: _opaque(_table(v, (name, k), source)) for k, v in table.items()}
        elif name in ("adapters", "origins"):
            raise source.wrong((name,), "is no setting")
        else:
            own[name] = table
    known = ("hub", "host", "delivery", "plugins", "plugin", *adapters)
    _refuse_unknown(own, Settings, (), source, known)
    for path in _DURATIONS:
        _in_milliseconds(own, path, source)
    return {**own, "adapters": theirs, "plugin": plugins}


def _table(value: object, path: tuple[str, ...], source: TomlText) -> Tree:
    if not isinstance(value, dict):
        raise source.wrong(path, "is no table", fix="settings stand in tables: [hub], …")
    return cast("Tree", value)


def _opaque(table: Tree) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(table))


def _refuse_unknown(
    tree: Mapping[str, object],
    shape: type[Table],
    path: tuple[str, ...],
    source: TomlText,
    known: Collection[str] = (),
) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    for key, value in tree.items():
        kind = fields.get(key)
        at = (*path, key)
        if at == ("hub", "token"):
            raise source.wrong(at, "is no setting", "tokens stand in the token file, 0600")
        if kind is None:
            raise source.wrong(at, "is no setting", _nearest(key, known or fields))
        if not isinstance(value, dict):
            continue
        inner = cast("Tree", value)
        if isinstance(kind, type) and issubclass(kind, Table):
            _refuse_unknown(inner, kind, at, source)
        elif (entry := _ENTRIES.get(at)) is not None:
            for name, own in inner.items():
                if isinstance(own, dict):
                    _refuse_unknown(cast("Tree", own), entry, (*at, name), source)


_ENTRIES: dict[tuple[str, ...], type[Table]] = {
    ("delivery", "senders"): SenderSettings,
    ("delivery", "agents"): RecipientSettings,
}
"""Tables whose keys are names, and what stands below each name."""


def _nearest(key: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"


_TIMED = (("hub.limits", Limits), ("host", HostSettings), ("delivery", DeliverySettings))
_DURATIONS = tuple(
    (*path.split("."), field.encode_name)
    for path, shape in _TIMED
    for field in msgspec.structs.fields(shape)
    if field.name.endswith("_ms")
)


def _in_milliseconds(tree: Tree, path: tuple[str, ...], source: TomlText) -> None:
    *tables, key = path
    for name in tables:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            return
        tree = cast("Tree", inner)
    if key in tree:
        tree[key] = _duration_ms(tree[key], path, source)


def duration_ms(text: str) -> int | None:
    """Read a duration with its unit, as `90s`, `10m` or `2h`; None where it is none."""
    match = _DURATION.fullmatch(text)
    return None if match is None else round(float(match[1]) * _UNITS_MS[match[2]])


def _duration_ms(value: object, path: tuple[str, ...], source: TomlText) -> int:
    given = duration_ms(value) if isinstance(value, str) else None
    if given is not None:
        return given
    # NaN compares false with everything.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < DAY_MS:
        return round(value * SECOND_MS)
    raise source.wrong(path, f"{value!r} is no duration", fix='use seconds, or "90s", "10m", "2h"')


# --- the environment -------------------------------------------------------------------------


def _environment(environ: Mapping[str, str]) -> dict[str, tuple[tuple[str, str], object]]:
    """Read the variables that are set; an empty one counts as not set, as it always did."""
    return {
        each.name: (_path(each.setting), each.read(each.name, environ[each.name]))
        for each in VARIABLES
        if each.setting is not None and environ.get(each.name, "")
    }


def _path(setting: str) -> tuple[str, str]:
    table, _, key = setting.partition(".")
    return table, key


# --- putting it together ---------------------------------------------------------------------


def _plant(tree: Tree, path: tuple[str, str], value: object) -> None:
    name, key = path
    table: object = tree.get(name)
    tree[name] = {**(cast("Tree", table) if isinstance(table, dict) else {}), key: value}


def _leaves(
    tree: Mapping[str, object], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(cast("Tree", value), (*path, key))
        else:
            yield (*path, key), value


def _convert(tree: Tree, source: TomlText) -> Settings:
    # msgspec does not say in which entry of a mapping a mistake is: look at these one by one.
    for (table, key), entry in _ENTRIES.items():
        for name, own in _branch(_branch(tree, table), key).items():
            _checked(own, entry, (table, key, name), source)
    settings = _checked(tree, Settings, (), source)
    _check_names(settings.delivery, source)
    return settings


_AGENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NO_TARGETS = ("cap:", "broadcast")
_LISTS = ("urgent_from", "steer_from", "hold_from")


def _check_names(delivery: DeliverySettings, source: TomlText) -> None:
    """Refuse a name that can never be anybody's: its line would protect nobody."""
    senders = "name an agent's id, tag:NAME, label:NAME, operator or *"
    for at, table in (
        (("delivery",), delivery),
        *((("delivery", "agents", name), own) for name, own in delivery.agents.items()),
    ):
        for key in _LISTS:
            for name in getattr(table, key) or ():
                if not (name == EVERYBODY or _is_name(name)):
                    raise source.wrong((*at, key), f"{name!r} is no sender", fix=senders)
    for name in delivery.agents:
        if name in ("operator", "hub") or not _is_name(name):
            fix = "name an agent's id, tag:NAME or label:NAME"
            raise source.wrong(("delivery", "agents", name), "is no recipient", fix=fix)


def _is_name(name: str) -> bool:
    for kind in ("tag:", "label:"):
        if name.startswith(kind):
            return bool(name.removeprefix(kind).strip())
    return _AGENT_ID.fullmatch(name) is not None and not name.startswith(_NO_TARGETS)


def _branch(tree: Tree, name: str) -> Tree:
    found = tree.get(name)
    return cast("Tree", found) if isinstance(found, dict) else {}


def _checked(value: object, shape: type[T], at: tuple[str, ...], source: TomlText) -> T:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        found = _PLACE.fullmatch(str(error))
        detail, place = (found[1], found[2]) if found else (str(error), "")
        path = tuple(re.findall(r"\.?([^.\[\]]+)", place.replace("[...]", "")))
        raise source.wrong((*at, *path), _plainly(detail)) from error


def _plainly(detail: str) -> str:
    for theirs, ours in (
        ("`", ""),
        ("object", "a table"),
        ("array | null", "array"),
        ("array", "a list"),
    ):
        detail = detail.replace(theirs, ours)
    return detail[:1].lower() + detail[1:]


def _check_url(hub: HubSettings, origin: str, source: TomlText) -> None:
    if hub.url is None:
        return
    variable = origin.removeprefix("environment ") if origin.startswith("environment ") else None
    url = hub_url(variable or f"{source.where(('hub', 'url'))}: hub.url", hub.url)
    match = URL.fullmatch(url)
    if match is None or loopback(match[2]) or (match[1] == "https" and hub.allow_remote):
        return
    fix = "use a loopback address, or https with allow_remote = true in [hub]"
    if variable is None:
        raise source.wrong(("hub", "url"), f"{url} is on another machine", fix)
    raise SettingsError(f"{variable}: {url} is on another machine", fix=fix)


def _origins(settings: Settings, origins: Mapping[str, str]) -> tuple[Origin, ...]:
    tables = {name: getattr(settings, name) for name in ("hub", "host", "delivery", "plugins")}
    plain: dict[str, object] = {
        **{name: msgspec.to_builtins(table) for name, table in tables.items()},
        **settings.adapters,
        "plugin": settings.plugin,
    }
    return tuple(
        Origin(
            key=(key := ".".join(path)),
            value='"(set)"' if path == ("hub", "token") and value else _shown(path, value),
            origin=origins.get(key) or _first_below(key, origins) or "default",
        )
        for path, value in _leaves(plain)
    )


def _first_below(key: str, origins: Mapping[str, str]) -> str | None:
    return next((origin for at, origin in origins.items() if at.startswith(f"{key}.")), None)


def _shown(path: tuple[str, ...], value: object) -> str:
    if path in _DURATIONS and isinstance(value, int):
        value = _as_duration(value)
    return msgspec.json.encode(value).decode()


def _as_duration(value_ms: int) -> str:
    """Write a duration as config.toml takes it, in the largest unit that it is a whole number of;
    a plain number would be seconds there."""
    unit = max(
        (unit for unit, size in _UNITS_MS.items() if value_ms and value_ms % size == 0),
        key=_UNITS_MS.__getitem__,
        default="s",
    )
    return f"{value_ms // _UNITS_MS[unit]}{unit}"
