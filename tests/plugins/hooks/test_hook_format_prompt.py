"""A few words above the messages; what others wrote stays."""

from collections.abc import Generator, Sequence

import msgspec

from relay_core import Message, Prompt, hookimpl
from relay_core.testing import Harness


class Countdown:
    @hookimpl(wrapper=True)
    def format_prompt(self, messages: Sequence[Message]) -> Generator[None, Prompt, Prompt]:
        prompt = yield
        return msgspec.structs.replace(prompt, header=f"{len(messages)} to read. {prompt.header}")


def test_hook_format_prompt_writes_what_the_agent_reads(relay: Harness) -> None:
    relay.load(Countdown(), "countdown")
    session = relay.open()

    relay.until(relay.send(session, "hello"))

    assert session.prompts[0].startswith("1 to read. ")
    assert session.parts[0].body == "hello"
