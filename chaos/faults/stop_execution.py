"""Stop executions that run, as an operator does, or a deployment that goes wrong.

Nothing of it is undone: what is stopped stays so, unless the scenario redrives it. Each that is stopped is on record by
its ARN, so that what did not come of it is nobody's loss. Workers who have its tasks in hand learn of it when they send
a token back, which is refused then (TaskTimedOut).

Source: docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Fault, Pick
from gameday.chaos.fault_targets import ExecutionControl, NotInjected
from gameday.chaos.strike import LOOK_AGAIN_S, Strike
from gameday.transports.base import CallFailed, ExecutionSeen


class StopExecution(Fault):
    """Stop executions that run; what they had begun stays as it is."""

    colour: ClassVar[str] = "#6b2fa0"
    steers_executions: ClassVar[bool] = True

    fault: Literal["stop-execution"]
    pick: Pick = Field(
        default=1, description="how many of those that run it stops, or what share of them (default: one)"
    )

    def wrong_before(self, services: Sequence[str]) -> str | None:
        return None if services[0] == "stepfunctions" else "no execution is started there"

    async def inject(self, strike: Strike) -> None:
        executions = strike.targets.executions
        if executions is None:
            raise NotInjected("there are no executions that could be stopped")
        running = await self._running(executions, strike)
        count = self.pick if isinstance(self.pick, int) else max(1, round(self.pick * len(running)))
        chosen = random.Random(f"{strike.targets.seed}:{strike.instance}").sample(running, min(count, len(running)))
        strike.start(["executions"], label=f"stops {len(chosen)} of {len(running)} executions that run")
        outcomes = [await executions.steer(each, "stop") for each in chosen]
        stopped = outcomes.count("ok")
        if not stopped and "unknown" in outcomes:
            strike.unhealed(fired=0, why="nobody knows whether an execution was stopped")
            return
        strike.stop(fired=stopped)

    async def _running(self, executions: ExecutionControl, strike: Strike) -> list[ExecutionSeen]:
        """Those that run, as soon as there are any. Errors: NotInjected."""
        running: list[ExecutionSeen] = []

        async def look() -> bool:
            nonlocal running
            while not running:
                running = list(await executions.running())
                if not running:
                    await strike.lasts(LOOK_AGAIN_S)
            return True

        try:
            found = await strike.unless_over(look(), strike.targets.find_s)
        except CallFailed as error:
            raise NotInjected(f"the executions cannot be read: {error}") from error
        if not found:
            raise NotInjected("no execution to stop: none runs")
        return running
