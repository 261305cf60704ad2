"""Step a consumer's clock: it is off for a while, and then right again, as when a host loses its time server.

What the consumer reckons with goes wrong: when to extend what it has in hand, whether the mark of a guard has expired,
whether the holder of a shard has been silent for too long. What it records is told by the run's own clock, so that
nobody is blamed for times that were never true.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, PositiveSeconds, StruckAt
from gameday.chaos.strike import Strike


class ClockStep(Lasting, ConsumerFault):
    """Let the clock that a consumer reckons with be off for a while; what it records is told by the run's own."""

    colour: ClassVar[str] = "#2f4f4f"
    strikes: ClassVar[StruckAt | None] = "ours"
    needs_clock: ClassVar[bool] = True

    fault: Literal["clock-step"]
    by: PositiveSeconds = Field(description="how far it is off")
    direction: Literal["ahead", "behind"] = Field(default="ahead", description="whether it is ahead or behind")

    async def inject(self, strike: Strike) -> None:
        seconds = self.by if self.direction == "ahead" else -self.by
        disturbance = strike.disturbance("clock-step", seconds=seconds)
        async with strike.disturbed(lambda _: disturbance, label=f"its clock is {self.by:g} s {self.direction}"):
            await strike.lasts(self.for_)
