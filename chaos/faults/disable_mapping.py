"""Disable a mapping and enable it again: nothing is received meanwhile, and the backlog waits.

What was handed over when it strikes is worked on to its end, and its answer counts. A poll that waits then may still
bring something. So let it last longer than `consumers.wait`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.fault_targets import FunctionControl
from gameday.chaos.function_fault import ServiceFault
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance


class DisableMapping(ServiceFault):
    """Stop the mapping from receiving, as with `Enabled=False`."""

    colour: ClassVar[str] = "#7a8b99"

    fault: Literal["disable-mapping"]

    @property
    def what(self) -> str:
        return "the mapping is disabled"

    def disturbs(self, strike: Strike) -> Disturbance:
        return strike.disturbance("disable-mapping")

    async def begin(self, functions: FunctionControl) -> None:
        await functions.enable(False)

    async def end(self, functions: FunctionControl) -> None:
        await functions.enable(True)
