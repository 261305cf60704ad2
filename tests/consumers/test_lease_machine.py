"""Shard leases against a model so plain that it can be seen to be right: who holds what, and when it was last heard of.

Consumers look, take what the plan says, renew, checkpoint, give back, fall silent and come back with leases that they
lost long ago; shards are split meanwhile. Whatever happens: of each shard at most one consumer is believed, and it is
the one that took it last; a consumer is taken from only after its silence or when it had more than its share; what a
zombie writes changes nothing; the place up to which a shard is read never goes back; and no shard is begun before its
parents are read to their end.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gameday.consumers.lease_stores import DynamoDBLeases, SqliteLeases
from gameday.consumers.leases import Lease, LeaseStore, Watch, plan
from gameday.emulator.services import SERVICES, World
from gameday.emulator.wire import Refused
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.endpoint import Endpoint
from tests.consumers.streaming import DictLeases

LEASE_S = 10.0
NAMES = ("a", "b", "c")


@dataclass
class Consumer:
    """`held`: what it thinks is its own, by shard; it may be wrong. `silent`: it does nothing for now."""

    watch: Watch
    held: dict[str, Lease] = field(default_factory=dict)
    silent: bool = False


@dataclass
class Row:
    """What the model knows of a shard: who is believed, and when it was heard of last."""

    parents: tuple[str, ...] = ()
    owner: str | None = None
    token: int = 0
    heard_s: float = 0.0
    position: int = 0
    done: bool = False


def on_the_broker(directory: Path) -> LeaseStore:
    """DynamoDB as the emulator has it, called as a function."""
    dynamodb = SERVICES["dynamodb"].make(World())

    async def carry(call: Call) -> Answer:
        try:
            answer = dynamodb.call(0, call.operation, call.params)
        except Refused as refused:
            raise CallFailed(refused.code, str(refused), definite=True) from None
        assert isinstance(answer, dict)
        return answer

    store: Any = DynamoDBLeases("leases", Endpoint())
    store._carry = carry
    return store  # type: ignore[no-any-return]


def in_a_file(directory: Path) -> LeaseStore:
    return SqliteLeases(directory / "leases.sqlite")


class LeaseMachine(RuleBasedStateMachine):
    make = staticmethod(in_a_file)
    # Wrongly, to begin shards whose parents are not read.
    early = False

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="leases-"))
        self.runner = asyncio.Runner()
        self.store = self.make(self.directory)
        self.now_s = 0.0
        self.rows: dict[str, Row] = {}
        self.consumers = {name: Consumer(Watch(LEASE_S)) for name in NAMES}

    def ask(self, step: Any) -> Any:
        return self.runner.run(step)

    @initialize(shards=st.integers(1, 3))
    def begin(self, shards: int) -> None:
        self.ask(self.store.create(tags={}))
        self.ask(self.store.open())
        for _ in range(shards):
            self._add(())

    def _add(self, parents: tuple[str, ...]) -> None:
        shard = f"s{len(self.rows)}"
        assert self.ask(self.store.add(Lease(subscription="orders", shard=shard, parents=parents)))
        assert not self.ask(self.store.add(Lease(subscription="orders", shard=shard, owner="x")))
        self.rows[shard] = Row(parents=parents, heard_s=self.now_s)

    @precondition(lambda self: self.rows and len(self.rows) < 6)
    @rule(data=st.data())
    def a_shard_is_split(self, data: st.DataObject) -> None:
        parent = data.draw(st.sampled_from(sorted(self.rows)))
        self._add((parent,))

    @rule(seconds=st.sampled_from([1.0, 4.0, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(name=st.sampled_from(NAMES))
    def falls_silent_or_wakes(self, name: str) -> None:
        self.consumers[name].silent ^= True

    @rule(name=st.sampled_from(NAMES))
    def forgets_all(self, name: str) -> None:
        """It was killed, and its successor begins anew under the same name."""
        self.consumers[name] = Consumer(Watch(LEASE_S))

    @rule(name=st.sampled_from(NAMES), may_steal=st.booleans(), late=st.booleans())
    def tends(self, name: str, may_steal: bool, late: bool) -> None:
        """As a worker does it: renew, look, take. `late`: others may write between its look and its takes."""
        me = self.consumers[name]
        if me.silent:
            return
        for shard in list(me.held):
            self._write(name, shard, self.store.renew)
        leases = self.ask(self.store.all("orders"))
        me.watch.see(leases, self.now_s)
        wanted = plan(
            leases,
            me=name,
            held=me.held,
            expired=lambda lease: me.watch.expired(lease, self.now_s),
            early=self.early,
            may_steal=may_steal,
        )
        if late:
            for other in self.consumers:
                if other != name and not self.consumers[other].silent:
                    for shard in list(self.consumers[other].held):
                        self._write(other, shard, self.store.renew)
        for lease in wanted:
            self._take(name, lease, leases)

    def _take(self, name: str, seen: Lease, leases: list[Lease]) -> None:
        me, row = self.consumers[name], self.rows[seen.shard]
        beat = next(lease.beat for lease in self.ask(self.store.all("orders")) if lease.shard == seen.shard)
        taken = self.ask(self.store.take(seen, name))
        assert (taken is not None) == (seen.token == row.token and seen.beat == beat), "as it was seen, or not at all"
        if taken is None:
            return
        silent_s = self.now_s - row.heard_s
        if row.owner is not None and silent_s < LEASE_S:
            alive = sum(lease.owner == row.owner and not lease.done for lease in leases)
            assert alive >= len(me.held) + 2, "it was not silent for long, and had no more than its share"
        assert all(self.rows[parent].done for parent in row.parents), "its parents come first"
        assert not row.done
        assert taken.token == row.token + 1 and taken.owner == name
        assert int(taken.position or 0) == row.position, "it goes on where the one before it was"
        row.owner, row.token, row.heard_s = name, taken.token, self.now_s
        me.held[seen.shard] = taken

    def _write(self, name: str, shard: str, write: Any) -> bool:
        """Something that a holder does, or one who thinks that it is; whether it was believed."""
        me, row = self.consumers[name], self.rows[shard]
        mine = me.held[shard]
        believed = self.ask(write(mine))
        assert believed == (mine.token == row.token), "the last one who took it is believed, and nobody else"
        if believed:
            row.heard_s = self.now_s
        else:
            del me.held[shard]
        return bool(believed)

    @precondition(lambda self: any(consumer.held for consumer in self.consumers.values()))
    @rule(data=st.data(), more=st.integers(0, 3), end=st.booleans())
    def reads_on(self, data: st.DataObject, more: int, end: bool) -> None:
        """A holder, perhaps one that has lost it, says how far it is; a silent one has just woken."""
        name = data.draw(st.sampled_from(sorted(n for n, consumer in self.consumers.items() if consumer.held)))
        shard = data.draw(st.sampled_from(sorted(self.consumers[name].held)))
        mine = self.consumers[name].held[shard]
        position = int(mine.position or 0) + more
        text = str(position) if position else None
        if self._write(name, shard, lambda lease: self.store.checkpoint(lease, position=text, done=end)):
            row = self.rows[shard]
            assert position >= row.position, "a holder begins where the shard is read to"
            row.position, row.done = position, end
            if end:
                del self.consumers[name].held[shard]
            else:
                self.consumers[name].held[shard] = Lease(
                    subscription="orders", shard=shard, token=mine.token, position=text
                )

    @precondition(lambda self: any(consumer.held for consumer in self.consumers.values()))
    @rule(data=st.data())
    def gives_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(n for n, consumer in self.consumers.items() if consumer.held)))
        shard = data.draw(st.sampled_from(sorted(self.consumers[name].held)))
        if self._write(name, shard, self.store.release):
            row = self.rows[shard]
            row.owner, row.token = None, row.token + 1
            del self.consumers[name].held[shard]

    @invariant()
    def the_rows_say_what_the_model_says(self) -> None:
        if not self.rows:
            return
        for lease in self.ask(self.store.all("orders")):
            row = self.rows[lease.shard]
            assert (lease.owner, lease.token, int(lease.position or 0), lease.done, lease.parents) == (
                (row.owner, row.token, row.position, row.done, row.parents)
            )
            believed = [n for n, c in self.consumers.items() if lease.shard in c.held]
            believed = [n for n in believed if self.consumers[n].held[lease.shard].token == lease.token]
            assert believed in ([], [lease.owner])

    def teardown(self) -> None:
        self.ask(self.store.close())
        self.runner.close()
        shutil.rmtree(self.directory)


class OnDynamoDB(LeaseMachine):
    make = staticmethod(on_the_broker)

    def teardown(self) -> None:
        """The store's own carrier was never used."""
        self.runner.close()
        shutil.rmtree(self.directory)


