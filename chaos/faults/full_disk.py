"""Fill a consumer's disk: what it writes there fails, and nothing of it stands there.

A consumer of ours that cannot record what it does ends, and so does whoever takes its place, until there is room
again; where its effects are in SQLite they cannot be written either. What was recorded before is judged as ever.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gameday.chaos.base import ConsumerFault, Lasting, StruckAt
from gameday.chaos.strike import Strike


class FullDisk(Lasting, ConsumerFault):
    """Let what a consumer writes to its disk fail, as on a full one: it ends, and so does who takes its place."""

    colour: ClassVar[str] = "#708090"
    strikes: ClassVar[StruckAt | None] = "ours"
    kills: ClassVar[bool] = True

    fault: Literal["full-disk"]

    @property
    def leaves_hidden(self) -> bool:
        return True

    async def inject(self, strike: Strike) -> None:
        disturbance = strike.disturbance("full-disk")
        async with strike.disturbed(lambda _: disturbance, label="no space left on its disk"):
            await strike.lasts(self.for_)
