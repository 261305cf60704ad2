"""What every entry of TRANSPORTS must do: without a network against AWS's own models, then over real endpoints.

A new transport is in the suite by its line in the registry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, get_args

import pytest

from gameday.emulator.broker import Broker, LongPoll
from gameday.history import envelope
from gameday.targets.products import PRODUCTS
from gameday.transports.base import (
    Addresses,
    Answer,
    Call,
    CallFailed,
    Capability,
    Delivery,
    Outgoing,
    Plan,
    QueueSource,
    Reading,
    SubscriptionSpec,
    Topology,
)
from gameday.transports.carriers.boto import run_all_despite_failures, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from tests import sources
from tests.carriers import carrier
from tests.contract.aws_answers import answer, complaints

RUN = "r7"
TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders")], visibility_timeout_s=1, max_receives=2)
SEVERAL = replace(TOPOLOGY, subscriptions=[SubscriptionSpec(name="orders"), SubscriptionSpec(name="audit")])
TAGS = {"gameday:run": RUN}
_UNIQUE = count()

QUEUES = [name for name, transport in TRANSPORTS.items() if transport.kind == "queue"]
ORDERED = [name for name in QUEUES if TRANSPORTS[name].ordered]
STREAMS = [name for name, transport in TRANSPORTS.items() if transport.kind == "stream"]


def takes(name: str, topology: Topology) -> bool:
    try:
        TRANSPORTS[name].promises(topology)
    except ValueError:
        return False
    return True


FANNED_OUT = [name for name in QUEUES if takes(name, SEVERAL)]

every_transport = pytest.mark.parametrize("name", TRANSPORTS)


def outgoing(id: str, group: str = "a") -> Outgoing:
    body = envelope.pack(id=id, run=RUN, group=group, timestamp_ns=1, payload_bytes=200).decode()
    return Outgoing(id=id, body=body, group=group, dedup_id=f"{RUN}-{id}")


def recording(calls: list[Call], carry: Callable[[Call], Answer] = answer) -> Callable[[Call], Answer]:
    def record(call: Call) -> Answer:
        assert complaints(call) == ""
        calls.append(call)
        return carry(call)

    return record


def built(name: str) -> Addresses:
    return run_plan(TRANSPORTS[name].provision(TOPOLOGY, run=RUN, tags=TAGS), recording([]))


class TestAsData:
    @every_transport
    def test_it_has_the_name_it_is_registered_by(self, name: str) -> None:
        assert TRANSPORTS[name].name == name

    @every_transport
    def test_provisioning_makes_valid_calls_and_tells_where_everything_is(self, name: str) -> None:
        transport, calls = TRANSPORTS[name], list[Call]()
        addresses = run_plan(transport.provision(TOPOLOGY, run=RUN, tags=TAGS), recording(calls))
        assert {call.service for call in calls} <= set(transport.services)
        assert addresses.send_to
        assert set(addresses.queues) == (set(TOPOLOGY.names) if transport.kind == "queue" else set())
        # The tags are what `sweep` finds leftovers by, so every run's resources carry its id.
        assert any(RUN in str(call.params) for call in calls)
        assert any(call.params.get("tags") or call.params.get("Tags") for call in calls)

    @every_transport
    def test_addresses_survive_json(self, name: str) -> None:
        addresses = built(name)
        as_json = {field: getattr(addresses, field) for field in ("send_to", "queues", "dead_letter_queues", "extra")}
        assert Addresses.from_json(as_json) == addresses

    @every_transport
    def test_a_failed_call_of_a_plan_is_not_swallowed(self, name: str) -> None:
        def refuse(call: Call) -> Answer:
            raise CallFailed("AccessDenied", "no", definite=True)

        with pytest.raises(CallFailed):
            run_plan(TRANSPORTS[name].provision(TOPOLOGY, run=RUN, tags=TAGS), refuse)

    @every_transport
    def test_a_provisioning_that_fails_half_way_leaves_nothing_behind(self, name: str) -> None:
        """Whichever call it is that fails: what the calls before it made is removed, the latest first."""
        made = list[Call]()
        run_plan(TRANSPORTS[name].provision(TOPOLOGY, run=RUN, tags=TAGS), recording(made))
        assert all(call.undo is not None for call in made if call.operation.startswith("Create"))
        for fatal in range(1, len(made)):
            calls = list[Call]()

            def fail(call: Call, *, fatal: int = fatal, calls: list[Call] = calls) -> Answer:
                if len(calls) == fatal + 1:
                    raise CallFailed("AccessDenied", "no", definite=True)
                return answer(call)

            with pytest.raises(CallFailed, match=r"AccessDenied: no$"):
                run_plan(TRANSPORTS[name].provision(TOPOLOGY, run=RUN, tags=TAGS), recording(calls, fail))
            undo = [call.undo(answer(call)) for call in made[:fatal] if call.undo is not None]
            assert calls[fatal + 1 :] == undo[::-1]

    @every_transport
    def test_tear_down_goes_on_when_a_call_fails_and_says_so_at_the_end(self, name: str) -> None:
        calls, tried = list[Call](), list[Call]()
        run_plan(TRANSPORTS[name].tear_down(built(name)), recording(calls))

        def refuse(call: Call) -> Answer:
            raise CallFailed("AccessDenied", "no", definite=True)

        with pytest.raises(CallFailed) as failure:
            run_all_despite_failures(TRANSPORTS[name].tear_down(built(name)), recording(tried, refuse))
        # Whoever cannot list the rules of a bus cannot remove them one by one.
        rules = ("RemoveTargets", "DeleteRule")
        assert tried == [call for call in calls if call.operation not in rules]
        assert all(call.operation in str(failure.value) for call in tried)

    @every_transport
    def test_tear_down_makes_valid_calls_only(self, name: str) -> None:
        calls = list[Call]()
        run_plan(TRANSPORTS[name].tear_down(built(name)), recording(calls))
        assert calls

    @every_transport
    def test_promises_fit_the_topology(self, name: str) -> None:
        transport = TRANSPORTS[name]
        promised = transport.promises(TOPOLOGY)
        assert set(promised) == set(TOPOLOGY.names)
        for subscription in promised.values():
            assert subscription.kind == transport.kind
            assert (subscription.ordered_by is not None) is transport.ordered
            assert (subscription.dedup_window_s is not None) <= transport.ordered
            if subscription.kind == "queue":
                assert subscription.visibility_timeout_s == TOPOLOGY.visibility_timeout_s
                assert subscription.max_receives == TOPOLOGY.max_receives
        assert not any(s.dead_letter for s in transport.promises(replace(TOPOLOGY, max_receives=None)).values())

    @every_transport
    def test_dead_letters_are_where_they_are_promised(self, name: str) -> None:
        transport, addresses = TRANSPORTS[name], built(name)
        for subscription, promise in transport.promises(TOPOLOGY).items():
            source = transport.subscription(addresses, subscription)
            assert (source.kind == "queue" and source.dead_letters is not None) is promise.dead_letter

    @every_transport
    def test_a_message_is_expected_where_there_is_no_filter(self, name: str) -> None:
        assert TRANSPORTS[name].expect(TOPOLOGY, outgoing("m")) == TOPOLOGY.names

    @every_transport
    @pytest.mark.parametrize("size", [1, "most"])
    def test_a_send_is_a_valid_call_and_a_good_answer_acks_every_entry(self, name: str, size: int | str) -> None:
        transport = TRANSPORTS[name]
        messages = [outgoing(f"m{n}") for n in range(transport.batch_max if size == "most" else 1)]
        call = transport.send(built(name), messages)
        assert complaints(call) == ""
        outcomes = transport.sent(answer(call), messages)
        assert [(o.id, o.entry, o.outcome, o.error) for o in outcomes] == [
            (m.id, n, "ok", None) for n, m in enumerate(messages)
        ]
        assert all(o.broker_id or o.broker_seq for o in outcomes)
        assert len({(o.broker_id, o.partition, o.broker_seq) for o in outcomes}) == len(messages)

    @every_transport
    def test_a_batch_that_fails_in_part_is_accounted_entry_by_entry(self, name: str) -> None:
        transport = TRANSPORTS[name]
        if transport.batch_max < 3:
            pytest.skip("no batches")
        messages = [outgoing(f"m{n}") for n in range(3)]
        call = transport.send(built(name), messages)
        refused = transport.sent(answer(call, failed=[1]), messages)
        assert [(o.id, o.outcome) for o in refused] == [("m0", "ok"), ("m1", "failed"), ("m2", "ok")]
        assert refused[1].error and not refused[1].broker_id
        # Where the service blames itself, the message may be stored: that is no proof of a failure.
        broken = transport.sent(answer(call, failed=[1], sender_fault=False), messages)
        assert [o.outcome for o in broken] == ["ok", "unknown", "ok"]

    @every_transport
    def test_only_an_entry_that_can_never_pass_is_final(self, name: str) -> None:
        transport, messages = TRANSPORTS[name], [outgoing("m0")]
        if transport.batch_max == 1:
            pytest.skip("what sends one message a call is told by the call's own failure")
        call = transport.send(built(name), messages)
        for code, outcome, final in [
            ("InvalidArgument", "failed", True),
            ("ThrottlingException", "failed", False),
            ("InternalFailure", "unknown", False),
        ]:
            bad = answer(call, failed=[0], sender_fault=code != "InternalFailure")
            entries = next(bad[key] for key in ("Failed", "Entries", "Records") if key in bad)
            entries[0]["Code" if "Failed" in bad else "ErrorCode"] = code
            (became,) = transport.sent(bad, messages)
            assert (became.outcome, became.final) == (outcome, final), code

    @every_transport
    def test_a_message_is_measured_and_a_larger_one_is_larger(self, name: str) -> None:
        transport, message = TRANSPORTS[name], outgoing("m")
        limits, size = transport.limits(TOPOLOGY), transport.size(TOPOLOGY, message)
        assert 0 < limits.message <= limits.call
        body = envelope.pack(id="m", run=RUN, group="a", timestamp_ns=1, payload_bytes=len(message.body) + 100)
        longer = message._replace(body=body.decode())
        grown = len(longer.body) - len(message.body)
        assert transport.size(TOPOLOGY, longer).sent == size.sent + grown
        assert (size.arrives >= len(message.body)) is (transport.kind == "queue")

    @every_transport
    def test_by_content_no_message_names_an_id_and_the_first_service_is_told(self, name: str) -> None:
        transport, calls = TRANSPORTS[name], list[Call]()
        if not transport.deduplicates:
            pytest.skip("deduplicates nothing")
        plan = transport.provision(replace(TOPOLOGY, dedup="content"), run=RUN, tags=TAGS)
        addresses = run_plan(plan, recording(calls))
        told = [call.operation for call in calls if "ContentBasedDeduplication" in str(call.params)]
        assert told == ["CreateTopic" if "sns" in transport.services else "CreateQueue"]
        call = transport.send(addresses, [outgoing("m")._replace(dedup_id=None)])
        assert complaints(call) == ""
        assert "MessageDeduplicationId" not in str(call.params)
        assert "MessageDeduplicationId" in str(transport.send(addresses, [outgoing("m")]).params)

    @every_transport
    def test_only_the_queue_that_consumers_read_is_delayed(self, name: str) -> None:
        transport, calls = TRANSPORTS[name], list[Call]()
        run_plan(transport.provision(replace(TOPOLOGY, delay_s=3), run=RUN, tags=TAGS), recording(calls))
        delayed = [call.params["QueueName"] for call in calls if call.params.get("Attributes", {}).get("DelaySeconds")]
        assert len(delayed) == (transport.kind == "queue")
        assert not any("-dlq" in queue for queue in delayed)

    @every_transport
    def test_an_entry_that_the_answer_leaves_out_is_unknown(self, name: str) -> None:
        transport, messages = TRANSPORTS[name], [outgoing("m0"), outgoing("m1")][: TRANSPORTS[name].batch_max]
        assert [o.outcome for o in transport.sent({}, messages)] == ["unknown"] * len(messages)

    @every_transport
    def test_a_subscription_is_of_the_kind_that_it_says(self, name: str) -> None:
        transport = TRANSPORTS[name]
        for subscription in TOPOLOGY.names:
            assert transport.subscription(built(name), subscription).kind == transport.kind

    @every_transport
    @pytest.mark.parametrize("product", PRODUCTS)
    def test_what_it_cannot_do_on_a_product_has_a_reason(self, name: str, product: str) -> None:
        for capability, reason in PRODUCTS[product].gaps_of(TRANSPORTS[name]).items():
            assert capability in get_args(Capability)
            assert reason

    @pytest.mark.parametrize("name", STREAMS)
    def test_a_stream_makes_valid_calls_and_reads_an_empty_answer(self, name: str) -> None:
        stream = sources.stream(TRANSPORTS[name], built(name), "orders")
        for call in (
            stream.shards(),
            stream.shards(page="next"),
            stream.iterator("shard", after=None),
            stream.iterator("shard", after="1"),
            stream.read("iterator", most=stream.batch_max),
        ):
            assert complaints(call) == ""
        assert stream.shards_of({}) == ([], None)
        assert stream.read_of({}, "shard") == Reading(deliveries=[], next=None, behind_ms=0)

    @pytest.mark.parametrize("name", QUEUES)
    def test_a_source_makes_valid_calls_and_reads_an_empty_answer(self, name: str) -> None:
        source = sources.queue(TRANSPORTS[name], built(name), "orders")
        delivery = Delivery(
            id="m", receipt="r", broker_id="b", broker_seq=None, upstream_id=None, group=None, receives=1,
            enqueued=None, intact=True, poison=False, body="",
        )  # fmt: skip
        for call in (
            source.receive(most=100, wait_s=1),
            source.delete([delivery]),
            source.hide([delivery], hidden_s=3),
            source.depth(),
        ):
            assert complaints(call) == ""
        assert source.received({}) == []
        assert source.settled({}, [delivery]) == [("unknown", "entry missing from the answer")]


class Provisioned:
    """A provisioned transport and the few moves that the rules below are made of."""

    def __init__(self, name: str, carry: Callable[[Call], Answer], wait: Callable[[float], None]) -> None:
        self.transport = TRANSPORTS[name]
        self.carry = carry
        self.wait = wait
        self.topology = SEVERAL if name in FANNED_OUT else TOPOLOGY
        self.addresses = self.plan(self.transport.provision(self.topology, run=f"{RUN}-{next(_UNIQUE)}", tags=TAGS))
        self.source = sources.queue(self.transport, self.addresses, "orders")

    def plan(self, plan: Plan[Addresses]) -> Addresses:
        return run_plan(plan, self.carry)

    def build_anew(self, **changes: Any) -> None:
        """The same with another topology."""
        run_plan(self.transport.tear_down(self.addresses), self.carry)
        topology = replace(self.topology, **changes)
        self.addresses = self.plan(self.transport.provision(topology, run=f"{RUN}-{next(_UNIQUE)}", tags=TAGS))
        self.source = sources.queue(self.transport, self.addresses, "orders")

    def send(self, *ids: str) -> list[str | None]:
        """a1 is of group a; the broker's ids."""
        outcomes, most = [], self.transport.batch_max
        for first in range(0, len(ids), most):
            messages = [outgoing(id, group=id[0]) for id in ids[first : first + most]]
            outcomes += self.transport.sent(self.carry(self.transport.send(self.addresses, messages)), messages)
        assert {o.outcome for o in outcomes} == {"ok"}
        return [o.broker_id for o in outcomes]

    def receive(self, *, most: int = 10, source: QueueSource | None = None) -> list[Delivery]:
        source = source or self.source
        return source.received(self.carry(source.receive(most=most, wait_s=0)))

    def collect(self, count: int, *, most: int = 10, source: QueueSource | None = None) -> list[Delivery]:
        """Receive until `count` messages are in hand, giving a queue and its dead letters the time they need."""
        got: list[Delivery] = []
        deadline = time.monotonic() + 20
        while len(got) < count:
            assert time.monotonic() < deadline, f"only {[d.id for d in got]} came"
            batch = self.receive(most=most, source=source)
            got += batch
            if not batch:
                self.wait(0.1)
        return got

    def consume(self, count: int) -> list[Delivery]:
        """Receive and delete one by one, so that none is redelivered while a topic takes its time with the next."""
        got: list[Delivery] = []
        for _ in range(count):
            (delivery,) = self.collect(1, most=1)
            assert self.delete([delivery]) == ["ok"]
            got.append(delivery)
        return got

    def hide(self, deliveries: Sequence[Delivery]) -> None:
        """For long enough."""
        self.carry(self.source.hide(deliveries, hidden_s=60))

    def delete(self, deliveries: Sequence[Delivery]) -> list[str]:
        return [outcome for outcome, _ in self.source.settled(self.carry(self.source.delete(deliveries)), deliveries)]


