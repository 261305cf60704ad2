"""Fields that a writer may leave out: nobody is blamed for what was not told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.handmade.builder import History, check, fifo, queue, verdict_of


def test_a_group_that_the_producer_did_not_tell(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-phantom"])
    h.send("a", at=1, group=None)
    h.take("a", at=2, group="g")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-phantom": ("holds", 1)})


@pytest.mark.parametrize("told, verdict", [(True, "violated"), (False, "holds")])
def test_an_effect_that_does_not_say_when_it_began(tmp_path: Path, told: bool, verdict: str) -> None:
    # a's effect is recorded after b's. Begun after it, too, it is out of order; else it may have begun long before.
    h = History({"orders": fifo()}, ["ordered-effects"])
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10, broker_seq=str(n + 1))
    h.receive("a", at=2, batch="A")
    h.receive("b", at=2.1, consumer="c2", batch="B")
    h.effect("b", at=3, started=2.9, batch="B", consumer="c2")
    h.effect("a", at=5, started=4, batch="A", consumer="c1")
    if not told:
        for records in h.files.values():
            for record in records:
                if record["event"] == "effect":
                    del record["started"]
    h.drained(at=20)
    found = {"effect-out-of-order": 1} if told else {}
    document = verdict_of(h, tmp_path)
    assert (document["claims"][0]["verdict"], document["claims"][0]["checked"]) == (verdict, 1)
    assert document["anomalies"]["effect-out-of-order"]["count"] == len(found)


@pytest.mark.parametrize("again, early", [(2.6, True), (6.5, False)])
def test_a_receive_that_does_not_say_when_its_call_began(tmp_path: Path, again: float, early: bool) -> None:
    # It cannot have begun before the message was intended, at 1: until 6 the hold is on.
    h = History({"orders": fifo()}, ["exactly-once-delivery"])
    h.send("a", at=1)
    h.receive("a", at=2, batch="A", omit=["started"])
    h.receive("a", at=again, consumer="c2", batch="B")
    h.delete("a", at=again + 0.1)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"exactly-once-delivery": ("violated" if early else "holds", 1)},
        {"early-redelivery" if early else "redelivery": 1},
    )


def test_a_hold_whose_beginning_nobody_knows(tmp_path: Path) -> None:
    # Recorded late by a paused consumer: the hold began some time, an extension of unknown outcome does not end that.
    h = History({"orders": fifo()}, ["exactly-once-delivery"])
    h.receive("x", at=8, batch="A", omit=["started"])
    h.extend("x", at=8.1, hidden_s=30, outcome="unknown", batch="A")
    h.receive("x", at=9, consumer="c2", batch="B")
    h.delete("x", at=9.1)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    assert document["anomalies"]["early-redelivery"]["count"] == 0


def test_a_visibility_timeout_that_nobody_knows(tmp_path: Path) -> None:
    h = History({"orders": queue(visibility_timeout_s=None)}, ["no-loss"])
    h.send("a", at=1)
    h.receive("a", at=2, batch="A", omit=["hidden_s"])
    h.extend("a", at=3, hidden_s=1, outcome="unknown", batch="A")
    h.delete("a", at=10, batch="A")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)})
