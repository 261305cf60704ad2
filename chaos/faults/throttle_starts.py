"""Throttle starts of executions: a share of the calls is refused, as a service does whose limits are reached.

Nothing was started by such a call. The producer sends it again, and a workflow whose executions are named has one all
the same (docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html, StartExecution's bucket).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Share
from gameday.chaos.wire_fault import SendFault


class ThrottleStarts(SendFault):
    """Refuse a share of the starts of executions, as a throttled service does: they must be sent again."""

    colour: ClassVar[str] = "#447a9c"
    arms: ClassVar[str] = "throttle"

    fault: Literal["throttle-starts"]
    share: Share = Field(default=0.5, description="the share of the starts that is refused (default: half)")

    @property
    def label(self) -> str:
        return f"{self.share * 100:g}% of the starts are refused"

    def wrong_before(self, services: Sequence[str]) -> str | None:
        if services[0] == "stepfunctions":
            return super().wrong_before(services)
        return "no execution is started there; use throttle-sends"
