"""The live view: every count at zero and above, and the other numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gameday.history.manifest import Manifest, Subscription
from gameday.watch.live import COUNTS, Live, differences
from gameday.watch.state import Recent
from tests.watch.story import Fields, History, Story, manifest, moment


def lived(files: History, what: Manifest | None = None) -> Live:
    live = Live(what or manifest())
    for record in in_order(files):
        live.observe(record)
    return live


def in_order(files: History) -> list[Fields]:
    return sorted((record for records in files.values() for record in records), key=lambda record: record["at"])


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


CASES: list[tuple[str, int, Callable[[], Story]]] = [
    ("redelivery", 1, lambda: again(102)),
    ("redelivery", 1, lambda: again(5)),  # too early: the judge tells it apart
    ("redelivery", 0, lambda: clean().received("b", 3, copy="another", broker_seq="3")),
    ("redelivery", 1, lambda: clean().received("b", 3, copy="x", replay="r").received("b", 4, copy="x", replay="r")),
    ("send-duplicate", 1, lambda: clean().received("b", 3, copy="another", broker_seq="3")),
    ("send-duplicate", 2, lambda: clean().received("b", 3, copy="x").received("b", 4, copy="y")),
    ("send-duplicate", 0, lambda: again(102)),
    (
        "send-duplicate",
        0,
        lambda: clean().tell("conductor", "redriven", 2.5, id="b", subscription="orders").received("b", 3, copy="x"),
    ),
    ("send-duplicate", 0, lambda: clean().received("b", 3, copy="x", replay="again")),
    ("send-duplicate", 1, lambda: clean().received("b", 3, copy="x", replay="again").received("b", 4, copy="y")),
    ("over-received", 1, lambda: again(200, receives=4)),
    ("over-received", 0, lambda: again(200, receives=3)),
    ("effect-duplicate", 1, lambda: clean().effect("b", 3)),
    ("effect-duplicate", 2, lambda: clean().effect("b", 3).effect("b", 4)),
    ("effect-duplicate", 0, lambda: clean().effect("b", 3, "skipped")),
    ("effect-duplicate", 2, lambda: clean().tell("conductor", "effects", 9, id="b", subscription="orders", applied=3)),
    ("effect-duplicate", 1, lambda: clean().effect("b", 3).tell("conductor", "effects", 9, id="b",
        subscription="orders", applied=2)),
    ("effect-duplicate", 1, lambda: clean().effect("b", 3).tell("conductor", "effects", 9, id="b",
        subscription="orders", applied=1)),
    ("misrouted", 1, lambda: clean().acked("x").received("x", 3, subscription="audit")),
    ("misrouted", 1, lambda: clean().received("b", 3, subscription="audit").received("b", 4, subscription="audit")),
    ("misrouted", 0, clean),
    ("nonmonotonic-delivery", 1, lambda: clean().acked("x").received("x", 3, broker_seq="0")),
    ("nonmonotonic-delivery", 0, lambda: clean().intended("x", group="h").received("x", 3, broker_seq="0", group="h")),
    ("nonmonotonic-delivery", 1, lambda: clean().acked("x").received("x", 3, broker_seq=str(10**55))
        .acked("y").received("y", 4, broker_seq=str(10**55 - 1))),
    ("nonmonotonic-delivery", 0, lambda: again(102)),
]  # fmt: skip


def test_a_clean_history_has_none() -> None:
    assert lived(clean().files).counts == dict.fromkeys(COUNTS, 0)


@pytest.mark.parametrize(("name", "count", "tell"), CASES, ids=[f"{n}-{c}-{i}" for i, (n, c, _) in enumerate(CASES)])
def test_what_is_counted(name: str, count: int, tell: Callable[[], Story]) -> None:
    assert lived(tell().files).counts[name] == count


def test_every_count_has_been_seen_above_zero() -> None:
    assert {name for name, count, _ in CASES if count} == set(COUNTS)


def test_an_intent_that_is_read_late_still_tells_what_was_misrouted_and_how_long_it_took() -> None:
    files = clean().acked("x").received("x", 3, subscription="audit").files
    live = Live(manifest())
    for file in ("c1", "load"):
        for record in files[file]:
            live.observe(record)
    assert live.counts["misrouted"] == 1
    assert [sum(live.subs[name].latency.distribution.buckets) for name in ("audit", "orders")] == [1, 2]


def test_what_is_too_much_to_remember_is_forgotten_and_said() -> None:
    story = Story()
    for n in range(10):
        story.intended(f"m{n}", n, group=f"g{n}").sent(f"m{n}", n).received(f"m{n}", n, broker_seq=str(n))
    live = Live(manifest(), messages_max=4)
    for record in in_order(story.files):
        live.observe(record)
    assert len(live.messages) <= 4 and len(live.subs["orders"].highest) <= 4
    assert live.messages.forgotten == 10 - len(live.messages)
    assert live.snapshot()["forgotten"] == live.messages.forgotten + live.subs["orders"].highest.forgotten
    assert live.subs["orders"].received == 10
    assert live.open_counts == set(COUNTS)


def test_recent_keeps_what_is_asked_for() -> None:
    recent: Recent[int] = Recent(4)
    for key in range(20):
        recent.put(key, key)
        assert recent.get(0) == 0 and recent.get(key) == key and len(recent) <= 4
    assert recent.get(5) is None
    assert recent.forgotten == 20 - len(recent)


def late(**fields: Any) -> Story:
    """`x` comes after `b`, though its number is lower."""
    return clean().acked("x").received("x", 3, broker_seq="0", **fields)


LOOKED = {"subscription": "orders", "empty": True}


@pytest.mark.parametrize(
    ("tell", "promised"),
    [
        (lambda: late().mark("drained", 9, **LOOKED), True),
        (late, False),  # it may be among the dead letters
        (lambda: late().mark("drained", 2, **LOOKED), False),
        (lambda: late().acked("y").received("y", 4).mark("drained", 9, **LOOKED), False),  # no number
        (lambda: late().received("b", 4, copy="z", broker_seq="9").mark("drained", 9, **LOOKED), False),
        (lambda: late().tell("conductor", "dead", 8, id="x", **LOOKED).mark("drained", 9, **LOOKED), False),
    ],
)
def test_the_order_is_promised_where_nothing_excuses_it(tell: Callable[[], Story], promised: bool) -> None:
    live = lived(tell().files)
    assert live.counts["nonmonotonic-delivery"] == 1
    assert live.open_counts == (set() if promised else {"nonmonotonic-delivery"})


def without_ids(story: Story) -> Story:
    """As consumers record it where only the broker's id tells a message."""
    for file, records in story.files.items():
        if file != "load":
            story.files[file] = [{k: v for k, v in record.items() if k != "id"} for record in records]
    return story


