"""Consumers of a stream in a calm run, as consumers/stream.py has them: one reader to a shard, five reads a second at
most, a checkpoint after each read that found something, and leases that are renewed meanwhile."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gameday.loadgen.schedule import Message

# As in consumers/stream.py.
READ_PACE_S = 0.2
LIST_EVERY_S = 1.0
TENDS_A_LEASE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """`slots`: how many handlers of a consumer work for one of its shards. `checkpoint_s`: of one checkpoint."""

    shards: int
    batch: int
    slots: int
    call_s: float
    work_s: float
    checkpoint_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """`reads`: calls, of which `found` brought something. `over_s`: when all of it was checkpointed."""

    reads: int
    found: int
    over_s: float


def shard_of(key: str, shards: int) -> int:
    """The hash of the key says (docs.aws.amazon.com/streams/latest/dev/key-concepts.html), for shards of equal size."""
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()) * shards >> 128


def read(spec: Reading, arrivals: Sequence[tuple[float, Sequence[Message]]]) -> tuple[Read, list[float]]:
    """Until all is read; and when each shard was read to its end."""
    by_shard: list[list[tuple[float, Message]]] = [[] for _ in range(spec.shards)]
    for at_s, messages in arrivals:
        for message in messages:
            by_shard[shard_of(message.group, spec.shards)].append((at_s, message))
    reads = found = 0
    ends: list[float] = []
    for number, records in enumerate(by_shard):
        times = [at_s for at_s, _ in records]
        # Readers begin when they begin: not all at one moment.
        now, done = READ_PACE_S * number / spec.shards, 0
        end_s = 0.0
        while done < len(records):
            began = now
            reads += 1
            there = min(bisect_right(times, now + spec.call_s / 2), done + spec.batch)
            now += spec.call_s
            if there > done:
                found += 1
                now += _work_s(spec, [message for _, message in records[done:there]]) + spec.checkpoint_s
                done, end_s = there, now
            now = max(now, began + READ_PACE_S)
        ends.append(end_s)
    return Read(reads=reads, found=found, over_s=max(ends, default=0.0)), ends


def _work_s(spec: Reading, messages: Sequence[Message]) -> float:
    """Groups beside each other, as far as there are slots, and each in its order."""
    longest = max(Counter(message.group for message in messages).values())
    return max(longest, math.ceil(len(messages) / spec.slots)) * spec.work_s


def idle_reads(spec: Reading, ends: Sequence[float], until_s: float) -> int:
    """What is read in vain after that, until the consumers stop."""
    return sum(math.ceil(max(until_s - end_s, 0.0) / max(READ_PACE_S, spec.call_s)) for end_s in ends)
