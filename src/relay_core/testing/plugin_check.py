"""What can be said of an installed plugin without running a relay: it loads, and its hooks answer
sample questions as they should."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import MappingProxyType

import msgspec

from relay_core.acting import ActingAgent
from relay_core.clock import SystemClock
from relay_core.discovery import DISTRIBUTION, Candidate, Plugins, PluginState, discover
from relay_core.errors import PluginError
from relay_core.events import Arrived, Delivered, Registered, RelayEvent, WasHeld
from relay_core.failpoints import unarmed
from relay_core.hooks import Hooks
from relay_core.hookspecs import DECISION_HOOKS, HOOK_NAMES
from relay_core.messages import (
    REQUEST,
    AgentId,
    DeliveryId,
    Message,
    MessageId,
    Sender,
)
from relay_core.places import find_places
from relay_core.plans import Decision, DeliveryPlan
from relay_core.registrar import Contributions, Registrar
from relay_core.sessions import (
    Abilities,
    Activity,
    Environment,
    Registration,
    RegistrationPatch,
    Session,
    Steering,
    Turn,
)
from relay_core.testing.adapter_report import CheckResult, Checks, Verdict
from relay_core.workers import CallAbandoned, WorkerThread

LOADS = "loads"
TIMES = 20
"""How often each sample question is asked: more than once shows an answer that changes."""

NOW_MS = 1_800_000_000_000
_AGENT = AgentId("sample-shop-1")
_SENDER = Sender(id=AgentId("builder"), label="builder", tags=("ci",))


class PluginCheck(Checks):
    """What was seen of one plugin; `adapters` are the names of those that it contributes."""

    plugin: str
    distribution: str
    version: str
    adapters: tuple[str, ...] = ()


async def check_plugin(
    name: str, candidates: Iterable[Candidate], *, folder: Path, environ: Environment
) -> PluginCheck | None:
    """Load one plugin beside the built-in ones, and ask its hooks; None where none has the name.

    `folder` is an empty one for what an adapter may want to write. Its `start` is not called: what
    happens there is real.
    """
    plugins = discover(candidates, only=(name, DISTRIBUTION))
    report = next((each for each in plugins.reports if each.name == name), None)
    if report is None:
        return None
    made = PluginCheck(
        plugin=name, distribution=report.distribution, version=report.version, checks=()
    )
    if report.state is not PluginState.LOADED:
        failed = _result(LOADS, Verdict.FAILED, report.reason or str(report.state))
        return msgspec.structs.replace(made, checks=(failed,))
    checks = [_result(LOADS, Verdict.OK, f"hooks: {', '.join(report.hooks)}")]
    contributions = Contributions()
    runner = WorkerThread()
    asking = _Asking(name, Hooks(plugins.manager, strict=True, runner=runner))
    try:
        for hook in HOOK_NAMES:
            if hook not in report.hooks:
                continue
            if hook == "register_adapters":
                checks.append(_contributes(name, plugins, contributions, folder, environ))
            else:
                checks.append(await asking.ask(hook))
    finally:
        runner.close()
    return msgspec.structs.replace(
        made, checks=tuple(checks), adapters=tuple(contributions.adapters)
    )


# --- asking ----------------------------------------------------------------------------------


class _Asking:
    """Asks one plugin's hooks, strictly: what it raises is raised here."""

    def __init__(self, name: str, hooks: Hooks) -> None:
        self._name = name
        self._hooks = hooks

    async def ask(self, hook: str) -> CheckResult:
        """Ask every sample question of one hook."""
        if hook == "start":
            return _result(hook, Verdict.NOT_MEASURED, "what it does there is real: run a relay")
        try:
            if hook == "on_event":
                return await self._tell()
            return await self._decide(hook)
        except CallAbandoned:
            return _result(hook, Verdict.FAILED, "it took too long")
        except Exception as error:  # noqa: BLE001 - whatever a plugin under test raises
            return _result(hook, Verdict.FAILED, f"{type(error).__name__}: {error}")

    async def _decide(self, hook: str) -> CheckResult:
        took: list[float] = []
        for question in self._questions(hook):
            answers: set[bytes] = set()
            for _ in range(TIMES):
                began = time.perf_counter()
                trace = await question()
                took.append(time.perf_counter() - began)
                own = [(each.answer, each.chosen) for each in trace if each.plugin == self._name]
                answers.add(msgspec.json.encode(own))
            if len(answers) > 1:
                seen = " and ".join(sorted(each.decode() for each in answers)[:2])
                detail = f"not the same answer twice for the same question: {seen}"
                return _result(hook, Verdict.FAILED, detail)
        return _result(hook, Verdict.OK, f"{statistics.median(took) * 1e6:.0f} µs for a decision")

    async def _tell(self) -> CheckResult:
        for event in _events():
            await self._hooks.on_event(event, _session())
        return _result("on_event", Verdict.OK, "")

    def _questions(self, hook: str) -> list[Callable[[], Awaitable[Iterable[Decision]]]]:
        """Every sample question of one decision hook."""
        if hook not in DECISION_HOOKS:
            raise PluginError(self._name, f"no questions are known for {hook}")
        if hook == "on_register":
            return [self._register]
        return [
            _Question(self._hooks, hook, messages, session)
            for session in (_session(), _session(Activity.IN_TURN))
            for messages in _batches()
        ]

    async def _register(self) -> Iterable[Decision]:
        return (await self._hooks.on_register(_registration(), MappingProxyType({})))[1]


