"""The command line: what a person types, and the exit code that they get.

It promises that every error is one message on standard error with the exit code of the record format, never a
traceback; that whoever stops reading what it prints changes neither the run nor the exit code; and that judging a
recorded run loads no AWS code: what a command needs is imported by that command.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import traceback
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gameday.printing import outlive_readers
from history.errors import GamedayError, HistoryError, Interrupted

if TYPE_CHECKING:
    from verify.judge import Verdict

INTERNAL_ERROR = 4

app = typer.Typer(
    name="gameday",
    epilog="Exit codes: 0 every claim holds, 1 one is violated, 2 bad usage, 3 one is unknown, 4 the run could not be "
    "done, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class TargetName(StrEnum):
    embedded = "embedded"
    localstack = "localstack"
    aws = "aws"


class Format(StrEnum):
    text = "text"
    json = "json"
    junit = "junit"


class MatrixFormat(StrEnum):
    text = "text"
    json = "json"
    markdown = "markdown"


class What(StrEnum):
    transports = "transports"
    faults = "faults"
    claims = "claims"
    checks = "checks"
    handlers = "handlers"
    guards = "guards"
    shapes = "shapes"
    scenarios = "scenarios"


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


@app.command()
def run(
    scenario: Annotated[
        str, typer.Argument(help="A YAML file, or the name of one in scenarios/ (`gameday list scenarios`).")
    ] = "quick",
    target: Annotated[
        TargetName | None,
        typer.Option(help="Where AWS is. `localstack` is any AWS-compatible endpoint. [default: embedded]"),
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(
            help="The endpoint of `--target localstack`, which it implies. Else AWS_ENDPOINT_URL_SQS and the like, "
            "AWS_ENDPOINT_URL, http://127.0.0.1:4566."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override any key of the scenario; may be repeated."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeat schedule, payloads, groups and chaos choices of the run with this seed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run directory; must not hold a run yet. [default: runs/NAME-TIME]")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Loopback port of /metrics. [default: any free one]")
    ] = None,
    format: Annotated[
        Format, typer.Option(help="How the verdict is printed; but for text, progress goes to standard error.")
    ] = Format.text,
) -> None:
    """Run a scenario: build, push load, break things, drain, and judge which claims held.

    \b
    Examples:
      gameday run
      gameday run broken-no-guard --seed 7
      gameday run standard-at-least-once --set load.rate=50/s --set 'chaos=[]' --out runs/calm
      gameday run my.yaml --endpoint-url http://127.0.0.1:4566
    """
    # Here, so that judging does without: see the module's promise.
    from gameday import scenario as scenarios
    from gameday.conductor import Order, conduct, shown
    from gameday.view import watching
    from verify.judge import judge

    chosen = target or (TargetName.localstack if endpoint_url else TargetName.embedded)
    order = Order(
        scenario=scenarios.load(scenarios.find(scenario), overrides or ()),
        target=chosen.value,
        url=endpoint_url,
        seed=seed,
        out=out,
        metrics_port=metrics_port,
    )
    console = Console(stderr=format is not Format.text, highlight=False)
    with watching(console, order.scenario) as view:
        directory = asyncio.run(conduct(order, view))
        _interrupt_on_signals()
        view.phase("judging")
        try:
            verdict = judge(directory, progress=lambda text: view.phase(f"judging: {text}"))
            verdict.save(directory)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted while judging\nEverything is recorded: gameday verify {shown(directory)}"
            ) from None
    recorded = f"recorded in {shown(directory)}; judge again with: gameday verify {shown(directory)}"
    _show(verdict, format, recorded)


@app.command()
def validate(
    scenario: Annotated[
        str, typer.Argument(help="A YAML file, or the name of one in scenarios/ (`gameday list scenarios`).")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override any key of the scenario; may be repeated."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The seed of the run that is meant: it moves strikes that have `jitter`.")
    ] = None,
) -> None:
    """Read a scenario without running it: what is wrong with it, and what a run of it could not show.

    A note names a claim that is bound to come out unknown, or may well do so, and what to do. `gameday run` prints the
    same notes before it begins, and runs. Exit codes: 0 it can be run, notes or not; 2 it is wrong.

    \b
    Examples:
      gameday validate my.yaml
      gameday validate quick --set load.duration=10s
    """
    from gameday import scenario as scenarios
    from gameday.forecast import forecast

    read = scenarios.load(scenarios.find(scenario), overrides or ())
    chosen = read.seed if seed is None else seed
    notes = forecast(read, seed=0 if chosen is None else chosen)
    for note in notes:
        print(f"note: {note}")
    print(f"valid, with {len(notes)} {'note' if len(notes) == 1 else 'notes'}" if notes else "valid")


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory: manifest.json and history/.")],
    format: Annotated[
        Format, typer.Option(help="`json` prints the object of verdict.json, alone, on standard output.")
    ] = Format.text,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse events and fields that the record format does not know (exit code 2)."),
    ] = False,
) -> None:
    """Judge a recorded run again, from its history alone.

    Events and fields that the record format does not know are ignored, and named below the verdict; `--strict` refuses
    them. Use it while you write a history of your own: a misspelt `recieved` is a message that was never received.

    \b
    Examples:
      gameday verify runs/quick-20260101-120000-1a2b
      gameday verify runs/calm --format junit > verdict.xml
      gameday verify runs/mine --strict
    """
    from verify.judge import judge

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("judging") as status:
            verdict = judge(directory, progress=lambda text: status.update(f"judging: {text}"), strict=strict)
    else:
        verdict = judge(directory, strict=strict)
    try:
        verdict.save(directory)
    except HistoryError as error:
        # A run on read-only media is judged all the same.
        print(f"gameday: {error}", file=sys.stderr)
    _show(verdict, format)


@app.command()
def conformance(
    target: Annotated[
        TargetName | None,
        typer.Option(help="Where AWS is. `localstack` is any AWS-compatible endpoint. [default: embedded]"),
    ] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(help="The endpoint of `--target localstack`, which it implies; see `gameday run`.")
    ] = None,
    services: Annotated[
        str | None,
        typer.Option(
            help="With commas: sqs, sqs-fifo, sns, sns-fifo, eventbridge, kinesis, dynamodb. [default: all of them]"
        ),
    ] = None,
    slow: Annotated[
        bool, typer.Option("--slow", help="Also what takes minutes: windows of 5 minutes run out.")
    ] = False,
    dedup_window_s: Annotated[
        float, typer.Option(min=0.1, help="FIFO's deduplication window, where the endpoint's was shortened.")
    ] = 300.0,
    format: Annotated[
        MatrixFormat, typer.Option(help="How the matrix is printed; progress goes to standard error.")
    ] = MatrixFormat.text,
) -> None:
    """Probe an endpoint for what AWS documents, and print a matrix, service by probe.

    A probe `holds` when it saw its rule kept, is `violated` when it saw it broken, `not-implemented` when the endpoint
    does not have what it asks for, and `unknown` when neither could be seen. What a probe makes, it removes.

    Exit codes: 0 all hold, 1 any is violated, 3 none is, but one is unknown or not implemented, 2 bad usage, 4 no
    target.

    \b
    Examples:
      gameday conformance
      gameday conformance --services sqs,sqs-fifo --slow
      gameday conformance --endpoint-url http://127.0.0.1:4566 --format markdown > matrix.md
      gameday conformance --target localstack --services kinesis --format json | jq .cells
    """
    from gameday.conformance import matrix, run
    from gameday.conformance.progress import watching

    order = run.Order(
        target=(target or (TargetName.localstack if endpoint_url else TargetName.embedded)).value,
        url=endpoint_url,
        services=run.chosen(services),
        slow=slow,
        dedup_window_s=dedup_window_s,
    )
    with watching(Console(stderr=True, highlight=False)) as watch:
        found = asyncio.run(run.conformance(order, started=watch.started, done=watch.done))
    matrix.show(found, format.value)
    raise typer.Exit(found.exit_code)


@app.command()
def sweep(
    target: Annotated[
        TargetName, typer.Option(help="Where AWS is. `localstack` is any AWS-compatible endpoint.")
    ] = TargetName.localstack,
    endpoint_url: Annotated[str | None, typer.Option(help="The endpoint; without it as for `gameday run`.")] = None,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Only what this run left, however young it is.")] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Leave alone what began a shorter time ago, for it may be going on: more than your longest run takes. "
            "[default: 1h; 0s with --run]",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
) -> None:
    """Remove what killed runs have left at an endpoint: queues, topics, buses, archives, streams, tables.

    What a run creates carries its id: as the tag `gameday:run`, and in its name. What a killed `gameday conformance`
    left is named gameday-probe-… and removed too. Nothing else is touched.

    Exit codes: 0 done or nothing there, 2 bad usage, 4 no target, or something could not be listed or removed.

    \b
    Examples:
      gameday sweep --endpoint-url http://127.0.0.1:4566 --dry-run
      gameday sweep --endpoint-url http://127.0.0.1:4566 --older-than 3h
      gameday sweep --run quick-20260101-120000-1a2b
    """
    from gameday import sweep as sweeping

    asked = sweeping.order(target.value, url=endpoint_url, run=run, older_than=older_than, dry=dry_run)
    try:
        raise typer.Exit(sweeping.sweep(asked, os.environ, lambda text: print(text, flush=True)))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; sweep again for the rest") from None


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenarios, for editors.

    \b
    Example:
      gameday schema > scenario.schema.json
    """
    from gameday.schema import schema as of_scenarios

    print(json.dumps(of_scenarios(), indent=2))


