"""What every stream of TRANSPORTS must do over a real endpoint, read as a lone consumer would read it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from gameday.targets.products import PRODUCTS
from gameday.transports.base import Delivery, Outgoing, Reading, SendOutcome, Shard, SubscriptionSpec
from gameday.transports.carriers.boto import run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from tests import sources
from tests.carriers import carrier
from tests.contract.test_transports import RUN, STREAMS, TAGS, TOPOLOGY, live, outgoing

pytestmark = [pytest.mark.live, live(STREAMS)]

SHARDS = 2
# With their hashes these fall into both of two shards.
KEYS = "abcdef"


class ProvisionedStream:
    """A stream of two shards and the few moves that the rules below are made of."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self.transport = TRANSPORTS[name]
        self.carry = carrier(endpoint)
        both = [SubscriptionSpec(name="orders"), SubscriptionSpec(name="audit")]
        topology = replace(TOPOLOGY, subscriptions=both, shards=SHARDS)
        run = f"{RUN}-{time.time_ns()}"
        self.addresses = run_plan(self.transport.provision(topology, run=run, tags=TAGS), self.carry)
        self.source = sources.stream(self.transport, self.addresses, "orders")

    def send(self, *ids: str) -> list[SendOutcome]:
        """a1 has the key a."""
        return self.put([outgoing(id, group=id[0]) for id in ids])

    def put(self, messages: list[Outgoing]) -> list[SendOutcome]:
        outcomes = self.transport.sent(self.carry(self.transport.send(self.addresses, messages)), messages)
        assert {o.outcome for o in outcomes} == {"ok"}
        return outcomes

    def shards(self) -> list[Shard]:
        found, page = self.source.shards_of(self.carry(self.source.shards()))
        assert page is None
        return found

    def read(self, iterator: str, shard: str, *, most: int = 100) -> Reading:
        return self.source.read_of(self.carry(self.source.read(iterator, most=most)), shard)

    def iterator(self, shard: str, *, after: str | None = None) -> str:
        return self.source.iterator_of(self.carry(self.source.iterator(shard, after=after)))

    def all_of(self, shard: str, *, after: str | None = None, most: int = 100) -> list[Delivery]:
        """To the shard's tip, however many reads that takes."""
        iterator: str | None = self.iterator(shard, after=after)
        got: list[Delivery] = []
        deadline = time.monotonic() + 20
        while iterator is not None:
            assert time.monotonic() < deadline, f"no tip of {shard}"
            reading = self.read(iterator, shard, most=most)
            got += reading.deliveries
            if not reading.deliveries and reading.behind_ms == 0:
                break
            iterator = reading.next
        return got

    def everything(self) -> dict[str, list[Delivery]]:
        return {shard.id: self.all_of(shard.id) for shard in self.shards()}


# Where an emulator breaks a rule of AWS's: (product, test) to what it does instead.
BROKEN: Mapping[tuple[str, str], str] = {}
RESHARDED = "test_what_was_in_the_parents_stays_readable_to_its_end"


@pytest.fixture
def provisioned(request: pytest.FixtureRequest) -> Iterator[ProvisionedStream]:
    product, name = request.param
    test = request.node.originalname
    # A gap that a transport tells of is one that can be seen.
    gap = PRODUCTS[product].gaps_of(TRANSPORTS[name]).get("reshard") if test == RESHARDED else None
    if broken := gap or BROKEN.get((product, test)):
        request.applymarker(pytest.mark.xfail(strict=True, reason=broken))
    provisioned = ProvisionedStream(name, request.getfixturevalue(product))
    yield provisioned
    run_plan(provisioned.transport.tear_down(provisioned.addresses), provisioned.carry)


def ids(deliveries: list[Delivery]) -> list[str | None]:
    return [d.id for d in deliveries]


def test_what_is_sent_arrives_whole(provisioned: ProvisionedStream) -> None:
    before_ns = time.time_ns()
    (sent,) = provisioned.send("a1")
    assert sent.partition is not None
    (delivery,) = provisioned.all_of(sent.partition)
    assert (delivery.id, delivery.group, delivery.intact, delivery.body) == ("a1", "a", True, outgoing("a1").body)
    assert (delivery.partition, delivery.broker_seq) == (sent.partition, sent.broker_seq)
    assert (delivery.broker_id, delivery.receives) == (None, None)
    # Told in milliseconds.
    assert delivery.enqueued is not None
    assert before_ns - 1_000_000 <= delivery.enqueued <= time.time_ns() + 1_000_000


