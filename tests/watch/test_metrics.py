"""What the observer's metrics say of a history: labels, exemplars, the claims' own bounds, CloudWatch's words."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest
from prometheus_client.core import Exemplar

from gameday.history.manifest import Claim, Manifest, Subscription
from gameday.history.trace import trace_id
from gameday.watch.live import Live
from gameday.watch.metrics import METRICS, collect, differing_totals
from tests.watch.story import FIFO, Story, manifest, moment

QUEUE = Subscription(visibility_timeout_s=10, max_receives=4, dead_letter=True)


@dataclass
class Seen:
    live: Live
    records: int = 0
    unreadable: int = 0


def watch(story: Story, told: Manifest | None = None) -> Seen:
    live = Live(told or manifest())
    records = [record for file in story.files.values() for record in file]
    for record in sorted(records, key=lambda record: record["at"]):
        live.observe(record)
    return Seen(live, len(records))


def samples(seen: Seen) -> dict[str, float]:
    """By name and labels, these in the order of their names."""
    return {_name(s.name, s.labels): s.value for metric in collect(seen) for s in metric.samples}


def exemplars(seen: Seen) -> dict[str, Exemplar]:
    found = [s for metric in collect(seen) for s in metric.samples if s.exemplar is not None]
    return {_name(s.name, s.labels): s.exemplar for s in found if s.exemplar is not None}


def _name(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return name.removeprefix("gameday_") + (f"{{{told}}}" if told else "")


def test_every_label_value_that_is_known_is_there_from_the_start() -> None:
    there = samples(watch(Story()))
    for name in (
        *(f'messages_sent_total{{outcome="{o}"}}' for o in ("ok", "failed", "unknown")),
        *(f'effects_total{{outcome="{o}",subscription="orders"}}' for o in ("applied", "skipped", "failed")),
        *(f'duplicates_total{{kind="{k}",subscription="orders"}}' for k in ("send-duplicate", "effect-duplicate")),
        'settles_total{action="delete",outcome="unknown",subscription="orders"}',
        'over_received_total{subscription="orders"}',
        'misrouted_total{subscription="orders"}',
        'redeliveries_total{subscription="orders"}',
        'messages_received_total{subscription="orders"}',
        'backlog_messages{subscription="orders"}',
        'oldest_message_age_seconds{subscription="orders"}',
        'order_violations_total{kind="nonmonotonic-delivery",subscription="orders"}',
        'fault_active{fault="kill-consumer",instance="",target=""}',
        'fault_strikes_total{fault="kill-consumer",target=""}',
        'end_to_end_latency_seconds_count{subscription="orders"}',
        'consumer_restarts_total{subscription="orders"}',
        'consumers_running{subscription="orders"}',
        "messages_scheduled_total",
    ):
        assert there[name] == 0, name
    assert there['run_phase{phase="starting"}'] == 1
    assert sum(value for name, value in there.items() if name.startswith("run_phase")) == 1
    assert there['claim_info{claim="no-loss"}'] == 1


def test_run_and_claims() -> None:
    told = replace(
        manifest(),
        target="memory",
        seed=7,
        claims=[
            Claim(claim="lag", bounds={"p99_s": 2, "grace_s": 7.0}),
            Claim(claim="lag", bounds={"max_s": 30.0, "during": "faults"}),
            Claim(claim="ordered-per-group", bounds={"strict": True}),
        ],
        scenario={"name": "quick", "transport": "sqs-fifo"},
    )
    there = samples(watch(Story(), told))
    assert there['run_info{run="r",scenario="quick",seed="7",target="memory",transport="sqs-fifo"}'] == 1
    assert {name: value for name, value in there.items() if name.startswith("claim_")} == {
        'claim_info{claim="lag"}': 1,
        'claim_info{claim="lag during faults"}': 1,
        'claim_info{claim="ordered-per-group"}': 1,
        'claim_bound_seconds{bound="p99",claim="lag"}': 2,
        'claim_bound_seconds{bound="grace",claim="lag"}': 7,
        'claim_bound_seconds{bound="max",claim="lag during faults"}': 30,
    }


def test_the_claims_own_bounds_are_buckets() -> None:
    told = replace(manifest(), claims=[Claim(claim="lag", bounds={"p50_s": 0.1, "p99_s": 2, "grace_s": 7})])
    story = Story().acked("a", "b").received("a", 15).received("b", 24)
    there = samples(watch(story, told))
    buckets = {
        float(name.split('"')[1]): value
        for name, value in there.items()
        if name.startswith("end_to_end_latency_seconds_bucket")
    }
    assert {le: buckets[le] for le in (1.0, 2.0, 2.5)} == {1.0: 0, 2.0: 1, 2.5: 2}
    assert list(buckets) == sorted(buckets)
    assert 7 not in buckets, "a grace is no latency"


def test_counts_are_of_their_subscription_and_exemplars_name_the_message() -> None:
    told = manifest(orders=FIFO, audit=FIFO)
    story = (
        Story()
        .intended("a", expect=["orders", "audit"]).sent("a")
        .received("a", 3).received("a", 5, copy="another").received("a", 6, copy="another")
        .received("a", 4, by="d1", subscription="audit")
        .effect("a", 4).effect("a", 7)
    )  # fmt: skip
    seen = watch(story, told)
    there = samples(seen)
    for name, orders, audit in (
        ("messages_received_total{", 3, 1),
        ("redeliveries_total{", 1, 0),
        ('duplicates_total{kind="send-duplicate",', 1, 0),
        ('duplicates_total{kind="effect-duplicate",', 1, 0),
        ('effects_total{outcome="applied",', 2, 0),
    ):
        assert [there[f'{name}subscription="{sub}"}}'] for sub in ("orders", "audit")] == [orders, audit], name
    shown = exemplars(seen)
    sent, effect, latency = (
        shown[name]
        for name in (
            'duplicates_total{kind="send-duplicate",subscription="orders"}',
            'duplicates_total{kind="effect-duplicate",subscription="orders"}',
            'end_to_end_latency_seconds_bucket{le="0.5",subscription="orders"}',
        )
    )
    assert [each.labels for each in (sent, effect, latency)] == [
        {"message_id": "a", "trace_id": trace_id(told.run, "a")}
    ] * 3
    assert sent.timestamp == pytest.approx(moment(5) / 1e9)
    assert latency.value == pytest.approx(0.3)
    assert 'redeliveries_total{subscription="orders"}' not in shown


def test_errors_and_settles_are_of_their_subscription() -> None:
    story = Story().intended("a").sent("a", outcome="failed", error="Refused: a").intended("a", attempt=2)
    story.sent("a", attempt=2).received("a", 1, batch="b").settle("a", 2, "delete", batch="b", outcome="unknown")
    there = samples(watch(story))
    assert there['errors_total{error="Refused",subscription="",where="send"}'] == 1
    assert there['errors_total{error="no reason given",subscription="orders",where="settle"}'] == 1
    assert there['settles_total{action="delete",outcome="unknown",subscription="orders"}'] == 1
    assert not any(re.search(r'"a"', name) for name in there), "a message is no label"


def test_faults_are_told_by_slot_while_they_are_at_work() -> None:
    story = Story()
    for n, slot in enumerate(("orders-1", "orders-2"), 1):
        story.mark("consumer-started", 0, consumer=f"{slot}.{n}", slot=slot)
    what = {"fault": "kill-consumer", "instance": "kill-consumer-1", "targets": ["orders-1.1", "orders-2.2"]}
    story.tell("conductor", "fault", 2, **what, phase="start")
    story.tell("conductor", "fault", 2, fault="kill-consumer", instance="kill-consumer-2", targets=[], phase="start")

    def active(seen: Seen) -> set[str]:
        return {name for name, value in samples(seen).items() if name.startswith("fault_active") and value}

    assert active(watch(story)) == {
        'fault_active{fault="kill-consumer",instance="kill-consumer-1",target="orders-1"}',
        'fault_active{fault="kill-consumer",instance="kill-consumer-1",target="orders-2"}',
        'fault_active{fault="kill-consumer",instance="kill-consumer-2",target=""}',
    }
    for instance in ("kill-consumer-1", "kill-consumer-2"):
        story.tell("conductor", "fault", 3, fault="kill-consumer", instance=instance, phase="stop")
    seen = watch(story)
    assert active(seen) == set()
    strikes = {name: value for name, value in samples(seen).items() if name.startswith("fault_strikes")}
    assert strikes == {
        'fault_strikes_total{fault="kill-consumer",target=""}': 0,
        'fault_strikes_total{fault="kill-consumer",target="orders-1"}': 1,
        'fault_strikes_total{fault="kill-consumer",target="orders-2"}': 1,
    }


def test_consumers_come_and_go_with_what_they_have_in_hand() -> None:
    story = Story().acked("a", "b", "c")
    story.mark("consumer-started", 0, consumer="orders-1.1", slot="orders-1")
    story.mark("consumer-started", 0, consumer="orders-2.1", slot="orders-2")
    story.received("a", 1, by="orders-1.1", batch="x").received("b", 1, by="orders-1.1", batch="x")
    story.received("c", 1, by="orders-2.1", batch="y")
    story.settle("a", 2, "delete", by="orders-1.1", batch="x")

    def hands(seen: Seen) -> list[tuple[str, float]]:
        found = samples(seen).items()
        return [(name.split('"')[1], value) for name, value in found if name.startswith("messages_in_flight")]

    assert hands(watch(story)) == [("orders-1.1", 1), ("orders-2.1", 1)]
    story.settle("b", 3, "extend", by="orders-1.1", batch="x")
    story.effect("c", 3, "failed", by="orders-2.1", batch="y")
    assert hands(watch(story)) == [("orders-1.1", 1), ("orders-2.1", 0)]
    story.mark("consumer-exited", 4, consumer="orders-1.1", slot="orders-1", code=-9)
    story.mark("consumer-started", 5, consumer="orders-1.2", slot="orders-1")
    seen = watch(story)
    assert hands(seen) == [("orders-2.1", 0), ("orders-1.2", 0)]
    there = samples(seen)
    assert there['consumers_running{subscription="orders"}'] == 2
    assert there['consumer_restarts_total{subscription="orders"}'] == 1


def test_the_oldest_message_and_cloudwatchs_own_words() -> None:
    told = manifest(orders=QUEUE)
    story = Story().acked("stuck", "b")
    # Its consumer was quicker than the record of the answer to its send.
    story.intended("quick", 0).received("quick", 1, batch="q").settle("quick", 2, "delete", batch="q").sent("quick", 3)
    for receives, at in ((1, 1), (2, 11), (3, 21)):
        story.received("stuck", at, receives=receives)
    story.mark("depth", 30, subscription="orders", visible=1, hidden=2, delayed=3)
    there = samples(watch(story, told))
    assert there['oldest_message_age_seconds{subscription="orders"}'] == 3
    assert there['approximate_age_of_oldest_message_seconds{subscription="orders"}'] == 3, "b is as old"
    story.received("b", 31, batch="b").settle("b", 32, "delete", batch="b")
    story.mark("depth", 40, subscription="orders", visible=1, hidden=2, delayed=3)
    there = samples(watch(story, told))
    assert there['oldest_message_age_seconds{subscription="orders"}'] == 4
    assert there['approximate_age_of_oldest_message_seconds{subscription="orders"}'] == 0, (
        "received three times: poison"
    )
    for word, count in (("visible", 1), ("not_visible", 2), ("delayed", 3)):
        assert there[f'approximate_number_of_messages_{word}{{subscription="orders"}}'] == count
    assert 'dead_letter_queue_messages{subscription="orders"}' not in there, "nobody has looked"
    story.mark("depth", 40.5, subscription="orders", visible=0, hidden=0, delayed=0, dead_letters=2)
    assert samples(watch(story, told))['dead_letter_queue_messages{subscription="orders"}'] == 2
    story.received("stuck", 41, receives=4)
    assert samples(watch(story, told))['oldest_message_age_seconds{subscription="orders"}'] == 0, "a dead letter soon"


def test_an_empty_queue_has_no_oldest_message_for_cloudwatch() -> None:
    story = Story().acked("lost")
    story.mark("depth", 50, subscription="orders", visible=0, hidden=0, delayed=0)
    there = samples(watch(story))
    assert there['approximate_age_of_oldest_message_seconds{subscription="orders"}'] == 0
    assert there['oldest_message_age_seconds{subscription="orders"}'] == 5, "accepted, and nobody has settled it"


def test_a_stream_has_its_iterator_age() -> None:
    told = manifest(events=Subscription(kind="stream", ordered_by="partition"))
    story = Story().intended("a", expect=["events"]).sent("a")
    for shard, behind_ms in (("s1", 70_000), ("s2", 1_500), ("s1", 20)):
        story.mark("iterator-age", 9, subscription="events", partition=shard, behind_ms=behind_ms)
    there = samples(watch(story, told))
    assert there['iterator_age_seconds{subscription="events"}'] == 1.5
    assert there['oldest_message_age_seconds{subscription="events"}'] == 1.5
    assert there['iterator_age_milliseconds{shard="s1",subscription="events"}'] == 20
    assert not any(name.startswith("approximate_") for name in there)
    assert 'settles_total{action="checkpoint",outcome="ok",subscription="events"}' in there


def test_a_total_that_is_not_the_verdicts_is_told() -> None:
    story = Story().mark("load-stopped", 9, scheduled=2).acked("a", "b").received("a", 1)
    seen = watch(story.tell("conductor", "dead", 8, id="b", subscription="orders"))
    orders = {"receives": 1, "dead": 1}
    totals = {"scheduled": 2, "intended": 2, "acked": 2, "subscriptions": {"orders": orders}}
    assert differing_totals(seen, totals) == []
    assert differing_totals(seen, totals | {"scheduled": None}) == []
    assert differing_totals(seen, totals | {"acked": 1}) == [
        "gameday_messages_acked_total of the run is 2, by the verdict it is 1"
    ]
    wrong = {"orders": {"receives": 1, "dead": 0}}
    assert differing_totals(seen, totals | {"subscriptions": wrong}) == [
        "gameday_dead_letters_total of orders is 1, by the verdict it is 0"
    ]
    moved = watch(story.tell("conductor", "redriven", 9, id="b", subscription="orders"))
    assert differing_totals(moved, totals | {"subscriptions": wrong}) == []


def test_names_and_help() -> None:
    names = [shown.family.full_name for shown in METRICS]
    assert len(set(names)) == len(names)
    for shown in METRICS:
        assert re.fullmatch(r"gameday(_[a-z]+)+", shown.family.full_name)
        assert shown.family.help.endswith(".")
        assert "message_id" not in shown.family.labels


def test_latency_by_class_of_tenant() -> None:
    story = Story()
    for id, name, at in (("q1", "quiet", 2.0), ("q2", "quiet", 3.0), ("n1", "noisy", 70.0)):
        story.intended(id, tenant=f"{name}-0", tenant_class=name).sent(id)
        story.received(id, at=at)
    there = samples(watch(story))
    assert there['tenant_latency_seconds_count{subscription="orders",tenant_class="quiet"}'] == 2
    assert there['tenant_latency_seconds_sum{subscription="orders",tenant_class="quiet"}'] == pytest.approx(0.5)
    assert there['tenant_latency_seconds_bucket{le="5.0",subscription="orders",tenant_class="noisy"}'] == 0
    assert there['tenant_latency_seconds_bucket{le="10.0",subscription="orders",tenant_class="noisy"}'] == 1
    assert there['end_to_end_latency_seconds_count{subscription="orders"}'] == 3


def test_classes_of_tenants_are_bounded() -> None:
    story = Story()
    for n in range(30):
        story.intended(f"m{n}", tenant_class=f"class-{n}").sent(f"m{n}")
        story.received(f"m{n}", at=1)
    counts = {
        name: value for name, value in samples(watch(story)).items() if name.startswith("tenant_latency_seconds_count")
    }
    assert len(counts) == 21
    assert counts['tenant_latency_seconds_count{subscription="orders",tenant_class="other"}'] == 10
