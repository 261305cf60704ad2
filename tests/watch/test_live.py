"""The live view: every shared count at zero and above, the other numbers, and agreement with a slow judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gameday.history.manifest import Manifest, Subscription
from gameday.watch.live import SHARED, Live
from tests.watch.live_histories import FIFO, History, S, Story, interleaved, judge, manifest, moment, random_history


def lived(files: History, what: Manifest | None = None) -> Live:
    live = Live(what or manifest())
    for file, records in files.items():
        for record in records:
            live.observe(record, file=file)
    live.finish()
    return live


def held() -> Story:
    """All is well, and `b` is in hand until 102 tenths."""
    story = Story().acked("a", "b")
    story.received("a", 1, broker_seq="1").effect("a", 1).settle("a", 1, "delete", batch="c1-1")
    return story.received("b", 2, broker_seq="2").effect("b", 2)


def clean() -> Story:
    return held().settle("b", 2, "delete", batch="c1-2")


def again(at: float, story: Story | None = None, *, receives: int = 2) -> Story:
    """`b` comes once more."""
    return (story or held()).received("b", at, by="c2", broker_seq="2", receives=receives)


def first_b(at: float, action: str, **fields: Any) -> Story:
    """Something is done to the first hold of `b`."""
    return held().settle("b", at, action, batch="c1-2", **fields)


BAD: list[tuple[str, int, Callable[[], Story]]] = [
    ("recovered", 1, lambda: clean().intended("u").sent("u", outcome="unknown").received("u", 3, broker_seq="3")),
    ("recovered", 1, lambda: clean().intended("u").received("u", 3, broker_seq="3")),
    ("recovered", 0, lambda: clean().intended("u").sent("u", outcome="unknown")),
    ("phantom", 1, lambda: clean().received("x", 3, broker_seq="3")),
    ("phantom", 1, lambda: clean().intended("x").sent("x", outcome="failed").received("x", 3, broker_seq="3")),
    ("phantom", 0, lambda: clean().intended("x").sent("x", outcome="failed")),
    (
        "phantom",
        0,  # the second attempt may have stored it
        lambda: clean().intended("x").sent("x", outcome="failed").intended("x", attempt=2).received("x", 3),
    ),
    ("corrupt", 1, lambda: clean().acked("x").received("x", 3, broker_seq="3", intact=False)),
    ("corrupt", 1, lambda: clean().acked("x").received("x", 3, broker_seq="3", group="h")),
    ("corrupt", 0, lambda: clean().acked("x").received("x", 3, broker_seq="3", group=None)),
    ("misrouted", 1, lambda: clean().acked("x").received("x", 3, subscription="audit")),
    ("misrouted", 1, lambda: clean().received("b", 3, subscription="audit").received("b", 4, subscription="audit")),
    ("send-duplicate", 1, lambda: clean().received("b", 3, copy="another", broker_seq="3")),
    ("send-duplicate", 2, lambda: clean().received("b", 3, copy="x").received("b", 4, copy="y")),
    (
        "send-duplicate",
        0,
        lambda: clean().tell("conductor", "redriven", 2.5, id="b", subscription="orders").received("b", 3, copy="x"),
    ),
    ("send-duplicate", 0, lambda: clean().received("b", 3, copy="x", replay="again")),
    ("send-duplicate", 1, lambda: clean().received("b", 3, copy="x", replay="again").received("b", 4, copy="y")),
    ("redelivery", 1, lambda: again(102)),
    ("redelivery", 0, lambda: again(101)),
    ("early-redelivery", 1, lambda: again(101)),
    ("early-redelivery", 0, lambda: again(102)),
    ("early-redelivery", 0, lambda: again(50, receives=3)),
    ("early-redelivery", 1, lambda: again(103, clean())),  # its delete had worked, and in time
    ("early-redelivery", 0, lambda: again(103, first_b(102, "delete"))),  # too late a delete
    ("early-redelivery", 0, lambda: again(103, first_b(3, "delete", outcome="unknown"))),
    ("early-redelivery", 0, lambda: again(5, first_b(4, "release"))),
    ("early-redelivery", 0, lambda: again(5, first_b(4, "release", outcome="unknown"))),
    ("early-redelivery", 1, lambda: again(5, first_b(4, "release", outcome="failed"))),
    ("early-redelivery", 1, lambda: again(149, first_b(50, "extend", hidden_s=10))),
    ("early-redelivery", 0, lambda: again(150, first_b(50, "extend", hidden_s=10))),
    ("early-redelivery", 0, lambda: again(110, first_b(50, "extend", hidden_s=10, outcome="unknown"))),
    ("early-redelivery", 0, lambda: again(60, first_b(50, "extend", hidden_s=1))),
    (
        "early-redelivery",
        0,  # the delete was of another copy that came in the same batch
        lambda: held().received("b", 2, batch="c1-2", copy="another")
        .settle("b", 3, "delete", batch="c1-2", broker_id="another")
        .received("b", 103, by="c2", broker_seq="2", receives=3),
    ),
    ("early-redelivery", 1, lambda: held().received("b", 2, batch="c1-2", broker_seq="2")),
    ("unrecorded-receive", 1, lambda: again(200, receives=3)),
    ("unrecorded-receive", 0, lambda: again(200)),
    ("over-received", 1, lambda: again(200, receives=4)),
    ("over-received", 0, lambda: again(200, receives=3)),
    ("effect-duplicate", 1, lambda: clean().effect("b", 3)),
    ("effect-duplicate", 0, lambda: clean().effect("b", 3, "skipped")),
    (
        "effect-duplicate",
        0,  # the store has it once: an upsert
        lambda: clean().effect("b", 3).tell("conductor", "effects", 9, id="b", subscription="orders", applied=1)
        .mark("effects-read", 9, subscription="orders"),
    ),
    (
        "effect-duplicate",
        2,  # the store knows better than the records
        lambda: clean().tell("conductor", "effects", 9, id="b", subscription="orders", applied=3)
        .mark("effects-read", 9, subscription="orders"),
    ),
    (
        "effect-duplicate",
        0,  # read back too early: the records count
        lambda: clean().tell("conductor", "effects", 1, id="b", subscription="orders", applied=3)
        .mark("effects-read", 1, subscription="orders"),
    ),
    ("nonmonotonic-delivery", 1, lambda: clean().acked("x").received("x", 3, broker_seq="0")),
    ("nonmonotonic-delivery", 0, lambda: clean().intended("x", group="h").received("x", 3, broker_seq="0", group="h")),
    ("nonmonotonic-delivery", 1, lambda: clean().acked("x").received("x", 3, broker_seq=str(10**55))
        .acked("y").received("y", 4, broker_seq=str(10**55 - 1))),
    ("nonmonotonic-delivery", 0, lambda: clean().acked("x").received("x", 2, by="c2", broker_seq="1")),
    (
        "nonmonotonic-delivery",
        0,  # dead, and its call was under way before b came: its record was written late
        lambda: clean().acked("x").received("x", 3, broker_seq="0", started=S // 10)
        .tell("conductor", "dead", 9, id="x", subscription="orders"),
    ),
    (
        "nonmonotonic-delivery",
        1,
        lambda: clean().acked("x").received("x", 3, broker_seq="0")
        .tell("conductor", "dead", 9, id="x", subscription="orders"),
    ),
]  # fmt: skip


def test_a_clean_history_has_none() -> None:
    assert lived(clean().files).shared() == dict.fromkeys(SHARED, 0)


@pytest.mark.parametrize(("name", "count", "tell"), BAD, ids=[f"{n}-{c}-{i}" for i, (n, c, _) in enumerate(BAD)])
def test_an_anomaly_is_counted_as_the_page_says(name: str, count: int, tell: Callable[[], Story]) -> None:
    files = tell().files
    live = lived(files)
    assert (live.counts | live.shared())[name] == count
    assert judge(manifest(), files)[name] == count


def test_every_shared_count_has_been_seen_above_zero() -> None:
    assert {name for name, count, _ in BAD if count} == set(SHARED)


@pytest.mark.parametrize("seed", range(400))
def test_it_agrees_with_a_slow_judge_in_whatever_order_it_reads(seed: int) -> None:
    what, files = random_history(seed, clock_error_ns=(0, 0, S // 5)[seed % 3])
    live = Live(what)
    for record in interleaved(files, seed):
        if record is None:
            live.turn()
        else:
            live.observe(record[1], file=record[0])
    live.finish()
    expected = judge(what, files)
    assert live.shared() == {name: expected[name] for name in SHARED if name not in live.inexact}


def test_the_random_histories_show_every_shared_count() -> None:
    seen = sum((judge(*random_history(seed)) for seed in range(40)), start=judge(manifest(), {}))
    assert [name for name in SHARED if not seen[name]] == []


def test_two_records_closer_than_the_clocks_error_have_no_order() -> None:
    files = clean().acked("x").received("x", 3, by="c2", broker_seq="0").files
    assert lived(files).counts["nonmonotonic-delivery"] == 1
    assert lived(files, manifest(S // 5)).counts["nonmonotonic-delivery"] == 0


def test_without_numbers_the_order_is_not_shown_as_if_exact() -> None:
    live = lived(clean().acked("x").received("x", 3).files)
    assert live.inexact == {"nonmonotonic-delivery"}
    assert "nonmonotonic-delivery" not in live.shared()


def test_what_is_forgotten_makes_every_count_inexact_and_no_phantom() -> None:
    story = Story()
    for n in range(10):
        story.acked(f"m{n}").received(f"m{n}", n, broker_seq=str(n))
    story.received("m0", 200, broker_seq="0", receives=2)
    live = Live(manifest(), messages_max=5)
    for file, records in story.files.items():
        for record in records:
            live.observe(record, file=file)
    live.finish()
    assert (live.shared(), live.inexact, len(live.messages)) == ({}, set(SHARED), 5)
    assert live.anomalies()["phantom"] <= 5


def test_a_message_received_before_its_intent_was_read_is_no_phantom() -> None:
    files = clean().files
    live = Live(manifest())
    for file in ("c1", "load"):
        for record in files[file]:
            live.observe(record, file=file)
        live.turn()
        assert live.anomalies()["phantom"] == 0
    live.finish()
    assert live.anomalies()["phantom"] == 0


def test_a_record_is_counted_after_at_most_a_few_turns_though_nothing_follows() -> None:
    live = Live(manifest())
    live.observe({"event": "sent", "at": S, "id": "a", "attempt": 1, "outcome": "ok"}, file="load")
    for _ in range(3):
        live.turn()
    assert live.sent["ok"] == 1


class TestSnapshot:
    def test_nothing_yet(self) -> None:
        snapshot = lived({}).snapshot()
        assert (snapshot["phase"], snapshot["scheduled"], snapshot["acked"]) == ("starting", 0, 0)
        assert snapshot["sent"] == {"ok": 0, "failed": 0, "unknown": 0}
        assert snapshot["subscriptions"]["orders"]["latency_s"] is None
        assert (snapshot["faults"], snapshot["errors"], snapshot["inexact"]) == ({}, {}, [])

    def test_sends_by_outcome_and_what_went_wrong(self) -> None:
        story = clean().intended("x").sent("x", outcome="failed", error="Throttled: slow down")
        story.intended("x", attempt=2).sent("x", outcome="unknown", attempt=2, error="ReadTimeoutError: …")
        snapshot = lived(story.files).snapshot()
        assert snapshot["sent"] == {"ok": 2, "failed": 1, "unknown": 1}
        assert (snapshot["intended"], snapshot["attempts"], snapshot["acked"]) == (3, 4, 2)
        assert snapshot["errors"] == {"send: Throttled": 1, "send: ReadTimeoutError": 1}

    def test_latency_counts_from_due_and_lag_from_due_to_the_attempt(self) -> None:
        story = Story().intended("a", 5, due=moment(0)).sent("a", 5).received("a", 30, broker_seq="1")
        story.received("a", 300, broker_seq="1", receives=2)
        snapshot = lived(story.files).snapshot()
        assert snapshot["subscriptions"]["orders"]["latency_s"] == {"p50": 3.0, "p99": 3.0, "max": 3.0}
        assert snapshot["send_lag_s"]["max"] == 0.5

    def test_rates_are_over_the_last_whole_seconds(self) -> None:
        story = Story()
        for n in range(70):
            story.intended(f"m{n}", n, due=moment(n - 10)).sent(f"m{n}", n)
        assert lived(story.files).snapshot()["acked_per_s"] == 10

    def test_the_schedule_is_told_though_half_of_the_load_is_dead(self) -> None:
        story = Story().mark("load-started", 0, start=moment(0), schedule=[[0, 0], [10, 400]])
        for n in range(70):
            story.intended(f"m{n}", n, due=moment(n)).sent(f"m{n}", n)
        story.mark("depth", 80, subscription="orders", visible=0, hidden=0, delayed=0)
        snapshot = lived(story.files).snapshot()
        assert (snapshot["scheduled_per_s"], snapshot["scheduled"]) == (40, 320)
        assert (snapshot["acked_per_s"], snapshot["intended"], snapshot["acked"]) == (8, 70, 70)

    def test_the_schedule_goes_on_where_nothing_is_intended_any_more_and_ends_at_its_end(self) -> None:
        story = Story().mark("load-started", 0, start=moment(20), schedule=[[0, 0], [2, 10], [4, 50]])
        assert lived(story.files).snapshot()["scheduled"] == 0
        for at, due in [(30, 5), (40, 10), (50, 30), (60, 50), (100, 50)]:
            story.mark("depth", at, subscription="orders", visible=0, hidden=0, delayed=0)
            assert lived(story.files).snapshot()["scheduled"] == due

    @pytest.mark.parametrize("told", [{}, {"start": 1}, {"start": 1, "schedule": []}, {"start": 1, "schedule": [3]}])
    def test_without_a_schedule_none_is_made_up(self, told: dict[str, Any]) -> None:
        story = Story().mark("load-started", 0, **told).intended("a", 5).sent("a", 5)
        snapshot = lived(story.files).snapshot()
        assert (snapshot["scheduled"], snapshot["scheduled_per_s"], snapshot["intended"]) == (None, None, 1)

    def test_backlog_is_the_brokers_count_or_else_acked_and_not_settled(self) -> None:
        story = clean().acked("x")
        assert lived(story.files).snapshot()["subscriptions"]["orders"]["backlog"] == 1
        story.tell("conductor", "dead", 9, id="x", subscription="orders")
        assert lived(story.files).snapshot()["subscriptions"]["orders"]["backlog"] == 0
        story.mark("depth", 10, subscription="orders", visible=3, hidden=2, delayed=1)
        told = lived(story.files).snapshot()["subscriptions"]["orders"]
        assert (told["backlog"], told["depth"]) == (6, {"visible": 3, "hidden": 2, "delayed": 1})

    def test_iterator_age_is_by_partition_and_the_latest(self) -> None:
        story = clean()
        for at, partition, behind_ms in [(9, "a", 70), (10, "b", 50), (11, "a", 20)]:
            story.mark("iterator-age", at, subscription="orders", partition=partition, behind_ms=behind_ms)
        assert lived(story.files).subs["orders"].behind_ms == {"a": 20, "b": 50}

    def test_consumers_and_restarts(self) -> None:
        story = Story()
        for at, name, consumer in [
            (0, "started", "orders-1.1"),
            (0, "started", "orders-2.1"),
            (5, "exited", "orders-1.1"),
            (6, "started", "orders-1.2"),
        ]:
            story.mark(f"consumer-{name}", at, consumer=consumer, slot=consumer.partition(".")[0])
        assert lived(story.files).snapshot()["consumers"] == {"running": 2, "restarts": 1}

    def test_faults_are_active_from_start_to_stop(self) -> None:
        fault = {"fault": "kill-consumer", "instance": "1"}
        story = Story().tell("conductor", "fault", 1, phase="start", **fault)
        assert lived(story.files).snapshot()["faults"] == {"kill-consumer": 1}
        story.tell("conductor", "fault", 2, phase="stop", **fault)
        live = lived(story.files)
        assert live.snapshot()["faults"] == {}
        assert live.active_faults() == {"kill-consumer": 0}

    def test_the_phase_follows_the_marks(self) -> None:
        story = Story()
        for at, name, fields, phase in [
            (1, "load-started", {}, "load"),
            (2, "load-stopped", {"scheduled": 7}, "draining"),
            (3, "drained", {"subscription": "orders", "empty": True}, "drained"),
        ]:
            story.mark(name, at, **fields)
            assert lived(story.files).snapshot()["phase"] == phase
        assert lived(story.files).snapshot()["scheduled"] == 7

    def test_effects_and_settles(self) -> None:
        live = lived(clean().effect("a", 4, "failed").effect("b", 4, "skipped").files)
        assert live.effects == {"applied": 2, "skipped": 1, "failed": 1}
        assert live.settles["delete", "ok"] == 2


def test_unknown_events_and_fields_are_ignored() -> None:
    story = clean().tell("c1", "novelty", 9, id="a").received("a", 200, broker_seq="1", receives=2, colour="red")
    assert lived(story.files).subs["orders"].received == 3


def test_without_a_deduplication_window_nothing_is_early() -> None:
    standard = replace(FIFO, ordered_by=None, dedup_window_s=None)
    shared = lived(again(50).files, manifest(orders=standard)).shared()
    assert (shared["redelivery"], shared["early-redelivery"]) == (1, 0)


def test_a_stream_is_ordered_by_partition() -> None:
    stream = Subscription(kind="stream", ordered_by="partition")
    story = clean().acked("x")
    apart = story.received("x", 3, broker_seq="0", partition="other")
    assert lived(apart.files, manifest(orders=stream)).shared()["nonmonotonic-delivery"] == 0
    together = clean().acked("x").received("x", 3, broker_seq="0")
    assert lived(together.files, manifest(orders=stream)).shared()["nonmonotonic-delivery"] == 1
