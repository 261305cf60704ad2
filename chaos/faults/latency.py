"""Delay calls on their way to the service.

Long enough, and a delete comes when the message's visibility timeout is over.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import PositiveSeconds, Seconds
from gameday.chaos.wire_fault import CallFault


class Latency(CallFault):
    """Delay calls on their way to the service."""

    colour: ClassVar[str] = "#6ed0e0"

    fault: Literal["latency"]
    by: PositiveSeconds = Field(default=1.0, description="how long a call is delayed (default: 1s)")
    jitter_by: Seconds = Field(default=0.0, description="and longer by up to so much (default: none)")
    distribution: Literal["even", "exponential"] = Field(
        default="even", description="even: up to `jitter_by`; exponential: `jitter_by` on average, a few far longer"
    )

    @property
    def does(self) -> str:
        return "come late"

    @property
    def details(self) -> dict[str, Any]:
        return {"seconds": self.by, "more_s": self.jitter_by, "spread": self.distribution}
