"""`gameday verify`: the verdict of a recorded run, from its history alone. It loads no AWS code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gameday.commands.common import Format, SummaryOption, can_be_appended_to, show_verdict
from gameday.history.errors import HistoryError

if TYPE_CHECKING:
    from gameday.report.traces.spans import Traces


_STORED = "s3://"


class EngineName(StrEnum):
    """Where the buckets of a history are judged."""

    processes = "processes"
    spark = "spark"


def verify(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run directory (manifest.json and history/), or one in S3: s3://BUCKET/PREFIX."
        ),
    ],
    format: Annotated[
        Format, typer.Option(help="`json` prints the object of verdict.json, alone, on standard output.")
    ] = Format.text,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse events and fields that the record format does not know (exit code 2)."),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            min=1,
            help="Judge in N processes, each with some of the groups and less than 1 GiB of memory. The verdict is the "
            "same to the byte. A group is never cut, so one that has most of the messages is the floor. Without it: 1 "
            "for what takes less than 500 MB, else one for each core.",
        ),
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option(
            help="`spark` judges the groups on Apache Spark, which its own configuration names, else on all cores of "
            "this machine (gameday[spark]); docs/judging.md."
        ),
    ] = EngineName.processes,
    summary: SummaryOption = None,
    otlp: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Also send the traces of the messages that broke a claim to this OTLP endpoint, by HTTP "
            "(gameday[otel]); headers come from OTEL_EXPORTER_OTLP_HEADERS.",
        ),
    ] = None,
) -> None:
    """Judge a recorded run again, from its history alone.

    Events and fields that the record format does not know are ignored, and named below the verdict; `--strict` refuses
    them. Use it while you write a history of your own: a misspelt `recieved` is a message that was never received.

    \b
    Examples:
      gameday verify runs/quick-20260101-120000-1a2b
      gameday verify runs/calm --format junit > verdict.xml
      gameday verify runs/mine --strict
      gameday verify runs/large --jobs 8
      gameday verify s3://histories/large --engine spark
      gameday verify runs/calm --summary summary.md
      gameday verify runs/calm --otlp http://localhost:4318
    """
    from gameday.verify.buckets import usual_jobs
    from gameday.verify.judge import judging

    can_be_appended_to(summary)
    to = None
    if otlp is not None:
        # Only where they are asked for.
        from gameday.report.traces.otlp import endpoint
        from gameday.report.traces.spans import traces

        to = endpoint(otlp)
    with ExitStack() as stack:
        status = stack.enter_context(Console(stderr=True).status("judging"))

        def progress(text: str) -> None:
            status.update(f"judging: {text}")

        directory = stack.enter_context(_local(run, progress))
        workers = None
        if engine is EngineName.spark:
            from gameday.verify.spark import in_spark

            workers = stack.enter_context(in_spark())
        loaded, verdict = stack.enter_context(
            judging(directory, progress=progress, strict=strict, jobs=jobs or usual_jobs(directory), engine=workers)
        )
        found = None if to is None else traces(loaded, verdict)
        try:
            path = verdict.save(directory)
            if run.startswith(_STORED):
                from gameday.commands.stored import store

                store(path, run)
        except HistoryError as error:
            # A run on read-only media is judged all the same.
            print(f"gameday: {error}", file=sys.stderr)
    # Before the verdict, which ends the command.
    if to is not None and found is not None:
        print(_export(found, to), file=sys.stderr)
    show_verdict(verdict, format, summary=summary)


@contextmanager
def _local(run: str, progress: Callable[[str], None]) -> Iterator[Path]:
    """The run directory, fetched from where it is stored."""
    if not run.startswith(_STORED):
        yield Path(run)
        return
    from gameday.commands.stored import fetched

    with fetched(run, progress) as directory:
        yield directory


def _export(found: Traces, url: str) -> str:
    """What became of the traces, in a line: a collector that is away changes no verdict."""
    from gameday.report.traces.otlp import NotExported, export, shown

    if not found.spans:
        return "traces: no single message broke a claim, so there is nothing to send"
    try:
        export(found.spans, url)
    except NotExported as error:
        return f"gameday: {error}"
    more = f"; {found.left_out} more messages broke one and were left out" if found.left_out else ""
    return (
        f"traces of {found.messages} messages that broke a claim, {len(found.spans)} spans: sent to {shown(url)}{more}"
    )
