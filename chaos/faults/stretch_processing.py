"""Stretch processing: some messages take longer than anybody planned, for instance longer than their hold lasts.

Then the broker hands the message to somebody else while the first still works on it: redelivery with no crash at all.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Extent, Lasting, Pick, Share, StruckAt, TimesVisibilityTimeout
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance


class StretchProcessing(Lasting, ConsumerFault):
    """Make a share of the messages take longer to process, up to and beyond the visibility timeout."""

    colour: ClassVar[str] = "#e0b400"
    strikes: ClassVar[StruckAt | None] = "ours"
    needs_work: ClassVar[bool] = True

    fault: Literal["stretch-processing"]
    to: Extent = Field(description="how long the work of one message then takes")
    share: Share = Field(default=1.0, description="the share of the messages that it strikes (default: all)")
    pick: Pick = Field(default=1.0, description="how many consumers it strikes, or what share of them (default: all)")

    async def inject(self, strike: Strike) -> None:
        def stretch(visibility_timeout_s: float) -> Disturbance:
            seconds = self.to
            if isinstance(seconds, TimesVisibilityTimeout):
                seconds = seconds.times_visibility_timeout * visibility_timeout_s
            return strike.disturbance("stretch-processing", share=self.share, seconds=seconds)

        what = str(self.to) if isinstance(self.to, TimesVisibilityTimeout) else f"{self.to:g} s"
        async with strike.disturbed(
            stretch, label=f"processing takes {what} for {self.share * 100:g}% of the messages"
        ):
            await strike.lasts(self.for_)
