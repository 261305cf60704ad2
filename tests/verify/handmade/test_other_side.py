"""Evidence names both sides: the message that suffered, and the one that it suffered from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gameday.report.text import junit
from tests.verify.handmade.builder import History, fifo, queue, verdict_of


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