class _Question:
    """One hook with its sample arguments."""

    def __init__(
        self, hooks: Hooks, hook: str, messages: tuple[Message, ...], session: Session
    ) -> None:
        self._hooks = hooks
        self._hook = hook
        self._messages = messages
        self._session = session

    async def __call__(self) -> Iterable[Decision]:
        """Ask it."""
        hooks, messages, session = self._hooks, self._messages, self._session
        match self._hook:
            case "on_message":
                return (await hooks.on_message(messages[0], session))[1]
            case "on_claim":
                return (await hooks.on_claim(messages[0], session))[1]
            case "choose_delivery":
                return (await hooks.choose_delivery(messages, session))[1]
            case "format_prompt":
                plan = DeliveryPlan.start()
                return (await hooks.format_prompt(messages, session, plan))[1]
            case _:
                return (await hooks.format_context(session))[1]


# --- adapters --------------------------------------------------------------------------------


class _EmptyDesk:
    """A host that serves no session."""

    async def prepare(
        self, registration: Registration, environment: Environment
    ) -> RegistrationPatch:
        del registration, environment
        return RegistrationPatch()

    async def context(self, adapter: str, key: str, *, within_s: float) -> str | None:
        del adapter, key, within_s
        return None

    async def acting(self, adapter: str, key: str, *, within_s: float) -> ActingAgent | None:
        del adapter, key, within_s
        return None


def _contributes(
    name: str,
    plugins: Plugins,
    contributions: Contributions,
    folder: Path,
    environ: Environment,
) -> CheckResult:
    """Let it contribute its adapters and operations."""
    registrar = Registrar(
        name,
        contributions,
        desk=_EmptyDesk(),
        places=find_places({"AGENT_RELAY_HOME": str(folder)}, 0),
        environ=environ,
        tables={},
        clock=SystemClock(),
        failpoint=unarmed,
    )
    manager = plugins.manager
    others = [plugin for other, plugin in manager.list_name_plugin() if other != name and plugin]
    try:
        manager.subset_hook_caller("register_adapters", others)(register=registrar)
    except Exception as error:  # noqa: BLE001 - whatever a plugin under test raises
        detail = f"{type(error).__name__}: {error}"
        return _result("register_adapters", Verdict.FAILED, detail)
    told = [f"adapter {each}" for each in contributions.adapters]
    told += [f"operation {each}" for each in contributions.operations]
    return _result("register_adapters", Verdict.OK, ", ".join(told))


# --- samples ---------------------------------------------------------------------------------


def _session(activity: Activity = Activity.AT_REST) -> Session:
    turn = Turn(id="turn-1") if activity is Activity.IN_TURN else None
    return Session(
        id=_AGENT,
        adapter="sample",
        thread_id="thread-1",
        now=NOW_MS,
        activity=activity,
        turn=turn,
        abilities=Abilities(steer=Steering.LIVE, interrupt=True),
        cwd="/projects/shop",
        label="shop",
        tags=("web",),
        capabilities=("chat",),
        channels=("builds",),
        hub_url="http://127.0.0.1:4850",
    )


def _batches() -> tuple[tuple[Message, ...], ...]:
    plain = _message(1)
    return (
        (plain,),
        (plain, _message(2), _message(3)),
        (msgspec.structs.replace(plain, urgent=True, subject="build", channel="builds"),),
        (msgspec.structs.replace(plain, claimable=True),),
        (msgspec.structs.replace(plain, type=REQUEST),),
    )


def _message(number: int) -> Message:
    return Message(
        id=MessageId(number),
        from_=_SENDER.id,
        to=_AGENT,
        body=f"the build is green, number {number}\nand “this” is its second line",
        sender=_SENDER,
        created_at=NOW_MS - 1_000,
    )


def _registration() -> Registration:
    return Registration(
        adapter="sample", provider="sample", cwd="/projects/shop", thread_id="thread-1"
    )


def _events() -> tuple[RelayEvent, ...]:
    number, of = MessageId(1), DeliveryId(1)
    return (
        Registered(at_ms=NOW_MS, agent_id=_AGENT, epoch=1),
        Arrived(at_ms=NOW_MS, agent_id=_AGENT, delivery_id=of, message_id=number),
        WasHeld(at_ms=NOW_MS, agent_id=_AGENT, delivery_id=of, message_id=number, reason="later"),
        Delivered(
            at_ms=NOW_MS, agent_id=_AGENT, delivery_id=of, message_id=number, turn_id="turn-1"
        ),
    )


_LINES = {
    LOADS: "It loads, and every hook has the name and the arguments of its spec.",
    "register_adapters": "It contributes adapters and operations.",
    "start": "It starts with the host.",
    "on_event": "It takes every event.",
}


def _result(name: str, verdict: Verdict, detail: str) -> CheckResult:
    line = _LINES.get(name, f"{name} answers with what it may, and the same to the same question.")
    return CheckResult(name=name, line=line, verdict=verdict, detail=" ".join(detail.split()))
