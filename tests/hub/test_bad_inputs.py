"""A corpus of bad inputs on every route: a declared answer in one line, and no trace of it.

Every field of every body is crossed with every value and text of the corpus, every parameter of
every path and query with every text.
"""

import json
import logging
import sqlite3
from collections.abc import Generator
from contextlib import closing
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from bad_inputs import FRAMES, NO_JSON, TEXTS, VALUES
from hub_surface import (
    BODIES,
    KINDS,
    KeptOpen,
    Surface,
    route_table,
    surface_in_a_thread,
    told,
)

LEAST_CASES = 15_000
TABLE = route_table()
WITH_IDS = [route for route in TABLE if "{" in route]
_PAGE = ("before", "limit")
PARAMETERS: dict[str, tuple[str, ...]] = {
    "GET /api/agents": ("since", "limit"),
    "GET /api/agents/{agent_id}/claims": ("instanceId", "epoch"),
    "GET /api/agents/{agent_id}/deliveries": ("instanceId", "epoch", "state", *_PAGE),
    "GET /api/claims": ("for", "state", *_PAGE),
    "GET /api/dead": ("for", *_PAGE),
    "GET /api/held": ("for", *_PAGE),
    "GET /api/messages": ("for", "since", *_PAGE),
    "GET /api/messages/{message_id}/thread": ("since", "limit"),
    "GET /api/pairs": ("agent", "state", *_PAGE),
    "GET /healthz": ("nonce", "key"),
}
FIELDS = [(route, field) for route in BODIES for field in msgspec.structs.fields(KINDS[route])]

IN_A_FIELD = {
    (403, "foreign_agent"),
    (403, "not_in_pair"),
    (404, "no_recipients"),
    (404, "unknown_agent"),
    (404, "unknown_message"),
    (404, "unknown_target"),
    (409, "illegal_transition"),
    (409, "not_held"),
    (409, "not_waiting"),
    (409, "pair_active"),
    (409, "pair_busy"),
    (409, "pair_ended"),
    (409, "pair_pending"),
    (409, "stale_claim"),
    (409, "stale_epoch"),
    (422, "ambiguous_target"),
    (422, "bad_agent_id"),
    (422, "bad_annotation"),
    (422, "bad_attempt"),
    (422, "bad_attempt_id"),
    (422, "bad_fields"),
    (422, "bad_meta"),
    (422, "bad_outcome"),
    (422, "bad_quiet"),
    (422, "bad_reason"),
    (422, "bad_status"),
    (422, "bad_target"),
    (422, "bad_text"),
    (422, "bad_until"),
    (422, "bad_verdict"),
    (422, "meta_too_large"),
    (422, "no_deliveries"),
    (422, "no_sender"),
    (422, "out_of_range"),
    (422, "reserved_id"),
    (422, "too_long"),
    (422, "unknown_reply_to"),
}
IN_A_PATH = {
    (403, "user_only"),
    (404, "not_found"),
    (404, "unknown_agent"),
    (404, "unknown_attempt"),
    (404, "unknown_dead_letter"),
    (404, "unknown_delivery"),
    (404, "unknown_message"),
    (404, "unknown_pair"),
    (405, "bad_method"),
    (409, "not_stopped"),
    (409, "stale_epoch"),
    (414, "target_too_long"),
    (422, "bad_agent_id"),
    (422, "bad_attempt_id"),
    (422, "bad_fields"),
    (422, "bad_query"),
    (422, "bad_subject"),
    (431, "head_too_large"),
}
IN_A_QUERY = {
    (404, "unknown_agent"),
    (404, "unknown_pair"),
    (409, "stale_epoch"),
    (414, "target_too_long"),
    (422, "bad_agent_id"),
    (422, "bad_query"),
    (431, "head_too_large"),
}
IN_A_FRAME = {"bad_frame", "stale_epoch", "unknown_agent"}


class Trial:
    """A hub, a connection to it, and a look at whether its store has changed."""

    def __init__(self, hub: Surface, store: sqlite3.Connection) -> None:
        self.hub = hub
        self.line = KeptOpen(hub.served.port)
        self._store = store

    def ask(
        self, route: str, *, body: object = None, path: str | None = None
    ) -> tuple[int, str | None]:
        """Ask, and make sure that a refusal has left the store as it was."""
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        before = self._version()
        answer = told(self.line.ask(self.hub.request(route, body=data, path=path)))
        assert answer[1] is None or self._version() == before, (route, answer)
        return answer

    def served(self) -> bool:
        """Whether a good request works."""
        return self.ask("GET /api/agents") == (200, None)

    def _version(self) -> int:
        found: int = self._store.execute("PRAGMA data_version").fetchone()[0]
        return found


