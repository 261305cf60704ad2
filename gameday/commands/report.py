"""`gameday report`: the page of a recorded run, judged again from its history alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory: manifest.json and history/.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page. [default: RUN/report.html]")] = None,
) -> None:
    """Make report.html of a recorded run: one file without network, to be opened, printed or mailed.

    The run is judged again, and verdict.json is left as it is. Exit code 0 says that the page was made, whatever the
    verdict on it.

    \b
    Examples:
      gameday report runs/quick-20260101-120000-1a2b
      gameday report runs/calm --out calm.html
    """
    from gameday.report.html.page import save
    from gameday.run.directory import shown
    from gameday.verify.judge import judging

    console = Console(stderr=True)
    with (
        console.status("judging") as status,
        judging(directory, progress=lambda text: status.update(f"judging: {text}")) as (run, verdict),
    ):
        status.update("drawing")
        path = save(directory, run, verdict, out)
    print(f"report: {shown(path.resolve())}")
