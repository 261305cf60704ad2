"""`gameday collect`: what hosts have recorded, added to a run by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def collect(
    run: Annotated[Path, typer.Argument(help="The run directory.")],
    places: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Copies of hosts' --run-dir, or of their directories of this run."),
    ],
) -> None:
    """Add history files of hosts, which a run lacks, from where their disks were copied to.

    \b
    Example:
      gameday collect runs/quick-20261129-020304-ab12 from-host-b from-host-c
    """
    from gameday.run.directory import shown
    from gameday.run.gathering import absent, take

    for place in places:
        taken = take(run, place)
        print(f"{place}: {len(taken)} files of {', '.join(sorted(set(taken.values()))) or 'no host'}")
    missing = absent(run)
    for host in sorted(set(missing.values())):
        files = [file for file, of in missing.items() if of == host]
        print(f"still absent, of host {host}: {', '.join(files)}")
    print(f"judge it: gameday verify {shown(run)}")
