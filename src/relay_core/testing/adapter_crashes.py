"""What must hold when agent or host die at any step of a delivery: the message is there once.

Played with the relay's own sidecar and hub, so that it is the rule "no new attempt before the
earlier one is resolved" and this adapter's evidence together that are tested.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from relay_core.errors import AdapterError
from relay_core.sessions import Proof
from relay_core.testing.adapter_driver import NotMeasured, Play
from relay_core.testing.adapter_host import Relay, Step, Tap, hub_in_memory
from relay_core.testing.adapter_scene import Scene, must, refusal

DOWN_S = 0.3
"""How long a killed agent stays away."""

COMPANY = ("one", "another", "a third")


async def no_message_is_made_twice_when_the_answer_is_lost(scene: Scene) -> None:
    """A message whose hand-over got no answer is in the session once."""

    def answer_lost(relay: Relay) -> Tap:
        async def lose() -> None:
            raise AdapterError(relay.scene.driver.name, "the answer was lost")

        return lose

    await _survives(scene, answer_lost, Step.AFTER_INJECT)


async def the_agent_dies_before_the_hand_over(scene: Scene) -> None:
    """The agent dies right before the hand-over: the message is in the session once."""
    scene.needs(Play.KILL)
    await _survives(scene, _agent_dies, Step.BEFORE_INJECT)


async def the_agent_dies_right_after_the_hand_over(scene: Scene) -> None:
    """The agent dies right after the hand-over: the message is in the session once."""
    scene.needs(Play.KILL)
    await _survives(scene, _agent_dies, Step.AFTER_INJECT)


async def the_agent_dies_while_it_is_looked_for(scene: Scene) -> None:
    """The agent dies while its history is looked at: the message is in the session once."""
    scene.needs(Play.KILL)

    def soon(relay: Relay) -> Tap:
        die = _agent_dies(relay)

        async def later() -> None:
            await asyncio.sleep(DOWN_S / 10)
            await die()

        async def beside() -> None:
            relay.scene.beside(later())

        return beside

    await _survives(scene, soon, Step.BEFORE_FIND)


async def the_agent_dies_in_the_turn(scene: Scene) -> None:
    """The agent dies in the turn that the message began: it is in the session once."""
    scene.needs(Play.KILL, Play.THINK)
    await scene.driver.hold(scene.key, Play.THINK)
    await _survives(scene, _agent_dies, Step.AFTER_FIND)


async def the_host_dies_before_the_hand_over(scene: Scene) -> None:
    """The host dies right before the hand-over: the next one delivers the message, once."""
    await _host_dies(scene, Step.BEFORE_INJECT)


async def the_host_dies_right_after_the_hand_over(scene: Scene) -> None:
    """The host dies right after the hand-over: the next one finds the message, once."""
    await _host_dies(scene, Step.AFTER_INJECT)


async def the_host_dies_with_the_evidence_in_its_hand(scene: Scene) -> None:
    """The host dies before it can tell of the evidence: the next one finds it again."""
    await _host_dies(scene, Step.AFTER_FIND)


async def agent_and_host_die_right_after_the_hand_over(scene: Scene) -> None:
    """Agent and host die right after the hand-over: the message is in the session once."""
    scene.needs(Play.KILL, Play.RENEW)

    def both(relay: Relay) -> Tap:
        die = _agent_dies(relay)

        async def tap() -> None:
            await die()
            await relay.hosts[-1].die_here()

        return tap

    await _survives(scene, both, Step.AFTER_INJECT, new_host=True)


async def two_hosts_at_once_double_nothing(scene: Scene) -> None:
    """Two hosts that meet at one session double nothing, and one goes on when the other ends."""
    scene.needs(Play.RENEW)
    async with _relay(scene) as relay:
        first = await relay.start_host()
        await scene.open_another()
        refused = await refusal(scene.attach())  # where it lets in one host at a time
        if refused is None:
            await relay.start_host()
        sent = [(words, await relay.send(words)) for words in map(scene.words, COMPANY)]
        for words, message in sent:
            await relay.delivered_once(message, words)
        await first.end()
        await scene.abandon(first.watched)
        if refused is not None:
            await scene.attach()
            await relay.start_host()
        words = scene.words("the one that is left")
        await relay.delivered_once(await relay.send(words), words)


CRASHES = (
    no_message_is_made_twice_when_the_answer_is_lost,
    the_agent_dies_before_the_hand_over,
    the_agent_dies_right_after_the_hand_over,
    the_agent_dies_while_it_is_looked_for,
    the_agent_dies_in_the_turn,
    the_host_dies_before_the_hand_over,
    the_host_dies_right_after_the_hand_over,
    the_host_dies_with_the_evidence_in_its_hand,
    agent_and_host_die_right_after_the_hand_over,
    two_hosts_at_once_double_nothing,
)
"""The checks with faults, in the order in which they are made."""

Fault = Callable[[Relay], Tap]
"""Makes what is to happen at a step."""


def _agent_dies(relay: Relay) -> Tap:
    scene = relay.scene

    async def come_back() -> None:
        await asyncio.sleep(DOWN_S)
        await scene.driver.revive(scene.key)

    async def die() -> None:
        await scene.driver.kill(scene.key)
        scene.beside(come_back())

    return die


async def _host_dies(scene: Scene, step: Step) -> None:
    scene.needs(Play.RENEW)
    await _survives(scene, lambda relay: relay.hosts[-1].die_here, step, new_host=True)


async def _survives(scene: Scene, fault: Fault, step: Step, *, new_host: bool = False) -> None:
    """Let a fault happen at a step of one delivery: it must be there once, and the next one too."""
    async with _relay(scene) as relay:
        host = await relay.start_host()
        host.adapter.taps[step] = fault(relay)
        words, after = scene.words("the one in doubt"), scene.words("the one after it")
        message = await relay.send(words)
        if new_host:
            await relay.replace_host()
        await relay.delivered_once(message, words)
        must(step not in host.adapter.taps, f"the delivery did not come to {step}")
        await scene.driver.release(scene.key)
        await relay.delivered_once(await relay.send(after), after)
        must(await scene.count(words) == 1, f"{words!r} stands there twice now")
        whole = "\n".join(await scene.driver.inputs(scene.key))
        must(whole.index(words) < whole.index(after), "the two messages are out of order")


@asynccontextmanager
async def _relay(scene: Scene) -> AsyncGenerator[Relay]:
    """Run the relay's own parts around the adapter."""
    if scene.claims.prove is Proof.NONE:
        raise NotMeasured("without proof nobody can promise that a message is there once")
    if not scene.claims.wake:
        raise NotMeasured("the adapter does not claim to wake a session")
    open_hub = hub_in_memory()
    if open_hub is None:
        raise NotMeasured("there is no hub to test with: pip install agent-relay-codex")
    async with open_hub(scene.driver.clock, scene.random) as hub:
        relay = Relay(scene, hub)
        try:
            yield relay
        finally:
            await relay.end()
