"""CloudWatch's numbers of what the run has built: which they are is written down at once, and they are read at the end.

A run needs none of them: where CloudWatch does not answer, or may not be asked, that is told and changes no verdict.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

from gameday.history.clock import NS_PER_S
from gameday.history.errors import HistoryError
from gameday.run.state import Run
from gameday.targets import cloudwatch
from gameday.targets.cloudwatch import Reading
from gameday.transports.base import CallFailed
from gameday.transports.carriers.boto import run_plan


def _wanted(run: Run) -> bool:
    asked = run.scenario.cloudwatch
    return run.target.kind == "aws" if asked is None else asked


async def name_metrics(run: Run) -> None:
    """So that they can be asked for later, whatever becomes of the run. Errors: HistoryError."""
    if not _wanted(run):
        return
    endpoint = run.target.endpoint
    Reading(
        region=endpoint.region,
        urls=endpoint.urls,
        begin_s=time.time(),
        metrics=cloudwatch.metrics_of(run.context.transport.services, run.addresses),
    ).save(run.context.directory)


async def read_metrics(run: Run) -> None:
    if not _wanted(run):
        return
    run.view.phase("reading CloudWatch")
    with suppress(HistoryError):
        named = cloudwatch.load(run.context.directory)
        assert named is not None, "they were named before the load"
        asked = replace(named, begin_s=run.start_ns / NS_PER_S, end_s=run.context.clock.now_ns() / NS_PER_S)
        try:
            read = await asyncio.to_thread(run_plan, cloudwatch.ask(asked), run.carrier)
        except CallFailed as failed:
            read = replace(asked, failed=str(failed))
        read.save(run.context.directory)
        if read.failed is not None or read.late:
            run.view.note(f"{read.line()}; gameday report --cloudwatch asks once more")
