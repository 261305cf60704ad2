"""Wait until the executions that the load has started are over, and record what became of each.

It promises that every execution is asked about after the last start, in pages; that what still runs when patience ends
is recorded as running; and that the history says so only where all pages were read. Of an Express workflow nobody can
ask: of one that its starts wait for their answers tell, and of the other kind its queues.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from gameday.history import events
from gameday.history.errors import TargetError
from gameday.run.executions import Executions
from gameday.run.state import Run
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import CallFailed

_LOOK_AGAIN_S = 0.5


async def await_executions(run: Run) -> None:
    """Errors: TargetError, HistoryError."""
    executions = Executions.of(run)
    if executions is None:
        return
    try:
        await _await(run, executions)
    except CallFailed as error:
        raise TargetError(f"the executions cannot be read: {with_advice(error)}") from error


async def _await(run: Run, executions: Executions) -> None:
    """Errors: CallFailed, HistoryError."""
    run.view.phase("waiting for executions")
    loop = asyncio.get_running_loop()
    fewest, since = None, loop.time()
    while True:
        found = await executions.read()
        running = sum(execution.status == "running" for execution in found)
        if not running:
            break
        if fewest is None or running < fewest:
            fewest, since = running, loop.time()
        if loop.time() > since + run.scenario.drain_timeout_s:
            run.note(f"{running} executions still run, and no fewer for {run.scenario.drain_timeout_s:g} s")
            break
        run.view.phase(f"waiting for executions: {running} run")
        await asyncio.sleep(_LOOK_AGAIN_S)
    known = await executions.with_messages(found)
    run.writer.write_many([execution.record(execution.id) for execution in known if execution.id is not None])
    run.writer.write(events.mark("executions-read"))
    counted = Counter(execution.status for execution in found)
    run.note(f"executions: {', '.join(f'{count} {status}' for status, count in counted.most_common()) or 'none'}")
    if untold := sum(execution.id is None for execution in known):
        run.note(f"{untold} executions do not tell which message they were started for, and count for nothing")
