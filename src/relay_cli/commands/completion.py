"""`agent-relay completion`."""

from __future__ import annotations

import os

import click

from relay_cli.completion import SHELLS, script
from relay_cli.options import json_option
from relay_cli.output import Output
from relay_cli.problems import Usage
from relay_core.messages import Struct

PROGRAMS = ("agent-relay", "agent-relay-codex")
WHERE = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshrc",
    "fish": "~/.config/fish/config.fish",
}


class CompletionScript(Struct):
    """What `completion --json` prints; `file` is where it is usually loaded from."""

    shell: str
    file: str
    script: str


@click.command(
    "completion",
    help="""Print what lets a shell complete the commands.

    SHELL is bash, zsh or fish; without it, the one that SHELL names. It completes commands,
    options, and the agents, labels and tags that the hub knows, of both programs. Where the hub
    does not answer at once, only what needs no hub.

    \b
    Examples:
      echo 'eval "$(agent-relay completion bash)"' >> ~/.bashrc
      echo 'eval "$(agent-relay completion zsh)"' >> ~/.zshrc
      echo 'agent-relay completion fish | source' >> ~/.config/fish/config.fish

    In ~/.zshrc it must stand below `autoload -U compinit && compinit`.
    """,
)
@click.argument("shell", required=False, type=click.Choice(SHELLS), metavar="[bash|zsh|fish]")
@json_option
def command(shell: str | None, output: Output) -> None:
    """Print a completion script."""
    chosen = shell or os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119 - a name
    if chosen not in SHELLS:
        raise Usage("which shell?", fix="agent-relay completion bash, or zsh, or fish")
    text = script(chosen, PROGRAMS)
    output.show_object(CompletionScript(shell=chosen, file=WHERE[chosen], script=text))
    output.block(text)
