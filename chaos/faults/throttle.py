"""Throttle calls: the service says that it is asked too often, and does nothing.

The service's own word for it: RequestThrottled of SQS, ProvisionedThroughputExceededException of Kinesis. SDKs try such
a call again by themselves, more slowly, until they give up. With a `rate` it is a limit as a service has it: so many
calls of an operation pass in a second, of all picked consumers of a subscription together.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from gameday.chaos.base import Rate
from gameday.chaos.wire_fault import CallFault


class Throttle(CallFault):
    """Throttle calls: the service says that it is asked too often, and does nothing."""

    colour: ClassVar[str] = "#c79bff"

    fault: Literal["throttle"]
    rate: Rate | None = Field(
        default=None, description="so many calls pass, of each operation of a subscription; or `share`, or `nth`"
    )
    code: str | None = Field(default=None, description="the error code (default: what the service calls a throttle)")

    @model_validator(mode="after")
    def _one_measure(self) -> Throttle:
        if self.rate is not None and {"share", "nth"} & self.model_fields_set:
            raise ValueError("either `rate` (what passes) or `share` or `nth` (what is struck)")
        return self

    @property
    def does(self) -> str:
        return "are throttled"

    @property
    def which(self) -> str:
        return super().which if self.rate is None else f"above {self.rate:g}/s {self.struck_things}"

    @property
    def details(self) -> dict[str, Any]:
        return {"code": self.code, "rate_per_s": self.rate}
