"""Settings are read once, each value knows where it is from, and nothing wrong is passed over."""

import re
from pathlib import Path

import msgspec
import pytest

from relay_core import Places, SettingsError
from relay_core.policies import OwnPolicy
from relay_core.settings import DAY_MS, Settings, load, loopback, parse

FILE = Path("/home/config.toml")


def settings(text: str = "", **environ: str) -> Settings:
    return parse(environ, text, file=FILE)


def refused(text: str = "", **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        settings(text, **environ)
    assert "\n" not in caught.value.detail
    return caught.value


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "config").mkdir()
    return Places(config=tmp_path / "config", data=tmp_path / "data", sockets=tmp_path / "s")


def test_without_a_file_and_variables_the_defaults_count(places: Places):
    defaults = load({}, places)

    assert (defaults.hub.url, defaults.hub.port, defaults.hub.token) == (None, 4850, None)
    assert defaults.host.heartbeat_ms == 30_000
    assert defaults.delivery.strategy == "adaptive"
    assert defaults.policy().urgent_from == ("operator",)
    assert defaults.plugins.only is None
    assert {each.origin for each in defaults.origins} == {"default"}


EVERYTHING = """\
[hub]
port = 4900
store = "/data/hub.sqlite"
[hub.limits]
ttl = "2d"
fan_out = 5
[host]
heartbeat = 10
[codex]
bin = "/opt/codex"
[delivery]
strategy = "patient"
urgent_from = ["operator", "tag:lead"]
away_after = "1h"
quiet_after_interrupt = 0
unattended_budget = 0
[delivery.senders."codex-a-1"]
strategy = "adaptive"
[delivery.agents."tag:deep work"]
strategy = "patient"
hold_from = ["*"]
[delivery.agents."codex-web-1"]
urgent_from = []
steer_from = ["label:the lead", "operator"]
[plugins]
block = ["loud"]
order = ["b", "a"]
only = []
[plugin."my plugin"]
words = ["x"]
"""


def test_every_table_of_the_file_is_read(places: Places):
    places.config_file.write_text(EVERYTHING)
    read = load({}, places)

    assert (read.hub.port, read.hub.store) == (4900, "/data/hub.sqlite")
    assert (read.hub.limits.ttl_ms, read.hub.limits.fan_out) == (2 * DAY_MS, 5)
    assert read.host.heartbeat_ms == 10_000
    assert bytes(read.adapters["codex"]) == b'{"bin":"/opt/codex"}'
    assert (read.delivery.away_after_ms, read.delivery.quiet_after_interrupt_ms) == (3_600_000, 0)
    assert read.delivery.unattended_budget == 0
    assert (read.plugins.block, read.plugins.order, read.plugins.only) == (
        ("loud",),
        ("b", "a"),
        (),
    )
    assert bytes(read.plugin["my plugin"]) == b'{"words":["x"]}'
    policy = read.policy()
    assert policy.strategy == "patient"
    assert policy.sender_strategies == {"codex-a-1": "adaptive"}
    assert policy.away_after_ms == 3_600_000
    assert (policy.steer_from, policy.hold_from) == (("*",), ())
    assert read.own_policies() == (
        OwnPolicy(name="tag:deep work", strategy="patient", hold_from=("*",)),
        OwnPolicy(name="codex-web-1", urgent_from=(), steer_from=("label:the lead", "operator")),
    )


def test_each_value_knows_where_it_comes_from():
    read = settings(EVERYTHING, AGENT_RELAY_URL="http://127.0.0.1:4999/", AGENT_RELAY_TOKEN="abc")
    origins = {each.key: (each.value, each.origin) for each in read.origins}

    assert origins["hub.url"] == ('"http://127.0.0.1:4999"', "environment AGENT_RELAY_URL")
    assert origins["hub.token"] == ('"(set)"', "environment AGENT_RELAY_TOKEN")
    assert origins["hub.port"] == ("4900", f"{FILE}:2")
    assert origins["hub.limits.ttl"] == ('"2d"', f"{FILE}:5")
    assert origins["delivery.senders.codex-a-1.strategy"] == ('"adaptive"', f"{FILE}:18")
    assert origins["codex"] == ('{"bin":"/opt/codex"}', f"{FILE}:10")
    assert origins["delivery.agents.codex-web-1.urgent_from"] == ("[]", f"{FILE}:23")
    assert "delivery.agents.codex-web-1.strategy" not in origins
    assert origins["plugin.my plugin"] == ('{"words":["x"]}', f"{FILE}:30")
    assert origins["hub.allow_remote"] == ("false", "default")
    assert "abc" not in str(read.origins)


@pytest.mark.parametrize("written", ["90s", "1500ms", "0s", "36h", "7d"])
def test_a_duration_is_shown_as_it_could_be_written(written: str):
    read = settings(f'[delivery]\naway_after = "{written}"\n')

    assert next(x.value for x in read.origins if x.key == "delivery.away_after") == f'"{written}"'