@pytest.fixture
def trial(tmp_path, caplog) -> Generator[Trial]:
    with (
        caplog.at_level(logging.WARNING),
        surface_in_a_thread(tmp_path) as hub,
        closing(sqlite3.connect(tmp_path / "hub.sqlite")) as store,
    ):
        made = Trial(hub, store)
        yield made
        assert made.served()
        made.line.close()
        assert caplog.text == ""


def test_the_corpus_is_large_and_its_routes_are_those_of_the_hub():
    cases = len(BODIES) * len(NO_JSON) + len(FIELDS) * (len(VALUES) + len(TEXTS))
    parameters = len(WITH_IDS) + sum(map(len, PARAMETERS.values()))
    cases += parameters * len(TEXTS) + len(FRAMES)

    assert set(KINDS) == set(BODIES) <= set(TABLE)
    assert set(PARAMETERS) <= set(TABLE)
    assert cases >= LEAST_CASES, cases


def test_what_is_no_json_of_ours_is_refused_by_every_route_that_reads(trial: Trial):
    for route in BODIES:
        for name, (body, expected) in NO_JSON.items():
            assert trial.ask(route, body=body) == expected, (route, name)


@pytest.mark.parametrize("route", BODIES)
def test_a_bad_value_in_any_field_has_a_declared_answer(trial: Trial, route: str):
    for field in msgspec.structs.fields(KINDS[route]):
        for name, value in {**VALUES, **TEXTS}.items():
            answer = trial.ask(route, body={**BODIES[route], field.encode_name: value})
            if not _is_a(value, field.type):
                assert answer == (422, "bad_fields"), (field.name, name)
            assert answer[1] is None or answer in IN_A_FIELD, (field.name, name, answer)


def _is_a(value: object, kind: object) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError:
        return False
    return True


def test_a_bad_id_in_any_path_has_a_declared_answer(trial: Trial):
    for route in sorted(WITH_IDS, key=lambda route: route.startswith("DELETE")):
        method, pattern = route.split(" ")
        head, _, rest = pattern.partition("{")
        tail = rest.partition("}")[2]
        for name, text in TEXTS.items():
            if text == "1":
                continue  # is a good one
            answer = trial.ask(route, path=f"{head}{quote(text, safe='')}{tail}")
            accepted = answer[1] is None and (method == "GET" or not text)
            assert accepted or answer in IN_A_PATH, (route, name, answer)


def test_a_bad_parameter_of_any_query_has_a_declared_answer(trial: Trial):
    for route, parameters in PARAMETERS.items():
        path = trial.hub.path(route).partition("?")[0]
        for parameter in parameters:
            needed = "?for=bob&" if (route, parameter) != ("GET /api/messages", "for") else "?"
            needed = needed if route == "GET /api/messages" else "?"
            for name, text in TEXTS.items():
                answer = trial.ask(route, path=f"{path}{needed}{parameter}={quote(text, safe='')}")
                where = (route, parameter, name, answer)
                assert answer == (200, None) or answer in IN_A_QUERY, where


def test_a_bad_frame_is_answered_in_one_line_and_the_hub_goes_on(trial: Trial):
    served = trial.hub.served
    for name, frame in FRAMES.items():
        with connect(
            f"ws://127.0.0.1:{served.port}/api/stream",
            additional_headers={"Authorization": f"Bearer {served.token}"},
            compression=None,
            proxy=None,
        ) as stream:
            stream.send(frame)
            answer = json.loads(stream.recv(timeout=20))
        assert answer["type"] in {"error", "fenced"}, (name, answer)
        assert answer["type"] == "fenced" or answer["code"] in IN_A_FRAME, (name, answer)
        assert str(answer.get("detail", "")).isprintable(), (name, answer)


def any_json() -> st.SearchStrategy[object]:
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    return st.recursive(
        plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A route and a body for it: fields as they should be, left out, or anything."""
    route = draw(st.sampled_from(sorted(BODIES)))
    names = [field.encode_name for field in msgspec.structs.fields(KINDS[route])]
    wrong = draw(st.dictionaries(st.sampled_from(names), any_json(), max_size=3))
    kept = {
        name: value
        for name, value in BODIES[route].items()
        if name not in draw(st.sets(st.sampled_from(names), max_size=1))
    }
    return route, json.dumps({**kept, **wrong}).encode("utf-8", "surrogatepass")


def test_no_body_that_can_be_made_of_fields_is_a_fault_of_the_hub(trial: Trial):
    @settings(max_examples=60)
    @given(bodies())
    def run(made: tuple[str, bytes]) -> None:
        status, code = trial.ask(made[0], body=made[1])
        assert status < 500, (status, code)

    run()
