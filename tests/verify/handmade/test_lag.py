"""Lag: how long after it was due a message was first received, by nearest-rank quantiles, and what is left out.

`orders` is a standard queue. Messages are due one every 100 ms from 1 on and sent when they are due. Each history tells
how many were scheduled: without that, nobody knows how many were never intended.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, History, check, ns, queue, verdict_of


def end(h: History, at: float, scheduled: int) -> None:
    h.mark("load-stopped", at=at, scheduled=scheduled)
    h.drained(at=at)


def lagging(lags: Sequence[float], *, scheduled: int | None = None, **bounds: float) -> History:
    """One message for each lag, with a `lag` claim of these bounds; as many were scheduled as `scheduled` tells, else
    no more than were sent; drained 200 s after the beginning."""
    h = History({"orders": queue()}, [{"claim": "lag", **bounds}])
    for n, lag in enumerate(lags):
        due = 1 + n / 10
        h.send(f"m{n}", at=due, ended=due + 0.001)
        h.take(f"m{n}", at=due + lag)
    end(h, 200, len(lags) if scheduled is None else scheduled)
    return h


def fast_and_slow(fast: int, slow: int) -> list[float]:
    return [0.1] * fast + [3.0] * slow


# -- quantiles


@pytest.mark.parametrize("slow, verdict", [(0, "holds"), (1, "holds"), (2, "violated")])
def test_p99_of_a_hundred(tmp_path: Path, slow: int, verdict: str) -> None:
    # The nearest rank is the 99th of 100: one slow message stands above it, of two the smaller is it.
    h = lagging(fast_and_slow(100 - slow, slow), p99_s=1)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 100)})


@pytest.mark.parametrize("slow, verdict", [(1, "holds"), (2, "violated")])
def test_p99_of_a_hundred_and_one(tmp_path: Path, slow: int, verdict: str) -> None:
    # ceil(99.99) = 100 of 101: again one may be slow, not two.
    h = lagging(fast_and_slow(101 - slow, slow), p99_s=1)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 101)})


@pytest.mark.parametrize("slow, verdict", [(50, "holds"), (51, "violated")])
def test_p50_of_a_hundred(tmp_path: Path, slow: int, verdict: str) -> None:
    # The 50th of 100, no mean of two.
    h = lagging(fast_and_slow(100 - slow, slow), p50_s=1)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 100)})


@pytest.mark.parametrize("bound", ["p50_s", "p99_s"])
@pytest.mark.parametrize("lag", [0.1, 3.0])
def test_a_quantile_of_too_few(tmp_path: Path, bound: str, lag: float) -> None:
    # 99 messages, all fast or all slow: unknown.
    check(verdict_of(lagging([lag] * 99, **{bound: 1}), tmp_path), {"lag": ("unknown", 99)})


@pytest.mark.parametrize("lags, verdict", [([0.1, 0.1, 0.1], "holds"), ([0.1, 3.0, 0.1], "violated")])
def test_one_is_enough_to_break_the_maximum(tmp_path: Path, lags: list[float], verdict: str) -> None:
    check(verdict_of(lagging(lags, max_s=1), tmp_path), {"lag": (verdict, 3)})


@pytest.mark.parametrize("lag, verdict", [(1, "holds"), (1 + NS, "violated")])
def test_exactly_the_bound(tmp_path: Path, lag: float, verdict: str) -> None:
    check(verdict_of(lagging([0.1, lag], max_s=1), tmp_path), {"lag": (verdict, 2)})


def test_a_broken_maximum_beats_an_unknown_quantile(tmp_path: Path) -> None:
    check(verdict_of(lagging([0.1, 3.0], p99_s=1, max_s=2), tmp_path), {"lag": "violated"})


def test_the_latencies_in_the_document(tmp_path: Path) -> None:
    # 1 to 100 hundredths of a second: the 50th, the 99th, the last.
    h = lagging([(n + 1) / 100 for n in range(100)], max_s=5)
    document = verdict_of(h, tmp_path)
    check(document, {"lag": ("holds", 100)})
    told = document["latency_s"]["orders"]
    assert (told["p50"], told["p99"], told["max"]) == pytest.approx((0.5, 0.99, 1.0), abs=1e-6)


def test_without_due_no_lag_can_be_told(tmp_path: Path) -> None:
    h = lagging([0.1] * 3, max_s=1)
    for record in h.files["p1"]:
        record.pop("due", None)
    (claim,) = verdict_of(h, tmp_path)["claims"]
    assert claim["why"] == ["orders: no message to judge max by (none that was acked or received here has a `due`)"]


# -- from when, until when, of whom


# What is counted from when a send began is only asked before anybody is blamed: it is due at 1, and slow is over 2 s.
@pytest.mark.parametrize(
    "began, received, verdict",
    [
        (5, 5.1, "unknown"),  # the producer could not keep up; then it was quick
        (5, 7, "unknown"),  # exactly the bound after its send began
        (5, 7 + NS, "violated"),  # whenever it was due, that is too slow
        (1, 3, "holds"),
        (1, 3 + NS, "violated"),
        (2.5, 3.1, "unknown"),
        (2.9, 2.95, "holds"),  # late, and in time all the same
        (0.5, 2.9, "holds"),  # sent early: it counts from when it was due
        (0.5, 3 + NS, "violated"),
    ],
)
def test_from_due_and_only_blamed_from_when_the_send_began(
    tmp_path: Path, began: float, received: float, verdict: str
) -> None:
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=began, due=1)
    h.take("a", at=received)
    end(h, 20, 1)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 1)})


def test_why_a_late_load_leaves_it_unknown(tmp_path: Path) -> None:
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=5, due=1)
    h.take("a", at=5.1)
    end(h, 20, 1)
    (claim,) = verdict_of(h, tmp_path)["claims"]
    assert claim["why"] == [
        "orders: max of lag is 4.100 s, more than 2 s, but 0.100 s counted from when the sends began: the load was "
        "late, and nothing proves that what came after it was slow"
    ]


def test_a_send_began_when_its_call_did(tmp_path: Path) -> None:
    # Intended at 1, and the producer stood still until 5 before it made the call.
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=1, ended=5.01)
    (sent,) = [record for record in h.files["p1"] if record["event"] == "sent"]
    sent["started"] = ns(5)
    h.take("a", at=5.1)
    end(h, 20, 1)
    check(verdict_of(h, tmp_path), {"lag": ("unknown", 1)})


@pytest.mark.parametrize("started_told", [True, False])
def test_what_is_tried_again_began_with_its_first_attempt(tmp_path: Path, started_told: bool) -> None:
    # Refused at 1 and accepted at 5: the broker's doing.
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=1, outcome="failed")
    h.send("a", at=5)
    if not started_told:
        for record in h.files["p1"]:
            record.pop("started", None)
    h.take("a", at=5.1)
    end(h, 20, 1)
    check(verdict_of(h, tmp_path), {"lag": ("violated", 1)})


@pytest.mark.parametrize("late, verdict", [(True, "unknown"), (False, "violated")])
def test_a_quantile_of_a_load_that_was_late(tmp_path: Path, late: bool, verdict: str) -> None:
    # 2 of 100 took 3 s, of a bound of 1 s; or they took no time, and began late.
    h = History({"orders": queue()}, [{"claim": "lag", "p99_s": 1}])
    for n in range(100):
        slow = n >= 98
        h.send(f"m{n}", at=1 + n / 10 + (3 if slow and late else 0), due=1 + n / 10)
        h.take(f"m{n}", at=1.1 + n / 10 + (3 if slow else 0))
    end(h, 200, 100)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 100)})


@pytest.mark.parametrize(
    "late, scheduled, told",
    [
        (0, 100, None),
        (1, 100, None),  # of 100 as many as a p99 forgives
        (2, 100, "2 of 100 sends began more than 0.1 s after they were due, the latest 0.25 s after."),
        (0, 103, "3 of 103 messages were never sent."),
        (2, 101, "the latest 0.25 s after, and 1 of 101 messages were never sent."),
    ],
)
def test_a_load_that_was_late_is_noted(tmp_path: Path, late: int, scheduled: int, told: str | None) -> None:
    h = History({"orders": queue()}, [{"claim": "lag", "p99_s": 1}])
    for n in range(100):
        h.send(f"m{n}", at=1 + n / 10 + (0.25 if n < late else 0.1), due=1 + n / 10)
        h.take(f"m{n}", at=1.3 + n / 10)
    end(h, 200, scheduled)
    document = verdict_of(h, tmp_path)
    assert document["totals"]["late"] == late
    assert document["totals"]["latest_s"] == (0.25 if late else 0.1)
    notes = [note for note in document["notes"] if note["text"].startswith("the load was late")]
    assert [note["claims"] for note in notes] == ([["lag"]] if told else [])
    assert all(told is not None and told in note["text"] for note in notes)


def test_a_load_that_was_ended_early_was_not_late(tmp_path: Path) -> None:
    h = lagging([0.1] * 3, scheduled=100, max_s=1)
    h.mark("aborted", at=199, reason="interrupted")
    assert not [note for note in verdict_of(h, tmp_path)["notes"] if "late" in note["text"]]


@pytest.mark.parametrize("last, verdict", [(6.5, "unknown"), (8, "violated")])
def test_never_received_and_sent_late(tmp_path: Path, last: float, verdict: str) -> None:
    # Due at 1, sent at 5, never received; the history ends 1.5 s later, or 3 s later.
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=5, due=1)
    h.send("b", at=5)
    h.take("b", at=5.1)
    h.mark("load-stopped", at=last, scheduled=2)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 2)}, {"unseen": 1})


def test_until_the_first_receive(tmp_path: Path) -> None:
    # Received again at 9: the first receive counts.
    h = lagging([0.5], max_s=2)
    h.take("m0", at=9)
    check(verdict_of(h, tmp_path), {"lag": ("holds", 1)}, {"redelivery": 1})


@pytest.mark.parametrize("last, verdict", [(3, "holds"), (3 + NS, "violated")])
def test_never_received(tmp_path: Path, last: float, verdict: str) -> None:
    # Due at 1 and never received: its lag reaches to the last record of the history.
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=1)
    h.send("b", at=1)
    h.take("b", at=2)
    h.mark("load-stopped", at=last, scheduled=2)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 2)}, {"unseen": 1})


@pytest.mark.parametrize("outcome, verdict, found", [("unknown", "holds", {}), ("failed", "unknown", {"given-up": 1})])
def test_never_received_and_never_acked(tmp_path: Path, outcome: str, verdict: str, found: dict[str, int]) -> None:
    # Nobody knows that b was sent at all: not looked at. Where its producer gave it up, no maximum can be told.
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=1)
    h.send("b", at=1, outcome=outcome)
    h.take("a", at=2)
    end(h, 20, 2)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 1)}, found)


def test_received_and_never_acked(tmp_path: Path) -> None:
    h = History({"orders": queue()}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=1)
    h.send("b", at=1, outcome="unknown")
    h.take("a", at=2)
    h.take("b", at=4)
    end(h, 20, 2)
    check(verdict_of(h, tmp_path), {"lag": ("violated", 2)}, {"recovered": 1})


def test_the_dead_do_not_lag(tmp_path: Path) -> None:
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, [{"claim": "lag", "max_s": 2}])
    h.send("a", at=1)
    h.send("b", at=1, poison=True)
    h.take("a", at=2)
    h.receive("b", at=4)
    h.dead("b", at=15, receives=1)
    end(h, 20, 2)
    check(verdict_of(h, tmp_path), {"lag": ("holds", 1)})


# -- intended, or not


@pytest.mark.parametrize(
    "scheduled, claim, verdict",
    [
        (100, "p99_s", "holds"),
        (101, "p99_s", "holds"),  # 1 was never intended, 1.01 may be
        (102, "p99_s", "unknown"),  # 2, and 1.02 may be
        (200, "p50_s", "holds"),  # 100, and 100 may be
        (201, "p50_s", "unknown"),  # 101, and 100.5 may be
    ],
)
def test_never_intended(tmp_path: Path, scheduled: int, claim: str, verdict: str) -> None:
    # 100 were intended, all fast. Those that a producer never got to are the slow ones.
    bounds: dict[str, float] = {claim: 1}
    h = lagging([0.1] * 100, scheduled=scheduled, **bounds)
    check(verdict_of(h, tmp_path), {"lag": (verdict, 100)})


def test_exactly_the_share_that_may_be_missing(tmp_path: Path) -> None:
    # 198 of 200: 2 were never intended, and (1 - 0.99) x 200 = 2 may be.
    h = lagging([0.1] * 198, scheduled=200, p99_s=1)
    check(verdict_of(h, tmp_path), {"lag": ("holds", 198)})


def test_violated_though_many_were_never_intended(tmp_path: Path) -> None:
    h = lagging(fast_and_slow(50, 50), scheduled=1000, p99_s=1)
    check(verdict_of(h, tmp_path), {"lag": ("violated", 100)})


# -- during a fault


def beside_a_fault(
    due: float, received: float, *, fault: tuple[float, float | None] = (10, 12), claims: list[Any]
) -> History:
    """`good` is fast, long before the fault; m, `due` then and received then, is the case. t is due during the fault,
    so that it touches something."""
    h = History({"orders": queue()}, claims)
    h.send("good", at=1)
    h.take("good", at=1.1)
    h.send("m", at=due)
    h.take("m", at=received)
    h.send("t", at=11)
    h.take("t", at=11.1)
    h.fault(*fault)
    end(h, 80, 3)
    return h


@pytest.mark.parametrize(
    "due, received, verdict",
    [
        (11, 15, "holds"),  # due during the fault
        (9.5, 15, "holds"),  # [9.5, 10.5] overlaps the fault
        (8, 15, "violated"),  # over the bound at 9, before the fault
        (14.5, 18, "holds"),  # due 2.5 s after its end, within the grace of 3 s
        (15.5, 18, "violated"),  # 3.5 s after its end
        (15.5, 16, "holds"),
    ],
)
def test_a_fault_and_its_grace(tmp_path: Path, due: float, received: float, verdict: str) -> None:
    # A message is left out if the fault, 10 to 12, lengthened by 3 s, overlaps [due, first receive or due + 1 s].
    h = beside_a_fault(due, received, claims=[{"claim": "lag", "max_s": 1, "grace_s": 3}])
    check(verdict_of(h, tmp_path), {"lag": verdict})


@pytest.mark.parametrize(
    "claims, due, verdict",
    [
        ([{"claim": "lag", "max_s": 1}], 16.5, "holds"),  # 5 s by default: until 17
        ([{"claim": "lag", "max_s": 1}], 17.5, "violated"),
        ([{"claim": "lag", "max_s": 1}, {"claim": "recovery", "within_s": 20}], 31.5, "holds"),  # until 32
        ([{"claim": "lag", "max_s": 1}, {"claim": "recovery", "within_s": 20}], 32.5, "violated"),
        ([{"claim": "lag", "max_s": 1}, {"claim": "recovery", "within_s": 2}], 14.5, "violated"),  # until 14
        ([{"claim": "lag", "max_s": 1, "grace_s": 1}, {"claim": "recovery", "within_s": 20}], 13.5, "violated"),
        ([{"claim": "lag", "max_s": 1, "grace_s": 0}], 12.5, "violated"),
    ],
)
def test_the_grace_by_default(tmp_path: Path, claims: list[Any], due: float, verdict: str) -> None:
    # That of the claim, else the time that recovery has, else 5 s.
    h = beside_a_fault(due, due + 4, claims=claims)
    check(verdict_of(h, tmp_path), {"lag": verdict})


def test_the_bound_decides_who_is_left_out(tmp_path: Path) -> None:
    # Due at 8, received at 15, fault from 10 to 12. [8, 9] for p99's 1 s, [8, 14] for the maximum's 6 s: the maximum
    # leaves it out, and p99 has too few messages to say anything.
    h = beside_a_fault(8, 15, claims=[{"claim": "lag", "max_s": 6, "p99_s": 1, "grace_s": 1}])
    check(verdict_of(h, tmp_path), {"lag": "unknown"})


def test_a_fault_without_an_end(tmp_path: Path) -> None:
    h = beside_a_fault(40, 50, fault=(10, None), claims=[{"claim": "lag", "max_s": 1, "grace_s": 0}])
    check(verdict_of(h, tmp_path), {"lag": "holds"})


def test_everything_left_out(tmp_path: Path) -> None:
    # One fault from before the first message to after the last: nothing is left to look at.
    h = beside_a_fault(5, 9, fault=(0.5, 20), claims=[{"claim": "lag", "max_s": 1}])
    check(verdict_of(h, tmp_path), {"lag": ("unknown", 0)})