@app.command("list")
def list_(what: Annotated[What, typer.Argument(help="What to list.")]) -> None:
    """List what can stand in a scenario.

    \b
    Examples:
      gameday list faults
      gameday list scenarios
    """
    from gameday.catalogue import catalogue

    listed = dict(catalogue(what.value))
    indent = max(map(len, listed)) + 2
    # Lines are folded for people; a file or a pipe gets one line for each entry.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for name, described in listed.items():
        print(textwrap.fill(f"{name:{indent}}{described}", width, subsequent_indent=" " * indent))


def main() -> None:
    """The entry point: typer's own exit codes, and ours for our own errors."""
    outlive_readers()
    _interrupt_on_signals()
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


def _interrupt_on_signals() -> None:
    """Outside a run, which handles them itself, SIGTERM is an interruption like Ctrl-C, in background jobs too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def _show(verdict: Verdict, format: Format, last_line: str = "") -> None:
    """Print the verdict, a last line for people where there is one, and end with the verdict's exit code."""
    from gameday.verdicts import show

    show(verdict, format.value)
    if last_line:
        print(last_line, file=sys.stdout if format is Format.text else sys.stderr)
    raise typer.Exit(verdict.exit_code)


def _complain(message: str) -> None:
    print(f"gameday: {message}", file=sys.stderr)
