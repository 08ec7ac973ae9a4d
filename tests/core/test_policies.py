"""Whom the lists of a recipient mean, and which policy holds for which agent."""

import pytest

from relay_core import OPERATOR, AgentId, Credential, Policy, Sender, is_from
from relay_core.policies import OwnPolicy, policy_for
from values import message

ALL = Policy(urgent_from=("all",), steer_from=("all",), hold_from=("all",), away_after_ms=5)
OWN = (
    OwnPolicy(name="tag:one", strategy="one", urgent_from=("one",), steer_from=("one",)),
    OwnPolicy(name="tag:two", strategy="two", hold_from=("two",)),
    OwnPolicy(name="label:the lead", strategy="label", urgent_from=("label",)),
    OwnPolicy(name="lead", strategy="id"),
    OwnPolicy(name="other", steer_from=("nobody",)),
)


def resolved(*tags: str, agent_id: str = "x", label: str | None = None) -> Policy:
    return policy_for(ALL, OWN, agent_id, label=label, tags=tags)


def test_without_anything_of_its_own_an_agent_has_the_policy_of_all():
    assert resolved("three", label="somebody") == ALL
    assert policy_for(ALL, (), "lead", label=None, tags=("one",)) is ALL


def test_the_id_beats_the_label_and_that_the_tag_value_by_value():
    found = resolved("one", agent_id="lead", label="the lead")

    assert found == Policy(
        strategy="id",
        urgent_from=("label",),
        steer_from=("one",),
        hold_from=("all",),
        away_after_ms=5,
    )


@pytest.mark.parametrize("tags", [("one", "two"), ("two", "one")])
def test_of_two_tags_the_one_that_stands_first_in_the_file_counts(tags: tuple[str, ...]):
    found = resolved(*tags)

    assert (found.strategy, found.hold_from) == ("one", ("two",))


def test_an_empty_list_is_a_value_too():
    own = (OwnPolicy(name="x", urgent_from=()), OwnPolicy(name="tag:t", urgent_from=("a",)))

    assert policy_for(ALL, own, "x", label=None, tags=("t",)).urgent_from == ()


@pytest.mark.parametrize("name", ["one", "the lead", "tag:lead", "label:one"])
def test_a_name_of_one_kind_means_nobody_of_another(name: str):
    own = (OwnPolicy(name=name, strategy="own"),)

    assert policy_for(ALL, own, "lead", label="the lead", tags=("one",)) == ALL


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ((), False),
        (("lead",), True),
        (("Lead",), False),
        (("tag:core",), True),
        (("tag:other",), False),
        (("core",), False),
        (("label:the lead",), True),
        (("the lead",), False),
        (("*",), True),
        (("operator",), False),
    ],
)
def test_a_list_names_ids_tags_labels_or_everybody(names: tuple[str, ...], meant: bool):  # noqa: FBT001
    sender = Sender(id=AgentId("lead"), label="the lead", tags=("core",))

    assert is_from(message(1, "lead", sender=sender), names) is meant


@pytest.mark.parametrize("credential", Credential)
def test_only_the_user_s_own_token_makes_an_operator(credential: Credential):
    sender = Sender(id=OPERATOR, credential=credential)
    word = message(1, OPERATOR, sender=sender)

    assert is_from(word, (OPERATOR,)) is (credential is Credential.USER)
