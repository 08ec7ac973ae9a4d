"""`agent-relay ask`."""

from __future__ import annotations

import click
import msgspec

from relay_cli.caller import THREAD_VARIABLE, sending_agent
from relay_cli.commands.send import stored
from relay_cli.completion import agent_ids, targets
from relay_cli.connection import open_hub
from relay_cli.options import json_option, seconds, url_option
from relay_cli.output import Output
from relay_cli.patience import finish
from relay_cli.problems import ExitCode, Usage
from relay_cli.typed_text import read_text
from relay_core.asking import Answered, Asked, wait_for_answers
from relay_core.hub_api import SendRequest
from relay_core.messages import REQUEST, AgentId, AnswerState, MessageId

WAIT_S = "300"


@click.command(
    "ask",
    help="""Ask agents a question and wait for the answer.

    TARGET is an agent's id, `tag:x`, `cap:x`, `label:x` or `broadcast`; a bare word is tried as id,
    label, then tag. QUESTION is the message; `-` reads it from standard input.

    The question becomes a turn in the session. What the agent replies is the answer; if it replies
    nothing, the final message of that turn is. A session that was in the middle of a turn of its
    user's gives nothing of that turn away: it replies, or there is no answer.

    Ends with 0 when every answer is there, and with 5 when one is not there in time or a turn ended
    without any. The request stays at the hub in each case, also after Ctrl-C.

    \b
    Examples:
      agent-relay ask codex-web-a1b2c3d4e5f6 "Which port does the dev server use?"
      agent-relay ask reviewer - --wait 60 < question.txt
      agent-relay ask tag:backend "Are your tests green?" --json
      agent-relay ask cap:review "Is PR 12 safe to merge?" --claimable
    """,
)
@click.argument("target", shell_complete=targets)
@click.argument("question")
@click.option(
    "--from",
    "--as",
    "sender",
    metavar="AGENT",
    shell_complete=agent_ids,
    help=f"Ask as this agent. Default: the session that this shell is in ({THREAD_VARIABLE}), "
    "else operator.",
)
@click.option("--subject", metavar="TEXT", help="One line that says what it is about.")
@click.option("--claimable", is_flag=True, help="One answer is enough: the first to claim it.")
@click.option("--urgent", is_flag=True, help="Ask to interrupt, where the recipient allows it.")
@click.option(
    "--wait",
    type=seconds,
    metavar="seconds",
    default=WAIT_S,
    show_default=True,
    help="How long to wait for the answer.",
)
@url_option
@json_option
def command(
    target: str,
    question: str,
    sender: str | None,
    subject: str | None,
    claimable: bool,
    urgent: bool,
    wait: float,
    output: Output,
    url: str | None,
) -> None:
    """Ask a question."""
    if not target.strip():
        raise Usage("TARGET is empty", fix="list the agents with `agent-relay agents`")
    request = SendRequest(
        to=target,
        body=read_text(question, "give it as the second argument, or `-` for stdin"),
        from_=None if sender is None else AgentId(sender),
        subject=subject,
        claimable=claimable,
        urgent=urgent,
        type=REQUEST,
    )
    asking = _Asking(request, wait, output, url)
    try:
        asked = finish(asking.answers(), output, "waiting for the answer")
    except KeyboardInterrupt:
        if asking.sent is not None:
            look = f"`agent-relay show {asking.sent}`"
            output.remark(f"request {asking.sent} stays at the hub; look with {look}")
        raise
    output.show_object(asked)
    _print(asked, output)
    if not asked.complete:
        output.flush()
        output.remark(_what_is_missing(asked, wait))
        raise click.exceptions.Exit(ExitCode.NOT_PROVED)


class _Asking:
    """One question; `sent` is its number once the hub has it."""

    def __init__(
        self, request: SendRequest, wait_s: float, output: Output, url: str | None
    ) -> None:
        self._request = request
        self._output = output
        self._wait_s = wait_s
        self._url = url
        self.sent: MessageId | None = None

    async def answers(self) -> Asked:
        async with open_hub(self._url) as hub:
            sender = await sending_agent(hub, self._request.from_)
            sent = await stored(hub, msgspec.structs.replace(self._request, from_=sender))
            self.sent = sent.id
            if away := [each.agent_id for each in sent.deliveries if each.away]:
                self._output.remark(f"away, so the question waits for them: {', '.join(away)}")
            return await wait_for_answers(hub, sent.id, wait_s=self._wait_s)


def _print(asked: Asked, output: Output) -> None:
    there = [each for each in asked.answers if each.text is not None]
    for number, each in enumerate(there):
        if len(asked.answers) > 1:
            if number:
                output.line()
            output.line(f"{each.agent_id}:")
        output.block(each.text or "")


def _what_is_missing(asked: Asked, wait_s: float) -> str:
    """Say on one line who has not answered, why, and what to do."""
    missing = [each for each in asked.answers if each.state is not AnswerState.ANSWERED]
    told = "; ".join(_why(each, wait_s) for each in missing)
    if any(each.state is AnswerState.WAITING for each in missing):
        do = f"the answer may still come: run `agent-relay show {asked.id}`"
    elif any(each.state is AnswerState.ENDED_WITHOUT_REPLY for each in missing):
        do = f"ask again when the session is at rest, or look with `agent-relay thread {asked.id}`"
    else:
        do = f"run `agent-relay show {asked.id} --why`"
    return f"request {asked.id}: {told} — {do}"


def _why(answer: Answered, wait_s: float) -> str:
    match answer.state:
        case AnswerState.WAITING:
            return f"{answer.agent_id} has not answered within {wait_s:g} s"
        case AnswerState.ENDED_WITHOUT_REPLY:
            return f"{answer.agent_id} ended its turn without a reply ({answer.reason})"
        case _:
            return f"it did not reach {answer.agent_id} ({answer.reason})"
