"""What SQLite does on the way of a message: which index, and nothing built on the side."""

from collections.abc import Iterator
from sqlite3 import Connection

import pytest

from hub_kit import placeholders
from relay_hub.store.sqlite import opening
from relay_hub.store.sqlite.queries import queries

WRITES = ("take_seq", "last_seq", "add_message", "add_delivery", "put_delivery", "add_transition")
HELD = ("held", "held_for_a_yes")
OF_ONE_AGENT = ("waiting_count", "open_sizes", "in_doubt", "held_because", "annotations")


@pytest.fixture
def database() -> Iterator[Connection]:
    connection = opening.connect_memory("plans")
    yield connection
    connection.close()


def explained(database: Connection, how: str, name: str) -> list[tuple[object, ...]]:
    statement = queries()[name]
    values = [None] * placeholders(statement)
    return database.execute(f"{how} {statement}", values).fetchall()


@pytest.mark.parametrize("name", WRITES)
def test_no_write_on_a_messages_way_builds_a_table_on_the_side(database: Connection, name: str):
    steps = explained(database, "EXPLAIN", name)

    assert [step for step in steps if step[1] == "OpenEphemeral"] == []


def test_work_in_a_few_states_is_found_without_walking_all_of_it(database: Connection):
    plan = [str(step[3]) for step in explained(database, "EXPLAIN QUERY PLAN", "tasks")]
    index = "SEARCH c USING INDEX claims_by_state (state=? AND message_id<?)"

    assert any(line.startswith(index) for line in plan), plan
    assert not any(line.startswith(("SCAN c", "SCAN m", "SCAN d")) for line in plan), plan


def test_what_happened_to_one_claim_is_found_by_its_message(database: Connection):
    (plan,) = explained(database, "EXPLAIN QUERY PLAN", "claim_events")

    assert plan[3] == "SEARCH claim_events USING INDEX claim_events_of_message (message_id=?)"


@pytest.mark.parametrize("name", OF_ONE_AGENT)
def test_what_is_open_for_an_agent_is_found_without_walking_its_history(
    database: Connection, name: str
):
    plan = [str(step[3]) for step in explained(database, "EXPLAIN QUERY PLAN", name)]

    assert any("USING INDEX deliveries_open (agent_id=?)" in line for line in plan), plan
    assert not any(line.startswith(("SCAN d", "SCAN m")) for line in plan), plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("turns_since", "attempts_for_others (agent_id=? AND started_ms>?)"),
        ("guards", "guards_stopped"),
    ],
)
def test_what_the_guard_asks_at_each_look_goes_by_an_index(
    database: Connection, name: str, index: str
):
    plan = [str(step[3]) for step in explained(database, "EXPLAIN QUERY PLAN", name)]

    assert any(index in line for line in plan), plan


@pytest.mark.parametrize("name", ["is_withheld", "tasks", "dead_letters"])
def test_whether_something_ended_without_a_yes_is_looked_up_by_its_delivery(
    database: Connection, name: str
):
    plan = [str(step[3]) for step in explained(database, "EXPLAIN QUERY PLAN", name)]

    assert any("transitions_of_delivery" in line for line in plan), plan


@pytest.mark.parametrize("name", HELD)
def test_what_is_held_is_found_without_walking_what_is_not(database: Connection, name: str):
    plan = [str(step[3]) for step in explained(database, "EXPLAIN QUERY PLAN", name)]

    assert any("held_mail" in line or "held_for_a_yes" in line for line in plan), plan
    assert not any("TEMP B-TREE" in line or line.startswith("SCAN m") for line in plan), plan
