"""How messages enter a real session: at rest, during a turn, urgent, after the user's interrupt."""

import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from real_codex import Workplace
from relay_plugins.codex.testing import CodexServer, Say, ShellCall, StubModel, Until
from relay_rig import Rig

MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(
    short_path: Path, workplace: Workplace, codex_server: CodexServer, stub_model: StubModel
) -> MakeRig:
    return partial(Rig, short_path, workplace, codex_server, stub_model)


@pytest.fixture
async def rig(make_rig: MakeRig) -> AsyncIterator[Rig]:
    async with make_rig() as everything:
        yield everything


async def users_turn(rig: Rig, command: str) -> str:
    """Let the user's turn run a shell command, and wait until it does."""
    before = len(rig.model.requests())
    rig.model.enqueue(ShellCall(command))
    turn = await rig.codex.start_turn(rig.thread, "the user's own words", None)
    await rig.model.requests_reach(before + 1)
    return turn


async def test_at_rest_a_message_becomes_a_turn_of_its_own_inside_the_fence(rig: Rig):
    message = await rig.send("which way is north?", subject="a question")

    delivery = await rig.becomes(message, "delivered")
    await rig.rest()
    turns = await rig.codex.turns(rig.thread)
    (text,) = await rig.texts()

    assert delivery["turnId"] == turns[0].id
    assert text.count("which way is north?") == 1
    assert "│ which way is north?\n└─ end of relay message" in text
    assert set(rig.model.counts("which way is north?")) == {1}


async def test_during_a_turn_a_message_is_steered_in_and_proved_when_codex_lists_it(rig: Rig):
    turn = await users_turn(rig, "sleep 2")
    message = await rig.send("while you work")

    injecting = await rig.becomes(message, "injecting")
    listed_meanwhile = [text for text in await rig.texts() if "while you work" in text]
    delivery = await rig.becomes(message, "delivered")

    assert injecting["turnId"] is None
    assert listed_meanwhile == []
    assert delivery["turnId"] == turn
    assert [text for text in await rig.texts() if "while you work" in text]


async def test_an_urgent_message_of_the_operators_interrupts(rig: Rig):
    turn = await users_turn(rig, "sleep 30")
    message = await rig.send("stop that", urgent=True)

    delivery = await rig.becomes(message, "delivered")
    turns = {each.id: each.status for each in await rig.codex.turns(rig.thread)}

    assert delivery["turnId"] != turn
    assert turns[turn] == "interrupted"


async def test_an_urgent_message_interrupts_a_turn_that_holds_a_steered_one_in_doubt(rig: Rig):
    await users_turn(rig, "sleep 30")
    first = await rig.send("no hurry")
    await rig.becomes(first, "injecting", "uncertain")
    second = await rig.send("stop that", urgent=True)

    await rig.becomes(first, "delivered")
    await rig.becomes(second, "delivered")
    await rig.rest()
    shown = "\n".join(await rig.texts())

    assert (shown.count("no hurry"), shown.count("stop that")) == (1, 1)
    assert shown.index("no hurry") < shown.index("stop that")


async def test_an_urgent_message_of_another_is_downgraded_and_the_trace_says_so(rig: Rig):
    turn = await users_turn(rig, "sleep 1.5")
    message = await rig.send("stop that", urgent=True, **{"from": "stranger"})

    delivery = await rig.becomes(message, "delivered")
    turns = {each.id: each.status for each in await rig.codex.turns(rig.thread)}

    assert delivery["turnId"] == turn
    assert turns[turn] != "interrupted"
    assert "urgent" in await rig.why(message)


async def test_with_patient_a_message_waits_for_the_end_of_the_turn(make_rig: MakeRig):
    async with make_rig(delivery='strategy = "patient"') as rig:
        turn = await users_turn(rig, "sleep 1.5")
        message = await rig.send("when you are done")
        await rig.until(partial(is_waiting, rig, "busy"), "the session is busy", rig.host)

        delivery = await rig.becomes(message, "delivered")
        turns = {each.id: each.status for each in await rig.codex.turns(rig.thread)}

    assert delivery["turnId"] != turn
    assert turns[turn] == "completed"


async def is_waiting(rig: Rig, reason: str) -> bool:
    return await rig.waiting() == reason


async def test_after_the_users_interrupt_nothing_comes_until_the_users_next_turn(rig: Rig):
    turn = await users_turn(rig, "sleep 30")
    message = await rig.send("steered and gone")
    await rig.becomes(message, "injecting", "uncertain")
    await rig.codex.interrupt(rig.thread, turn)

    queued = await rig.becomes(message, "queued")
    await rig.until(partial(is_waiting, rig, "user_interrupted"), "it is quiet", rig.host)
    turns_then = await rig.codex.turns(rig.thread)
    rig.model.enqueue(Say("here I am"))
    await rig.codex.start_turn(rig.thread, "the user again", None)
    await rig.becomes(message, "delivered")

    assert queued["attempts"] == 0
    assert len(turns_then) == 1
    assert "\n".join(await rig.texts()).count("steered and gone") == 1


async def test_what_waits_together_goes_in_one_turn_in_order(make_rig: MakeRig):
    async with make_rig(delivery='strategy = "patient"') as rig:
        gate = threading.Event()
        rig.model.enqueue(Until(gate))
        await rig.codex.start_turn(rig.thread, "the user's own words", None)
        await rig.model.requests_reach(1)
        sent = [await rig.send(f"letter {number}.") for number in range(3)]
        gate.set()
        turns = {(await rig.becomes(message, "delivered"))["turnId"] for message in sent}
        shown = (await rig.texts())[-1]

    assert len(turns) == 1
    assert [shown.count(f"letter {number}.") for number in range(3)] == [1, 1, 1]
    assert shown.index("letter 0.") < shown.index("letter 1.") < shown.index("letter 2.")


