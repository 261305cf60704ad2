"""`gameday host`: a host of a run, for its load, its consumers, or both."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from gameday.history.errors import UsageError


def host(
    master: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="The conductor, as its hosts.yaml says it after `listen`.")
    ],
    name: Annotated[str, typer.Option(help="This host, as hosts.yaml calls it.")],
    run_dir: Annotated[Path, typer.Option(help="Where runs are recorded here, each in a directory of its own.")] = Path(
        "runs"
    ),
    wait: Annotated[str, typer.Option(help="How long the conductor may take to come.")] = "10min",
    metrics_host: Annotated[
        str | None,
        typer.Option(help="Address that metrics of this host's processes are served at. [default: 127.0.0.1]"),
    ] = None,
) -> None:
    """Join a run on several hosts, and do there what its conductor says; ends with the run.

    \b
    Example:
      gameday host --master 10.0.0.5:5557 --name load-1 --run-dir /var/lib/gameday
    """
    from gameday.processes.exposition import LOOPBACK
    from gameday.run.host import HostRequest, serve
    from gameday.scenario.hosts import PORT
    from gameday.scenario.units import duration_s

    try:
        wait_s = duration_s(wait)
    except ValueError as error:
        raise UsageError(f"--wait: {error}") from None
    address, colon, port = master.rpartition(":")
    if not colon or not port.isdigit() or (":" in address and not address.startswith("[")):
        raise UsageError(f"--master {master}: write it like 10.0.0.5:{PORT}, as hosts.yaml says it after `listen`")
    asked = HostRequest(
        master=f"{address}:{port}",
        name=name,
        directory=run_dir,
        wait_s=wait_s,
        metrics_host=metrics_host or LOOPBACK,
    )
    asyncio.run(serve(asked, lambda text: print(f"gameday: {text}", file=sys.stderr, flush=True)))
