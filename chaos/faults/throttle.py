"""Throttle calls: the service says that it is asked too often, and does nothing.

The service's own word for it: RequestThrottled of SQS, ProvisionedThroughputExceededException of Kinesis. SDKs try such
a call again by themselves, more slowly, until they give up.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from gameday.chaos.wire_fault import WireFault


class Throttle(WireFault):
    """Throttle calls: the service says that it is asked too often, and does nothing."""

    colour: ClassVar[str] = "#c79bff"

    fault: Literal["throttle"]
    code: str | None = Field(default=None, description="the error code (default: what the service calls a throttle)")

    @property
    def does(self) -> str:
        return "are throttled"

    @property
    def details(self) -> dict[str, Any]:
        return {"code": self.code}