def test_a_key_stays_in_its_shard_and_in_its_order(provisioned: ProvisionedStream) -> None:
    sent = [f"{key}{n}" for n in range(1, 5) for key in KEYS]
    outcomes = [outcome for id in sent for outcome in provisioned.send(id)]
    assert {o.partition for o in outcomes} == {shard.id for shard in provisioned.shards()}
    got = provisioned.everything()
    assert Counter(id for deliveries in got.values() for id in ids(deliveries)) == Counter(sent)
    for shard, deliveries in got.items():
        assert ids(deliveries) == [o.id for o in outcomes if o.partition == shard]
        numbers = [int(d.broker_seq or 0) for d in deliveries]
        assert numbers == sorted(set(numbers))
    homes = {(o.id[0], o.partition) for o in outcomes}
    assert len(homes) == len(KEYS)


def test_a_call_is_answered_entry_by_entry(provisioned: ProvisionedStream) -> None:
    outcomes = provisioned.send(*(f"{key}1" for key in KEYS))
    for shard, deliveries in provisioned.everything().items():
        told = {(o.id, o.broker_seq) for o in outcomes if o.partition == shard}
        assert {(d.id, d.broker_seq) for d in deliveries} == told


def test_a_consumer_goes_on_after_the_record_that_it_names(provisioned: ProvisionedStream) -> None:
    outcomes = [outcome for n in range(1, 6) for outcome in provisioned.send(f"a{n}")]
    shard = outcomes[0].partition
    assert shard is not None
    assert ids(provisioned.all_of(shard, after=outcomes[2].broker_seq)) == ["a4", "a5"]
    assert ids(provisioned.all_of(shard, after=outcomes[4].broker_seq)) == []
    assert ids(provisioned.all_of(shard, most=2)) == ["a1", "a2", "a3", "a4", "a5"], "in pages, and from the oldest"


def test_reading_takes_nothing_from_the_other_subscription(provisioned: ProvisionedStream) -> None:
    (sent,) = provisioned.send("a1")
    assert sent.partition is not None
    assert ids(provisioned.all_of(sent.partition)) == ["a1"]
    provisioned.source = sources.stream(provisioned.transport, provisioned.addresses, "audit")
    assert ids(provisioned.all_of(sent.partition)) == ["a1"]


def test_an_open_shard_goes_on_and_shows_what_comes_later(provisioned: ProvisionedStream) -> None:
    (first,) = provisioned.send("a1")
    assert first.partition is not None
    reading = provisioned.read(provisioned.iterator(first.partition), first.partition)
    assert (ids(list(reading.deliveries)), reading.behind_ms) == (["a1"], 0)
    assert reading.next is not None
    provisioned.send("a2")
    assert ids(list(provisioned.read(reading.next, first.partition).deliveries)) == ["a2"]


def test_a_split_and_a_merge_name_their_parents(provisioned: ProvisionedStream) -> None:
    before = provisioned.shards()
    assert [(shard.parents, shard.closed) for shard in before] == [((), False)] * SHARDS
    split = run_plan(provisioned.source.reshard("split"), provisioned.carry)
    (parent,) = split.parents
    found = {shard.id: shard for shard in provisioned.shards()}
    assert len(split.children) == 2
    assert [tuple(found[child].parents) for child in split.children] == [(parent,)] * 2
    merged = run_plan(provisioned.source.reshard("merge"), provisioned.carry)
    (child,) = merged.children
    found = {shard.id: shard for shard in provisioned.shards()}
    # The halves are the narrowest neighbours.
    assert set(found[child].parents) == set(merged.parents) == set(split.children)
    assert [shard.id for shard in found.values() if not shard.closed and not shard.parents] != []
    provisioned.send(*(f"{key}1" for key in KEYS))


def test_what_was_in_the_parents_stays_readable_to_its_end(provisioned: ProvisionedStream) -> None:
    provisioned.send(*(f"{key}1" for key in KEYS))
    held = provisioned.everything()
    changes = [run_plan(provisioned.source.reshard(action), provisioned.carry) for action in ("split", "merge")]
    outcomes = provisioned.send(*(f"{key}2" for key in KEYS))
    shards = {shard.id: shard for shard in provisioned.shards()}
    for parent in {parent for change in changes for parent in change.parents}:
        assert shards[parent].closed
        assert ids(provisioned.all_of(parent)) == ids(held.get(parent, []))
        reading = provisioned.read(provisioned.iterator(parent), parent)
        assert (reading.next, reading.behind_ms) == (None, 0)
    assert {o.partition for o in outcomes} <= {shard.id for shard in shards.values() if not shard.closed}
