"""How an agent is named after its session."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.sessions import agent_id_for

THREAD = "019a8b5e-7c1d-7f3a-9b2e-4d5c6a7b8c9d"


@pytest.mark.parametrize(
    ("cwd", "project"),
    [
        ("/projects/My App", "my-app"),
        ("/projects/app/", "app"),
        ("/", "home"),
        ("", "home"),
        ("/projects/ünï", "n"),
        ("/projects/" + "long" * 20, "long" * 6),
        ("/projects/back_end-2", "back_end-2"),
    ],
)
def test_the_project_is_the_last_folder(cwd: str, project: str):
    assert agent_id_for("codex", cwd, THREAD) == f"codex-{project}-4d5c6a7b8c9d"


def test_the_name_is_the_same_after_a_resume():
    assert agent_id_for("codex", "/w/app", THREAD) == agent_id_for("codex", "/w/app", THREAD)


@given(st.text(), st.text())
def test_any_folder_and_thread_make_a_plain_name(cwd: str, thread: str):
    name = agent_id_for("codex", cwd, thread)

    assert re.fullmatch(r"codex-[a-z0-9_-]{1,24}-[a-z0-9]{1,12}", name)