def ids(deliveries: Sequence[Delivery]) -> list[str | None]:
    return [d.id for d in deliveries]


def order_in(body: str) -> object:
    """What the producer wrote, however a service on the way has formatted it."""
    read = envelope.unpack(body)
    return read and read.event["detail"]


class Rules:
    """The rules of a queue, on whatever endpoint a subclass brings: see `provisioned`."""

    def test_what_is_sent_arrives_whole(self, provisioned: Provisioned) -> None:
        (broker_id,) = provisioned.send("a1")
        (delivery,) = provisioned.collect(1)
        # What stands in front of a queue numbers a message apart from the queue.
        assert (delivery.id, delivery.upstream_id or delivery.broker_id) == ("a1", broker_id)
        assert (delivery.intact, delivery.receives) == (True, 1)
        assert order_in(delivery.body) == order_in(outgoing("a1").body)
        assert delivery.enqueued
        if provisioned.transport.ordered:
            assert delivery.group == "a"
            # Behind a topic it may be missing (MiniStack): then the sends' numbers tell the order.
            assert delivery.broker_seq or delivery.upstream_id
        assert provisioned.delete([delivery]) == ["ok"]
        assert provisioned.source.depth_of(provisioned.carry(provisioned.source.depth())).total == 0

    def test_a_queue_with_a_delay_keeps_a_message_back(self, provisioned: Provisioned) -> None:
        provisioned.build_anew(delay_s=1)
        provisioned.send("a1")
        assert provisioned.receive() == []
        assert ids(provisioned.collect(1)) == ["a1"]

    def test_every_subscription_gets_its_own_copy(self, provisioned: Provisioned) -> None:
        provisioned.send("a1", "b1")
        for subscription in provisioned.topology.names:
            source = sources.queue(provisioned.transport, provisioned.addresses, subscription)
            got = set[str | None]()
            while len(got) < 2:
                got |= set(ids(provisioned.collect(1, source=source)))
            assert got == {"a1", "b1"}

    def test_a_delete_that_fails_in_part_is_accounted_entry_by_entry(self, provisioned: Provisioned) -> None:
        provisioned.send("a1", "b1")
        first, second = provisioned.collect(2)
        bogus = replace(first, receipt="bogus")
        assert provisioned.delete([bogus, second]) == ["failed", "ok"]

    def test_a_message_comes_back_with_one_more_receive_then_goes_to_the_dead_letters(
        self, provisioned: Provisioned
    ) -> None:
        provisioned.send("a1")
        assert [d.receives for d in provisioned.collect(1)] == [1]
        assert [d.receives for d in provisioned.collect(1)] == [2]
        dead = sources.queue(provisioned.transport, provisioned.addresses, "orders").dead_letters
        assert dead is not None
        deadline = time.monotonic() + 20
        while not (buried := provisioned.receive(source=dead)):
            assert time.monotonic() < deadline
            assert ids(provisioned.receive()) == []
            provisioned.wait(0.1)
        assert ids(buried) == ["a1"]


