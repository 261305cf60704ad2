"""The executions that a run has started, as whoever steers them and whoever records them sees them.

It promises that all pages are read, that each execution which tells its message is given with it, and that what is done
to one is on record before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gameday.history import events
from gameday.history.events import ExecutionStatus, SendResult, Steering
from gameday.run.state import Run
from gameday.transports.base import CallFailed, ExecutionSeen, Workflows

# Those that may be begun again.
UNSUCCESSFUL: Sequence[ExecutionStatus] = ("failed", "timed-out", "aborted")


class Executions:
    """The `ExecutionControl` of a run whose messages start executions that can be asked about."""

    def __init__(self, run: Run, transport: Workflows) -> None:
        self._run = run
        self._transport = transport
        self._calls = 0
        spec = run.scenario.topology.workflow
        # An order of ours has an id that an execution may be called by, so its name tells it.
        self._named = spec is not None and spec.named and run.scenario.load.message is None

    @classmethod
    def of(cls, run: Run) -> Executions | None:
        """None where messages start none, or such as nobody can ask about."""
        transport, spec = run.context.transport, run.scenario.topology.workflow
        if not isinstance(transport, Workflows) or spec is None or spec.type != "standard":
            return None
        return cls(run, transport)

    async def read(self, status: ExecutionStatus | None = None) -> list[ExecutionSeen]:
        """All, or those of one status. Errors: CallFailed."""
        found: list[ExecutionSeen] = []
        page: str | None = None
        while True:
            call = self._transport.executions(self._run.addresses, status=status, page=page)
            more, page = self._transport.executions_of(await asyncio.to_thread(self._run.carrier, call))
            found += more
            if page is None:
                return found

    async def with_messages(self, found: Sequence[ExecutionSeen]) -> list[ExecutionSeen]:
        """The same, with the message that each was started for; `id` stays None where nothing tells it.

        Errors: CallFailed.
        """
        if self._named:
            return [replace(execution, id=execution.name) for execution in found]
        return [await self._looked_at(execution) for execution in found]

    async def _looked_at(self, execution: ExecutionSeen) -> ExecutionSeen:
        """With its input, which tells its message. Errors: CallFailed."""
        answer = await asyncio.to_thread(self._run.carrier, self._transport.execution(execution.arn))
        return replace(execution, id=self._transport.execution_of(answer, self._run.context.identification).id)

    async def running(self) -> list[ExecutionSeen]:
        """Those that run, and tell their message. Errors: CallFailed."""
        return [each for each in await self.with_messages(await self.read("running")) if each.id is not None]

    async def steer(self, execution: ExecutionSeen, action: Steering) -> SendResult:
        """Have an execution redriven, or stop it. Errors: HistoryError."""
        run, redrives = self._run, action == "redrive"
        assert execution.id is not None, "who steers an execution says of which message it is"
        self._calls += 1
        intent = events.steering(id=execution.id, arn=execution.arn, action=action, call=f"{action}-{self._calls}")
        asked = (self._transport.redrive if redrives else self._transport.stop_execution)(execution.arn)
        run.writer.write(intent)
        outcome: SendResult = "ok"
        started, error = run.writer.clock.now_ns(), None
        try:
            await asyncio.to_thread(run.carrier, asked)
        except CallFailed as failure:
            outcome, error = failure.outcome, str(failure)
        run.writer.write(events.steered(intent, started=started, outcome=outcome, error=error))
        return outcome
