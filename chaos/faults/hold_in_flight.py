"""Hold messages in flight: a consumer receives, and does nothing with what it has.

As one whose threads all wait for something else: its messages are in flight until their visibility timeouts are over,
and then others get them, while it still has them and means to work on them. What it has begun before, it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Count, Lasting, StruckAt
from gameday.chaos.strike import Strike
from gameday.history.manifest import Kind


class HoldInFlight(Lasting, ConsumerFault):
    """Let a consumer receive and do nothing with it: no work, no delete, no release, until it is over."""

    colour: ClassVar[str] = "#b5a642"
    strikes: ClassVar[StruckAt | None] = "ours"
    missing_on: ClassVar[Mapping[Kind, str]] = {"stream": "messages in flight"}

    fault: Literal["hold-in-flight"]
    messages: Count | None = Field(
        default=None,
        description="receive no more once it has so many (default: as many as it would have in hand by itself)",
    )

    @property
    def only_in_ours(self) -> str:
        return "what is held is what a handler of gameday's would get; pause-consumer stops the consumer of your own"

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("hold-in-flight", most=self.messages)
        async with strike.disturbed(lambda _: disturbance, label="what is received stays in hand, and nothing is done"):
            await strike.lasts(self.for_)