class OrderedRules:
    """What an ordered queue promises besides."""

    def test_a_group_arrives_in_order(self, provisioned: Provisioned) -> None:
        sent = [f"a{n}" for n in range(1, 8)]
        for id in sent:
            provisioned.send(id)
        got: list[Delivery] = []
        while len(got) < len(sent):
            # What a topic hands on late stays locked until what came before it is gone.
            batch = provisioned.collect(1)
            assert set(provisioned.delete(batch)) == {"ok"}
            got += batch
        assert ids(got) == sent
        numbers = [int(d.broker_seq) for d in got if d.broker_seq]
        assert numbers == sorted(set(numbers))
        assert len(numbers) in (0, 7)

    def test_a_group_is_locked_while_one_of_it_is_in_flight_and_others_flow(self, provisioned: Provisioned) -> None:
        provisioned.send("a1", "a2")
        held = provisioned.collect(1, most=1)
        # However slow this machine is.
        provisioned.hide(held)
        provisioned.send("b1")
        assert ids(provisioned.collect(1)) == ["b1"]
        assert provisioned.delete(held) == ["ok"]
        assert ids(provisioned.collect(1)) == ["a2"]

    def test_order_survives_the_end_of_the_visibility_timeout(self, provisioned: Provisioned) -> None:
        provisioned.send("a1", "a2")
        assert ids(provisioned.collect(1, most=1)) == ["a1"]
        assert ids(provisioned.consume(2)) == ["a1", "a2"]

    def test_a_repeated_send_is_accepted_and_not_delivered_even_after_the_delete(
        self, provisioned: Provisioned
    ) -> None:
        first = provisioned.send("a1")
        again = provisioned.send("a1")
        (delivery,) = provisioned.collect(1)
        assert provisioned.delete([delivery]) == ["ok"]
        after_the_delete = provisioned.send("a1")
        if delivery.upstream_id is None:
            # A queue answers with the first one's id; of a topic AWS documents no such thing.
            assert again == after_the_delete == first
        provisioned.send("b1")
        assert ids(provisioned.collect(1)) == ["b1"]
        assert provisioned.receive() == []

    def test_by_content_a_body_is_delivered_once_whatever_it_is_the_body_of(self, provisioned: Provisioned) -> None:
        provisioned.build_anew(dedup="content")
        first, other = (outgoing(id)._replace(dedup_id=None) for id in ("a1", "a2"))
        for message in (first, first, other):
            call = provisioned.transport.send(provisioned.addresses, [message])
            assert [o.outcome for o in provisioned.transport.sent(provisioned.carry(call), [message])] == ["ok"]
        assert ids(provisioned.consume(2)) == ["a1", "a2"]
        assert provisioned.receive() == []

    def test_a_stale_receipt_is_refused(self, provisioned: Provisioned) -> None:
        provisioned.send("a1")
        stale = provisioned.collect(1)
        latest = provisioned.collect(1)
        assert provisioned.delete(stale) == ["failed"]
        assert provisioned.delete(latest) == ["ok"]


