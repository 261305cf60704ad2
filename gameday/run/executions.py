"""The executions that a run has started, as whoever steers them and whoever records them sees them.

It promises that all pages are read, that each execution which tells its message is given with it, and that what is done
to one is on record before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gameday.history import events
from gameday.history.errors import TargetError
from gameday.history.events import SendResult, Steering
from gameday.run.state import Run
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import CallFailed, ExecutionSeen, Workflows

# Those that may be begun again.
UNSUCCESSFUL = ("failed", "timed-out", "aborted")


async def read_executions(run: Run, transport: Workflows) -> list[ExecutionSeen]:
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


async def with_messages(run: Run, transport: Workflows, found: Sequence[ExecutionSeen]) -> list[ExecutionSeen]:
    """The same, with the message that each was started for; `id` stays None where nothing tells it.

    Errors: TargetError.
    """
    spec = run.scenario.topology.workflow
    # An order of ours has an id that an execution may be called by, so its name tells it.
    if spec is not None and spec.named and run.scenario.load.message is None:
        return [replace(execution, id=execution.name) for execution in found]
    return [await _looked_at(run, transport, execution) for execution in found]


async def _looked_at(run: Run, transport: Workflows, execution: ExecutionSeen) -> ExecutionSeen:
    """With its input, which tells its message. Errors: TargetError."""
    try:
        answer = await asyncio.to_thread(run.carrier, transport.execution(execution.arn))
    except CallFailed as error:
        raise TargetError(f"an execution cannot be read: {with_advice(error)}") from error
    return replace(execution, id=transport.execution_of(answer, run.context.identification).id)


async def steer(run: Run, transport: Workflows, execution: ExecutionSeen, action: Steering, *, call: str) -> SendResult:
    """Have an execution redriven, or stop it; `call` names that in the history. Errors: HistoryError."""
    assert execution.id is not None, "who steers an execution says of which message it is"
    intent = events.steering(id=execution.id, arn=execution.arn, action=action, call=call)
    run.writer.write(intent)
    asked = transport.redrive(execution.arn) if action == "redrive" else transport.stop_execution(execution.arn)
    outcome: SendResult = "ok"
    started, error = run.writer.clock.now_ns(), None
    try:
        await asyncio.to_thread(run.carrier, asked)
    except CallFailed as failure:
        outcome, error = failure.outcome, str(failure)
    run.writer.write(events.steered(intent, started=started, outcome=outcome, error=error))
    return outcome
