"""Lose the reply to a send: the broker has stored the messages, the producer sees a timeout and must send again.

Without a deduplication window this makes duplicates, with one it must not; either way nothing may be lost.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Fault, Lasting, Share
from gameday.chaos.strike import Strike


class LoseSendReply(Lasting, Fault):
    """Lose the broker's reply to a share of the send calls: the producer cannot know what was stored."""

    colour: ClassVar[str] = "#ff9830"
    loses_answers: ClassVar[bool] = True

    fault: Literal["lose-send-reply"]
    share: Share = Field(default=1.0, description="the share of the send calls whose reply is lost (default: all)")

    @property
    def stops_sends(self) -> bool:
        return self.share == 1.0

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("lose-send-reply", share=self.share)
        label = f"the replies to {self.share * 100:g}% of the send calls are lost"
        async with strike.load_disturbed(disturbance, label=label):
            await strike.lasts(self.for_)
