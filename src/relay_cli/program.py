"""How both programs run: commands imported when asked for, each ending an exit code."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import click

from relay_cli.completion import answer, completion_variable
from relay_cli.hook_launcher import mend
from relay_cli.output import Output, discard_rest, tolerate_any_text
from relay_cli.problems import (
    DEBUG_VARIABLE,
    ErrorReport,
    ExitCode,
    Problem,
    Usage,
    alone,
    parts_of,
    problem_of,
)
from relay_cli.version import version
from relay_core.errors import RelayError
from relay_core.messages import Struct

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SECRET_OPTIONS = ("--token", "--password", "--secret")


class CommandPlace(Struct):
    """Where a command is: a module with a click command named `command`, and its line of help.

    One that only `looks` leaves even a dead launcher as it is.
    """

    module: str
    summary: str
    looks: bool = False


class LazyGroup(click.Group):
    """A group whose commands are imported when they run, so that small ones start quickly."""

    def __init__(
        self,
        name: str,
        places: Mapping[str, CommandPlace],
        help_text: str,
        *,
        slash_forms: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        super().__init__(
            name,
            help=help_text,
            invoke_without_command=True,
            callback=_show_help,
            params=[_version_option()],
        )
        self.places = places
        self.slash_forms = slash_forms or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        place = self.places.get(cmd_name)
        if place is None:
            return None
        command: object = import_module(place.module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{place.module}.command is no click command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        summaries = {name: place.summary for name, place in self.places.items()}
        if incomplete.startswith("/"):
            summaries |= {name: summaries[words[0]] for name, words in self.slash_forms.items()}
        return [
            *(
                CompletionItem(name, help=summary)
                for name, summary in summaries.items()
                if name.startswith(incomplete)
            ),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (
            args
            and not args[0].startswith("-")
            and args[0] not in {*self.places, *self.slash_forms}
        ):
            close = get_close_matches(args[0], self.places, n=1)
            told = f"did you mean `{close[0]}`?" if close else f"see `{ctx.info_name} --help`"
            raise Usage(f"there is no command {args[0]!r}", fix=told)
        if args:
            args = [*self.slash_forms.get(args[0], args[:1]), *args[1:]]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in self.places.items()])


def run(group: click.Group, arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; prints its own error, raises nothing."""
    tolerate_any_text()
    program = group.name or "agent-relay"
    output = Output(as_json=_asks_for_json(arguments))
    try:
        if (question := os.environ.get(completion_variable(program))) is not None:
            return _complete(group, question)
        ending = _run(group, program, arguments)
        if isinstance(ending, Problem):
            output.progress_done()
            output.problem(program, ending)
            ending = ending.exit_code
        output.flush()
    except BrokenPipeError:
        discard_rest()
        return ExitCode.DONE
    except OSError as error:  # a full disk, for the result and for an error alike
        discard_rest()
        output.remark(f"standard output: {error.strerror or error}")
        return ExitCode.FAILED
    return ending


def _run(group: click.Group, program: str, arguments: Sequence[str]) -> int | Problem:
    try:
        _refuse_what_is_not_text(arguments)
        with group.make_context(program, list(arguments)) as context:
            if not _only_looks(group, arguments):
                mend(os.environ)
            group.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        return _usage(error.format_message().rstrip("."), _usage_fix(error, program, arguments))
    except (KeyboardInterrupt, click.Abort) as end:
        if isinstance(end, KeyboardInterrupt):
            # What was cut off half made (a loop, a coroutine) complains as it is thrown away.
            sys.unraisablehook = _say_nothing
            warnings.simplefilter("ignore")
        report = ErrorReport(code="interrupted", detail="interrupted")
        return Problem(error=report, exit_code=ExitCode.INTERRUPTED)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost edge: one line, no traceback
        _show_traceback_if_wanted()
        cause = alone(error)
        return problem_of(cause) if isinstance(cause, RelayError) else _unexpected(cause)
    return ExitCode.DONE


def _say_nothing(unraisable: object) -> None:
    """Take the place of Python's report of an error that nobody can catch."""


def _complete(group: click.Group, question: str) -> int:
    told = answer(group, question)
    if told is None:
        return ExitCode.USAGE
    if told:
        sys.stdout.write(f"{told}\n")
    sys.stdout.flush()
    return ExitCode.DONE


def _only_looks(group: click.Group, arguments: Sequence[str]) -> bool:
    place = group.places.get(arguments[0]) if isinstance(group, LazyGroup) and arguments else None
    return place is not None and place.looks


def _version_option() -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version and exit.",
    )


def _show_version(ctx: click.Context, param: click.Parameter, value: object) -> None:
    del param
    if value and not ctx.resilient_parsing:
        click.echo(f"{ctx.info_name} {version()}")
        ctx.exit()


def _show_help() -> None:
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _asks_for_json(arguments: Sequence[str]) -> bool:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _refuse_what_is_not_text(arguments: Sequence[str]) -> None:
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            detail = f"argument {number} is not valid UTF-8"
            raise Usage(detail, fix="write it as UTF-8 text") from None


def _usage(detail: str, fix: str | None) -> Problem:
    report = ErrorReport(code="usage", detail=" ".join(detail.split()), fix=fix)
    return Problem(error=report, exit_code=ExitCode.USAGE)


def _usage_fix(error: click.ClickException, program: str, arguments: Sequence[str]) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else program
    if isinstance(error, click.NoSuchOption):
        if error.option_name.startswith(_SECRET_OPTIONS):
            return "a token is never an argument; put it in AGENT_RELAY_TOKEN or in a 0600 file"
        if error.possibilities:
            return f"did you mean {' or '.join(sorted(error.possibilities))}?"
        if "send" in arguments[:2]:
            return f"write `--` before a message that starts with `-`, or see `{path} --help`"
    return f"see `{path} --help`"


def _unexpected(error: Exception) -> Problem:
    if isinstance(error, OSError) and error.strerror is not None:
        where = "" if error.filename is None else f"{error.filename}: "
        report = ErrorReport(code="os_error", detail=f"{where}{error.strerror}", fix=_os_fix(error))
    else:
        report = ErrorReport(
            code="unexpected",
            detail=f"unexpected {' and '.join(map(_named, parts_of(error)))}",
            fix=f"set {DEBUG_VARIABLE}=1 and run it again to see where",
        )
    return Problem(error=report, exit_code=ExitCode.FAILED)


def _named(error: Exception) -> str:
    kind = type(error).__name__
    return f"{kind}: {' '.join(str(error).split()) or kind}"


def _os_fix(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space and run it again"
    return "check that it exists and that you may use it"


def _show_traceback_if_wanted() -> None:
    if os.environ.get(DEBUG_VARIABLE) == "1":
        import traceback

        traceback.print_exc()