NAMELESS = replace(manifest(), scenario={"load": {"message": {"template": "x", "id": None}}})


@pytest.mark.parametrize("answered", [0.0, 1.5, 2.5])
def test_messages_that_tell_no_id_are_counted_by_the_brokers(answered: float) -> None:
    """Whether the answer to the send is on record before the receive, the settling, or after both."""
    story = Story().intended("a").sent("a", answered, broker_id="copy of a")
    story.received("a", 1).settle("a", 2, "delete", batch="c1-1")
    story.intended("b").sent("b", 0, broker_id="copy of b").received("b", 1).received("b", 102, by="c2", receives=2)
    live = lived(without_ids(story).files, NAMELESS)
    sub = live.subs["orders"]
    assert (live.intended, live.acked, sub.received, sub.settled, sub.expected_acked) == (2, 2, 3, 1, 2)
    assert (live.counts["redelivery"], live.counts["misrouted"], live.counts["send-duplicate"]) == (1, 0, 0)
    assert len(sub.latency.recent) == 2
    assert [count for _, count in live.hands.counts()] == [0, 1]
    assert sub.oldest_s(moment(110)) == pytest.approx(11.0)


def test_with_several_clocks_no_order_is_promised() -> None:
    differ = {"nonmonotonic-delivery", "send-duplicate"}
    assert lived(clean().files, manifest(clock_error_ns=1)).open_counts == differ
    assert lived(clean().mark("writer", 0, file="c2", host="b").files).open_counts == differ
    assert lived(clean().mark("writer", 0, file="c2").files).open_counts == set()


def test_where_others_use_the_queue_the_verdict_may_count_fewer() -> None:
    others = clean().mark("foreign", 1, subscription="orders", count=0).files
    assert lived(others).open_counts == {"redelivery", "send-duplicate", "over-received"}


