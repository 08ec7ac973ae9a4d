"""Who is there can be asked while connections come and go."""

from collections.abc import Iterator

from hub_kit import agent_caller
from relay_core.hub_api import Served
from relay_core.messages import OPERATOR, AgentId
from relay_hub.callers import USER
from relay_hub.streams import Streams

A, B = AgentId("a"), AgentId("b")


def nothing(frame: object) -> None:
    pass


def served(name: AgentId, epoch: int = 1) -> Served:
    return Served(id=name, instance_id="", epoch=epoch)


def test_the_operator_is_there_while_a_connection_of_the_users_is_open():
    streams = Streams()
    before = streams.serves(OPERATOR, 0)
    streams.open(agent_caller("a"), nothing)
    agents_only = streams.serves(OPERATOR, 0)
    first, second = (streams.open(USER, nothing) for _ in range(2))
    streams.close(first)
    streams.close(first)
    one_left = streams.serves(OPERATOR, 0)
    streams.close(second)

    assert (before, agents_only, one_left) == (False, False, True)
    assert not streams.serves(OPERATOR, 0)


class Meddling:
    """A caller that is looked at, at which another connection is opened, as by the loop."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.armed = False

    @property
    def agent_id(self) -> AgentId:
        if self.armed:
            self.streams.open(USER, nothing)
        return A


def test_a_connection_that_is_opened_meanwhile_disturbs_nobody_who_asks():
    streams = Streams()
    callers = [Meddling(streams) for _ in range(2)]
    for caller in callers:
        streams.open(caller, nothing)
    for caller in callers:
        caller.armed = True

    assert streams.serves(OPERATOR, 0) is False


def test_who_stays_served_is_never_missing():
    streams = Streams()
    host = streams.open(USER, nothing)
    streams.serve(host, [served(A)])
    seen: list[bool] = []

    def list_of_agents() -> Iterator[Served]:
        seen.append(streams.serves(A, 1))
        yield served(A)
        seen.append(streams.serves(A, 1))
        yield served(B)

    streams.serve(host, list_of_agents())

    assert seen == [True, True]
    assert streams.serves(A, 1)
    assert streams.serves(B, 1)


def test_two_connections_may_serve_one_agent_and_each_may_stop():
    streams = Streams()
    first, second = (streams.open(USER, nothing) for _ in range(2))
    streams.serve(first, [served(A)])
    streams.serve(second, [served(A)])
    streams.serve(first, [])
    after_one = streams.serves(A, 1)
    streams.close(second)

    assert after_one
    assert not streams.serves(A, 1)
