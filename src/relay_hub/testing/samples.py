"""What the cases store: an agent, a message and a pair with every field set."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from relay_core.hub_api import Pair
from relay_core.messages import (
    AgentId,
    Credential,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    PairId,
    PairState,
    Sender,
)
from relay_core.sessions import Agent
from relay_hub.store import Transaction

A, B = AgentId("a"), AgentId("b")
NOW = 1_000_000


def an_agent(agent_id: AgentId = A, **fields: object) -> Agent:
    return replace(
        Agent(
            id=agent_id,
            name="the agent",
            label="backend",
            machine="box",
            rig="codex-live",
            tags=("python", "tests"),
            capabilities=("chat",),
            channels=("ops",),
            approval="guarded",
            status="idle",
            ready=True,
            unattended=True,
            thread_id="thread",
            adapter="relay.codex",
            waiting="busy",
            last_user_turn_ms=5,
            last_seen_ms=6,
            instance_id="one",
            epoch=3,
            meta=msgspec.Raw(b'{"cwd":"/x"}'),
            created_at=7,
            quiet_until_ms=8,
        ),
        **fields,
    )


def a_message(**fields: object) -> Message:
    return replace(
        Message(
            id=MessageId(0),
            from_=B,
            to="a",
            body="caf\u00e9 \0 \U0001f600",
            sender=Sender(id=B, label="l", tags=("t",), credential=Credential.AGENT),
            created_at=NOW,
            channel="ops",
            subject="why",
            urgent=True,
            type="note",
            meta=msgspec.Raw(b'{"k":[1,2]}'),
            hop=2,
            expires_at=NOW + 500,
        ),
        **fields,
    )


async def stored(tx: Transaction, message: Message, *recipients: AgentId) -> list[Delivery]:
    message_id = await tx.add_message(message)
    deliveries: list[Delivery] = []
    for agent_id in recipients:
        new = Delivery(
            id=DeliveryId(0),
            message_id=message_id,
            agent_id=agent_id,
            seq=await tx.next_seq(agent_id),
            expires_ms=message.expires_at,
            created_ms=NOW,
            updated_ms=NOW,
        )
        deliveries.append(replace(new, id=await tx.add_delivery(new)))
    return deliveries


async def put(tx: Transaction, delivery: Delivery, **fields: object) -> Delivery:
    after = replace(delivery, **fields)
    await tx.put_delivery(after, before=delivery, event="Test")
    return after


def a_pair(name: str, **fields: object) -> Pair:
    pair = Pair(
        id=PairId(name),
        inviter=A,
        invitee=B,
        state=PairState.PENDING,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(pair, **fields)


async def two_agents(tx: Transaction) -> None:
    await tx.put_agent(an_agent(A))
    await tx.put_agent(an_agent(B))
