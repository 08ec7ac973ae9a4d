"""What the demo plays: two agents, one message, and the question whether it arrived.

The steps are the commands that a user would type, each in a process of its own. What they say is
then compared with a second look, which shares nothing with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time

from relay_cli.demo.stage import Stage
from relay_cli.demo.timeline import Step, Timeline
from relay_cli.problems import Failed
from relay_core.errors import RelayError
from relay_core.hub_api import MessageView, RegisterRequest, SendResponse
from relay_core.hub_client import HubClient
from relay_core.messages import AgentId, Delivery, DeliveryState, Message, Struct, TurnStatus
from relay_plugins.codex.launcher import CodexBinary
from relay_plugins.codex.testing import (
    AppServerClient,
    CodexServer,
    CodexServerError,
    Disconnected,
    RpcError,
    StubModel,
    config_toml,
    write_config,
)

SENDER = AgentId("builder")
ECHO = "echo"
LOOK_PAUSE_S = 0.05

ECHO_SETTINGS = """\
[plugin."relay.echo"]
agents = ["echo"]
"""

# What can stop the demo on its way; the finding then says so instead of a proof.
_TROUBLES = (RelayError, RpcError, Disconnected, CodexServerError, OSError, TimeoutError)


class Finding(Struct):
    """How the demo ended, as `demo --json` shows it.

    `trouble` says what was missing where it is not proved, `fallback` why no Codex took part.
    """

    agent: str
    codex_version: str | None
    proved: bool
    steps: tuple[Step, ...] = ()
    delivered_after_ms: int | None = None
    trouble: str | None = None
    fallback: str | None = None


class _Up(Struct):
    url: str


class _Attached(Struct):
    agent_id: AgentId


class _AttachAnswer(Struct):
    attached: tuple[_Attached, ...]


class _ListedAgent(Struct):
    id: AgentId
    reachable: bool
    label: str | None = None


class _AgentsAnswer(Struct):
    agents: tuple[_ListedAgent, ...]


class _InboxAnswer(Struct):
    messages: tuple[Message, ...]


class _Anything(Struct):
    """An answer of which nothing is needed."""


async def play_with_codex(stage: Stage, timeline: Timeline, codex: CodexBinary) -> Finding:
    """Bring a message into a thread of a real Codex whose model is a stub."""
    delivery = None
    try:
        with StubModel() as model:
            timeline.step("model", f"a stub model answers on {model.base_url}")
            delivery, trouble = await _deliver_to_codex(stage, timeline, codex, model)
    except _TROUBLES as error:
        trouble = _told(error)
    return _finding("codex", codex.version, delivery, trouble)


async def play_with_echo(stage: Stage, timeline: Timeline) -> Finding:
    """Bring a message to an agent that answers by itself, where there is no Codex."""
    delivery = None
    mark = secrets.token_hex(8)
    try:
        stage.write_settings(ECHO_SETTINGS)
        await _up(stage, timeline)
        agent = await _echo_agent(stage, timeline)
        sent = await _send(stage, timeline, agent, mark)
        delivery = await _follow(stage, timeline, sent)
        trouble = await _answered(stage, sent, mark) if _delivered(delivery) else "not delivered"
        timeline.step("second-look", _told_of_look(trouble))
        await _down(stage, timeline)
    except _TROUBLES as error:
        trouble = _told(error)
    return _finding("echo", None, delivery, trouble)


async def _deliver_to_codex(
    stage: Stage, timeline: Timeline, codex: CodexBinary, model: StubModel
) -> tuple[Delivery | None, str | None]:
    """Play it; the delivery as the commands show it, and what the second look did not confirm."""
    mark = secrets.token_hex(8)
    write_config(stage.codex_home, config_toml(model.base_url))
    server = CodexServer(
        codex,
        stage.codex_home,
        address=f"unix://{stage.root / 'codex.sock'}",
        environ=stage.environ,
        cwd=stage.project,
    )
    timeline.doing("codex app-server")
    async with server, server.client(name="agent-relay-demo") as user:
        timeline.step("codex", f"codex app-server {codex.version} listens on {server.address}")
        thread_id = await user.start_thread(stage.project)
        timeline.step("thread", f"a session is open: thread {thread_id}")
        await _up(stage, timeline)
        agent = await _attach(stage, timeline, server.address, thread_id)
        sent = await _send(stage, timeline, agent, mark)
        delivery = await _follow(stage, timeline, sent)
        async with server.client(name="agent-relay-demo-second-look") as second:
            trouble = await _second_look(second, model, thread_id, delivery, mark)
        timeline.step("second-look", _told_of_look(trouble))
        await _down(stage, timeline)
    return delivery, trouble


async def _up(stage: Stage, timeline: Timeline) -> None:
    timeline.doing("agent-relay up --port 0")
    up = await stage.start(_Up, "agent-relay", "up", "--port", "0")
    timeline.step("up", f"agent-relay up --port 0: hub and host serve on {up.url}")
    token = stage.places.token_file.read_text(encoding="utf-8").strip()
    async with HubClient(up.url, token) as hub:
        await hub.register(RegisterRequest(id=SENDER, name="demo", label=SENDER))
    timeline.step("register", f"a second agent registers: {SENDER}")


async def _attach(stage: Stage, timeline: Timeline, address: str, thread_id: str) -> AgentId:
    timeline.doing("agent-relay-codex attach")
    answer = await stage.run(
        _AttachAnswer,
        "agent-relay-codex", "attach", "--app-server", address, "--thread", thread_id,
    )  # fmt: skip
    if len(answer.attached) != 1:
        raise Failed(f"attach answered {len(answer.attached)} agents for one thread")
    agent = answer.attached[0].agent_id
    timeline.step("attach", f"agent-relay-codex attach: the session is agent {agent}")
    return agent


async def _echo_agent(stage: Stage, timeline: Timeline) -> AgentId:
    give_up = time.monotonic() + stage.wait_s
    while time.monotonic() < give_up:
        timeline.doing("agent-relay agents")
        answer = await stage.run(_AgentsAnswer, "agent-relay", "agents")
        for one in answer.agents:
            if one.label == ECHO and one.reachable:
                timeline.step("agents", f"agent-relay agents: an echo agent is there, {one.id}")
                return one.id
        await asyncio.sleep(LOOK_PAUSE_S)
    raise Failed("the echo agent did not come up")


async def _send(stage: Stage, timeline: Timeline, agent: AgentId, mark: str) -> SendResponse:
    timeline.doing(f"agent-relay send {agent}")
    return await stage.run(
        SendResponse,
        "agent-relay", "send", agent, f"The build is green. Its mark is {mark}.",
        "--from", SENDER, "--subject", "build",
    )  # fmt: skip


async def _follow(stage: Stage, timeline: Timeline, sent: SendResponse) -> Delivery | None:
    """Ask `show` until the message is delivered and its turn has ended; None when it never was."""
    give_up = time.monotonic() + stage.wait_s
    stored = delivered = False
    while True:
        timeline.doing(f"agent-relay show {sent.id}")
        view = await stage.run(MessageView, "agent-relay", "show", str(sent.id))
        if not stored:
            stored = True
            told = f"agent-relay send: message {sent.id} is stored at the hub"
            timeline.step("stored", told, at_ms=view.created_at)
        delivery = view.deliveries[0] if len(view.deliveries) == 1 else None
        if not delivered and _delivered(delivery) and delivery is not None:
            delivered = True
            took = (delivery.delivered_ms or 0) - view.created_at
            told = f"agent-relay show {sent.id}: delivered, {took} ms after it was stored"
            timeline.step("delivered", told, at_ms=delivery.delivered_ms)
            give_up = time.monotonic() + stage.wait_s
        if delivered and delivery is not None and delivery.turn_status is not None:
            told = f"agent-relay show {sent.id}: its turn has ended, {delivery.turn_status}"
            timeline.step("turn", told)
            return delivery
        if time.monotonic() >= give_up:
            return delivery
        await asyncio.sleep(LOOK_PAUSE_S)


async def _second_look(
    client: AppServerClient, model: StubModel, thread_id: str, delivery: Delivery | None, mark: str
) -> str | None:
    """Look into the thread and at the model's requests; say what is not as it must be."""
    items = await client.user_items(thread_id)
    with_text = [item for item in items if mark in item.text]
    if delivery is None or not _delivered(delivery):
        state = "unknown" if delivery is None else delivery.state
        return f"the hub says {state}, and the thread holds the text {len(with_text)} times"
    with_id = [item for item in items if item.client_id == f"relay:{delivery.attempt_id}"]
    seen = model.counts(mark)
    if len(with_id) != 1 or with_id != with_text or with_text[0].text.count(mark) != 1:
        return f"the thread holds our id {len(with_id)} times and the text {len(with_text)} times"
    if with_id[0].turn_id != delivery.turn_id:
        return f"the thread has it in turn {with_id[0].turn_id}, the hub in {delivery.turn_id}"
    if not seen or max(seen) != 1:
        return f"the model was shown the text {max(seen, default=0)} times"
    if delivery.turn_status is not TurnStatus.COMPLETED:
        return f"its turn ended as {delivery.turn_status}"
    return None


