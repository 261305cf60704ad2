"""Deploy a new version of a function in mid-flow, and roll it back.

Invocations at work end with the old version, and each that begins meanwhile has the new one, in an environment of its
own. A version that is wrong does its harm until it is rolled back.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.function_fault import FunctionFault
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance


class Deploy(FunctionFault):
    """Put another version of the function in place, and then the old one again."""

    colour: ClassVar[str] = "#3aa655"

    fault: Literal["deploy"]
    handler: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w./-]*\.[A-Za-z_]\w*$",
        description="FILE.FUNCTION of the new version, beside the old one (default: the same again)",
    )

    @property
    def what(self) -> str:
        return f"a new version{f' ({self.handler})' if self.handler else ''}"

    def disturbs(self, strike: Strike) -> Disturbance:
        return strike.disturbance("deploy", version=self.handler)
