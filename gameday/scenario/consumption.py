"""What a scenario can say of how its subscriptions are consumed: one record for each kind of them.

It promises that a key without a meaning for a kind is named once, with the reason, so that it is refused and left out
of what is written back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gameday.history.manifest import Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Consumption:
    """`built`: what is created for the subscriptions. `batch_max`: the most messages of one receive; `batch`: how many
    where the scenario says nothing. `no_meaning`: by part of the scenario, the keys that mean nothing, each with why.
    """

    built: str
    batch_max: int
    batch: int
    no_meaning: Mapping[str, Mapping[str, str]]

    @property
    def hides(self) -> bool:
        """Whether a message that was received stays hidden for a visibility timeout."""
        return "visibility_timeout" not in self.no_meaning["topology"]

    @property
    def leased(self) -> bool:
        """Whether who consumes a part of it holds a lease on that part."""
        return "lease" not in self.no_meaning["consumers"]

    @property
    def has_dead_letters(self) -> bool:
        """Whether a message that fails too often is put aside."""
        return "max_receives" not in self.no_meaning["topology"]


CONSUMPTION: Mapping[Kind, Consumption] = {
    "queue": Consumption(
        built="the queues",
        batch_max=10,
        batch=10,
        no_meaning={
            "topology": {"shards": "a queue has no shards"},
            "consumers": {
                "checkpoint": "a queue's messages are deleted one by one",
                "children": "a queue has no shards",
                "lease": "a queue has no shards to hold",
            },
        },
    ),
    "stream": Consumption(
        built="the stream",
        # More would be in hand for too long.
        batch_max=1000,
        # A shard may be read five times a second, so that ten records at a time would be 50 a second.
        batch=100,
        no_meaning={
            "topology": {
                "delay": "a record of a stream can be read at once",
                "visibility_timeout": "a stream hides nothing from anybody",
                "max_receives": "a stream has no dead-letter queue",
                "redrive": "a stream has no dead-letter queue",
            },
            "consumers": {
                "heartbeat": "what was read from a stream is hidden from nobody",
                "pollers": "each shard has one reader",
                "wait": "a read of a stream does not wait",
                "retry_delay": "a record that failed is handled again in its place",
                "retry_delay_max": "a record that failed is handled again in its place",
            },
        },
    ),
}
