"""Wait until the executions that the load has started are over, and record what became of each.

It promises that every execution is asked about after the last start, in pages; that what still runs when patience ends
is recorded as running; and that the history says so only where all pages were read. Of an Express workflow nobody can
ask, and of one its queues tell.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gameday.history import events
from gameday.history.errors import TargetError
from gameday.run.state import Run
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import CallFailed, ExecutionSeen, Workflows

_LOOK_AGAIN_S = 0.5


async def await_executions(run: Run) -> None:
    """Errors: TargetError, HistoryError."""
    transport, spec = run.context.transport, run.scenario.topology.workflow
    if not isinstance(transport, Workflows) or spec is None or spec.type != "standard":
        return
    run.view.phase("waiting for executions")
    loop = asyncio.get_running_loop()
    fewest, since = None, loop.time()
    while True:
        found = await _all(run, transport)
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
    await _record(run, transport, found)


async def _all(run: Run, transport: Workflows) -> list[ExecutionSeen]:
    """Errors: TargetError."""
    found: list[ExecutionSeen] = []
    page: str | None = None
    while True:
        call = transport.executions(run.addresses, page=page)
        try:
            more, page = transport.executions_of(await asyncio.to_thread(run.carrier, call))
        except CallFailed as error:
            raise TargetError(f"the executions cannot be read: {with_advice(error)}") from error
        found += more
        if page is None:
            return found


async def _record(run: Run, transport: Workflows, found: Sequence[ExecutionSeen]) -> None:
    spec, untold = run.scenario.topology.workflow, 0
    # An order of ours has an id that an execution may be called by, so its name tells it.
    by_name = spec is not None and spec.named and run.scenario.load.message is None
    records = []
    for execution in found:
        known = replace(execution, id=execution.name) if by_name else await _looked_at(run, transport, execution)
        if known.id is None:
            untold += 1
            continue
        records.append(known.record(known.id))
    run.writer.write_many(records)
    run.writer.write(events.mark("executions-read"))
    counted = Counter(execution.status for execution in found)
    run.note(f"executions: {', '.join(f'{count} {status}' for status, count in counted.most_common()) or 'none'}")
    if untold:
        run.note(f"{untold} executions do not tell which message they were started for, and count for nothing")


async def _looked_at(run: Run, transport: Workflows, execution: ExecutionSeen) -> ExecutionSeen:
    """With its input, which tells its message. Errors: TargetError."""
    try:
        answer = await asyncio.to_thread(run.carrier, transport.execution(execution.arn))
    except CallFailed as error:
        raise TargetError(f"an execution cannot be read: {with_advice(error)}") from error
    return replace(execution, id=transport.execution_of(answer, run.context.identification).id)
