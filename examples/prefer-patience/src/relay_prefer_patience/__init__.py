"""Never joins a running turn, and brings at most three messages together."""

from __future__ import annotations

from collections.abc import Sequence

from relay_core import Activity, DeliveryPlan, Message, Session, hookimpl

TOGETHER = 3
RUNNING = (Activity.IN_TURN, Activity.WAITING_FOR_USER)


@hookimpl
def choose_delivery(messages: Sequence[Message], session: Session) -> DeliveryPlan | None:
    """Wait while a turn runs, start a turn at rest; what is urgent is left to the next plugin."""
    if any(message.urgent for message in messages):
        return None
    if session.activity in RUNNING:
        return DeliveryPlan.wait("prefer-patience: a turn runs")
    if session.activity is Activity.AT_REST and len(messages) > TOGETHER:
        return DeliveryPlan.start(take=TOGETHER, reason="prefer-patience: three at most")
    return None
