"""Let invocations meet a new environment, which must start before it can do anything.

A function that scales up, or was idle, starts slowly. Its messages are hidden meanwhile, and their visibility timeout
runs; its own timeout does not.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import PositiveSeconds, Share
from gameday.chaos.function_fault import FunctionFault
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance


class ColdStart(FunctionFault):
    """Let a share of the invocations begin only after a while, as in an environment that must start."""

    colour: ClassVar[str] = "#5fa8d3"

    fault: Literal["cold-start"]
    takes: PositiveSeconds = Field(description="how long an environment takes to start")
    share: Share = Field(default=1.0, description="of the invocations meanwhile (default: all)")

    @property
    def what(self) -> str:
        return f"{self.share * 100:g}% of the invocations start cold, in {self.takes:g} s"

    def disturbs(self, strike: Strike) -> Disturbance:
        return strike.disturbance("cold-start", share=self.share, seconds=self.takes)
