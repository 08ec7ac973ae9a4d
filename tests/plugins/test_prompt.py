"""The words round a message say who sent it and how to answer, and nothing a sender wrote."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core import (
    HUB,
    OPERATOR,
    AgentId,
    Credential,
    DeliveryPlan,
    Message,
    Mode,
    Prompt,
    Sender,
)
from relay_core.fence import fence, parse
from relay_core.testing import Asked
from values import NOW_MS, message, session

RELAY_PROMPT = Asked("relay.prompt")
format_context = RELAY_PROMPT.format_context
format_prompt = RELAY_PROMPT.format_prompt

START = DeliveryPlan.start()
DIGEST = DeliveryPlan(mode=Mode.START, digest=True)
FENCE_ID = "a" * 32


def header(prompt: Prompt, at: int = 0) -> dict[str, str]:
    return dict(prompt.parts[at].header)


def test_a_message_is_shown_with_all_that_is_known_of_it():
    whole = message(
        7,
        subject="flaky tests",
        reply_to=3,
        channel="ci",
        pair_id="pair-1",
        sender=Sender(id=AgentId("builder"), label="the builder"),
        body="look\nhere",
    )
    prompt = format_prompt([whole], session(), START)

    assert header(prompt) == {
        "Message": "7",
        "From": "builder",
        "Label": "the builder",
        "Subject": "flaky tests",
        "In reply to": "3",
        "Channel": "ci",
        "Pair": "pair-1",
    }
    assert prompt.parts[0].body == "look\nhere"


def test_a_message_that_was_edited_on_its_way_says_by_whom():
    prompt = format_prompt([message(edited_by=OPERATOR)], session(), START)

    assert header(prompt)["Edited by"] == "operator"
    assert '│ Edited by: "operator"' in fence(prompt, FENCE_ID)


def test_what_is_not_known_is_not_shown():
    assert set(header(format_prompt([message()], session(), START))) == {"Message", "From"}


def test_one_message_shows_the_command_that_answers_it():
    prompt = format_prompt([message(7)], session(), START)

    command = "agent-relay send builder TEXT --from codex-demo-1 --reply-to 7"
    assert command in prompt.footer


@pytest.mark.parametrize(
    ("mail", "tools"),
    [
        ([message(7)], ["relay_reply with messageId 7"]),
        ([message(1), message(2)], ["relay_reply with its Message number"]),
        ([message(1, pair_id="pair-1", type="pair.invite")], ["relay_pair_accept", "_reject"]),
        ([message(1, pair_id="pair-1", type="pair.message")], ["relay_pair_send", "_hang_up"]),
        ([message(1, claimable=True)], ["relay_complete", "relay_release", "relay_fail"]),
    ],
)
def test_the_tools_are_named_before_the_commands(mail: list[Message], tools: list[str]):
    footer = format_prompt(mail, session(), START).footer

    assert all(tool in footer for tool in tools)
    assert footer.index("relay_") < footer.index("agent-relay ")


def test_several_messages_are_one_prompt_in_their_order():
    prompt = format_prompt([message(1), message(2, "tester")], session(), START)

    assert [part.message_id for part in prompt.parts] == [1, 2]
    assert prompt.header.startswith("2 messages, oldest first, from other agents")
    assert "--reply-to MESSAGE" in prompt.footer


def test_it_says_that_the_text_is_another_agent_s_and_not_the_user_s():
    prompt = format_prompt([message()], session(), START)

    assert "not by your user" in prompt.header


@pytest.mark.parametrize(
    ("credential", "claims"), [(Credential.USER, True), (Credential.AGENT, False)]
)
def test_only_the_user_s_token_is_called_the_user_s(credential: Credential, claims: bool):  # noqa: FBT001
    word = message(1, OPERATOR, sender=Sender(id=OPERATOR, credential=credential))
    prompt = format_prompt([word], session(), START)

    assert ("relay token of this machine's user" in prompt.header) is claims
    mixed = format_prompt([word, message(2)], session(), START)
    assert "from other agents" in mixed.header


def test_claimable_work_says_whose_it_is():
    work = message(1, claimable=True, claimed_by=AgentId("codex-demo-1"))
    prompt = format_prompt([work], session(), START)

    assert header(prompt)["Claimable"].startswith("codex-demo-1 holds this work")
    assert "yours alone" in prompt.footer


@pytest.mark.parametrize(
    ("approval", "http"),
    [
        ("open", True),
        ("danger-full-access/on-request", True),
        ("guarded", False),
        ("workspace-write/never", False),
        ("read-only", False),
    ],
)
def test_http_is_shown_only_where_the_session_can_open_sockets(approval: str, http: bool):  # noqa: FBT001
    prompt = format_prompt([message()], session(approval=approval), START)

    assert ("http://127.0.0.1:4850/api/messages" in prompt.footer) is http
    assert ("sandbox" in prompt.footer) is not http


def test_of_a_mode_that_is_not_known_only_what_is_always_true_is_said():
    footer = format_prompt([message()], session(approval=None), START).footer

    assert "where your commands run without a sandbox" in footer
    assert "in a sandbox they reach no network" in footer
    assert "approval mode: not known yet" in format_context(session(approval=None))


def test_an_id_that_is_no_plain_word_is_kept_out_of_the_command():
    prompt = format_prompt([message(1, "x; rm -rf ~")], session(), START)

    assert "rm -rf" not in prompt.footer
    assert "agent-relay send FROM TEXT" in prompt.footer


def test_an_invitation_shows_how_to_accept_and_how_to_turn_it_down():
    invitation = message(1, pair_id="pair-1", type="pair.invite")
    footer = format_prompt([invitation], session(), START).footer

    assert "agent-relay pair accept pair-1 --from codex-demo-1" in footer
    assert "agent-relay pair reject pair-1 --from codex-demo-1" in footer
    assert "agent-relay send" not in footer


@pytest.mark.parametrize("kind", ["pair.accepted", "pair.message"])
def test_what_is_said_in_a_pair_is_answered_in_the_pair(kind: str):
    said = message(1, pair_id="pair-1", type=kind)
    alone = format_prompt([said], session(approval="open"), START).footer
    among_others = format_prompt([message(2), said], session(), START).footer

    assert "agent-relay pair send pair-1 TEXT --from codex-demo-1" in alone
    assert "http://127.0.0.1:4850/api/pairs/pair-1/messages" in alone
    assert "agent-relay pair send PAIR TEXT" in among_others
    assert "agent-relay send FROM TEXT" in among_others


def test_a_type_alone_makes_no_pair():
    footer = format_prompt([message(1, type="pair.invite")], session(), START).footer

    assert "agent-relay pair" not in footer


@pytest.mark.parametrize("kind", ["pair.rejected", "pair.ended"])
def test_the_end_of_a_pair_needs_no_answer(kind: str):
    footer = format_prompt([message(1, pair_id="pair-1", type=kind)], session(), START).footer

    assert "needs no answer" in footer
    assert "agent-relay" not in footer


@pytest.mark.parametrize(
    ("credential", "is_hubs"), [(Credential.HUB, True), (Credential.AGENT, False)]
)
def test_only_the_hub_itself_is_called_the_hub(credential: Credential, is_hubs: bool):  # noqa: FBT001
    notice = message(1, HUB, sender=Sender(id=HUB, credential=credential))
    prompt = format_prompt([notice], session(), START)

    assert ("from its hub itself" in prompt.header) is is_hubs
    assert ("needs no answer" in prompt.footer) is is_hubs


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(body=WORDS, subject=WORDS, channel=WORDS, pair=WORDS, label=WORDS, digest=st.booleans())
def test_nothing_that_a_sender_wrote_leaves_the_fence(
    *, body: str, subject: str, channel: str, pair: str, label: str, digest: bool
):
    sender = Sender(id=AgentId("builder"), label=label)
    hostile = message(1, body=body, subject=subject, channel=channel, pair_id=pair, sender=sender)
    plain = message(1, body="x", sender=Sender(id=AgentId("builder")))
    plan = DIGEST if digest else START
    prompt, harmless = (format_prompt([each], session(), plan) for each in (hostile, plain))

    assert (prompt.header, prompt.footer) == (harmless.header, harmless.footer)
    assert parse(fence(prompt, FENCE_ID), FENCE_ID) == prompt.parts


def test_no_prompt_and_no_context_holds_a_token():
    texts = [
        str(format_prompt([message()], session(), START)),
        format_context(session(label="x", tags=("a",))),
    ]

    for text in texts:
        assert not re.search(r"[A-Za-z0-9_-]{32,}", text)


# --- the digest ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "begin"),
    [
        ({"away_ms": 45 * 60_000}, "While this session was away (45 min), 2 messages came in"),
        ({"quiet_until_ms": NOW_MS + 1}, "While this session was quiet, 2 messages came in"),
        (
            {"quiet_until_ms": NOW_MS + 1, "away_ms": 60_000},
            "While this session was quiet and away (1 min), 2 messages came in",
        ),
        ({"quiet_until_ms": NOW_MS}, "2 messages came in"),
        ({}, "2 messages came in"),
    ],
)
def test_a_digest_says_what_the_session_was_meanwhile(fields: dict[str, int], begin: str):
    later = session(now=NOW_MS + 9, **fields)

    assert format_prompt([message(1), message(2)], later, DIGEST).header.startswith(begin)
    assert "1 message came in" in format_prompt([message(1)], later, DIGEST).header


def test_a_digest_shows_subjects_and_ids_and_no_bodies():
    mail = [
        message(1, subject="first", body="the first body"),
        message(2, body="no subject here, but a long first line " + "x" * 90 + "\nsecond line"),
        message(3, body=" \n"),
    ]
    prompt = format_prompt(mail, session(away_ms=45 * 60_000), DIGEST)

    assert [part.message_id for part in prompt.parts] == [1, 2, 3]
    assert {part.body for part in prompt.parts} == {""}
    assert header(prompt, 0)["Subject"] == "first"
    assert len(header(prompt, 1)["Begins"]) <= 81
    assert "Begins" not in header(prompt, 2)
    assert "45 min" in prompt.header
    assert "relay_inbox with messageId 1" in prompt.footer
    assert "agent-relay show 1" in prompt.footer
    assert "agent-relay inbox codex-demo-1" in prompt.footer


# --- the context -----------------------------------------------------------------------------


def test_the_context_tells_a_session_who_it_is_and_what_it_can_do():
    text = format_context(
        session(
            label="frontend dev",
            profile="frontend",
            tags=("codex", "ui"),
            capabilities=("chat",),
            channels=("frontend",),
            approval="guarded",
        )
    )

    for known in (
        "codex-demo-1", "http://127.0.0.1:4850", "frontend dev", "profile: frontend", "codex, ui",
        "capabilities: chat", "channels: frontend", "guarded, commands run in a sandbox",
        "agent-relay send", "tag:NAME", "cap:NAME", "label:NAME", "broadcast", "--reply-to",
        "relay_reply", "relay_send", "relay_agents",
        "neither thanks", "agent-relay /pair TARGET", "/pair send", "/pair status",
        "agent-relay /disconnect", "agent-relay /status", "agent-relay /label", "agent-relay /tags",
    ):  # fmt: skip
        assert known in text
    assert len(text) < 4 * 1_000, "some 1,000 tokens: Codex cuts what has more than 2,500"


def test_the_context_leaves_out_what_is_not_there_and_is_one_line():
    text = format_context(session(label="two\nlines"))

    assert "profile:" not in text
    assert "channels:" not in text
    assert "label: two lines" in text
    assert "\n" not in text


def test_the_same_question_has_the_same_answer():
    asked = ([message(1), message(2)], session(now=NOW_MS), START)

    assert format_prompt(*asked) == format_prompt(*asked)


def test_a_request_says_that_the_final_message_of_its_own_turn_is_the_answer():
    request = message(7, type="request")
    own = format_prompt([request], session(), START).footer
    joined = format_prompt([request], session(), DeliveryPlan.steer()).footer
    plain = format_prompt([message(7)], session(), START).footer

    assert "The final message of this turn is sent" in own
    assert "relay_reply with messageId 7" in own
    assert "nothing of this turn is sent" in joined
    assert "relay_reply with messageId 7" in joined
    assert "request" not in plain
