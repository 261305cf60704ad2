"""Redrive the executions that did not succeed, and wait for them again, where the scenario asks for it."""

from __future__ import annotations

from collections import Counter

from gameday.history.errors import RunError
from gameday.run.executions import UNSUCCESSFUL, read_executions, steer, with_messages
from gameday.run.phases.await_executions import await_executions
from gameday.run.state import Run
from gameday.transports.base import Workflows


async def redrive_executions(run: Run) -> None:
    """Errors: RunError when there is nothing to redrive, which would show nothing; TargetError; HistoryError."""
    transport, spec = run.context.transport, run.scenario.topology.workflow
    if not isinstance(transport, Workflows) or spec is None or not spec.redrive:
        return
    run.view.phase("redriving executions")
    failed = [each for each in await read_executions(run, transport) if each.status in UNSUCCESSFUL]
    known = [each for each in await with_messages(run, transport, failed) if each.id is not None]
    if not known:
        raise RunError(
            "no execution failed, so a redrive shows nothing; let one fail (fail-handler, and a machine that does not "
            "retry it), or take topology.workflow.redrive out"
        )
    outcomes = Counter(
        [await steer(run, transport, each, "redrive", call=f"redrive-{n}") for n, each in enumerate(known, 1)]
    )
    told = {"ok": "accepted", "failed": "refused", "unknown": "of which nobody knows"}
    run.note(f"redrives of executions: {', '.join(f'{count} {told[outcome]}' for outcome, count in outcomes.items())}")
    await await_executions(run)
