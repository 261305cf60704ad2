"""Reset the connection of calls, which never reach the service.

TCP's RST: the consumer sees at once that there will be no answer.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.wire_fault import CallFault


class Reset(CallFault):
    """Reset the connection of calls, which never reach the service."""

    colour: ClassVar[str] = "#bf1b00"

    fault: Literal["reset"]

    @property
    def does(self) -> str:
        return "are reset"
