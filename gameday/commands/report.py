"""`gameday report`: the page of a recorded run, judged again from its history alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gameday.history.errors import TargetError, UsageError


def report(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory: manifest.json and history/.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page. [default: RUN/report.html]")] = None,
    cloudwatch: Annotated[
        bool,
        typer.Option(
            "--cloudwatch",
            help="Ask CloudWatch once more for its numbers of the run: they come minutes late. With the credentials of "
            "the environment, or of --profile.",
        ),
    ] = False,
    profile: Annotated[str | None, typer.Option(help="Of --cloudwatch: the profile of ~/.aws/config.")] = None,
) -> None:
    """Make report.html of a recorded run: one file without network, to be opened, printed or mailed.

    The run is judged again, and verdict.json is left as it is. Exit code 0 says that the page was made, whatever the
    verdict on it.

    \b
    Examples:
      gameday report runs/quick-20260101-120000-1a2b
      gameday report runs/calm --out calm.html
      gameday report runs/calm --cloudwatch --profile staging
    """
    from gameday.report.html.page import save
    from gameday.run.directory import shown
    from gameday.verify.judge import judging

    if profile is not None and not cloudwatch:
        raise UsageError("--profile: of --cloudwatch, which is not asked for")
    if cloudwatch:
        _ask_cloudwatch(directory, profile)
    console = Console(stderr=True)
    with (
        console.status("judging") as status,
        judging(directory, progress=lambda text: status.update(f"judging: {text}")) as (run, verdict),
    ):
        status.update("drawing")
        path = save(directory, run, verdict, out)
    print(f"report: {shown(path.resolve())}")


def _ask_cloudwatch(directory: Path, profile: str | None) -> None:
    """Errors: UsageError for a run that has nothing to ask about; TargetError, HistoryError."""
    from gameday.targets import cloudwatch
    from gameday.targets.account import use_profile
    from gameday.targets.endpoints import go_direct
    from gameday.transports.base import CallFailed
    from gameday.transports.carriers.boto import BotoCarrier, run_plan

    reading = cloudwatch.load(directory)
    if reading is None:
        raise UsageError(
            f"{directory} has no {cloudwatch.FILE}: CloudWatch is read of runs on AWS, and where a scenario says "
            "`cloudwatch: true`"
        )
    use_profile(profile)
    go_direct()
    carrier = BotoCarrier(cloudwatch.endpoint_of(reading, os.environ), read_timeout_s=30)
    try:
        read = run_plan(cloudwatch.ask(reading), carrier)
    except CallFailed as failed:
        raise TargetError(f"CloudWatch does not answer: {failed}") from failed
    read.save(directory)
    print(read.line())
