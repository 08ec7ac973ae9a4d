"""Echo agents: they take what they are given, prove it, and answer once."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from relay_core import (
    Absent,
    Activity,
    AdapterError,
    AgentId,
    Attempt,
    AttemptId,
    DeliveryId,
    DeliveryPlan,
    Found,
    HubUnreachable,
    Injection,
    InjectionRefused,
    Message,
    MessageId,
    Mode,
    PluginConflict,
    Registration,
    SendRequest,
    SendResponse,
    SessionChanged,
    SessionClosed,
    SessionEvent,
    SessionGone,
    SessionMoved,
    SessionSeen,
    SessionTurnEnded,
    SettingsError,
    TurnStatus,
)
from relay_core.fence import fence
from relay_plugins import echo
from relay_plugins.echo import EchoAdapter
from relay_plugins.prompt import format_prompt
from values import NOW_MS, message, session

WAIT_S = 30


class ManualClock:
    """Time stands still until the test lets a sleeper go."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await self.wake.wait()


class Outbox:
    """A relay that keeps what is sent."""

    def __init__(self, table: bytes = b"{}") -> None:
        self.table = msgspec.Raw(table)
        self.sent: list[SendRequest] = []
        self.fails = False
        self.arrived = asyncio.Event()

    async def send(self, request: SendRequest) -> SendResponse:
        if self.fails:
            raise HubUnreachable("no hub")
        self.sent.append(request)
        self.arrived.set()
        return SendResponse(id=MessageId(99), deliveries=())

    async def release(self, delivery_id: DeliveryId) -> None: ...

    async def annotate(self, delivery_id: DeliveryId, key: str, value: msgspec.Raw) -> None: ...


