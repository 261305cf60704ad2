"""Receives without a count: what can be told of them all the same, and what then is not told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import History, check, fifo, queue, verdict_of

CLAIM = "exactly-once-delivery"
ABSENT: dict[str, Any] = {"omit": ["receives"]}
ONE: dict[str, Any] = {"receives": 1}


def twice(second: float, *, started: float | None = None, how: dict[str, Any] = ABSENT, first: float = 1.1) -> History:
    """a, hidden for 5 s, received by a call begun at 1.05, and again."""
    h = History({"orders": fifo(dead_letter=True, max_receives=3)}, [CLAIM, "dead-letter"])
    h.send("a", at=1)
    h.send("poison", at=1, poison=True)
    h.receive("a", at=first, started=1.05, batch="A", **how)
    h.receive("a", at=second, started=started, consumer="c2", batch="B", **how)
    h.delete("a", at=second + 0.1)
    h.dead("poison", at=40)
    h.drained(at=50)
    return h


@pytest.mark.parametrize("how", [ABSENT, ONE])
def test_early_as_any_count_would_tell(tmp_path: Path, how: dict[str, Any]) -> None:
    # The second call began after the first receive was recorded, and came back within its hold.
    document = verdict_of(twice(2, how=how), tmp_path)
    check(document, {CLAIM: ("violated", 1)}, {"early-redelivery": 1})


@pytest.mark.parametrize("how", [ABSENT, ONE])
@pytest.mark.parametrize("second, started", [(2, 1.02), (8, None)])
def test_not_told_without_a_count(tmp_path: Path, how: dict[str, Any], second: float, started: float | None) -> None:
    # A paused consumer may record an earlier receive later; and what came between nobody counted.
    document = verdict_of(twice(second, started=started, how=how), tmp_path)
    check(document, {CLAIM: ("unknown", 1)}, {"redelivery": 1})


def test_given_back_between(tmp_path: Path) -> None:
    h = twice(2)
    h.release("a", at=1.5, consumer="c1", batch="A")
    check(verdict_of(h, tmp_path), {CLAIM: ("unknown", 1)}, {"redelivery": 1})


def test_given_back_in_vain(tmp_path: Path) -> None:
    h = twice(2)
    h.release("a", at=1.5, consumer="c1", batch="A", outcome="failed")
    check(verdict_of(h, tmp_path), {CLAIM: ("violated", 1)}, {"early-redelivery": 1})


def test_redriven_between(tmp_path: Path) -> None:
    h = twice(2)
    h.redriven("a", at=1.5)
    check(verdict_of(h, tmp_path), {CLAIM: ("unknown", 1)}, {"redelivery": 1})


def test_a_queue_that_promises_nothing_of_the_kind(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.receive("a", at=2, **ABSENT)
    h.take("a", at=3, consumer="c2", **ABSENT)
    h.drained(at=50)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)}, {"redelivery": 1})


def test_received_once_needs_no_count(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, [CLAIM])
    h.send("a", at=1)
    h.take("a", at=2, **ABSENT)
    h.drained(at=50)
    check(verdict_of(h, tmp_path), {CLAIM: ("holds", 1)})


# -- over-received


@pytest.mark.parametrize("how, verdict", [({}, "holds"), (ABSENT, "unknown")])
def test_nobody_could_see_it_over_received(tmp_path: Path, how: dict[str, Any], verdict: str) -> None:
    document = verdict_of(twice(8, how=how), tmp_path)
    assert {claim["claim"]: claim["verdict"] for claim in document["claims"]}["dead-letter"] == verdict


@pytest.mark.parametrize("times, found", [(3, 0), (4, 1), (6, 3)])
def test_over_received_as_the_records_alone_tell(tmp_path: Path, times: int, found: int) -> None:
    h = History({"orders": queue(dead_letter=True, max_receives=3)}, ["dead-letter"])
    h.send("poison", at=1, poison=True)
    h.dead("poison", at=90)
    h.send("a", at=1)
    for n in range(times):
        h.receive("a", at=2 + 6 * n, **ABSENT)
    h.delete("a", at=2.1 + 6 * (times - 1))
    h.drained(at=100)
    expected = "violated" if found else "unknown"
    check(verdict_of(h, tmp_path), {"dead-letter": (expected, 1)}, {"over-received": found, "redelivery": times - 1})
