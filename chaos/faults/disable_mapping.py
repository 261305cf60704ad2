"""Disable a mapping and enable it again: nothing is received meanwhile, and the backlog waits.

What was handed over when it strikes is worked on to its end, and its answer counts. A poll that waits then may
still bring something. So let it last longer than `consumers.wait`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick, StruckAt
from gameday.chaos.strike import Strike


class DisableMapping(Lasting, ConsumerFault):
    """Stop the mapping from receiving, as with `Enabled=False`."""

    colour: ClassVar[str] = "#7a8b99"
    strikes: ClassVar[StruckAt | None] = "ours"
    needs_function: ClassVar[bool] = True

    fault: Literal["disable-mapping"]
    pick: Pick = Field(default=1.0, description="how many pollers it strikes, or what share of them (default: all)")

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("disable-mapping")
        async with strike.disturbed(lambda _: disturbance, label="the mapping is disabled"):
            await strike.lasts(self.for_)
