"""Cut a consumer off: the network between it and AWS carries nothing any more, in neither direction.

What it asks does not leave, and what was asked before gets no answer: a receive that waits at the broker is given
messages that the consumer never sees, and a delete is done of which it never hears. When it is over, the connections
that were open break. It strikes one consumer while the others go on.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.base import ConsumerFault, Lasting, StruckAt
from gameday.chaos.strike import Strike


class Partition(Lasting, ConsumerFault):
    """Cut a consumer off from AWS: its calls do not leave, and those on their way get no answer."""

    colour: ClassVar[str] = "#4b2e83"
    strikes: ClassVar[StruckAt | None] = "wire"

    fault: Literal["partition"]

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("partition", on_wire=True)
        async with strike.disturbed(lambda _: disturbance, label="calls get no answer, nor do those on their way"):
            await strike.lasts(self.for_)
