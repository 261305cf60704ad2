"""Reshard: the stream is split or merged under load, as an operator does who makes it wider or narrower.

Nothing of it is undone, for nothing is broken: a reshard is an ordinary change, after which the stream is as whole as
before, and merging the halves again would be one more reshard. It is over when the stream takes records again; whether
consumers then read the parents to their end before the children is what it is there to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from gameday.chaos.base import Fault
from gameday.chaos.fault_targets import NotInjected
from gameday.chaos.strike import Strike
from gameday.history.manifest import Kind
from gameday.transports.base import CallFailed, Capability


class Reshard(Fault):
    """Split the stream's widest shard, or merge its two narrowest neighbours, while records come in."""

    colour: ClassVar[str] = "#00a3a3"
    missing_on: ClassVar[Mapping[Kind, str]] = {"queue": "shards"}
    needs: ClassVar[Capability | None] = "reshard"

    fault: Literal["reshard"]
    action: Literal["split", "merge"] = Field(default="split", description="what is done to the stream's shards")

    def reshape(self, shards: int) -> tuple[int, str | None]:
        if self.action == "split":
            return shards + 1, None
        if shards < 2:
            return shards, (
                "there is one shard then, and nothing to merge it with, so the fault cannot strike; raise "
                "topology.shards, or split before"
            )
        return shards - 1, None

    async def inject(self, strike: Strike) -> None:
        stream = strike.targets.stream
        if stream is None:
            raise NotInjected("there is no stream to reshard")
        strike.start(["stream"], label=self.action)
        # For as long as the run lasts: of a stream that is not the run's own, whoever finds it so wants to know.
        strike.targets.undo.will("lasting", what=f"the stream's shards, on which a {self.action} was begun")
        try:
            done = await stream.reshard(self.action)
        except CallFailed as error:
            if error.definite:
                raise NotInjected(f"the {self.action} was refused: {error}") from error
            strike.unhealed(fired=0, why=f"nobody knows what became of the {self.action}: {error}")
            return
        # The call was only a wish; the new shards that the stream lists are counted.
        fired = 1 if done.children else 0
        strike.stop(fired=fired, parents=list(done.parents), children=list(done.children))
