"""docs/reference/cli.md holds the commands' own help, word for word.

Run this file to write it again: ``python tests/docs/test_cli_reference.py``.
"""

from pathlib import Path

import click

from relay_cli.programs import AGENT_RELAY, AGENT_RELAY_CODEX

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
MARK = "<!-- below: the commands' own help, written by tests/docs/test_cli_reference.py -->"
WIDTH = 88


def reference() -> str:
    """Everything that `--help` says, of every command."""
    parts: list[str] = []
    for program in (AGENT_RELAY, AGENT_RELAY_CODEX):
        parts += _section(program, click.Context(program, info_name=program.name), level=2)
    return "\n".join(parts)


def _section(command: click.Command, context: click.Context, level: int) -> list[str]:
    context.terminal_width = context.max_content_width = WIDTH
    help_text = command.get_help(context).rstrip()
    parts = [f"{'#' * level} {context.command_path}", "", "```text", help_text, "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            inner = click.Context(below, info_name=name, parent=context)
            parts += _section(below, inner, level=3)
    return parts


def test_the_reference_says_what_the_commands_say():
    written = PAGE.read_text(encoding="utf-8").split(f"{MARK}\n\n", 1)[1]

    assert written == reference(), f"run: python {Path(__file__).name}"


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8").split(MARK, 1)[0]
    PAGE.write_text(f"{head}{MARK}\n\n{reference()}", encoding="utf-8")