def test_the_environment_beats_the_file():
    text = '[hub]\nurl = "http://localhost:1"\n[host]\nrepair = 5\n'
    read = settings(
        text, AGENT_RELAY_URL="http://localhost:2", AGENT_RELAY_CODEX_POLL_INTERVAL_MS="70"
    )

    assert (read.hub.url, read.host.repair_ms) == ("http://localhost:2", 70)
    assert (settings(text).hub.url, settings(text).host.repair_ms) == ("http://localhost:1", 5_000)


def test_an_empty_variable_counts_as_not_set():
    read = settings(AGENT_RELAY_URL="", AGENT_RELAY_TOKEN="")

    assert (read.hub.url, read.hub.token) == (None, None)


def test_a_token_loses_the_end_of_its_line_and_nothing_else():
    assert settings(AGENT_RELAY_TOKEN="abc\r\n").hub.token == "abc"


@pytest.mark.parametrize("token", [" ", "a b", "a\nb", "é", "x" * 513, "a\n\n", "\ud800"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: str):
    error = refused(AGENT_RELAY_TOKEN=token)

    assert "AGENT_RELAY_TOKEN" in error.detail
    assert token.strip() == "" or token not in error.detail


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://127.0.0.1:4850", "http://127.0.0.1:4850"),
        ("http://127.0.0.1:4850/", "http://127.0.0.1:4850"),
        ("http://LocalHost:80", "http://localhost:80"),
        ("http://[::1]:4850", "http://[::1]:4850"),
        ("http://127.0.0.2", "http://127.0.0.2"),
    ],
)
def test_a_url_on_this_machine_is_taken(url: str, wanted: str):
    assert settings(AGENT_RELAY_URL=url).hub.url == wanted


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:4850", "file:///x", "ftp://127.0.0.1", "https://u:p@h", "http://127.0.0.1:0",
     "http://127.0.0.1:4850@evil", "http://127.0.0.1:65536", "http://127.0.0.1:99999",
     "http://127.0.0.1:4850/x", "http://127.0.0.1:4850\n", "http://127.0.0.1:4850?x", "http://",
     "http://exämple", "http://127.0.0.1:٤٨", " http://127.0.0.1", "\udcff"],
)  # fmt: skip
def test_what_is_no_url_of_a_hub_is_refused(url: str):
    error = refused(AGENT_RELAY_URL=url)

    assert "AGENT_RELAY_URL" in error.detail
    assert error.fix is not None
    refused(f'[hub]\nurl = "{url}"') if url.isprintable() else None


def test_a_password_in_a_url_is_not_repeated():
    assert "secret" not in refused(AGENT_RELAY_URL="http://me:secret@127.0.0.1:4850").detail


@pytest.mark.parametrize(
    "url", ["http://example.com", "https://example.com", "http://localhost.", "http://2130706433",
            "http://0.0.0.0:4850", "http://192.168.1.2:4850"]
)  # fmt: skip
def test_another_machine_is_refused(url: str):
    assert "on another machine" in refused(AGENT_RELAY_URL=url).detail


def test_another_machine_is_allowed_over_https_where_the_file_says_so():
    allowed = "[hub]\nallow_remote = true"

    assert settings(allowed, AGENT_RELAY_URL="https://hub.example").hub.url is not None
    assert "on another machine" in refused(allowed, AGENT_RELAY_URL="http://hub.example").detail


@pytest.mark.parametrize(
    "value",
    ["0", "9", "-1", "1e9", "NaN", "2s", "1_000", "٢", " 50", "50 ", "+50", "86400001", "x"],
)
@pytest.mark.parametrize("which", ["POLL", "HEARTBEAT"])
def test_an_interval_that_is_no_number_of_milliseconds_is_refused(which: str, value: str):
    name = f"AGENT_RELAY_CODEX_{which}_INTERVAL_MS"

    assert name in refused(**{name: value}).detail


@pytest.mark.parametrize(
    ("written", "ms"),
    [("90", 90_000), ("0.5", 500), ('"250ms"', 250), ('"90s"', 90_000), ('"1.5m"', 90_000),
     ('"2h"', 7_200_000), ('"1d"', DAY_MS)],
)  # fmt: skip
def test_a_duration_is_seconds_or_says_its_unit(written: str, ms: int):
    assert settings(f"[delivery]\naway_after = {written}").delivery.away_after_ms == ms


