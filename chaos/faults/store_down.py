"""Take the store away: nothing can be read from it or written to it, and nothing is changed there.

The message is then left to come again when its visibility timeout is over, and of a stream it is tried again.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick, Share, StruckAt
from gameday.chaos.strike import Strike


class StoreDown(Lasting, ConsumerFault):
    """Refuse what consumers ask of the effect store: nothing is changed there, and the message fails this time."""

    colour: ClassVar[str] = "#7a0019"
    strikes: ClassVar[StruckAt | None] = "ours"
    needs_work: ClassVar[bool] = True
    counts: ClassVar[str] = "steps of the store"

    fault: Literal["store-down"]
    share: Share = Field(default=1.0, description="the share of the steps that are refused (default: all)")
    pick: Pick = Field(default=1.0, description="how many consumers it strikes, or what share of them (default: all)")

    @property
    def only_in_ours(self) -> str:
        return "nobody sees what a handler of your own asks of its store; fail-handler fails its messages"

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("store-down", share=self.share)
        async with strike.disturbed(
            lambda _: disturbance, label=f"{self.share * 100:g}% of what is asked of the store is refused"
        ):
            await strike.lasts(self.for_)
