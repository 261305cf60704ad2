"""What faults of functions share: they strike our pollers, or, where the target invokes the function, the target.

It promises that what was changed is put back on every exit, and that a change which could not be put back is told.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick, StruckAt
from gameday.chaos.fault_targets import FunctionControl, NotInjected
from gameday.chaos.strike import Strike
from gameday.processes.disturbances import Disturbance
from gameday.transports.base import CallFailed


class FunctionFault(Lasting, ConsumerFault):
    """One that strikes within our pollers."""

    strikes: ClassVar[StruckAt | None] = "ours"
    needs_function: ClassVar[bool] = True

    pick: Pick = Field(default=1.0, description="how many pollers it strikes, or what share of them (default: all)")

    @property
    @abstractmethod
    def what(self) -> str:
        """For people."""

    @abstractmethod
    def disturbs(self, strike: Strike) -> Disturbance:
        """What a poller does meanwhile."""

    async def inject(self, strike: Strike) -> None:
        disturbance = self.disturbs(strike)
        async with strike.disturbed(lambda _: disturbance, label=self.what):
            await strike.lasts(self.for_)


class ServiceFault(FunctionFault):
    """One that the target can be told as well."""

    on_target: ClassVar[bool] = True

    @abstractmethod
    async def begin(self, functions: FunctionControl) -> None:
        """Errors: CallFailed."""

    @abstractmethod
    async def end(self, functions: FunctionControl) -> None:
        """Put it back, also where only part of it was done. Errors: CallFailed."""

    async def inject(self, strike: Strike) -> None:
        functions = strike.targets.functions
        if functions is None:
            await super().inject(strike)
            return
        strike.start(functions.names, label=self.what)
        fired = 0
        try:
            try:
                await self.begin(functions)
            except CallFailed as error:
                raise NotInjected(f"{self.fault} could not be put in place: {error}") from error
            fired = 1
            await strike.lasts(self.for_)
        finally:
            try:
                await self.end(functions)
            except CallFailed as error:
                strike.unhealed(fired=fired, why=f"{self.fault} could not be put back: {error}")
            else:
                if fired:
                    strike.stop(fired=fired)
