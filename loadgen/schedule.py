"""The open-model schedule: which message is wanted when, decided before the run and not by how the broker answers.

It promises that a run's messages are a function of shape, seed, groups and lanes alone; that ids are unique in the
run; that a group belongs to one lane, so that `seq` (1, 2, … per group, in the order of due times) is the order of one
producer. Messages are made as they are asked for: a million of them take no memory but one counter a group.

Messages of the user's own may name their group and their id themselves. Whoever walks through the schedule asks each
for both, and deals the groups to the lanes in the order in which they come first: so every process of a load deals
them alike, whatever they are called. One that names no id is called by its number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gameday.history.clock import NS_PER_S
from gameday.loadgen.messages import Ask, Source
from gameday.loadgen.shapes import Shape
from gameday.loadgen.tenants import Tenants


class Message(NamedTuple):
    """One message as planned. `number`: from 1, in the order of `due` (ns of the run's clock); `lane`: who sends it.

    `tenant_class`: of a tenant's message, which is its `group`.
    """

    number: int
    id: str
    group: str
    seq: int
    due: int
    poison: bool
    lane: int
    tenant_class: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hot:
    """From `at_s` on, for `for_s`, in seconds since the load began, that `share` of all messages is of the first group,
    besides what falls to it anyway."""

    at_s: float
    for_s: float
    share: float

    def lasts(self, at_s: float) -> bool:
        return self.at_s <= at_s < self.at_s + self.for_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """`lanes`: how many users share the groups. A lane beyond the number of groups has nothing to send. `source`: of
    messages of the user's own, which may name groups of their own. `tenants`: whose the groups are, where they are
    tenants'; the shape is then what they send together. `hot`: when most of it goes to one group.
    """

    shape: Shape
    seed: int
    groups: int
    lanes: int
    poison_share: float = 0.0
    source: Source | None = None
    tenants: Tenants | None = None
    hot: Hot | None = None

    @property
    def total(self) -> int:
        return self.shape.total

    def messages(self, start_ns: int) -> Iterator[Message]:
        """All messages of a run that starts at `start_ns`, in the order of their due times.

        Errors: UsageError for one of the user's own that does not tell what it should.
        """
        drawn = self._drawn(start_ns)
        return drawn if self.source is None else self._named(self.source, drawn)

    def _drawn(self, start_ns: int) -> Iterator[Message]:
        choice = random.Random(f"{self.seed}:schedule")
        draw, bits, groups, tenants, hot = choice.random, choice.getrandbits, self.groups, self.tenants, self.hot
        width = len(str(groups - 1))
        names = [f"g{group:0{width}d}" for group in range(groups)] if tenants is None else tenants.names
        lanes = [group % self.lanes for group in range(groups)]
        seqs = [0] * groups
        share, wide = self.poison_share, groups.bit_length()
        for number, due_s in enumerate(self.shape.dues(), start=1):
            kind = None
            if tenants is not None:
                group, kind = tenants.whose(draw(), due_s)
            elif hot is not None and hot.lasts(due_s) and draw() < hot.share:
                group = 0
            else:
                # What `randrange` does, without its checks: this is done for every message.
                while (group := bits(wide)) >= groups:
                    pass
            # Drawn for every message, so that the share of poison changes nothing else.
            poison = draw() < share
            seqs[group] = seq = seqs[group] + 1
            due = start_ns + round(due_s * NS_PER_S)
            name = names[group]
            yield Message(number, f"{name}-{seq}", name, seq, due, poison, lanes[group], kind)

    def _named(self, source: Source, drawn: Iterator[Message]) -> Iterator[Message]:
        lanes: dict[str, int] = {}
        seqs: dict[str, int] = {}
        for message in drawn:
            group = source.group(message.number)
            if group is None:
                group, seq, lane = message.group, message.seq, message.lane
            else:
                seqs[group] = seq = seqs.get(group, 0) + 1
                lane = lanes.setdefault(group, len(lanes) % self.lanes)
            own = f"m{message.number}"
            id = source.id(Ask(message.number, group, seq, own, message.due)) or own
            yield message._replace(id=id, group=group, seq=seq, lane=lane)


def producer(lane: int) -> str:
    """The name of a lane's producer in the history."""
    return f"user-{lane}"
