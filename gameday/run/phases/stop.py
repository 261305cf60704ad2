"""Stop the consumers, take the dead letters out of their queues, and look once more: in this order.

It promises that the marks come after the last consumer has ended, so that no `received` can follow them; and that
where a service's counts are approximate, a queue is marked as empty only where the drain has seen that it is.
"""

from __future__ import annotations

from dataclasses import asdict

from gameday.history import events
from gameday.run.state import HASTE_S, Run


async def stop(run: Run) -> None:
    """Errors: TargetError."""
    run.view.phase("stopping consumers")
    await run.stop_fleets(run.scenario.consumers.drain_timeout + HASTE_S)
    if run.functions is not None:
        await run.functions.stop()
    if dead := await run.backlog.drain_dead_letters():
        run.note(f"{dead} dead letters")
    exact = run.target.counts_settle_s == 0
    for name, depth in (await run.backlog.look()).items():
        empty = depth.total == 0 and (run.drained or exact)
        run.writer.write(events.mark("drained", subscription=name, empty=empty, **asdict(depth)))
