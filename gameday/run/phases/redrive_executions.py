"""Redrive the executions that did not succeed, and wait for them again, where the scenario asks for it."""

from __future__ import annotations

from collections import Counter

from gameday.history.errors import RunError, TargetError
from gameday.run.executions import UNSUCCESSFUL, Executions
from gameday.run.phases.await_executions import await_executions
from gameday.run.state import Run
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import CallFailed, ExecutionSeen

_TOLD = {"ok": "accepted", "failed": "refused", "unknown": "without an answer"}


async def redrive_executions(run: Run) -> None:
    """Errors: RunError when there is nothing to redrive, which would show nothing; TargetError; HistoryError."""
    executions, spec = Executions.of(run), run.scenario.topology.workflow
    if executions is None or spec is None or not spec.redrive:
        return
    run.view.phase("redriving executions")
    failed = await _failed(executions)
    if not failed:
        raise RunError(
            "no execution failed, so a redrive shows nothing; let one fail (fail-handler, and a machine that does not "
            "try again), or take topology.workflow.redrive out"
        )
    outcomes = Counter([await executions.steer(each, "redrive") for each in failed])
    run.note(f"redrives of executions: {', '.join(f'{count} {_TOLD[outcome]}' for outcome, count in outcomes.items())}")
    await await_executions(run)


async def _failed(executions: Executions) -> list[ExecutionSeen]:
    """Those that tell their message. Errors: TargetError."""
    try:
        failed = [each for each in await executions.read() if each.status in UNSUCCESSFUL]
        return [each for each in await executions.with_messages(failed) if each.id is not None]
    except CallFailed as error:
        raise TargetError(f"the executions cannot be read: {with_advice(error)}") from error