class World:
    """One echo adapter, what it reports, and what its agents send."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.outbox = Outbox()
        self.adapter = EchoAdapter(self.clock)
        self.adapter.use(self.outbox)
        self.events = self.adapter.sessions()

    async def next(self) -> SessionEvent:
        return await asyncio.wait_for(anext(self.events), WAIT_S)

    async def until(self, kind: type) -> SessionEvent:
        while not isinstance(event := await self.next(), kind):
            pass
        return event

    async def inject(
        self, *messages: Message, number: int = 1, mode: Mode = Mode.START, turn: str | None = None
    ) -> Attempt:
        attempt_id, marker = AttemptId(f"{number:032x}"), f"{number + 1000:032x}"
        prompt = format_prompt(messages, session(), DeliveryPlan.start())
        injection = Injection(
            id=attempt_id,
            key="bob",
            text=fence(prompt, marker),
            marker=marker,
            mode=mode,
            turn_id=turn,
        )
        await self.adapter.inject(injection)
        return Attempt(
            id=attempt_id,
            agent_id=AgentId("x"),
            thread_id="bob",
            delivery_ids=(),
            started_ms=NOW_MS,
        )


@pytest.fixture
async def world():
    made = World()
    made.adapter.begin("bob")
    yield made
    await made.adapter.close()
    await made.events.aclose()


async def test_an_agent_is_seen_at_rest_with_the_end_of_its_id(world: World):
    seen = await world.next()

    assert isinstance(seen, SessionSeen)
    assert (seen.key, seen.thread_id, seen.activity) == ("bob", "bob", Activity.AT_REST)
    assert world.adapter.begin("bob").agent_id == "echo-home-bob"


async def test_a_message_becomes_a_turn_that_proves_it_ends_and_is_answered(world: World):
    attempt = await world.inject(message(7, body="hello\nyou"))
    changed = await world.until(SessionChanged)

    assert isinstance(changed, SessionChanged)
    assert changed.activity is Activity.IN_TURN
    assert changed.turn is not None
    assert await world.adapter.find("bob", attempt) == Found(turn_id=changed.turn.id)
    assert world.outbox.sent == []

    world.clock.wake.set()
    ended = await world.until(SessionTurnEnded)
    rest = await world.until(SessionChanged)

    assert isinstance(ended, SessionTurnEnded)
    assert (ended.turn_id, ended.status) == (changed.turn.id, TurnStatus.COMPLETED)
    assert (ended.attempts, ended.started_by) == ((attempt.id,), attempt.id)
    assert ended.final_text == "hello\nyou"
    assert isinstance(rest, SessionChanged)
    assert rest.activity is Activity.AT_REST
    await sent(world, 1)
    assert world.outbox.sent == [
        SendRequest(
            from_=AgentId("echo-home-bob"),
            to="builder",
            body="hello\nyou",
            reply_to=MessageId(7),
        )
    ]


async def sent(world: World, count: int) -> None:
    async def wait() -> None:
        while len(world.outbox.sent) < count:
            world.outbox.arrived.clear()
            await world.outbox.arrived.wait()

    await asyncio.wait_for(wait(), WAIT_S)


async def test_each_message_of_a_batch_is_answered_but_no_reply_is(world: World):
    world.clock.wake.set()
    await world.inject(message(1), message(2, "tester"), message(3, reply_to=1))
    await world.until(SessionTurnEnded)
    await sent(world, 2)

    answered = [(each.to, each.reply_to) for each in world.outbox.sent]
    assert answered == [("builder", 1), ("tester", 2)]


async def test_a_reply_is_delivered_and_never_answered(world: World):
    world.clock.wake.set()
    attempt = await world.inject(message(3, reply_to=1))
    ended = await world.until(SessionTurnEnded)
    await world.adapter.close()

    assert isinstance(ended, SessionTurnEnded)
    assert ended.attempts == (attempt.id,)
    assert world.outbox.sent == []


async def test_input_can_join_the_running_turn_and_no_other(world: World):
    await world.inject(message(1), number=1)
    changed = await world.until(SessionChanged)
    assert isinstance(changed, SessionChanged)
    assert changed.turn is not None
    second = await world.inject(message(2), number=2, mode=Mode.STEER, turn=changed.turn.id)
    with pytest.raises(SessionMoved):
        await world.inject(message(3), number=3, mode=Mode.STEER, turn="another")
    world.clock.wake.set()
    ended = await world.until(SessionTurnEnded)

    assert isinstance(ended, SessionTurnEnded)
    assert len(ended.attempts) == 2
    assert await world.adapter.find("bob", second) == Found(turn_id=changed.turn.id)
    with pytest.raises(SessionMoved):
        await world.inject(message(4), number=4, mode=Mode.STEER, turn=changed.turn.id)


async def test_an_interrupted_turn_answers_nothing(world: World):
    await world.inject(message(1))
    changed = await world.until(SessionChanged)
    assert isinstance(changed, SessionChanged)
    assert changed.turn is not None
    await world.adapter.interrupt("bob", changed.turn.id)
    ended = await world.until(SessionTurnEnded)
    world.clock.wake.set()
    await world.adapter.close()

    assert isinstance(ended, SessionTurnEnded)
    assert (ended.status, ended.interrupted_by_us) == (TurnStatus.INTERRUPTED, True)
    assert world.outbox.sent == []


async def test_what_was_never_handed_over_is_absent(world: World):
    attempt = await world.inject(message(1))
    unknown = msgspec.structs.replace(attempt, id=AttemptId("f" * 32))

    assert await world.adapter.find("bob", unknown) == Absent()


async def test_an_empty_text_is_refused_for_good(world: World):
    empty = Injection(id=AttemptId("1"), key="bob", text="", marker="m", mode=Mode.START)

    with pytest.raises(InjectionRefused) as caught:
        await world.adapter.inject(empty)
    assert caught.value.permanent


async def test_an_answer_that_nobody_takes_is_let_go(world: World):
    world.outbox.fails = True
    world.clock.wake.set()
    await world.inject(message(1))
    await world.until(SessionTurnEnded)
    world.outbox.fails = False
    await world.inject(message(2), number=2)
    await sent(world, 1)

    assert [each.reply_to for each in world.outbox.sent] == [2]


async def test_a_detached_agent_is_gone(world: World):
    await world.adapter.detach("bob")

    assert await world.until(SessionClosed) == SessionClosed(key="bob")
    with pytest.raises(SessionGone):
        world.adapter.describe("bob")
    with pytest.raises(SessionGone):
        await world.inject(message(1))


@pytest.mark.parametrize("name", ["", "Bob", "a b", "x" * 13, "../x", "é", "-"])
async def test_a_name_that_no_agent_id_could_end_with_is_refused(world: World, name: str):
    with pytest.raises(AdapterError) as caught:
        world.adapter.begin(name)
    assert caught.value.fix is not None


async def test_the_operation_starts_an_agent_and_says_who_it_is(world: World):
    answer = await world.adapter.start_operation(msgspec.Raw(b'{"name": "eve", "more": 1}'))

    assert msgspec.json.decode(answer) == {"agentId": "echo-home-eve", "threadId": "eve"}
    assert await world.adapter.attach(msgspec.Raw(b"{}")) == ("echo",)
    for body in (b"[]", b'{"name": 7}', b"{"):
        with pytest.raises(AdapterError, match="cannot read the request"):
            await world.adapter.start_operation(msgspec.Raw(body))


class Registrar:
    """What a host gives at load."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.adapters: list[EchoAdapter] = []
        self.operations: dict[str, Callable[[msgspec.Raw], Awaitable[msgspec.Raw]]] = {}

    def adapter(self, adapter: EchoAdapter) -> None:
        if self.adapters:
            raise PluginConflict("relay.echo", "taken")
        self.adapters.append(adapter)

    def operation(self, name: str, handler) -> None:
        self.operations[name] = handler


async def test_the_plugin_starts_the_agents_that_the_settings_name():
    registrar = Registrar()
    echo.register_adapters(registrar)
    assert set(registrar.operations) == {"echo.start"}
    (adapter,) = registrar.adapters
    events = adapter.sessions()
    async with echo.start(Outbox(b'{"agents": ["ann", "ben"]}')):
        seen = [await anext(events), await anext(events)]
    await events.aclose()

    assert sorted(each.key for each in seen) == ["ann", "ben"]


@pytest.mark.parametrize("table", [b'{"agents": "x"}', b'{"agens": ["x"]}', b'{"agents": [1]}'])
async def test_wrong_settings_are_told(table: bytes):
    echo.register_adapters(Registrar())

    with pytest.raises(SettingsError, match=r"relay\.echo"):
        async with echo.start(Outbox(table)):
            pass


def test_an_agent_is_labelled_with_its_name_and_no_other_session_is():
    mine = Registration(adapter="echo", provider="echo", cwd="/", thread_id="bob")
    other = Registration(adapter="codex", provider="codex", cwd="/", thread_id="bob")

    patch = echo.on_register(mine)
    assert patch is not None
    assert patch.label == "bob"
    assert echo.on_register(other) is None