class InProcess:
    """The broker's operations called as functions, on a clock that moves only when a test says so."""

    @pytest.fixture
    def provisioned(self, request: pytest.FixtureRequest) -> Provisioned:
        broker, now = Broker(url="http://here"), [1_000_000_000]

        def carry(call: Call) -> Answer:
            outcome = broker.call(now[0], call.operation, call.params)
            assert not isinstance(outcome, LongPoll)
            return outcome

        def wait(seconds: float) -> None:
            now[0] += int(seconds * 1e9)

        return Provisioned(request.param, recording([], carry), wait)


# Where an emulator breaks a rule of AWS's: (product, or product and transport; test) to what it does instead.
BROKEN: Mapping[tuple[str, str], str] = {
    ("localstack", "test_a_delete_that_fails_in_part_is_accounted_entry_by_entry"): (
        "calls a receipt that is none its own fault (SenderFault false): then it is unknown whether the delete was done"
    ),
    ("localstack", "test_a_stale_receipt_is_refused"): "takes an old receipt while a newer one holds the message",
    ("moto", "test_a_stale_receipt_is_refused"): "takes an old receipt",
    ("moto", "test_a_group_arrives_in_order"): "its sequence numbers are random",
    ("moto", "test_a_repeated_send_is_accepted_and_not_delivered_even_after_the_delete"): (
        "answers a repeated send with a new id, and forgets it with the delete"
    ),
    ("moto-sns-fifo", "test_by_content_a_body_is_delivered_once_whatever_it_is_the_body_of"): (
        "hands a body on to the FIFO queue without the deduplication id that it made of it, and fails"
    ),
}


