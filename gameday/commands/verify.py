"""`gameday verify`: the verdict of a recorded run, from its history alone. It loads no AWS code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gameday.commands.common import Format, SummaryOption, can_be_appended_to, show_verdict
from gameday.history.errors import HistoryError


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
    """
    from gameday.verify.judge import judge

    can_be_appended_to(summary)
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
    show_verdict(verdict, format, summary=summary)
