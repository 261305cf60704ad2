"""Throttle a function: its reserved concurrency is taken away, and no invocation begins until it is given back.

A mapping goes on receiving meanwhile. What it cannot hand over turns visible again, and has used up a receive: enough
of those, and a message dies that no function has ever seen.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick, StruckAt
from gameday.chaos.strike import Strike


class ThrottleFunction(Lasting, ConsumerFault):
    """Let no invocation of the function begin, as with a reserved concurrency of 0."""

    colour: ClassVar[str] = "#8f6ed5"
    strikes: ClassVar[StruckAt | None] = "ours"
    needs_function: ClassVar[bool] = True

    fault: Literal["throttle-function"]
    pick: Pick = Field(default=1.0, description="how many pollers it strikes, or what share of them (default: all)")

    @property
    def leaves_hidden(self) -> bool:
        return True

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("throttle-function")
        async with strike.disturbed(lambda _: disturbance, label="the function is throttled"):
            await strike.lasts(self.for_)