async def test_mail_sent_while_the_session_is_away_arrives_once(rig: Rig):
    first = await rig.send("before")
    await rig.becomes(first, "delivered")
    await rig.rest()
    await rig.server.kill()
    second = await rig.send("while away")
    await rig.revive_codex()

    await rig.becomes(second, "delivered")
    shown = "\n".join(await rig.texts())

    assert (shown.count("before"), shown.count("while away")) == (1, 1)


async def test_mail_sent_while_the_host_is_down_arrives_once(rig: Rig):
    rig.host.kill()
    message = await rig.send("between two registrations")
    rig.host.start()

    await rig.becomes(message, "delivered")

    assert "\n".join(await rig.texts()).count("between two registrations") == 1


async def test_mail_survives_a_restart_of_the_hub(rig: Rig):
    rig.host.kill()
    message = await rig.send("kept on disk")
    rig.hub.kill()
    rig.hub.start()
    # A host that finds no hub where it should be would run one itself.
    await rig.until(rig.hub_answers, "the hub is back", rig.hub)
    rig.host.start()

    await rig.becomes(message, "delivered")

    assert "\n".join(await rig.texts()).count("kept on disk") == 1


async def test_mail_sent_while_the_hub_restarts_under_a_running_host_arrives_once(rig: Rig):
    rig.hub.kill()
    rig.hub.start()
    await rig.until(rig.hub_answers, "the hub is back", rig.hub)
    message = await rig.send("right after the restart")

    await rig.becomes(message, "delivered")

    assert "\n".join(await rig.texts()).count("right after the restart") == 1


async def test_the_end_of_the_turn_is_a_fact_of_its_own(rig: Rig):
    rig.model.enqueue(Say("north is up"))
    message = await rig.send("which way is north?")
    await rig.becomes(message, "delivered")

    async def ended() -> bool:
        return (await rig.show(message))["turnStatus"] == "completed"

    await rig.until(ended, "the turn's end is known", rig.host)


async def test_a_message_on_a_channel_that_is_not_subscribed_is_skipped(make_rig: MakeRig):
    rig = make_rig()
    config = rig.host.home / "config"
    profile = '{"back": {"channels": ["backend"], "match": ["%s"]}}'
    (config / "profiles.json").write_text(profile % rig.workplace.cwd)
    async with rig:
        other = await rig.send("for the frontend", channel="frontend")
        own = await rig.send("for the backend", channel="backend")

        skipped = await rig.becomes(other, "skipped")
        await rig.becomes(own, "delivered")

    assert skipped["reason"] == "channel"


async def test_a_claimable_message_reaches_one_agent_and_its_neighbours_are_not_kept(rig: Rig):
    thread, agent = await rig.new_session()
    async with rig.http() as http:
        answer = await http.post(
            "/api/messages", json={"to": "cap:chat", "body": "who takes this?", "claimable": True}
        )
    message = answer.json()["id"]
    await rig.send("and this is yours alone")

    async def all_settled() -> bool:
        async with rig.http() as http:
            shown = (await http.get(f"/api/messages/{message}")).json()["deliveries"]
        return {each["state"] for each in shown} == {"delivered", "skipped"}

    await rig.until(all_settled, "one delivered, one skipped", rig.host)
    mine = "\n".join(await rig.texts())
    other = "\n".join(item.text for item in await rig.codex.user_items(thread))

    assert agent != rig.agent
    assert (mine + other).count("who takes this?") == 1


async def test_when_the_agent_that_claimed_is_gone_another_gets_the_work(make_rig: MakeRig):
    async with make_rig(limits='claim_lease = "2s"') as rig:
        other_thread, other = await rig.new_session()
        async with rig.http() as http:
            sent = await http.post(
                "/api/messages",
                json={"to": "cap:chat", "body": "who takes this?", "claimable": True},
            )
        message = sent.json()["id"]

        async def holders() -> dict[str, str]:
            async with rig.http() as http:
                shown = (await http.get(f"/api/messages/{message}")).json()["deliveries"]
            return {each["agentId"]: each["state"] for each in shown}

        async def delivered_to(count: int) -> bool:
            return list((await holders()).values()).count("delivered") == count

        await rig.until(partial(delivered_to, 1), "one has it", rig.host)
        first = next(name for name, state in (await holders()).items() if state == "delivered")
        await rig.command("-m", "relay_cli.codex_main", "detach", first, "--json")
        await rig.until(partial(delivered_to, 2), "the other has it, too", rig.host)

        mine = "\n".join(await rig.texts())
        theirs = "\n".join(item.text for item in await rig.codex.user_items(other_thread))

    assert first in {rig.agent, other}
    assert (mine.count("who takes this?"), theirs.count("who takes this?")) == (1, 1)


async def test_a_second_instance_fences_the_first_and_its_mail_is_not_touched(rig: Rig):
    async with rig.http() as http:
        answer = await http.post("/api/agents", json={"id": rig.agent, "instanceId": "another"})
        answer.raise_for_status()

    async def fenced() -> bool:
        return [each["connection"] for each in await rig.sessions()] == ["fenced"]

    await rig.until(fenced, "the first instance has stopped", rig.host)
    message = await rig.send("for the new one")

    assert (await rig.show(message))["state"] == "queued"
    assert await rig.texts() == []
