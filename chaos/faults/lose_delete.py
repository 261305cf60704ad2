"""Lose deletes: the work is done and its delete never leaves, so the broker must hand the message out again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick, Share
from gameday.chaos.strike import Strike
from gameday.history.manifest import Kind


class LoseDelete(Lasting, ConsumerFault):
    """Lose a share of the deletes on their way to the broker: every such message comes again."""

    colour: ClassVar[str] = "#3274d9"
    strikes: ClassVar[Literal["ours", "wire"] | None] = "ours"
    missing_on: ClassVar[Mapping[Kind, str]] = {"stream": "deletes"}

    fault: Literal["lose-delete"]
    share: Share = Field(default=1.0, description="the share of the deletes that is lost (default: all)")
    pick: Pick = Field(default=1.0, description="how many consumers it strikes, or what share of them (default: all)")

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("lose-delete", share=self.share)
        async with strike.disturbed(lambda _: disturbance, label=f"{self.share * 100:g}% of the deletes never leave"):
            await strike.lasts(self.for_)
