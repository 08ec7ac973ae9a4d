"""A host with a client's cursor: begun anew, it goes on with what comes from then on.

It takes what the agent answers for the proof, too. The kill test must find it out.
"""

from __future__ import annotations

import sys

import msgspec
from naive_host import believe_answers

from relay_cli.main import main
from relay_core.hub_api import OfferList
from relay_core.sidecar import Sidecar

_cursors: dict[int, int] = {}


def _begin_with_the_latest() -> None:
    honest = Sidecar._look

    async def look(self: Sidecar) -> OfferList:
        found = await honest(self)
        newest = max((each.message.id for each in found.offers), default=0)
        cursor = _cursors.setdefault(id(self), newest)
        later = tuple(each for each in found.offers if each.message.id > cursor)
        return msgspec.structs.replace(found, offers=later)

    Sidecar._look = look  # type: ignore[method-assign]


if __name__ == "__main__":
    believe_answers()
    _begin_with_the_latest()
    sys.argv = ["agent-relay", "up"]
    main()
