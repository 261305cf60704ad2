"""The command line: what a person types, and the exit code that they get.

It promises that every error is one message on standard error with the exit code of the record format, never a
traceback; that whoever stops reading what it prints changes neither the run nor the exit code; and that judging a
recorded run loads no AWS code: what a command needs is imported by that command.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from importlib import metadata
from typing import Annotated

import typer

from gameday.commands.collect import collect
from gameday.commands.common import interrupt_on_signals
from gameday.commands.compare import compare
from gameday.commands.conformance import conformance
from gameday.commands.dashboards import dashboards
from gameday.commands.find_rate import find_rate
from gameday.commands.host import host
from gameday.commands.hunt import hunt
from gameday.commands.list import list_
from gameday.commands.plan import plan
from gameday.commands.policy import policy
from gameday.commands.recover import recover
from gameday.commands.report import report
from gameday.commands.run import run
from gameday.commands.schema import schema
from gameday.commands.sweep import sweep
from gameday.commands.sweep_crashes import sweep_crashes
from gameday.commands.validate import validate
from gameday.commands.verify import verify
from gameday.history.errors import GamedayError
from gameday.report.printing import outlive_readers

INTERNAL_ERROR = 4

app = typer.Typer(
    name="gameday",
    epilog="Exit codes: 0 every claim holds, 1 one is violated, 2 bad usage, 3 one is unknown, 4 the run could not be "
    "done, 5 the target cannot do what the scenario asks for, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"gameday {metadata.version('gameday')}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Load-test, break and judge event-driven systems on AWS."""


for command in (
    run,
    find_rate,
    sweep_crashes,
    hunt,
    host,
    collect,
    validate,
    plan,
    policy,
    verify,
    report,
    compare,
    conformance,
    sweep,
    recover,
    schema,
):
    app.command()(command)
app.command("list")(list_)
app.add_typer(dashboards, name="dashboards")


def main() -> None:
    """The entry point: typer's own exit codes, and ours for our own errors."""
    outlive_readers()
    interrupt_on_signals()
    try:
        app()
    except GamedayError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="gameday-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        _complain(f"a fault of gameday's own ({type(error).__name__}: {error}); please report it with {log.name}")
        sys.exit(INTERNAL_ERROR)


def _complain(message: str) -> None:
    print(f"gameday: {message}", file=sys.stderr)
