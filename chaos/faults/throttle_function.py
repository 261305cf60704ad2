"""Throttle a function: its reserved concurrency is taken away, and no invocation begins until it is given back.

A mapping goes on receiving meanwhile. What it cannot hand over turns visible again, and has used up a receive: enough
of those, and a message dies that no function has ever seen.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.fault_targets import FunctionControl
from gameday.chaos.function_fault import ServiceFault
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance


class ThrottleFunction(ServiceFault):
    """Let no invocation of the function begin, as with a reserved concurrency of 0."""

    colour: ClassVar[str] = "#8f6ed5"

    fault: Literal["throttle-function"]

    @property
    def what(self) -> str:
        return "the function is throttled"

    def disturbs(self, strike: Strike) -> Disturbance:
        return strike.disturbance("throttle-function")

    @property
    def leaves_hidden(self) -> bool:
        return True

    async def begin(self, functions: FunctionControl) -> None:
        await functions.throttle()

    async def end(self, functions: FunctionControl) -> None:
        await functions.unthrottle()
