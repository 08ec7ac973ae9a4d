"""Sessions that no socket shows: reached through Codex's queue, by the process that has them.

The process here is an app-server that nobody attached; to the adapter it is like a terminal that
was started with `--no-daemon`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from codex_watch import Watch, new_attempt, until, watch
from real_codex import Workplace
from relay_core import (
    Absent,
    Activity,
    Attempt,
    Evidence,
    Found,
    SessionChanged,
    SessionClosed,
    SessionSeen,
    Steering,
    TurnStatus,
    Unknown,
)
from relay_plugins.codex import app_server, servers
from relay_plugins.codex.embedded import EmbeddedSessions
from relay_plugins.codex.testing import AppServerClient, CodexServer, StubModel, Until


class Owner:
    """The process that has a thread open, and whoever sits in front of it."""

    def __init__(self, workplace: Workplace, server: CodexServer, user: AppServerClient) -> None:
        self.workplace = workplace
        self.server = server
        self.user = user
        self.thread = ""

    async def begin(self, history_mode: str) -> None:
        self.thread = await self.user.start_thread(self.workplace.cwd, history_mode=history_mode)
        await self.user.turn_end(await self.user.start_turn(self.thread, "the user's first words"))

    async def call_hook(self, codex: Watch) -> SessionSeen:
        """What its SessionStart hook tells the adapter."""
        home = self.workplace.codex_home
        (rollout,) = home.glob(f"sessions/*/*/*/*{self.thread}.jsonl")
        async with asyncio.timeout(30):
            await codex.adapter.started(
                self.thread, codex_home=home, rollout=rollout, parent=self.server.pid
            )
        return await codex.seen(self.thread)

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Watch]:
        """One life of the adapter, with what the former one knew."""
        home = self.workplace.codex_home
        async with watch(home, discover=True, memory=home.parent / "codex.json") as codex:
            yield codex


@pytest.fixture
async def owner(
    workplace: Workplace,
    codex_server: CodexServer,
    user: AppServerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> Owner:
    monkeypatch.setattr(servers, "FOUND_WITHIN_S", 0.1)
    return Owner(workplace, codex_server, user)


async def found(codex: Watch, attempt: Attempt) -> Evidence:
    async with asyncio.timeout(60):
        while isinstance(evidence := await codex.find(attempt), Unknown):
            await asyncio.sleep(0.1)
    return evidence


def our_server(codex: Watch) -> int:
    """The process id of the app-server that the adapter has started for itself."""
    (embedded,) = (each for each in codex.adapter._servers if isinstance(each, EmbeddedSessions))
    assert embedded.process_id is not None
    return embedded.process_id


async def test_messages_are_taken_once_though_host_and_app_server_die_over_them(owner: Owner):
    # Both ways of keeping a history at once: Codex looks into its queue every ten seconds.
    owners = [owner, Owner(owner.workplace, owner.server, owner.user)]
    for each, mode in zip(owners, ("paginated", "legacy"), strict=True):
        await each.begin(mode)
    attempts = [new_attempt(each.thread) for each in owners]
    async with owner.host() as codex:
        for each, attempt in zip(owners, attempts, strict=True):
            seen = await each.call_hook(codex)
            assert (seen.activity, seen.approval) == (Activity.AT_REST, "open")
            abilities = codex.adapter.describe(each.thread)
            assert (abilities.steer, abilities.interrupt) == (Steering.NONE, False)
            await codex.inject(attempt, f"mark {attempt.id}")
        os.kill(our_server(codex), signal.SIGKILL)

    async with owner.host() as codex:  # nobody has called a hook: the sessions are remembered
        for each in owners:
            await codex.seen(each.thread)
        evidence = await asyncio.gather(*(found(codex, attempt) for attempt in attempts))
        for each, attempt, shown in zip(owners, attempts, evidence, strict=True):
            assert isinstance(shown, Found)
            ended = await codex.until_ended(shown.turn_id)
            assert (ended.status, ended.attempts) == (TurnStatus.COMPLETED, (attempt.id,))
            texts = [item.text for item in await each.user.user_items(each.thread)]
            assert sum(attempt.id in text for text in texts) == 1


async def test_what_waits_in_the_queue_of_a_dead_codex_is_taken_out(
    owner: Owner, stub_model: StubModel, monkeypatch: pytest.MonkeyPatch
):
    gate = threading.Event()
    await owner.begin("paginated")
    attempt = new_attempt(owner.thread)
    async with owner.host() as codex:
        await owner.call_hook(codex)
        stub_model.enqueue(Until(gate))
        await owner.user.start_turn(owner.thread, "a long turn")
        # Handed over before it is seen that a turn runs, so that it must wait in the queue.
        await codex.inject(attempt, f"mark {attempt.id}")
        await codex.until_activity(Activity.IN_TURN)
        monkeypatch.setattr(app_server, "CLOSED_AFTER_S", 0.5)
        await owner.server.kill()
        gate.set()
        await codex.until(SessionClosed)
        assert codex.of(SessionChanged, owner.thread)[-1].activity is Activity.AWAY
        await until(lambda: not any(each.by_queue for each in codex.adapter._servers))

    # Somebody opens the thread again, on a socket this time.
    await owner.server.start()
    async with owner.server.client() as user, owner.host() as codex:
        await user.resume(owner.thread)
        await codex.attach(owner.workplace.socket, owner.thread)
        assert isinstance(await found(codex, attempt), Absent)
        texts = [item.text for item in await user.user_items(owner.thread)]
    assert not any(attempt.id in text for text in texts)


async def test_what_a_dead_host_left_in_the_queue_is_found_when_codex_takes_it(
    owner: Owner, stub_model: StubModel
):
    gate = threading.Event()
    await owner.begin("paginated")
    attempt = new_attempt(owner.thread)
    async with owner.host() as codex:
        await owner.call_hook(codex)
        stub_model.enqueue(Until(gate))
        await owner.user.start_turn(owner.thread, "a long turn")
        await codex.inject(attempt, f"mark {attempt.id}")
    await owner.server.kill()
    gate.set()

    await owner.server.start()
    async with owner.server.client() as user, owner.host() as codex:
        await user.resume(owner.thread)
        await codex.attach(owner.workplace.socket, owner.thread)
        evidence = await found(codex, attempt)
        await user.rest(owner.thread)
        texts = [item.text for item in await user.user_items(owner.thread)]
    # Either Codex was quicker and ran it, or we took it out: never both.
    assert sum(attempt.id in text for text in texts) == isinstance(evidence, Found)


async def test_a_session_that_is_served_on_a_socket_is_not_taken_by_its_process(
    owner: Owner, user: AppServerClient
):
    await owner.begin("paginated")
    async with owner.host() as codex:
        await codex.attach(owner.workplace.socket, owner.thread)
        await owner.call_hook(codex)

        assert codex.adapter.describe(owner.thread).interrupt
