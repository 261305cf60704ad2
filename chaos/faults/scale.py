"""Scale in, and out again: some consumers end in good order, nobody takes their places for a while, and then they are
back. On a stream the others take over their shards, and give them up again.

A scenario starts with as many consumers as there ever are. It is over when those that were away poll again.
"""

from __future__ import annotations

from signal import SIGTERM
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import ConsumerFault, Lasting, Pick
from gameday.chaos.fault_targets import Consumer, NotInjected
from gameday.chaos.strike import Strike


class Scale(Lasting, ConsumerFault):
    """Take consumers away for a while, as scaling in does it, and let them come back, as scaling out."""

    colour: ClassVar[str] = "#14532d"
    kills: ClassVar[bool] = True

    fault: Literal["scale"]
    pick: Pick = Field(default=0.5, description="how many consumers go away, or what share of them (default: half)")

    async def inject(self, strike: Strike) -> None:
        consumers = await strike.consumers()
        struck: list[tuple[Consumer, str]] = [(consumer, consumer.name) for consumer in consumers if not strike.over]
        if not struck:
            raise NotInjected("no consumer taken away: the load ended before")
        strike.start([name for _, name in struck], label=f"{len(struck)} consumers taken away")
        fleets = strike.fleets().values()
        try:
            for fleet, members in fleets:
                fleet.vacate(strike.instance, [member.slot for member in members])
            for consumer, _ in struck:
                consumer.signal(SIGTERM)
            await strike.lasts(self.for_)
            # The signal was only a wish, and what they hold they may finish.
            await strike.until(lambda: len(strike.gone(struck)) == len(struck), strike.targets.recover_s)
        finally:
            for fleet, _ in fleets:
                fleet.fill(strike.instance)
        await strike.replaced(struck, fired=len(strike.gone(struck)))