# What is wrong, the line in which it stands, and what the error says.
WRONG = [
    ("[hub]\nprot = 1", 2, "hub.prot", "did you mean port?"),
    ("\n[hbu]", 2, "hbu", "did you mean hub?"),
    ("x = 1", 1, "x: is no table", "tables"),
    ('[hub]\nport = "a"', 2, "hub.port: expected int", None),
    ("[hub]\nport = true", 2, "hub.port: expected int", None),
    ("[hub]\nport = 70000", 2, "65535", None),
    ("[hub]\nport = -1", 2, "hub.port", None),
    ('[hub]\ntoken = "x"', 2, "hub.token", "token file"),
    ("[hub]\nlimits = 3", 2, "hub.limits: expected a table", None),
    ("[hub.limits]\nqueue = 0", 2, "hub.limits.queue", None),
    ("[hub.limits]\n\nqeue = 1", 3, "hub.limits.qeue", "did you mean queue?"),
    ('[delivery]\naway_after = "10x"', 2, "no duration", "10m"),
    ("[delivery]\naway_after = nan", 2, "no duration", None),
    ("[delivery]\naway_after = -1", 2, "no duration", None),
    ("[delivery]\naway_after = true", 2, "no duration", None),
    ('[delivery]\nurgent_from = "operator"', 2, "expected a list", None),
    ('[delivery]\nurgent_from = ["", 1]', 2, "delivery.urgent_from", None),
    ('[delivery.senders.a]\nstrategie = "x"', 2, "delivery.senders.a.strategie", "strategy"),
    ("[delivery.senders.a]\nstrategy = 3", 2, "delivery.senders.a.strategy: expected str", None),
    ("[delivery.senders]\na = 3", 2, "delivery.senders.a: expected a table", None),
    ("[delivery]\nsenders = 3", 2, "delivery.senders", None),
    ('[delivery]\n\nsteer_from = ["two words"]', 3, "'two words' is no sender", "tag:NAME"),
    ('[delivery]\nhold_from = ["x", "tag:"]', 2, "'tag:' is no sender", None),
    ('[delivery]\nurgent_from = ["cap:review"]', 2, "'cap:review' is no sender", "label:NAME"),
    ('[delivery]\nhold_from = "*"', 2, "delivery.hold_from: expected a list", None),
    ("[delivery]\nagents = 3", 2, "delivery.agents", None),
    ("[delivery.agents.a]\naway_after = 3", 2, "delivery.agents.a.away_after", "known here"),
    ("[delivery.agents.a]\nstrategy = 3", 2, "agents.a.strategy: expected str", None),
    ('[delivery.agents.a]\n\nhold_from = ["?"]', 3, "agents.a.hold_from: '?' is no", None),
    ('[delivery.agents."*"]\nstrategy = "x"', 1, "is no recipient", "label:NAME"),
    ('[delivery.agents.operator]\nstrategy = "x"', 1, "is no recipient", None),
    ('[delivery.agents."label: "]\nstrategy = "x"', 1, "is no recipient", None),
    ('[plugins]\nonly = "x"', 2, "plugins.only", None),
    ("[plugins]\nblock = [1]", 2, "plugins.block", None),
    ("[plugin]\na = 1", 2, "plugin.a: is no table", None),
    ("codex = 1", 1, "codex: is no table", None),
    ("[[hub]]\nport = 1", 1, "hub: is no table", None),
    ("[adapters]\nx = 1", 1, "adapters", None),
    ("[hub]\nport = 1\nport = 2", 3, "not valid TOML", None),
    ("[hub", 1, "not valid TOML", None),
    ("[hub]\nport = 1\n\n[hub]\n", 4, "not valid TOML", None),
]


@pytest.mark.parametrize(("text", "line", "detail", "fix"), WRONG)
def test_what_is_wrong_in_the_file_is_told_with_its_line(
    text: str, line: int, detail: str, fix: str | None
):
    error = refused(text)

    assert error.detail.startswith(f"{FILE}:{line}: ")
    assert detail in error.detail
    assert fix is None or fix in (error.fix or "")


def test_what_is_nested_too_deeply_is_an_error_like_any_other():
    assert "nested" in refused("a = " + "[" * 20_000).detail


def test_a_number_of_thousands_of_digits_is_an_error_like_any_other():
    assert "not valid TOML" in refused("[hub]\nport = " + "1" * 5_000).detail


@pytest.mark.parametrize(("text", "key", "better"), [("[hub]\nprot = 4900", "prot", "port")])
def test_the_advice_mends_the_file(text: str, key: str, better: str):
    fix = refused(text).fix or ""
    advised = re.fullmatch(r"did you mean (\w+)\?", fix)

    assert advised is not None
    assert advised[1] == better
    assert settings(text.replace(key, advised[1])).hub.port == 4900


def test_a_broken_file_is_never_as_if_it_were_missing(places: Places):
    places.config_file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load({}, places)

    places.config_file.write_text("[hub]\n")
    places.config_file.chmod(0o666)
    with pytest.raises(SettingsError, match="can be written by others"):
        load({}, places)


def test_tables_of_adapters_that_are_not_known_are_refused():
    assert "opencode" in refused("[opencode]\nx = 1").detail
    read = parse({}, "[opencode]\nx = 1", file=FILE, adapters=("opencode",))
    assert msgspec.json.decode(read.adapters["opencode"]) == {"x": 1}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"])
def test_a_loopback_host_is_known(host: str):
    assert loopback(host)


@pytest.mark.parametrize("host", ["192.168.0.1", "127.1", "localhost.", "2130706433", "[::]", "x"])
def test_anything_else_is_no_loopback_host(host: str):
    assert not loopback(host)
