"""Lose the reply to a send: the broker has stored the messages, the producer learns nothing of it and must send again.

Without a deduplication window this makes duplicates, with one it must not; either way nothing may be lost. The
connection breaks at once and nobody sits a timeout out, so that what is late afterwards is late by the broker.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Share
from gameday.chaos.wire_fault import SendFault


class LoseSendReply(SendFault):
    """Lose the broker's reply to a share of the send calls: the producer cannot know what was stored."""

    colour: ClassVar[str] = "#ff9830"
    loses_answers: ClassVar[bool] = True
    arms: ClassVar[str] = "lose-answer"

    fault: Literal["lose-send-reply"]
    share: Share = Field(default=1.0, description="the share of the send calls whose reply is lost (default: all)")

    @property
    def label(self) -> str:
        return f"the replies to {self.share * 100:g}% of the send calls are lost"
