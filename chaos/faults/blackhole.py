"""Give calls no answer: the connection stays, and nothing comes.

A network that swallows packets: only the consumer's own time limit ends its wait. The calls never reach the service.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.wire_fault import CallFault


class Blackhole(CallFault):
    """Give calls no answer: the connection stays, and nothing comes."""

    colour: ClassVar[str] = "#1f2d3d"

    fault: Literal["blackhole"]

    @property
    def does(self) -> str:
        return "get no answer"