async def _answered(stage: Stage, sent: SendResponse, mark: str) -> str | None:
    """Look whether the echo's answer, with the same text, is in the sender's inbox."""
    give_up = time.monotonic() + stage.wait_s
    while time.monotonic() < give_up:
        inbox = await stage.run(_InboxAnswer, "agent-relay", "inbox", SENDER)
        answers = [one for one in inbox.messages if one.reply_to == sent.id]
        if answers:
            return None if mark in answers[0].body else "the answer does not hold the text"
        await asyncio.sleep(LOOK_PAUSE_S)
    return "no answer came back"


async def _down(stage: Stage, timeline: Timeline) -> None:
    # Whatever is left is stopped by the stage; the finding stands without it.
    with contextlib.suppress(RelayError):
        await stage.run(_Anything, "agent-relay", "down")
        timeline.step("down", "agent-relay down: hub and host have stopped")


def _delivered(delivery: Delivery | None) -> bool:
    return delivery is not None and delivery.state is DeliveryState.DELIVERED


def _told_of_look(trouble: str | None) -> str:
    return f"a second look: {trouble}" if trouble else "a second look: there once, and only once"


def _told(error: Exception) -> str:
    """Say on one line what stopped the demo."""
    first = str(error).strip().split("\n", 1)[0] or type(error).__name__
    return f"{first}; {error.fix}" if isinstance(error, RelayError) and error.fix else first


def _finding(
    agent: str, version: str | None, delivery: Delivery | None, trouble: str | None
) -> Finding:
    took = None
    if delivery is not None and delivery.delivered_ms is not None:
        took = delivery.delivered_ms - delivery.created_ms
    return Finding(
        agent=agent,
        codex_version=version,
        proved=trouble is None,
        delivered_after_ms=took,
        trouble=trouble,
    )
