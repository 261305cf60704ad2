"""Move dead letters back to their queues, and drain again, where the scenario asks for it."""

from __future__ import annotations

from gameday.history.errors import RunError
from gameday.run.phases.drain import drain
from gameday.run.state import Run

NOT_EMPTY = (
    "the queues are not empty, so messages may still die while dead letters are moved back; a longer `drain_timeout` "
    "or faster consumers would help"
)
NOTHING_DEAD = (
    "there is no dead letter to move back, so a redrive shows nothing; raise load.poison, or take topology.redrive out"
)


async def redrive(run: Run) -> None:
    """Errors: RunError when there is nothing to move, which would show nothing, or when messages may still die."""
    if not run.scenario.topology.redrive:
        return
    if not run.drained:
        raise RunError(NOT_EMPTY)
    run.view.phase("moving dead letters back")
    moved = await run.backlog.redrive()
    if not moved:
        raise RunError(NOTHING_DEAD)
    run.note(f"{moved} dead letters moved back to their queues")
    run.note_sent()
    await drain(run)
