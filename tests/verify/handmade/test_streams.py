"""Streams: order within a partition and from parent to child, and checkpoints of zombies.

`orders` is a stream ordered by partition. Messages are of one group; a is before b.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import History, check, stream, verdict_of

CLAIM = "ordered-per-partition"
LONG = "4959033827149025660855969253836157109592157598913658889"


def read(
    records: dict[str, tuple[str, str]],
    order: str,
    *,
    parents: dict[str, list[str]] | None = None,
    groups: dict[str, str] | None = None,
    sub: dict[str, Any] | None = None,
) -> History:
    """Each message, sent by a producer of its own, lies at (partition, number); they are received in `order`."""
    h = History({"orders": sub or stream()}, [CLAIM, "no-loss"])
    for name, above in (parents or {}).items():
        h.partition(name, above)
    for id, (partition, number) in records.items():
        group = (groups or {}).get(id, "g")
        h.send(id, at=1, producer=f"p-{id}", group=group, partition=partition, broker_seq=number)
    for n, id in enumerate(order):
        h.receive(id, at=3 + n)
    h.drained(at=30)
    return h


def in_order(h: History, tmp_path: Path, checked: int, **anomalies: int) -> None:
    found = {name.replace("_", "-"): count for name, count in anomalies.items()}
    own = {"nonmonotonic-delivery", "nonmonotonic-send", "stored-out-of-order", "child-before-parent"}
    verdict = "violated" if own & {name for name, count in found.items() if count} else "holds"
    check(verdict_of(h, tmp_path), {CLAIM: (verdict, checked), "no-loss": "holds"}, found)


# -- within a partition


@pytest.mark.parametrize("order, late", [("abc", 0), ("bca", 1), ("cba", 2), ("abcab", 0)])
def test_within_a_partition(tmp_path: Path, order: str, late: int) -> None:
    # Only first receives count: a reader that starts over from a checkpoint is legal.
    h = read({"a": ("s1", LONG + "7"), "b": ("s1", LONG + "8"), "c": ("s1", LONG + "9")}, order)
    in_order(h, tmp_path, 2, nonmonotonic_delivery=late, redelivery=len(order) - 3)


@pytest.mark.parametrize("parents", [{"s1": [], "s2": ["s1"]}, {}])
def test_copies_in_two_partitions_are_not_told_apart_by_their_numbers(
    tmp_path: Path, parents: dict[str, list[str]]
) -> None:
    # a was stored in s1 (100) and, sent once more, in s2 under a smaller number (50); b stands behind it in s1. Where
    # s2 is a child of s1 the copy in s1 is the one to go by; else the answers to the sends tell.
    h = read({"a": ("s1", "100"), "b": ("s1", "200")}, "", parents=parents)
    h.receive("a", at=3, partition="s1", broker_seq="100")
    h.receive("b", at=4, partition="s1", broker_seq="200")
    h.receive("a", at=5, partition="s2", broker_seq="50")
    h.drained(at=31)
    check(verdict_of(h, tmp_path), {CLAIM: ("holds", 1), "no-loss": "holds"}, {"send-duplicate": 1})


def test_partitions_have_no_order_among_each_other(tmp_path: Path) -> None:
    # a (1) and b (2) lie in two partitions: nothing to look at but x, which has a before it.
    h = read({"a": ("s1", "1"), "b": ("s2", "2"), "x": ("s1", "3")}, "bax")
    in_order(h, tmp_path, 1)


def test_groups_within_a_partition(tmp_path: Path) -> None:
    # Two groups in one partition have no order either.
    h = read({"a": ("s1", "1"), "b": ("s1", "2"), "x": ("s1", "3")}, "bax", groups={"b": "h"})
    in_order(h, tmp_path, 1)


def test_a_stream_knows_no_overtaking(tmp_path: Path) -> None:
    # a, b, a, b: on a queue b's first receive would have overtaken a.
    h = read({"a": ("s1", "1"), "b": ("s1", "2")}, "abab")
    in_order(h, tmp_path, 1, redelivery=2)


def test_a_stream_without_order_is_not_judged(tmp_path: Path) -> None:
    h = read({"a": ("s1", "1"), "b": ("s1", "2")}, "ba", sub=stream(ordered_by=None))
    check(verdict_of(h, tmp_path), {CLAIM: ("unknown", 0), "no-loss": ("holds", 2)})


# -- parents and children


PARENT_AND_CHILD = {"a": ("s1", "500"), "b": ("s2", "3")}


@pytest.mark.parametrize("order, late", [("ab", 0), ("ba", 1), ("aba", 0)])
def test_a_child_before_its_parent(tmp_path: Path, order: str, late: int) -> None:
    # s2 is a child of s1: its records come after those of s1, whatever their numbers. The late record of the parent is
    # late by the order of the stream, too.
    h = read(PARENT_AND_CHILD, order, parents={"s1": [], "s2": ["s1"]})
    in_order(
        h, tmp_path, 1, child_before_parent=late, nonmonotonic_delivery=late, redelivery=1 if order == "aba" else 0
    )


def test_a_grandchild_before_its_grandparent(tmp_path: Path) -> None:
    # s3 stems from s2 and s2 from s1; nothing lies in s2.
    h = read(
        {"a": ("s1", "500"), "b": ("s3", "3")},
        "ba",
        parents={"s1": [], "s2": ["s1"], "s3": ["s2"]},
    )
    in_order(h, tmp_path, 1, child_before_parent=1, nonmonotonic_delivery=1)


def test_a_child_of_two_parents(tmp_path: Path) -> None:
    # s1 and s2 were merged into s3: a and b both come before c, and c was received first.
    h = read(
        {"a": ("s1", "1"), "b": ("s2", "2"), "c": ("s3", "3")},
        "cab",
        parents={"s1": [], "s2": [], "s3": ["s1", "s2"]},
    )
    in_order(h, tmp_path, 1, child_before_parent=2, nonmonotonic_delivery=2)


def test_siblings(tmp_path: Path) -> None:
    # b and c lie in two children of s1: no order between them, each after a.
    h = read(
        {"a": ("s1", "1"), "b": ("s2", "3"), "c": ("s3", "2")},
        "abc",
        parents={"s1": [], "s2": ["s1"], "s3": ["s1"]},
    )
    in_order(h, tmp_path, 2)


def test_a_child_of_another_group(tmp_path: Path) -> None:
    h = read(
        {"a": ("s1", "1"), "x": ("s1", "2"), "b": ("s2", "3")},
        "bax",
        parents={"s1": [], "s2": ["s1"]},
        groups={"b": "h"},
    )
    in_order(h, tmp_path, 1)


def test_a_loss_in_the_parent_proven_by_the_child(tmp_path: Path) -> None:
    # a was acked in s1 and never read, b was read in its child: a cannot come any more. No drain needed.
    h = History({"orders": stream()}, ["no-loss"])
    h.partition("s1")
    h.partition("s2", ["s1"])
    h.send("a", at=1, partition="s1", broker_seq="5")
    h.send("b", at=1.1, partition="s2", broker_seq="3")
    h.receive("b", at=3)
    check(verdict_of(h, tmp_path), {"no-loss": ("violated", 2)}, {"lost": 1})


# -- numbered and stored


@pytest.mark.parametrize(
    "a, b, anomalies",
    [
        (("s1", "10"), ("s1", "20"), {}),
        (("s1", "20"), ("s1", "10"), {"nonmonotonic_send": 1, "stored_out_of_order": 1}),
        (("s1", "20"), ("s2", "10"), {}),  # two partitions: no order
    ],
)
def test_numbered_against_the_order_of_sending(
    tmp_path: Path, a: tuple[str, str], b: tuple[str, str], anomalies: dict[str, int]
) -> None:
    # One producer, one after another. x and y, in the partition of a and of a group of their own, are looked at always.
    h = History({"orders": stream()}, [CLAIM, "no-loss"])
    h.send("a", at=1, partition=a[0], broker_seq=a[1])
    h.send("b", at=1.1, partition=b[0], broker_seq=b[1])
    h.send("x", at=1.2, group="x", partition="s1", broker_seq="30")
    h.send("y", at=1.3, group="x", partition="s1", broker_seq="40")
    for n, id in enumerate("abxy" if int(a[1]) < int(b[1]) else "baxy"):
        h.receive(id, at=3 + n)
    h.drained(at=20)
    in_order(h, tmp_path, 2 if a[0] == b[0] else 1, **anomalies)


def test_one_call_to_a_stream_gives_no_order(tmp_path: Path) -> None:
    # The entries of one call to a stream may be numbered in any order: the producer's fault alone.
    h = History({"orders": stream()}, [CLAIM, "no-loss"])
    h.send("a", at=1, partition="s1", broker_seq="20", call="one", entry=0)
    h.send("b", at=1, partition="s1", broker_seq="10", call="one", entry=1)
    h.receive("b", at=3)
    h.receive("a", at=4)
    h.drained(at=20)
    in_order(h, tmp_path, 1, stored_out_of_order=1)


def test_one_call_to_a_stream_without_numbers(tmp_path: Path) -> None:
    # No number, and on a stream one call gives no order: nothing to look at.
    h = History({"orders": stream()}, [CLAIM, "no-phantom"])
    h.send("a", at=1, partition="s1", call="one", entry=0)
    h.send("b", at=1, partition="s1", call="one", entry=1)
    h.receive("b", at=3)
    h.receive("a", at=4)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {CLAIM: ("unknown", 0)})


# -- checkpoints


def checkpoints(*told: tuple[str, float, float, str, str, str | None]) -> History:
    """Checkpoints (consumer, begun, answered, partition, number, outcome) of a stream that was read."""
    h = read({"a": ("s1", "9"), "b": ("s1", "10")}, "ab")
    for consumer, begun, answered, partition, number, outcome in told:
        h.checkpoint(
            "a",
            at=begun,
            ended=answered,
            partition=partition,
            broker_seq=number,
            outcome=outcome,
            consumer=consumer,
            batch=f"{consumer}-batch",
        )
    return h


@pytest.mark.parametrize(
    "second, found",
    [
        (("c2", 11, 11.1, "s1", "9", "ok"), 1),  # 9 is below 10
        (("c2", 11, 11.1, "s1", "10", "ok"), 0),  # the same position
        (("c2", 11, 11.1, "s1", "11", "ok"), 0),
        (("c2", 11, 11.1, "s2", "9", "ok"), 0),  # another partition
        (("c2", 11, 11.1, "s1", "9", "failed"), 0),  # fenced off
        (("c2", 11, 11.1, "s1", "9", "unknown"), 0),  # not known to have got through
        (("c2", 10.05, 11.1, "s1", "9", "ok"), 0),  # begun before the first was answered
        (("c2", 10.1, 11.1, "s1", "9", "ok"), 0),  # two files, equal times: no order
    ],
)
def test_a_stale_checkpoint(tmp_path: Path, second: tuple[str, float, float, str, str, str | None], found: int) -> None:
    # Position 10 was ok at 10.1. It violates nothing.
    h = checkpoints(("c3", 10, 10.1, "s1", "10", "ok"), second)
    in_order(h, tmp_path, 1, stale_checkpoint=found)


def test_every_stale_checkpoint_counts(tmp_path: Path) -> None:
    h = checkpoints(
        ("c3", 10, 10.1, "s1", "10", "ok"),
        ("c2", 11, 11.1, "s1", "8", "ok"),
        ("c2", 12, 12.1, "s1", "9", "ok"),  # above the one before it, and still below 10
        ("c3", 13, 13.1, "s1", "11", "ok"),
    )
    in_order(h, tmp_path, 1, stale_checkpoint=2)


def test_a_checkpoint_below_one_that_failed(tmp_path: Path) -> None:
    h = checkpoints(("c3", 10, 10.1, "s1", "10", "failed"), ("c2", 11, 11.1, "s1", "9", "ok"))
    in_order(h, tmp_path, 1)


# -- what a history may leave out


def without(h: History, *fields: str) -> History:
    for records in h.files.values():
        for record in records:
            if record["event"] in ("intended", "sent", "received", "settling", "settled"):
                for field in fields:
                    record.pop(field, None)
    return h


@pytest.mark.parametrize("order", ["abc", "cba"])
def test_without_partitions_numbers_have_no_order(tmp_path: Path, order: str) -> None:
    """They are numbers of their partitions: nothing is in order, and nobody is out of it."""
    h = read({"a": ("s1", LONG + "7"), "b": ("s2", LONG + "8"), "c": ("s1", LONG + "9")}, order)
    check(verdict_of(without(h, "partition"), tmp_path), {CLAIM: ("unknown", 0), "no-loss": "holds"}, {})


def test_without_partitions_no_checkpoint_is_below_another(tmp_path: Path) -> None:
    h = read({"a": ("s1", LONG + "7"), "b": ("s2", LONG + "8")}, "ba")
    h.checkpoint("b", at=10, partition="s2", broker_seq=LONG + "8")
    h.checkpoint("a", at=12, partition="s1", broker_seq=LONG + "7")
    document = verdict_of(without(h, "partition"), tmp_path)
    assert document["anomalies"]["stale-checkpoint"]["count"] == 0


@pytest.mark.parametrize(
    "expected, group, partition",
    [(("a", "b"), "violated", "violated"), (("a",), "violated", "holds"), (("b",), "holds", "violated")],
)
def test_the_services_numbering_counts_against_each_kind_of_order(
    tmp_path: Path, expected: tuple[str, ...], group: str, partition: str
) -> None:
    # Two streams, a ordered by group and b by partition, and two messages in a wrong order for those who expect both.
    h = History({"a": stream(ordered_by="group"), "b": stream()}, ["ordered-per-group", CLAIM])
    for n, id in enumerate(["fine", "first", "then"]):
        place = {"fine": "10", "first": "30", "then": "20"}[id]
        expect = ["a", "b"] if id != "then" else expected
        h.send(id, at=1 + n, partition="s1", broker_seq=place, expect=expect)
        for subscription in expect:
            h.receive(id, sub=subscription, at=5 + int(place) / 10)
    h.drained(at=30)
    found = {"nonmonotonic-send": len(expected), "stored-out-of-order": len(expected)}
    check(verdict_of(h, tmp_path), {"ordered-per-group": group, CLAIM: partition}, found)
