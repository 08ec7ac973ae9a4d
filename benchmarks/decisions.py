"""The built-in decisions: what the plugins' answers cost for one message, with no I/O at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from benchmarks.figures import Goal, Round, Section, percentile, row
from benchmarks.stage import Stage
from benchmarks.third_parties import NOTE, NUMBER, third_parties
from relay_core.discovery import Candidate, discover
from relay_core.fence import fence
from relay_core.hooks import Hooks
from relay_core.messages import AgentId, Message, MessageId, Sender
from relay_core.sessions import Abilities, Activity, Session, Steering
from relay_plugins import attention, channels, claims, delivery, prompt

BUILT_IN = {
    "relay.attention": attention,
    "relay.channels": channels,
    "relay.claims": claims,
    "relay.delivery": delivery,
    "relay.prompt": prompt,
}
FENCE_ID = "0123456789abcdef0123456789abcdef"
BODY = "The build is green; the report lies beside the others. Please merge when you can.\n" * 5


async def measure(stage: Stage) -> Section:
    """Ask the façade and, in the same round, the same functions without it."""
    hooks = Hooks(discover(_candidates()).manager)
    message, session = _message(), _session()
    rounds: list[Round] = []
    crowd = Hooks(discover((*third_parties(), *_candidates())).manager)
    await _asked(hooks, message, session, stage.size.decisions)
    await _each_asked(crowd, message, session, stage.size.decisions // 10)
    for number in range(stage.size.rounds):
        stage.say(f"decisions: round {number + 1} of {stage.size.rounds}")
        rounds.append(
            {
                "façade": await _asked(hooks, message, session, stage.size.decisions),
                "plain": _called(message, session, stage.size.decisions),
                "fence": _fenced(message, session, stage.size.decisions),
                "crowd": await _each_asked(crowd, message, session, stage.size.decisions // 3),
            }
        )
        await asyncio.sleep(0)
    plain = "the same four as plain function calls"
    return Section(
        name="decisions",
        title="The built-in decisions for one message (400 characters)",
        rows=(
            row(
                "on_message, choose_delivery, format_prompt, fence", "façade", "µs", rounds,
                goal=Goal(most=15),
            ),
            row("beside plain calls", "façade", "µs", rounds, beside=("plain",), yardstick=plain),
            row("the fence alone", "fence", "µs", rounds),
            row(
                f"the same with {NUMBER} third-party plugins", "crowd", "µs", rounds,
                goal=Goal(most=100),
            ),
        ),
        notes=(
            "Through the façade: the trace of who answered what, isolation of faults.",
            "One message in one prompt, a session at rest, built-in plugins only; processor time.",
            NOTE,
        ),
        rounds=tuple(rounds),
    )  # fmt: skip


async def _asked(hooks: Hooks, message: Message, session: Session, count: int) -> float:
    messages = (message,)
    before = time.process_time()
    for _ in range(count):
        await hooks.on_message(message, session)
        plan, _trace = await hooks.choose_delivery(messages, session)
        text, _trace = await hooks.format_prompt(messages, session, plan)
        fence(text, FENCE_ID)
    return (time.process_time() - before) / count * 1e6


async def _each_asked(hooks: Hooks, message: Message, session: Session, count: int) -> float:
    """The median of single messages: what one waits for, with its trips to the other thread."""
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await _asked(hooks, message, session, 1)
        took.append((time.perf_counter() - began) * 1e6)
    return percentile(took, 0.5)


def _called(message: Message, session: Session, count: int) -> float:
    messages = (message,)

    def once() -> None:
        channels.on_message(message, session)
        plan = delivery.choose_delivery(messages, session)
        fence(prompt.format_prompt(messages, session, plan), FENCE_ID)

    return _each_us(once, count)


def _fenced(message: Message, session: Session, count: int) -> float:
    messages = (message,)
    text = prompt.format_prompt(messages, session, delivery.choose_delivery(messages, session))
    return _each_us(lambda: fence(text, FENCE_ID), count)


def _each_us(work: Callable[[], object], count: int) -> float:
    before = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - before) / count * 1e6


def _candidates() -> tuple[Candidate, ...]:
    return tuple(
        Candidate(name=name, distribution="agent-relay-codex", version="0", load=_loading(plugin))
        for name, plugin in BUILT_IN.items()
    )


def _loading(plugin: object) -> Callable[[], object]:
    return lambda: plugin


def _message() -> Message:
    sender = AgentId("codex-web-0123456789ab")
    return Message(
        id=MessageId(42),
        from_=sender,
        to="codex-api-ba9876543210",
        subject="build",
        body=BODY,
        sender=Sender(id=sender, label="builder", tags=("codex", "web")),
        created_at=1_700_000_000_000,
        hop=1,
    )


def _session() -> Session:
    return Session(
        id=AgentId("codex-api-ba9876543210"),
        adapter="codex",
        thread_id="019a0000-0000-7000-8000-ba9876543210",
        now=1_700_000_000_500,
        activity=Activity.AT_REST,
        abilities=Abilities(steer=Steering.LIVE, interrupt=True),
        hub_url="http://127.0.0.1:4850",
    )