_SOME = settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestInSqlite = LeaseMachine.TestCase
TestInSqlite.settings = _SOME
TestOnDynamoDB = OnDynamoDB.TestCase
TestOnDynamoDB.settings = _SOME


class NoFence(DictLeases):
    """Whoever ever held it is believed."""

    def _changed(self, lease: Lease, *, beat: int | None = None, **change: Any) -> bool:
        row = self.rows[lease.subscription, lease.shard]
        return super()._changed(Lease(**{**vars_of(lease), "token": row.token}), beat=beat, **change)


class BlindTake(DictLeases):
    """A lease is taken whatever has happened since it was looked at."""

    async def take(self, seen: Lease, owner: str) -> Lease | None:
        return await super().take(self.rows[seen.subscription, seen.shard], owner)


def vars_of(lease: Lease) -> dict[str, Any]:
    return {name: getattr(lease, name) for name in lease.__dataclass_fields__}


@pytest.mark.parametrize("store", [NoFence, BlindTake])
def test_it_finds_a_store_that_does_not_fence(store: type[DictLeases]) -> None:
    _must_be_found(type("Broken", (LeaseMachine,), {"make": staticmethod(lambda directory: store())}))


def test_it_finds_a_consumer_that_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "expired", lambda self, lease, now_s: True)
    _must_be_found(type("Broken", (LeaseMachine,), {"make": staticmethod(lambda directory: DictLeases())}))


def test_it_finds_a_consumer_that_begins_children_early() -> None:
    broken = {"make": staticmethod(lambda directory: DictLeases()), "early": True}
    _must_be_found(type("Broken", (LeaseMachine,), broken))


def _must_be_found(machine: type[RuleBasedStateMachine]) -> None:
    found = settings(
        max_examples=500,
        stateful_step_count=40,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=found)
