"""Fail handlers: the work is done in vain and nothing has its effect, as when something that it depends on is down.

Unlike poison it passes: what comes again is struck anew, by the same share, and once the fault is over it works.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick, Share, StruckAt
from gameday.chaos.strike import Strike


class FailHandler(Lasting, ConsumerFault):
    """Let the handler fail a share of the messages, after its work and before the effect, each time anew."""

    colour: ClassVar[str] = "#b877d9"
    strikes: ClassVar[StruckAt | None] = "ours"
    needs_work: ClassVar[bool] = True

    fault: Literal["fail-handler"]
    share: Share = Field(default=1.0, description="of the messages that are handled meanwhile")
    pick: Pick = Field(default=1.0, description="how many consumers, or what share of them")

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("fail-handler", share=self.share)
        async with strike.disturbed(lambda _: disturbance, label=f"{self.share * 100:g}% of the handlings fail"):
            await strike.lasts(self.for_)
