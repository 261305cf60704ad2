"""`gameday verify`: the verdict of a recorded run, from its history alone. It loads no AWS code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gameday.commands.common import Format, SummaryOption, can_be_appended_to, show_verdict
from gameday.history.errors import HistoryError

if TYPE_CHECKING:
    from gameday.report.traces.spans import Traces


def verify(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory: manifest.json and history/.")],
    format: Annotated[
        Format, typer.Option(help="`json` prints the object of verdict.json, alone, on standard output.")
    ] = Format.text,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse events and fields that the record format does not know (exit code 2)."),
    ] = False,
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
      gameday verify runs/calm --summary summary.md
      gameday verify runs/calm --otlp http://localhost:4318
    """
    from gameday.verify.judge import judging

    can_be_appended_to(summary)
    to = None
    if otlp is not None:
        # Only where they are asked for.
        from gameday.report.traces.otlp import endpoint
        from gameday.report.traces.spans import traces

        to = endpoint(otlp)
    with (
        Console(stderr=True).status("judging") as status,
        judging(directory, progress=lambda text: status.update(f"judging: {text}"), strict=strict) as (loaded, verdict),
    ):
        found = None if to is None else traces(loaded, verdict)
    try:
        verdict.save(directory)
    except HistoryError as error:
        # A run on read-only media is judged all the same.
        print(f"gameday: {error}", file=sys.stderr)
    # Before the verdict, which ends the command.
    if to is not None and found is not None:
        print(_export(found, to), file=sys.stderr)
    show_verdict(verdict, format, summary=summary)


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
