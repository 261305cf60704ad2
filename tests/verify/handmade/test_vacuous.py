"""Vacuous runs, and claims that had nothing to look at: what was not looked at does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import History, check, fifo, judged, queue, stream, verdict_of


def quiet(*claims: Any) -> History:
    """a is sent at 1, taken at 5, its delete answered at 5.11; nothing else happens until 20."""
    h = History({"orders": queue()}, claims or ["no-loss", "no-phantom"])
    h.send("a", at=1)
    h.take("a", at=5)
    h.drained(at=20)
    return h


# -- vacuous


def test_nothing_happened(tmp_path: Path) -> None:
    # Nothing acked and nothing received: two reasons.
    h = History({"orders": queue()}, ["no-loss", "no-phantom"])
    h.drained(at=20)
    verdict = judged(h, tmp_path)
    check(verdict.document, {"no-loss": ("unknown", 0), "no-phantom": ("unknown", 0)}, {"vacuous": 2})
    assert verdict.exit_code == 3


def test_nothing_acked(tmp_path: Path) -> None:
    # The one send was never answered, though it landed.
    h = History({"orders": queue()}, ["no-loss", "no-phantom"])
    h.send("a", at=1, outcome="unknown")
    h.take("a", at=5)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("unknown", 0), "no-phantom": ("unknown", 1)},
        {"vacuous": 1, "recovered": 1},
    )


def test_nothing_received(tmp_path: Path) -> None:
    # Violated beats unknown: a is lost.
    h = History({"orders": queue()}, ["no-loss", "no-phantom"])
    h.send("a", at=1)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("violated", 1), "no-phantom": ("unknown", 0)},
        {"vacuous": 1, "lost": 1},
    )


def test_a_phantom_in_a_vacuous_run(tmp_path: Path) -> None:
    # Nothing acked, and what was proven not to be stored was received.
    h = History({"orders": queue()}, ["no-loss", "no-phantom"])
    h.send("a", at=1, outcome="failed")
    h.take("a", at=5)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("unknown", 0), "no-phantom": ("violated", 1)},
        {"vacuous": 1, "phantom": 1, "given-up": 1},
    )


def test_something_happened(tmp_path: Path) -> None:
    check(verdict_of(quiet(), tmp_path), {"no-loss": ("holds", 1), "no-phantom": ("holds", 1)})


@pytest.mark.parametrize(
    "start, stop, vacuous",
    [
        (2, 3, 0),  # while a lies in the queue
        (0.1, 1.005, 0),  # it begins before
        (5.05, 30, 0),  # while a is being deleted
        (5.105, 6, 0),  # before its delete is answered
        (0.1, 0.9, 1),  # over before a is due
        (5.2, 6, 1),  # begun after a's delete was answered
        (5.2, None, 1),
        (3, None, 0),
        (0.1, None, 0),
    ],
)
def test_a_fault_that_touches_nothing(tmp_path: Path, start: float, stop: float | None, vacuous: int) -> None:
    # a's life: from due at 1 to the answer to its delete at 5.11.
    h = quiet()
    h.fault(start, stop)
    verdict = "unknown" if vacuous else "holds"
    check(verdict_of(h, tmp_path), {"no-loss": verdict, "no-phantom": verdict}, {"vacuous": vacuous})


def test_every_fault_that_touches_nothing_is_a_reason(tmp_path: Path) -> None:
    h = quiet()
    h.fault(0.1, 0.2)
    h.fault(2, 3)
    h.fault(7, 8)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown", "no-phantom": "unknown"}, {"vacuous": 2})


def test_a_life_begins_when_the_message_is_due(tmp_path: Path) -> None:
    # Due at 1, sent at 5 by a producer that could not keep up: the fault from 2 to 3 touches it.
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=5, due=1)
    h.take("a", at=6)
    h.fault(2, 3)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)})


def test_a_life_ends_with_its_last_record(tmp_path: Path) -> None:
    # Received at 3, its effect at 9 by a slow handler: the fault from 7 to 8 touches it.
    h = History({"orders": queue(visibility_timeout_s=60)}, ["no-loss"])
    h.send("a", at=1)
    h.take("a", at=3)
    h.effect("a", at=9, started=8.9)
    h.fault(7, 8)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)})


def test_a_life_that_ends_with_a_retry(tmp_path: Path) -> None:
    # Received at 2 after a first attempt whose answer was lost; sent again until 9.
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1, outcome="unknown")
    h.take("a", at=2)
    h.send("a", at=8.9, ended=9)
    h.fault(7, 8)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)})


# -- nothing to look at


@pytest.mark.parametrize("claim", ["ordered-per-group", "ordered-effects"])
def test_one_message_a_group(tmp_path: Path, claim: str) -> None:
    h = History({"orders": fifo()}, [claim, "no-loss"])
    for n, id in enumerate("abc"):
        h.send(id, at=1, group=id, broker_seq=str(n))
        h.handle(id, at=3)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {claim: ("unknown", 0), "no-loss": ("holds", 3)})


@pytest.mark.parametrize("second", [False, True])
def test_one_of_two_ordered_queues_had_nothing_to_look_at(tmp_path: Path, second: bool) -> None:
    # orders has a and b of one group, audit, ordered too, x alone: checked 1, and still unknown. With y it holds.
    h = History({"orders": fifo(), "audit": fifo()}, ["ordered-per-group"])
    for n, id in enumerate("abxy" if second else "abx"):
        group, sub = ("g", "orders") if id in "ab" else ("h", "audit")
        h.send(id, at=1 + n / 10, group=group, broker_seq=str(n), expect=[sub])
        h.take(id, at=3 + n, sub=sub)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"ordered-per-group": ("holds", 2) if second else ("unknown", 1)})


def test_an_unordered_queue_beside_an_ordered_one(tmp_path: Path) -> None:
    # The claim does not cover the unordered one.
    h = History({"orders": fifo(), "audit": queue()}, ["ordered-per-group"])
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10, broker_seq=str(n))
        h.take(id, at=3 + n, sub="orders")
        h.take(id, at=5 - n, sub="audit")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"ordered-per-group": ("holds", 1)})


@pytest.mark.parametrize(
    "claim, subscription, verdict",
    [
        ("ordered-per-group", fifo(), "holds"),
        ("ordered-per-partition", fifo(), "unknown"),
        ("ordered-per-partition", stream(), "holds"),
        ("ordered-per-group", stream(), "unknown"),
    ],
)
def test_groups_and_partitions_are_two_claims(
    tmp_path: Path, claim: str, subscription: dict[str, Any], verdict: str
) -> None:
    h = History({"orders": subscription}, [claim])
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10, partition="s1" if subscription["kind"] == "stream" else None, broker_seq=str(n))
        h.take(id, at=3 + n)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {claim: (verdict, 1 if verdict == "holds" else 0)})


@pytest.mark.parametrize("received", [False, True])
def test_exactly_once_where_nothing_was_received(tmp_path: Path, received: bool) -> None:
    # audit expects what was never acked and never came: nothing received there, so nothing is known of it.
    h = History({"orders": queue(), "audit": queue()}, ["exactly-once-delivery"])
    h.send("a", at=1, expect=["orders"])
    h.send("b", at=1.1, expect=["audit"], outcome="unknown")
    h.take("a", at=2, sub="orders")
    if received:
        h.take("b", at=2, sub="audit")
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"exactly-once-delivery": ("holds", 2) if received else ("unknown", 1)},
        {"recovered": int(received)},
    )


@pytest.mark.parametrize("claim", ["filter-correct", "dead-letter", "recovery", "ordered-per-group"])
def test_a_claim_that_covers_nothing(tmp_path: Path, claim: str) -> None:
    # No filter, no dead letters, no fault, no order: the claim had nothing to look at.
    told: dict[str, Any] = {"claim": claim, "within_s": 5} if claim == "recovery" else {"claim": claim}
    check(verdict_of(quiet(told, "no-loss"), tmp_path), {claim: ("unknown", 0), "no-loss": ("holds", 1)})


def test_a_fault_of_which_nobody_knows_whether_it_struck(tmp_path: Path) -> None:
    # Its window, open to the end, touches a; but nothing says that it ever did anything.
    h = quiet()
    h.fault(3, None, name="reshard")
    h.mark("fault-unproven", at=4, instance="fault-1")
    check(verdict_of(h, tmp_path), {"no-loss": "unknown", "no-phantom": "unknown"}, {"vacuous": 1})
