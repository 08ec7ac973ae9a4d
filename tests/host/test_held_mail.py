"""What a person decides about held mail, as a host carries it out."""

import asyncio
import json

from host_bench import KEY, PATIENCE_S, Bench, running
from relay_core import DeliveryState, Message, MessageId, Session, Verdict, hookimpl
from relay_core.held_mail import HeldPatch
from relay_core.host_api import DecisionList
from relay_core.messages import DeliveryId
from relay_hub.callers import USER


class Strict:
    """A plugin that never lets anything through."""

    def __init__(self) -> None:
        self.asked = 0

    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict:
        del message, session
        self.asked += 1
        return Verdict.hold("needs_yes")


async def held(bench: Bench, agent: str, body: str = "as sent") -> tuple[MessageId, DeliveryId]:
    message = await bench.send(agent, body)
    return message, (await bench.becomes(message, DeliveryState.HELD)).id


def texts(bench: Bench) -> list[str]:
    return [item.text for item in bench.agent.threads[KEY].history]


async def test_what_was_approved_is_delivered_though_its_plugin_would_hold_it_again(bench: Bench):
    strict = Strict()
    async with running(bench.host(strict)):
        agent = await bench.attach()
        message, number = await held(bench, agent)
        await bench.service.held.approve(number, USER)
        await bench.becomes(message, DeliveryState.DELIVERED)
        found = await bench.ask("decisions", DecisionList, {"messageId": message})

    assert strict.asked == 2
    told = [(each.plugin, json.loads(bytes(each.answer)), each.chosen) for each in found.decisions
            if each.hook == "on_message"]  # fmt: skip
    assert ("operator", "approved", True) in told
    assert not any(chosen for plugin, _, chosen in told if plugin != "operator")


async def test_a_yes_outlives_the_host_that_would_have_asked_again(bench: Bench):
    async with running(bench.host(Strict())):
        agent = await bench.attach()
        message, number = await held(bench, agent)
    await bench.service.held.approve(number, USER)

    strict = Strict()
    async with running(bench.host(strict)):
        await bench.becomes(message, DeliveryState.DELIVERED)

    assert strict.asked == 1


async def test_a_yes_outlives_an_attempt_that_is_found_absent(bench: Bench):
    async with running(bench.host(Strict())):
        agent = await bench.attach()
        message, number = await held(bench, agent)
        bench.agent.type(KEY, "the user's own words")
        bench.agent.run_a_tool(KEY)
        await bench.service.held.approve(number, USER)
        await bench.becomes(message, DeliveryState.INJECTING)
        bench.agent.user_interrupts(KEY)
        lost = await bench.becomes(message, DeliveryState.QUEUED)
        bench.agent.in_a_tool.clear()
        bench.agent.type(KEY, "and on we go")
        row = await bench.becomes(message, DeliveryState.DELIVERED)

    assert lost.approved_ms == row.approved_ms is not None


async def test_the_session_gets_the_edited_text_and_is_told_who_edited_it(bench: Bench):
    async with running(bench.host(Strict())):
        agent = await bench.attach()
        message, number = await held(bench, agent)
        await bench.service.held.edit(number, HeldPatch(body="as edited"), USER)
        await asyncio.sleep(0)
        assert (await bench.row(message)).state is DeliveryState.HELD
        await bench.service.held.approve(number, USER)
        await bench.becomes(message, DeliveryState.DELIVERED)

    (text,) = texts(bench)
    assert "as edited" in text
    assert "as sent" not in text
    assert 'Edited by: "operator"' in text


async def test_one_that_waits_for_a_yes_keeps_no_other_waiting(bench: Bench):
    class OnlyTheFirst:
        @hookimpl
        def on_message(self, message: Message, session: Session) -> Verdict | None:
            del session
            return Verdict.hold("needs_yes") if message.body == "first" else None

    async with running(bench.host(OnlyTheFirst())), asyncio.timeout(PATIENCE_S):
        agent = await bench.attach()
        first, _ = await held(bench, agent, "first")
        second = await bench.send(agent, "second")
        await bench.becomes(second, DeliveryState.DELIVERED)

        assert (await bench.row(first)).state is DeliveryState.HELD