def test_a_difference_beyond_what_is_documented_is_told() -> None:
    judged = {anomaly: {"count": 3} for count in COUNTS.values() for anomaly in count.anomalies}
    counts = {name: 3 * len(count.anomalies) for name, count in COUNTS.items()}
    assert differences(counts, judged) == []
    # The store may say less than the records.
    assert differences(counts | {"effect-duplicate": 4}, judged) == []
    for name, count in (
        ("send-duplicate", 4),
        ("over-received", 4),
        ("redelivery", 5),
        ("misrouted", 4),
        ("effect-duplicate", 2),
        ("nonmonotonic-delivery", 2),
        ("nonmonotonic-delivery", 4),
    ):
        (told,) = differences(counts | {name: count}, judged)
        assert told.startswith(f"the live view counts {count} {name}, the verdict")
        assert differences(counts | {name: count}, judged, {name}) == []


class TestSnapshot:
    def test_nothing_yet(self) -> None:
        snapshot = lived({}).snapshot()
        assert (snapshot["phase"], snapshot["scheduled"], snapshot["acked"]) == ("starting", 0, 0)
        assert snapshot["sent"] == {"ok": 0, "failed": 0, "unknown": 0}
        assert snapshot["subscriptions"]["orders"]["latency_s"] is None
        assert (snapshot["faults"], snapshot["errors"], snapshot["forgotten"]) == ({}, {}, 0)

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
        assert live.snapshot()["effects"] == {"applied": 2, "skipped": 1, "failed": 1}
        assert live.subs["orders"].settles["delete", "ok"] == 2


def test_unknown_events_and_fields_are_ignored() -> None:
    story = clean().tell("c1", "novelty", 9, id="a").received("a", 200, broker_seq="1", receives=2, colour="red")
    assert lived(story.files).subs["orders"].received == 3


def test_a_stream_is_ordered_by_partition() -> None:
    stream = Subscription(kind="stream", ordered_by="partition")
    story = clean().acked("x")
    apart = story.received("x", 3, broker_seq="0", partition="other")
    assert lived(apart.files, manifest(orders=stream)).counts["nonmonotonic-delivery"] == 0
    together = clean().acked("x").received("x", 3, broker_seq="0")
    assert lived(together.files, manifest(orders=stream)).counts["nonmonotonic-delivery"] == 1


def test_what_consumers_say_of_effects_that_stand_elsewhere_is_no_duplicate() -> None:
    elsewhere = manifest(orders=Subscription(ordered_by="group", effects_from="read-back"))
    said = clean().effect("b", 3)
    assert lived(said.files, elsewhere).counts["effect-duplicate"] == 0
    said.tell("conductor", "effects", 9, id="b", subscription="orders", applied=2)
    assert lived(said.files, elsewhere).counts["effect-duplicate"] == 1


def told_by_answers() -> Story:
    """The proxy records no ids; the answer to b's send is on record only after b was received."""
    story = Story().intended("a").sent("a", broker_id="copy of a").intended("b", 1)
    story.received("a", 2).received("b", 3).settle("a", 4, "delete", batch="c1-2")
    story.sent("b", 5, broker_id="copy of b").received("b", 110, receives=2).settle("b", 111, "delete", batch="c1-110")
    story.received("nobody knows", 112)
    for record in story.files["c1"]:
        del record["id"]
    return story


def wired() -> Manifest:
    return manifest(orders=Subscription(visibility_timeout_s=10, seen_from="wire"))


def test_what_a_proxy_saw_is_told_by_the_answers_to_sends() -> None:
    live = lived(told_by_answers().files, wired())
    sub = live.subs["orders"]
    assert (sub.received, sub.settled, sub.expected_acked) == (4, 2, 2)
    assert live.counts["redelivery"] == 1
    assert len(sub.latency.recent) == 2
    assert len(live.messages) == 2
    assert sub.settles["delete", "ok"] == 2


def test_without_an_answer_a_receive_is_counted_and_no_more() -> None:
    story = told_by_answers()
    story.files["load"] = [record for record in story.files["load"] if record["event"] == "intended"]
    live = lived(story.files, wired())
    assert (live.subs["orders"].received, len(live.subs["orders"].latency.recent)) == (4, 0)


def test_effects_that_were_read_back_by_key() -> None:
    story = Story().intended("a", key="A").sent("a").intended("b").sent("b")
    for n, key in enumerate(("A", "b", "nobody's")):
        story.tell("conductor", "effects", 9 + n, key=key, subscription="orders", applied=3)
    assert lived(story.files).counts["effect-duplicate"] == 4
