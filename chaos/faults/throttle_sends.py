"""Throttle sends: a part of each call is refused, as a service does whose limits are reached. No emulator has any.

Some entries of a call fail while others are stored, and the producer must send the failed ones again: one that
meanwhile sends what comes after them in their group has broken the group's order.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Fault, Lasting, Share
from gameday.chaos.strike import Strike


class ThrottleSends(Lasting, Fault):
    """Refuse a share of the messages in each send call, as a throttled service does: they must be sent again."""

    colour: ClassVar[str] = "#37872d"

    fault: Literal["throttle-sends"]
    share: Share = Field(default=0.5, description="the share of the messages that is refused (default: half)")

    @property
    def stops_sends(self) -> bool:
        return self.share == 1.0

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("throttle-sends", share=self.share)
        label = f"{self.share * 100:g}% of the messages in each send call are refused"
        async with strike.load_disturbed(disturbance, label=label):
            await strike.lasts(self.for_)
