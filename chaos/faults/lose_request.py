"""Lose calls on their way to the service: nothing is done, and no answer comes.

The connection breaks before the service has seen the call. The consumer cannot tell that from a lost answer.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.wire_fault import CallFault


class LoseRequest(CallFault):
    """Lose calls on their way to the service: nothing is done, and no answer comes."""

    colour: ClassVar[str] = "#447ebc"

    fault: Literal["lose-request"]

    @property
    def does(self) -> str:
        return "never arrive"
