"""Fail calls with a server's error: 500, or 503, and nothing is done.

A 5xx proves nothing to the consumer: it must take the call for done and for not done. On this wire it was not.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from gameday.chaos.wire_fault import CallFault


class ApiError(CallFault):
    """Fail calls with a server's error: 500, or 503, and nothing is done."""

    colour: ClassVar[str] = "#a16a45"

    fault: Literal["api-error"]
    status: Literal[500, 503] = Field(default=500, description="500: InternalFailure; 503: ServiceUnavailable")

    @property
    def does(self) -> str:
        return "fail with a server's error"

    @property
    def details(self) -> dict[str, Any]:
        return {"code": "InternalFailure" if self.status == 500 else "ServiceUnavailable"}
