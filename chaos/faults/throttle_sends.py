"""Throttle sends: a part of each call is refused, as a service does whose limits are reached. No emulator has any.

Some entries of a call fail while others are stored, and the producer must send the failed ones again: one that
meanwhile sends what comes after them in their group has broken the group's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Share
from gameday.chaos.wire_fault import SendFault


class ThrottleSends(SendFault):
    """Refuse a share of the messages in each send call, as a throttled service does: they must be sent again."""

    colour: ClassVar[str] = "#37872d"
    arms: ClassVar[str] = "throttle-entries"

    fault: Literal["throttle-sends"]
    share: Share = Field(default=0.5, description="the share of the messages that is refused (default: half)")

    @property
    def label(self) -> str:
        return f"{self.share * 100:g}% of the messages in each send call are refused"

    def wrong_before(self, services: Sequence[str]) -> str | None:
        if services[0] != "stepfunctions":
            return super().wrong_before(services)
        return "a start is a call of its own, and no part of one could be refused; use throttle-starts"
