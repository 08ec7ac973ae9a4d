"""Which agent a command acts as."""

import pytest

from relay_cli.caller import agent_of_thread
from relay_cli.commands.tags import own_tags
from relay_cli.problems import Failed
from relay_core.sessions import Agent


def agent(name: str, **fields: object) -> Agent:
    return Agent(id=name, **fields)


def test_it_is_the_one_with_the_threads_id():
    agents = [agent("a", thread_id="1"), agent("b", thread_id="2"), agent("c")]

    assert agent_of_thread(agents, "2").id == "b"


def test_of_several_it_is_the_one_that_is_there_now():
    agents = [
        agent("gone", thread_id="1", last_seen_ms=9),
        agent("here", thread_id="1", last_seen_ms=5, reachable=True),
    ]

    assert agent_of_thread(agents, "1").id == "here"


def test_of_several_that_are_gone_it_is_the_one_that_was_seen_last():
    agents = [agent("b", thread_id="1", last_seen_ms=9), agent("a", thread_id="1")]

    assert agent_of_thread(agents, "1").id == "b"


@pytest.mark.parametrize("thread_id", ["3", "", "none"])
def test_where_there_is_none_it_is_said_how_to_name_one(thread_id: str):
    with pytest.raises(Failed) as refused:
        agent_of_thread([agent("a", thread_id="1"), agent("b")], thread_id)

    assert "--as" in (refused.value.fix or "")


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"adapter": "codex", "rig": "codex-live", "meta": b'{"cwd":"/srv/web/"}'},
         ("codex", "codex-live", "web")),
        ({"adapter": "codex", "rig": None, "meta": b'{"cwd":"/"}'}, ("codex",)),
        ({"adapter": None, "rig": None, "meta": b"[]"}, ()),
    ],
)  # fmt: skip
def test_the_tags_that_say_what_a_session_is_are_known(fields: dict, kept: tuple[str, ...]):
    tagged = agent("a", tags=("codex", "codex-live", "web", "urgent"), **fields)

    assert own_tags(tagged) == kept
