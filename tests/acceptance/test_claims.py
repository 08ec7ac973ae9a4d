"""Work that is handed out, as a person sees it and ends it for a session."""

from collections.abc import Iterator

import pytest

from user_commands import Relay, until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running hub with an echo agent and two that no host serves, one for this file."""
    user = Relay(tmp_path_factory.mktemp("served") / "home", in_process=True)
    user.write_config('[plugin."relay.echo"]\nagents = ["echo"]\n')
    user.up()
    until("the echo agent", lambda: "echo-home-echo" in user("agents").out)
    url = str(user("status", "--json").worked().json["hub"]["url"])
    for name in ("ada", "bob"):
        user.register(name, url, tags=["crew"])
    user.register("gone", url, tags=["crew"], status="offline")
    yield user
    user.end()


def handed_out(relay: Relay, text: str = "do it", target: str = "tag:crew", *more: str) -> int:
    sent = relay("send", target, text, "--claimable", "--json", *more).worked().json
    return int(sent["id"])


def test_work_is_listed_newest_first_and_in_pieces(served: Relay):
    old, middle, new = [handed_out(served, text) for text in ("first\x1b[2J", "second", "third")]
    served("claim", "take", str(old), "--as", "ada").worked()

    told = served("claim", "list", "--agent", "ada", "--limit", "2").worked().out.splitlines()
    rest = served("claim", "--agent", "ada", "--before", str(middle), "--json").worked().json
    shown = served("claim", "--before", str(middle)).worked().out

    columns = "MESSAGE STATE HOLDER SINCE LEASE LAPSES FROM SUBJECT"
    assert " ".join(told[0].split()) == columns
    assert [told[1].split()[0], told[2].split()[0]] == [str(new), str(middle)]
    assert told[-1] == f"and more: `agent-relay claim list --agent ada --before {middle}`"
    assert rest["more"] is False
    (task,) = [each for each in rest["claims"] if each["messageId"] == old]
    assert (task["state"], task["agentId"], task["from"]) == ("held", "ada", "operator")
    assert "first⟦U+001B⟧[2J" in shown
    assert "s left" in shown
    assert "nobody" in served("claim", "list", "--agent", "nobody").failed(1)


def test_work_is_listed_by_its_state(served: Relay):
    done = handed_out(served)
    served("claim", "take", str(done), "--as", "ada").worked()
    served("claim", "complete", str(done), "--as", "ada").worked()

    def listed(*options: str) -> set[int]:
        found = served("claim", "list", "--json", *options).worked().json["claims"]
        return {each["messageId"] for each in found}

    assert done not in listed()
    assert done in listed("--state", "done") & listed("--state", "all")
    assert done not in listed("--state", "open", "--state", "dead")
    assert "'gone' is not one of" in served("claim", "list", "--state", "gone").failed(2)


def test_a_result_reaches_the_sender_and_the_claim_says_how(served: Relay):
    number = handed_out(served, "review it", "tag:crew", "--subject", "the change")
    served("claim", "take", str(number), "--as", "bob").worked()
    told = served(
        "claim", "complete", str(number), "--result", "-", "--as", "bob", stdin=b"two\nfaults\n"
    )
    again = served("claim", "complete", str(number), "--as", "bob", "--json").worked().json
    inbox = served("inbox", "operator", "--json").worked().json["messages"]
    shown = served("claim", "show", str(number)).worked().out
    view = served("claim", "show", str(number), "--json").worked().json

    (result,) = [each for each in inbox if each["replyTo"] == number]
    assert (result["from"], result["type"], result["body"]) == ("bob", "result", "two\nfaults\n")
    assert told.worked().out == (
        f"message {number} is done; its sender has the result as message {result['id']}\n"
    )
    assert again["resultId"] == result["id"]
    assert "subject  the change" in shown
    assert "  faults" in shown
    assert f"message {result['id']}" in shown
    assert [step["event"] for step in view["events"]] == ["taken", "completed"]


def test_work_fails_with_a_reason(served: Relay):
    number = handed_out(served)
    served("claim", "take", str(number), "--as", "bob").worked()
    failed = served("claim", "fail", str(number), "--reason", "no access", "--as", "bob", "--json")
    shown = served("show", str(failed.worked().json["resultId"]), "--json").worked().json

    assert (failed.json["state"], failed.json["result"]) == ("failed", "no access")
    assert shown["meta"] == {"state": "failed"}


def test_work_that_is_given_back_is_for_the_others_and_again_is_harmless(served: Relay):
    number = handed_out(served)
    served("claim", "take", str(number), "--as", "ada").worked()
    told = [served("claim", "release", str(number), "--as", "ada").worked().out for _ in range(2)]
    refused = served("claim", "release", str(number), "--as", "bob").failed(1)
    served("claim", "take", str(number), "--as", "bob").worked()

    assert told == [f"ada has given message {number} back; it is open\n"] * 2
    assert "bob does not hold the claim" in refused


def test_who_is_away_holds_its_claim_for_one_lease(served: Relay):
    number = handed_out(served)
    taken = served("claim", "take", str(number), "--as", "gone").worked()
    held = served("claim", "take", str(number), "--as", "bob").failed(1)

    assert taken.out == f"message {number} is held by gone\n"
    assert "gone is away, so nobody keeps its claim: " in taken.err
    assert "gone has it" in held


def test_a_claim_that_a_person_takes_for_a_session_becomes_its_turn(served: Relay):
    number = handed_out(served, "errand", "echo-home-echo")
    shown = served("send", "echo-home-echo", "after it", "--wait", "30").worked()
    taken = served("claim", "take", str(number), "--as", "echo-home-echo").worked()
    states = served("show", str(number), "--json").worked().json["deliveries"]

    assert shown
    assert taken.err == ""
    assert [each["state"] for each in states] == ["delivered"]


def test_an_agent_is_named_or_the_shell_is_in_a_session(served: Relay):
    number = handed_out(served)
    nobody = served("claim", "take", str(number)).failed(2)
    nothing = served("claim", "complete", str(number), "--result", " ", "--as", "ada").failed(2)
    unknown = served("claim", "show", "999999").failed(1)

    assert "name one with --as AGENT" in nobody
    assert "--result" in nothing
    assert "there is no message 999999" in unknown
