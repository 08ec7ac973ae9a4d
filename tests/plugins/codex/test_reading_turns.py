"""What is known of a turn whose items could not all be read."""

from typing import Any, cast

import pytest

from relay_core import AttemptId
from relay_plugins.codex import history
from relay_plugins.codex.client import CallRefused, Connection
from relay_plugins.codex.history import LEGACY, PAGINATED, read_whole_turn
from relay_plugins.codex.wire import Item, ItemsListResult, ListedItem, RpcError, Thread, Turn

OWN = AttemptId("a" * 32)
ITEMS = (
    Item(type="userMessage", client_id=f"relay:{OWN}"),
    Item(type="agentMessage", text="said to somebody"),
)
TURN = Turn(id="t", status="completed", items=ITEMS)


class Codex:
    """Answers every call with the same, or refuses it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def call(self, method: str, params: object, kind: object) -> Any:
        if isinstance(self._answer, str):
            raise CallRefused(method, RpcError(message=self._answer))
        return self._answer


async def read(answer: Any, mode: str = PAGINATED) -> history.TurnReading:
    connection = cast("Connection", Codex(answer))
    return await read_whole_turn(connection, Thread(id="thread", history_mode=mode), TURN)


def listed(*items: Item) -> ItemsListResult:
    return ItemsListResult(data=tuple(ListedItem(item=item) for item in items))


async def test_a_turn_that_was_read_whole_has_last_words():
    reading = await read(listed(*ITEMS))

    assert (reading.started_by, reading.final_text) == (OWN, "said to somebody")


@pytest.mark.parametrize("mode", [PAGINATED, LEGACY])
async def test_a_turn_of_which_only_the_summary_is_known_has_none(mode: str):
    reading = await read("thread/items/list is not supported yet", mode)

    assert (reading.started_by, reading.final_text) == (OWN, None)


async def test_a_turn_with_more_items_than_are_read_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "MOST_ITEMS", 2)

    assert (await read(listed(*ITEMS))).final_text is None


@pytest.mark.parametrize("mode", [PAGINATED, LEGACY])
async def test_nothing_is_known_to_be_unread_in_a_turn_that_was_read_in_part(mode: str):
    turn = Turn(id="t", status="completed", items=(*ITEMS, ITEMS[0]))
    connection = cast("Connection", Codex("thread/items/list is not supported yet"))

    reading = await read_whole_turn(connection, Thread(id="thread", history_mode=mode), turn)

    assert not reading.unread
