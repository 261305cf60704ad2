"""`gameday conformance`: what an endpoint keeps of what AWS documents."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gameday.commands.common import TargetName, TargetOption, chosen_target
from gameday.history.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from gameday.conformance.progress import Watch
    from gameday.conformance.run import Matrix, ProbeRequest
    from gameday.targets.target import Kind


class MatrixFormat(StrEnum):
    text = "text"
    json = "json"
    markdown = "markdown"


def conformance(
    target: TargetOption = None,
    endpoint_url: Annotated[
        str | None, typer.Option(help="The endpoint of `--target localstack`, which it implies; see `gameday run`.")
    ] = None,
    services: Annotated[
        str | None,
        typer.Option(
            help="With commas: sqs, sqs-fifo, sns, sns-fifo, eventbridge, kinesis, dynamodb, scheduler, pipes, "
            "s3, stepfunctions, lambda. [default: all of them]"
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
    from gameday.conformance import matrix
    from gameday.conformance.progress import watching
    from gameday.conformance.run import ProbeRequest, chosen

    if target is TargetName.aws:
        raise UsageError("what AWS does is what probes are held to; name an emulator, with --endpoint-url for example")
    request = ProbeRequest(services=chosen(services), slow=slow, dedup_window_s=dedup_window_s)
    with watching(Console(stderr=True, highlight=False)) as watch:
        found = asyncio.run(_probe(request, chosen_target(target, endpoint_url), endpoint_url, watch))
    matrix.show(found, format.value)
    raise typer.Exit(found.exit_code)


async def _probe(request: ProbeRequest, kind: Kind, url: str | None, watch: Watch) -> Matrix:
    """Errors: TargetError, UsageError, Interrupted."""
    from gameday.conformance.run import conformance as probe
    from gameday.targets.start import given, start

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    services = request.needed
    try:
        with tempfile.TemporaryDirectory(prefix="gameday-conformance-") as scratch:
            if kind == "localstack":
                # What it lacks is an answer of the matrix, and no reason to refuse it.
                at = given(services, url, os.environ)
            else:
                at = await start(kind, services=services, url=url, environ=os.environ, run=Path(scratch))
            try:
                return await probe(request, at, started=watch.started, done=watch.done)
            finally:
                await at.stop()
    except asyncio.CancelledError:
        raise Interrupted("interrupted; what the probes had made is removed") from None
