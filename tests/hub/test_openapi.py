"""The OpenAPI document says what the hub does, and the hub does what it says."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub_surface import BODIES, surface_in_a_thread
from relay_hub.routes import ROUTES, health
from relay_hub.routes.openapi import REFUSED, document

TABLE = (*ROUTES, *health.routes(b"", int, dict))
EXAMPLES = 3
"""Requests of each kind for each route; the proof makes thousands."""


@pytest.fixture(scope="module")
def api() -> Any:
    return msgspec.json.decode(msgspec.json.encode(document(TABLE)))


def test_every_route_is_described(api):
    described = {f"{method.upper()} {path}" for path, by in api["paths"].items() for method in by}

    assert described == {f"{each.method} {each.path}" for each in TABLE}


def test_every_route_that_reads_a_body_says_which():
    assert {f"{each.method} {each.path}" for each in TABLE if each.takes} == set(BODIES)


def test_no_two_operations_have_one_name(api):
    names = [each["operationId"] for by in api["paths"].values() for each in by.values()]

    assert len(names) == len(set(names))


def test_every_schema_that_is_meant_is_there(api):
    meant = set(re.findall(r"#/components/schemas/(\w+)", msgspec.json.encode(api).decode()))

    assert meant == set(api["components"]["schemas"])


def test_every_place_in_a_path_is_a_parameter(api):
    for path, by in api["paths"].items():
        for operation in by.values():
            given = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert given == set(re.findall(r"{(\w+)}", path))


def test_every_error_has_one_shape(api):
    for by in api["paths"].values():
        for operation in by.values():
            shapes = {
                msgspec.json.encode(operation["responses"][str(status)]["content"])
                for status in REFUSED
            }
            assert len(shapes) == 1


def test_what_is_asked_by_the_document_or_nearly_is_answered_as_it_says(tmp_path: Path):
    pytest.importorskip("schemathesis")
    from api_fuzz import fuzz

    with surface_in_a_thread(tmp_path) as surface:
        fuzzed = fuzz(surface, EXAMPLES, seed=1)

    assert fuzzed.broken == ()
    assert fuzzed.requests > 4 * len(TABLE)