def live(names: Sequence[str]) -> pytest.MarkDecorator:
    """Each transport on each product that could have it; the fixture `provisioned` gets both."""
    pairs = [
        (product, name)
        for name in names
        for product in ("memory", "ministack", "localstack", "moto")
        if not set(TRANSPORTS[name].needs(TOPOLOGY)) & PRODUCTS[product].gaps_of(TRANSPORTS[name]).keys()
    ]
    return pytest.mark.parametrize("provisioned", pairs, ids=["-".join(pair) for pair in pairs], indirect=True)


class OnEndpoint:
    @pytest.fixture
    def provisioned(self, request: pytest.FixtureRequest) -> Iterator[Provisioned]:
        product, name = request.param
        test = request.node.originalname
        if broken := BROKEN.get((product, test)) or BROKEN.get((f"{product}-{name}", test)):
            request.applymarker(pytest.mark.xfail(strict=True, reason=broken))
        endpoint: Endpoint = request.getfixturevalue(product)
        carry = carrier(endpoint)
        provisioned = Provisioned(name, carry, time.sleep)
        yield provisioned
        run_plan(provisioned.transport.tear_down(provisioned.addresses), carry)


@pytest.mark.parametrize("provisioned", ["sqs", "sqs-fifo"], indirect=True)
class TestRulesInProcess(InProcess, Rules):
    pass


@pytest.mark.parametrize("provisioned", ["sqs-fifo"], indirect=True)
class TestOrderedRulesInProcess(InProcess, OrderedRules):
    pass


@pytest.mark.live
@live(QUEUES)
class TestRulesLive(OnEndpoint, Rules):
    pass


@pytest.mark.live
@live(ORDERED)
class TestOrderedRulesLive(OnEndpoint, OrderedRules):
    pass
