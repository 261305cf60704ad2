"""Evidence names both sides: the message that suffered, and the one that it suffered from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gameday.report.text import junit
from tests.verify.handmade.builder import History, fifo, ns, queue, verdict_of


def example(document: dict[str, Any], anomaly: str) -> dict[str, Any]:
    (only,) = document["anomalies"][anomaly]["examples"]
    found: dict[str, Any] = only
    return found


def ordered(h: History, *ids: str) -> None:
    for n, id in enumerate(ids):
        h.send(id, at=1 + n / 10, group="g", seq=n + 1, broker_seq=str(n + 1))


def test_who_was_delivered_before_its_time(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["ordered-per-group"])
    ordered(h, "a", "b", "c")
    for n, id in enumerate("bac"):
        h.take(id, at=3 + n, group="g")
    h.drained(at=9)
    document = verdict_of(h, tmp_path)
    late = example(document, "nonmonotonic-delivery")
    assert (late["id"], late["other"]) == ("a", {"id": "b", "subscription": "orders"})
    told = [(event["event"], event.get("id", "a")) for event in late["timeline"] if event["event"] != "fault"]
    assert [each for each in told if each[0] == "received"] == [("received", "b"), ("received", "a")]
    assert "message a on orders, and message b" in junit(document)


def test_who_was_applied_before_its_time(tmp_path: Path) -> None:
    h = History({"orders": fifo(dead_letter=False)}, ["ordered-effects"])
    ordered(h, "a", "b")
    h.receive("a", at=3, group="g")
    h.receive("b", at=3.1, group="g")
    h.effect("b", at=3.2)
    h.effect("a", at=3.5, started=3.4)
    h.drained(at=9)
    assert example(verdict_of(h, tmp_path), "effect-out-of-order")["other"]["id"] == "b"


def test_where_it_did_arrive(tmp_path: Path) -> None:
    h = History({"orders": queue(), "audit": queue()}, ["fanout-complete"])
    h.send("a", at=1, expect=["orders", "audit"])
    h.take("a", at=2, sub="audit")
    h.drained(at=9)
    assert example(verdict_of(h, tmp_path), "fanout-missing")["other"] == {"id": "a", "subscription": "audit"}


def sides(document: dict[str, Any], anomaly: str) -> dict[str, tuple[str, float]]:
    """Which record is counted and which one it is held against: side to (event, seconds of the run)."""
    timeline = example(document, anomaly)["timeline"]
    start = ns(0)
    return {
        event["side"]: (event["event"], round((event["at"] - start) / 1e9, 2)) for event in timeline if "side" in event
    }


def test_which_copy_came_before(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.take("a", at=2, broker_id="one", enqueued=1.1)
    h.take("a", at=3, broker_id="two", enqueued=1.2)
    h.drained(at=9)
    document = verdict_of(h, tmp_path)
    assert sides(document, "send-duplicate") == {"other": ("received", 2), "counted": ("received", 3)}


def test_which_receive_was_the_one_before(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    for at, receives in ((2, 1), (8, 2), (14, 3)):
        h.receive("a", at=at, receives=receives)
    h.delete("a", at=15)
    h.drained(at=19)
    assert sides(verdict_of(h, tmp_path), "redelivery") == {"other": ("received", 2), "counted": ("received", 8)}


def test_which_hold_was_still_on(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["exactly-once-delivery"])
    h.send("a", at=1, group="g", seq=1)
    for at, receives in ((2, 1), (8, 2), (9, 3)):
        h.receive("a", at=at, receives=receives, group="g")
    h.delete("a", at=10)
    h.drained(at=19)
    document = verdict_of(h, tmp_path)
    assert sides(document, "early-redelivery") == {"other": ("received", 8), "counted": ("received", 9)}
    told = [line for line in junit(document).splitlines() if "◂" in line]
    assert [line.split("◂")[1].strip() for line in told] == ["held against this", "this is counted"]


def test_which_delete_should_have_ended_it(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["exactly-once-delivery"])
    h.send("a", at=1, group="g", seq=1)
    h.receive("a", at=2, receives=1, group="g")
    h.delete("a", at=3)
    h.receive("a", at=20, receives=2, group="g")
    h.drained(at=29)
    assert sides(verdict_of(h, tmp_path), "early-redelivery") == {"other": ("settling", 3), "counted": ("received", 20)}


def test_whose_delete_was_late_and_what_it_had_held(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.receive("a", at=2, receives=1, consumer="slow", batch="b1")
    h.receive("a", at=8, receives=2, consumer="quick", batch="b2")
    h.delete("a", at=9, consumer="slow", batch="b1")
    h.delete("a", at=9.5, consumer="quick", batch="b2")
    h.drained(at=19)
    document = verdict_of(h, tmp_path)
    assert sides(document, "stale-delete") == {"other": ("received", 2), "counted": ("settling", 9)}
    counted = next(event for event in example(document, "stale-delete")["timeline"] if event.get("side") == "counted")
    assert counted["consumer"] == "slow"


def test_which_effect_came_before(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["exactly-once-effect"])
    h.send("a", at=1)
    h.receive("a", at=2, receives=1)
    h.effect("a", at=2.5)
    h.handle("a", at=8, receives=2)
    h.drained(at=19)
    assert sides(verdict_of(h, tmp_path), "effect-duplicate") == {"other": ("effect", 2.5), "counted": ("effect", 8.05)}


def test_a_long_timeline_keeps_both_sides(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    for n in range(80):
        h.receive("a", at=2 + 6 * n, receives=n + 1, batch=f"b{n}")
    h.delete("a", at=247.5, batch="b40")
    h.drained(at=700)
    document = verdict_of(h, tmp_path)
    timeline = example(document, "stale-delete")["timeline"]
    assert [event["event"] for event in timeline if "more" in event["event"]] == ["… 22 more …"]
    assert sides(document, "stale-delete") == {"other": ("received", 242), "counted": ("settling", 247.5)}
