"""Every case of the suite in one class."""

from __future__ import annotations

from relay_hub.testing.agents import AgentCases
from relay_hub.testing.answers import AnswerCases
from relay_hub.testing.attempts import AttemptCases
from relay_hub.testing.claims import ClaimCases
from relay_hub.testing.dead import DeadLetterCases
from relay_hub.testing.deliveries import DeliveryCases
from relay_hub.testing.guards import GuardCases
from relay_hub.testing.held import HeldMailCases
from relay_hub.testing.messages import MessageCases
from relay_hub.testing.pairs import PairCases
from relay_hub.testing.units import UnitCases


class StoreConformance(
    UnitCases,
    AgentCases,
    MessageCases,
    DeliveryCases,
    AttemptCases,
    ClaimCases,
    HeldMailCases,
    DeadLetterCases,
    PairCases,
    GuardCases,
    AnswerCases,
):
    """What every store must do, one method for each thing; each is given a new, empty store.

    With pytest: subclass it as `Test…` and give it an async fixture `store`, under pytest-asyncio
    in its mode `auto`. Without: `check_store`.
    """
