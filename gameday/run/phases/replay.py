"""Replay what an archive has kept of the load, and drain again, where the scenario asks for it."""

from __future__ import annotations

from gameday.run.phases.drain import drain
from gameday.run.replay import Replay
from gameday.run.state import Run
from gameday.transports.base import Replayer


async def replay(run: Run) -> None:
    """Errors: HistoryError, TargetError."""
    transport, view = run.context.transport, run.view
    if not isinstance(transport, Replayer) or not run.topology.archive:
        return
    view.phase("replaying")
    made = Replay(
        transport=transport,
        addresses=run.addresses,
        name=f"gameday-{run.context.id}",
        since_ns=run.start_ns,
        carry=run.carrier,
        writer=run.writer,
    )
    why = await made.run(patience_s=run.scenario.drain_timeout_s, tell=lambda state: view.phase(f"replaying: {state}"))
    if why is not None:
        view.note(f"the replay did not run to its end ({why}); claims about it are unknown")
    run.note_sent()
    await drain(run)
