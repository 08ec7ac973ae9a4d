"""A host writes down what was decided, so that the next one can tell it."""

from host_bench import Bench, running
from relay_core import DeliveryState, Message, Session, Verdict, hookimpl
from relay_core.decision_file import DecisionFile, read
from relay_core.recorded import MemoryRecord, RecordedDecision
from relay_hub.callers import USER


class Holding:
    @hookimpl
    def on_message(self, message: Message, session: Session) -> Verdict | None:
        return Verdict.hold("lunch") if "later" in message.body else None


def about(record: MemoryRecord, hook: str) -> list[RecordedDecision]:
    return [each for each in record.decisions if each.hook == hook]


async def test_each_decision_about_a_message_is_recorded(bench: Bench):
    record = MemoryRecord()
    async with running(bench.host(record=record)):
        agent = await bench.attach()
        sent = await bench.send(agent)
        await bench.becomes(sent, DeliveryState.DELIVERED)

    assert {each.hook for each in record.decisions} == {
        "on_message",
        "choose_delivery",
        "format_prompt",
    }
    assert all(each.is_about(sent) and each.agent_id == agent for each in record.decisions)
    (prompt,) = about(record, "format_prompt")
    assert prompt.plan is not None
    assert prompt.digest is not None
    assert [each.plugin for each in prompt.answers if each.chosen] == ["relay.prompt"]


async def test_a_yes_is_on_record(bench: Bench):
    record = MemoryRecord()
    async with running(bench.host(Holding(), record=record)):
        sent = await bench.send(await bench.attach(), "later")
        row = await bench.becomes(sent, DeliveryState.HELD)
        await bench.service.held.approve(row.id, USER)
        await bench.becomes(sent, DeliveryState.DELIVERED)

    first, *_, last = about(record, "on_message")
    assert (first.approved, b"lunch" in bytes(first.result)) == (False, True)
    assert (last.approved, b"deliver" in bytes(last.result)) == (True, True)
    assert [each.plugin for each in last.answers if each.chosen] == ["operator"]


async def test_a_host_that_stops_leaves_nothing_unwritten(bench: Bench):
    file = bench.places.decisions_file
    async with running(bench.host(record=DecisionFile(file, host="1", versions={}))):
        sent = await bench.send(await bench.attach())
        await bench.becomes(sent, DeliveryState.DELIVERED)

    assert {each.hook for each in read(file, sent).decisions} >= {"on_message", "format_prompt"}
