"""`gameday compare`: is a run worse than another one, or is it noise. It loads no AWS code."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gameday.history.errors import UsageError

_EXIT_CODES = {"no regression": 0, "regressed": 1, "unknown": 3}


class ComparisonFormat(StrEnum):
    text = "text"
    json = "json"
    markdown = "markdown"


def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="RUN RUN…", help="Run directories, the baseline first.")],
    tolerance: Annotated[
        str, typer.Option(metavar="SHARE", help="How much worse is still good enough, with noise taken off.")
    ] = "10%",
    confidence: Annotated[
        str, typer.Option(metavar="SHARE", help="How sure it must be that what is called different is no noise.")
    ] = "99%",
    warm_up: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Left out at the start of each load. [default: a tenth of the shortest load, at most 30s]",
        ),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare runs of different scenarios or targets, and tell the differences.")
    ] = False,
    format: Annotated[
        ComparisonFormat, typer.Option(help="`markdown` is for a pull request or a CI job summary.")
    ] = ComparisonFormat.text,
) -> None:
    """Compare recorded runs with the first of them: latency, throughput, redeliveries, duplicates, claims.

    What is called different is so beyond the tolerance, and with the confidence asked for no noise within the runs;
    how it is reckoned: docs/comparing.md.

    Exit codes: 0 no regression, 1 a regression, 2 bad usage, 3 none found, but a claim is unknown that was not, or
    there are too few messages to say anything.

    \b
    Examples:
      gameday compare runs/before runs/after
      gameday compare runs/main runs/branch --tolerance 5% --format markdown >> "$GITHUB_STEP_SUMMARY"
      gameday compare runs/small runs/large --anyway
    """
    from gameday.compare.compare import compare as compared
    from gameday.report.comparison import show

    console = Console(stderr=True)
    with console.status("comparing") as status:
        comparison = compared(
            directories,
            tolerance=_share("--tolerance", tolerance),
            confidence=_confidence(confidence),
            warm_up_s=None if warm_up is None else _seconds("--warm-up", warm_up),
            anyway=anyway,
            progress=lambda text: status.update(f"comparing: {text}"),
        )
    show(comparison, format.value)
    raise typer.Exit(_EXIT_CODES[comparison.verdict])


def _share(option: str, text: str) -> float:
    from gameday.scenario.units import share

    try:
        return share(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error


def _confidence(text: str) -> float:
    confidence = _share("--confidence", text)
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence {text}: a share from 50% to below 100% belongs there")
    return confidence


def _seconds(option: str, text: str) -> float:
    from gameday.scenario.units import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error
