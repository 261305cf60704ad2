"""Stop the consumers, take the dead letters out of their queues, and look once more: in this order.

It promises that the marks come after the last consumer has ended, so that no `received` can follow them.
"""

from __future__ import annotations

from dataclasses import asdict

from gameday.history import events
from gameday.run.state import HASTE_S, Run


async def stop(run: Run) -> None:
    """Errors: TargetError."""
    run.view.phase("stopping consumers")
    await run.stop_fleets(run.scenario.consumers.drain_timeout + HASTE_S)
    if dead := await run.backlog.drain_dead_letters():
        run.note(f"{dead} dead letters")
    for name, depth in (await run.backlog.look()).items():
        run.writer.write(events.mark("drained", subscription=name, empty=depth.total == 0, **asdict(depth)))
