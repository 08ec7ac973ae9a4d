import pytest

from relay_core import AgentId
from relay_core.testing import Harness, HarnessSession, Sent


@pytest.fixture(autouse=True)
def first_responder(relay: Harness):
    relay.load("first-responder")


def work(relay: Harness, **meta: object) -> Sent:
    return relay.send("cap:build", "build it", from_="boss", claimable=True, meta=meta)


def taken_by(relay: Harness, sent: Sent) -> AgentId | None:
    relay.until(sent, "delivered", "skipped", within_s=120)
    return sent.view.claimed_by


def builder(relay: Harness, folder: str = "/projects/shop", *tags: str) -> HarnessSession:
    return relay.open(folder, capabilities=("build",), tags=tags)


def test_each_piece_of_work_goes_to_whoever_holds_the_least(relay: Harness):
    sessions = [builder(relay) for _ in range(3)]

    takers = [taken_by(relay, work(relay)) for _ in sessions]

    assert set(takers) == {each.agent_id for each in sessions}


def test_the_project_that_is_named_comes_first(relay: Harness):
    builder(relay, "/projects/docs")
    at_home = builder(relay, "/projects/shop")
    builder(relay, "/projects/tools")

    for _ in range(3):
        assert taken_by(relay, work(relay, project="shop")) == at_home.agent_id


def test_whoever_is_in_a_turn_lets_those_at_rest_go_first(relay: Harness):
    busy, free = builder(relay), builder(relay)
    busy.type("a long piece of work")
    busy.run_a_tool()

    assert taken_by(relay, work(relay)) == free.agent_id


def test_where_nobody_fits_anybody_takes_it_later(relay: Harness):
    elsewhere = builder(relay, "/projects/docs")
    sent = work(relay, project="shop")

    relay.until(sent, "held", within_s=5)
    assert sent.reason == "others_first"

    assert taken_by(relay, sent) == elsewhere.agent_id


def test_no_load_makes_work_wait_longer_than_the_table_says(relay: Harness):
    relay.configure("first-responder", elsewhere_s=3_600, at_most_s=5)
    builder(relay, "/projects/docs")

    relay.until(work(relay, project="shop"), within_s=10)


def test_a_session_with_one_of_these_tags_claims_nothing(relay: Harness):
    relay.configure("first-responder", never_tags=["reviewer"])
    builder(relay, "/projects/shop", "reviewer")
    worker = builder(relay, "/projects/docs")
    sent = work(relay, project="shop")

    assert taken_by(relay, sent) == worker.agent_id
    assert {each.reason for each in sent.deliveries} >= {"claim_declined"}


def test_work_for_one_session_and_mail_that_is_no_work_come_at_once(relay: Harness):
    session = builder(relay, "/projects/docs")
    own = relay.send(session, "build it", claimable=True, meta={"project": "shop"})

    relay.until(own, within_s=3)
    relay.until(relay.send("cap:build", "hello", meta={"project": "shop"}), within_s=3)


@pytest.mark.parametrize("project", [7, ["shop"], {"name": "shop"}])
def test_what_a_sender_writes_there_may_be_anything(relay: Harness, project: object):
    builder(relay, "/projects/docs")

    relay.until(work(relay, project=project), within_s=3)
