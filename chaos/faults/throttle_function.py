"""Throttle a function: its reserved concurrency is taken away, and no invocation begins until it is given back.

A mapping goes on receiving meanwhile. What it cannot hand over turns visible again, and has used up a receive: enough
of those, and a message dies that no function has ever seen.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.fault_targets import FunctionControl
from gameday.chaos.function_fault import FunctionFault


class ThrottleFunction(FunctionFault):
    """Let no invocation of the function begin, as with a reserved concurrency of 0."""

    colour: ClassVar[str] = "#8f6ed5"
    what: ClassVar[str] = "the function is throttled"

    fault: Literal["throttle-function"]

    @property
    def leaves_hidden(self) -> bool:
        return True

    async def begin(self, functions: FunctionControl) -> None:
        await functions.throttle()

    async def end(self, functions: FunctionControl) -> None:
        await functions.unthrottle()
