"""A session is served by what is set for its own agent."""

from host_bench import KEY, Bench, running
from relay_core import AgentId, AgentPatch, DeliveryState, SendRequest
from relay_core.host_api import DecisionList
from relay_core.policies import OwnPolicy

OTHER = AgentId("builder")


async def test_whose_mail_needs_a_yes_is_said_for_one_agent_and_the_users_needs_none(
    bench: Bench,
):
    async with running(bench.host()):
        agent = await bench.attach()
    guarded = OwnPolicy(name=agent, hold_from=("*",))
    async with running(bench.host(own_policies=(guarded,))):
        request = SendRequest(to=agent, body="of another", from_=OTHER)
        asking = (await bench.hub.send(request)).id
        row = await bench.becomes(asking, DeliveryState.HELD, DeliveryState.DELIVERED)
        mine = await bench.send(agent, "of the user")
        await bench.becomes(mine, DeliveryState.DELIVERED)
        decided = await bench.ask("decisions", DecisionList, {"messageId": asking})

    assert (row.state, row.reason, row.held_until_ms) == (DeliveryState.HELD, "needs_yes", None)
    assert [item.text.count("of another") for item in bench.agent.threads[KEY].history] == [0]
    chosen = [each for each in decided.decisions if each.chosen]
    assert [(each.hook, each.plugin) for each in chosen] == [("on_message", "relay.attention")]


async def test_a_label_that_the_user_sets_brings_its_policy_at_once(bench: Bench):
    guarded = OwnPolicy(name="label:guarded", hold_from=("*",))
    async with running(bench.host(own_policies=(guarded,))):
        agent = await bench.attach()
        await bench.hub.change_agent(agent, AgentPatch(label="guarded"))
        request = SendRequest(to=agent, body="of another", from_=OTHER)
        message = (await bench.hub.send(request)).id
        row = await bench.becomes(message, DeliveryState.HELD, DeliveryState.DELIVERED)

    assert (row.state, row.reason) == (DeliveryState.HELD, "needs_yes")


async def test_what_is_set_for_another_agent_does_not_concern_this_one(bench: Bench):
    others = OwnPolicy(name="tag:elsewhere", hold_from=("*",))
    async with running(bench.host(own_policies=(others,))):
        agent = await bench.attach()
        request = SendRequest(to=agent, body="of another", from_=OTHER)
        message = (await bench.hub.send(request)).id

        await bench.becomes(message, DeliveryState.DELIVERED)
