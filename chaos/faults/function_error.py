"""Fail invocations: the function raises an error before it has done anything, and its whole batch fails.

What of a queue or a stream was in the batch comes again; of a topic or a bus it is tried again, and given up at last.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Share
from gameday.chaos.function_fault import FunctionFault
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance


class FunctionError(FunctionFault):
    """Let a share of the invocations fail with an error."""

    colour: ClassVar[str] = "#c15ab0"

    fault: Literal["function-error"]
    share: Share = Field(default=1.0, description="of the invocations meanwhile (default: all)")

    @property
    def what(self) -> str:
        return f"{self.share * 100:g}% of the invocations fail"

    def disturbs(self, strike: Strike) -> Disturbance:
        return strike.disturbance("function-error", share=self.share)
