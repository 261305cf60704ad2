"""Let invocations run out of time: the work is done, and the answer is never given.

It is the worst moment for a function to be killed: what it has done stands, and everything comes again. Only a function
that finds out what it has done already gets that right.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Share
from gameday.chaos.function_fault import FunctionFault
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance


class FunctionTimeout(FunctionFault):
    """Let a share of the invocations do their work and time out."""

    colour: ClassVar[str] = "#d683ce"

    fault: Literal["function-timeout"]
    share: Share = Field(default=1.0, description="of the invocations meanwhile (default: all)")

    @property
    def what(self) -> str:
        return f"{self.share * 100:g}% of the invocations time out"

    def disturbs(self, strike: Strike) -> Disturbance:
        return strike.disturbance("function-timeout", share=self.share)
