"""Let answers come in drips.

The head is there at once, the body takes its time.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import PositiveSeconds
from gameday.chaos.wire_fault import CallFault


class SlowBody(CallFault):
    """Let answers come in drips."""

    colour: ClassVar[str] = "#967302"

    fault: Literal["slow-body"]
    by: PositiveSeconds = Field(default=5.0, description="how long the body takes (default: 5s)")

    @property
    def does(self) -> str:
        return "are answered slowly"

    @property
    def details(self) -> dict[str, Any]:
        return {"seconds": self.by}
