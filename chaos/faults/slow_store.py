"""Slow the store: what a consumer of ours writes there, an effect or the mark of its guard, takes longer.

Between looking for a mark and the write there is then time enough for somebody else.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick, PositiveSeconds, Share, StruckAt
from gameday.chaos.strike import Strike


class SlowStore(Lasting, ConsumerFault):
    """Make a share of the writes to the effect store take longer: those of effects, and of guards' marks."""

    colour: ClassVar[str] = "#6b4c2a"
    strikes: ClassVar[StruckAt | None] = "ours"
    needs_work: ClassVar[bool] = True
    counts: ClassVar[str] = "writes"

    fault: Literal["slow-store"]
    takes: PositiveSeconds = Field(description="how much longer such a write takes")
    share: Share = Field(default=1.0, description="the share of the writes that it strikes (default: all)")
    pick: Pick = Field(default=1.0, description="how many consumers it strikes, or what share of them (default: all)")

    @property
    def only_in_ours(self) -> str:
        return (
            "nobody sees what a handler of your own writes to its store; stretch-processing makes its work take longer"
        )

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("slow-store", share=self.share, seconds=self.takes)
        label = f"{self.share * 100:g}% of the writes to the store take {self.takes:g} s longer"
        async with strike.disturbed(lambda _: disturbance, label=label):
            await strike.lasts(self.for_)
