"""Who reads which shard: leases, and the decisions about them.

Every shard of a subscription has one lease, a row that all consumers share. Whoever holds it reads the shard and says
in it how far: `position`. A lease goes by `token`: each change of hands makes a new one, and whatever a holder writes
names the one it was given, so that a holder which lost its lease without noticing (a zombie) is refused. Nobody's
clock is compared with anybody else's: each consumer watches by its own whether a lease still changes. So two may read
one shard at a time, which brings records twice, but checkpoints never go back.

A shard waits until its parents are read to their end, for their records come before its own. Decisions are pure; the
writes that they lead to are conditional (consumers/lease_stores.py), so that of two who decide the same one succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """One shard's row as it was at some moment.

    `owner`: the consumer that holds it. `token` changes with the owner, `beat` with every write of the holder.
    `position`: the sequence number up to which the shard is done with (None: nothing yet); `done`: all of it is.
    """

    subscription: str
    shard: str
    parents: tuple[str, ...] = ()
    owner: str | None = None
    token: int = 0
    beat: int = 0
    position: str | None = None
    done: bool = False


class LeaseStore(Protocol):
    """Where leases are kept: every write is one atomic, conditional step. Errors of every method: CallFailed, definite
    where nothing was changed.
    """

    async def create(self, *, tags: Mapping[str, str]) -> None:
        """By the conductor, before any consumer starts."""
        ...

    async def open(self) -> None: ...

    async def all(self, subscription: str) -> list[Lease]: ...

    async def add(self, lease: Lease) -> bool:
        """Put the row unless there is one; False if there was."""
        ...

    async def take(self, seen: Lease, owner: str) -> Lease | None:
        """Become the owner, if the row is still as it was seen (`token` and `beat`); the row with its new token."""
        ...

    async def renew(self, mine: Lease) -> bool:
        """Show that the holder lives; False if `mine` is not the token any more."""
        ...

    async def checkpoint(self, mine: Lease, *, position: str | None, done: bool) -> bool:
        """Say how far the shard is read; False, and no change, if `mine` is not the token any more."""
        ...

    async def release(self, mine: Lease) -> bool:
        """Leave it to anybody; False if `mine` is not the token any more."""
        ...

    async def remove(self) -> None:
        """By the conductor, at tear-down: undo `create` where that left something outside the run directory."""
        ...

    async def close(self) -> None: ...


class Watch:
    """When each lease changed last, as this consumer saw it, by this consumer's clock (seconds)."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._changed: dict[str, tuple[tuple[int, int], float]] = {}

    def see(self, leases: Sequence[Lease], now_s: float) -> None:
        for lease in leases:
            mark = (lease.token, lease.beat)
            if lease.shard not in self._changed or self._changed[lease.shard][0] != mark:
                self._changed[lease.shard] = (mark, now_s)

    def expired(self, lease: Lease, now_s: float) -> bool:
        """Whether anybody may take it, of what was seen. One that was never seen before has its time still."""
        return lease.owner is None or now_s - self._changed[lease.shard][1] >= self._lease_s


def plan(
    leases: Sequence[Lease],
    *,
    me: str,
    held: Collection[str],
    expired: Callable[[Lease], bool],
    early: bool = False,
    may_steal: bool = True,
) -> list[Lease]:
    """The leases to take now, where `me` reads the shards `held`.

    Free ones first, up to a fair share among those who live. When there is none, one of the richest owner's, if that
    leaves it no poorer than `me` then is. `early`, which is wrong, reads shards whose parents are not read yet.
    """
    rows = {lease.shard: lease for lease in leases}

    def ready(lease: Lease) -> bool:
        # A parent without a row is older than what the stream keeps.
        return not lease.done and (early or all(rows[p].done for p in lease.parents if p in rows))

    free: list[Lease] = []
    owned: dict[str, list[Lease]] = {me: []}
    eligible = [lease for lease in leases if ready(lease)]
    for lease in eligible:
        if lease.shard in held:
            owned[me].append(lease)
        elif lease.owner is None or expired(lease):
            free.append(lease)
        else:
            owned.setdefault(lease.owner, []).append(lease)
    fair = -(-len(eligible) // len(owned))
    room = fair - len(owned[me])
    if free:
        return free[: max(room, 0)]
    richest = max(owned.values(), key=len)
    return richest[:1] if may_steal and len(richest) >= len(owned[me]) + 2 else []
