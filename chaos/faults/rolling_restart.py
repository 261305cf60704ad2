"""Restart consumers one after another, as a deployment does it: at no moment are all of them away.

It is over when the last replacement polls. With KILL it is the deployment whose grace period is too short.
"""

from __future__ import annotations

from signal import Signals
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Pick
from gameday.chaos.fault_targets import Consumer, NotInjected
from gameday.chaos.strike import Strike


class RollingRestart(ConsumerFault):
    """Restart consumers one after another; each must be replaced before the next one goes."""

    colour: ClassVar[str] = "#5794f2"
    kills: ClassVar[bool] = True

    fault: Literal["rolling-restart"]
    pick: Pick = Field(
        default=1.0, description="how many consumers are restarted, or what share of them (default: all)"
    )
    signal: Literal["TERM", "KILL"] = Field(
        default="TERM", description="TERM: each may finish what it holds; KILL: its grace period is too short"
    )

    @property
    def leaves_hidden(self) -> bool:
        return self.signal == "KILL"

    async def inject(self, strike: Strike) -> None:
        consumers = await strike.consumers()
        strike.start([consumer.name for consumer in consumers], label=f"SIG{self.signal}, one after another")
        struck: list[tuple[Consumer, str]] = []
        for consumer in consumers:
            if strike.over or not consumer.alive:
                continue
            name = consumer.name
            struck.append((consumer, name))
            consumer.signal(Signals[f"SIG{self.signal}"])
            await consumer.ready_after(name, strike.targets.recover_s)
        if not struck:
            raise NotInjected("no consumer restarted: the load ended before")
        await strike.replaced(struck, fired=len(strike.gone(struck)))
