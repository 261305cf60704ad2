"""Clocks: a claim holds only if it does wherever the writers' clocks stand within `clock_error_ns`, and where they
contradict what was declared, nothing that compares their times is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import NS, History, check, fifo, queue, verdict_of

LAG: dict[str, Any] = {"claim": "lag", "max_s": 1, "grace_s": 0}


def taken(received: float, *, due: float = 5, claims: list[Any] | None = None, error: float = 0, **how: Any) -> History:
    """a, due and sent at `due`, and b, well in time, on a queue drained at 50."""
    h = History({"orders": queue()}, claims or [LAG, "no-loss", "no-phantom"], clock_error_s=error)
    h.send("a", at=how.pop("intended", due), due=due)
    h.take("a", at=received, **how)
    h.send("b", at=20)
    h.take("b", at=20.1)
    h.mark("load-stopped", at=45, scheduled=2)
    h.drained(at=50)
    return h


# -- clocks that contradict


@pytest.mark.parametrize("error, verdict", [(0, "unknown"), (1.94, "unknown"), (1.95, "unknown"), (2, "unknown")])
def test_received_before_it_was_intended(tmp_path: Path, error: float, verdict: str) -> None:
    # 1.95 s too early. Within the error it may be, and then the lag is told to that exactness alone: more than 1 s.
    h = taken(3.05, error=error)
    document = verdict_of(h, tmp_path)
    contradicted = error < 1.95
    check(document, {"lag": verdict, "no-loss": "unknown" if contradicted else "holds", "no-phantom": "holds"})
    told = " ".join(document["claims"][0]["why"])
    assert ("c1.jsonl:1" in told and "1.950 s earlier" in told) == contradicted


def test_what_would_be_violated_is_unknown_where_the_clocks_contradict(tmp_path: Path) -> None:
    h = taken(3.05)
    h.send("lost", at=6)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"lost": 1})


def test_a_phantom_needs_no_clock(tmp_path: Path) -> None:
    h = taken(3.05)
    h.take("nobody", at=6)
    check(verdict_of(h, tmp_path), {"no-phantom": "violated", "no-loss": "unknown"}, {"phantom": 1})


def test_a_producer_may_send_early(tmp_path: Path) -> None:
    # Intended at 3 and received at 3.05, though not due before 5: its lag is 0, not −1.95 s.
    document = verdict_of(taken(3.05, intended=3), tmp_path)
    check(document, {"lag": ("holds", 2), "no-loss": "holds"})
    assert document["latency_s"]["orders"]["p50"] == 0


def test_a_dead_letter_before_its_message(tmp_path: Path) -> None:
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, ["no-loss"])
    h.send("a", at=5)
    h.take("a", at=6)
    h.send("b", at=7)
    h.dead("b", at=4)
    h.drained(at=50)
    check(verdict_of(h, tmp_path), {"no-loss": "unknown"}, {"collateral-dead": 1})


# -- lag


@pytest.mark.parametrize(
    "lag, error, verdict",
    [
        (2.05, 3, "unknown"),
        (2.05, 1, "violated"),
        (2.05, 1.05, "unknown"),  # not more than 1 with the error taken off
        (0.5, 0.5, "holds"),
        (0.5, 0.5 + NS, "unknown"),
        (1, 0, "holds"),
        (1 + NS, 0, "violated"),
    ],
)
def test_lag_with_the_error_added_and_taken_off(tmp_path: Path, lag: float, error: float, verdict: str) -> None:
    check(verdict_of(taken(5 + lag, error=error), tmp_path), {"lag": (verdict, 2)})


def test_one_writer_has_no_error(tmp_path: Path) -> None:
    # Who intended them received them, too.
    h = History({"orders": queue()}, [LAG], clock_error_s=3)
    h.send("a", at=5)
    h.take("a", at=5.9, consumer="p1")
    h.mark("load-stopped", at=45, scheduled=1)
    check(verdict_of(h, tmp_path), {"lag": ("holds", 1)})


@pytest.mark.parametrize("start, verdict", [(7.2, "violated"), (6.05, "unknown"), (5.95, "unknown"), (5.5, "holds")])
def test_lag_beside_a_fault_whose_time_is_not_known_exactly(tmp_path: Path, start: float, verdict: str) -> None:
    # a, due at 5, is 2.05 s late, and a fault at 5.5 excuses it. Within 100 ms of 6 it may, or may not.
    h = taken(7.05, error=0.1)
    h.fault(start, start + 0.3)
    check(verdict_of(h, tmp_path), {"lag": verdict}, open="vacuous")


@pytest.mark.parametrize("start, verdict", [(5.5, "violated"), (5.95, "unknown")])
def test_lag_during_a_fault_whose_time_is_not_known_exactly(tmp_path: Path, start: float, verdict: str) -> None:
    # By the clocks that stand apart by 100 ms, nobody was due around the fault, and nothing is blamed.
    h = taken(7.05, error=0.1, claims=[{**LAG, "during": "faults"}])
    h.fault(start, start + 0.3)
    check(verdict_of(h, tmp_path), {"lag": verdict}, open="vacuous")


# -- what a claim leaves out


@pytest.mark.parametrize(
    "during, verdict, checked", [("calm", "holds", 1), ("faults", "violated", 1), ("all", "violated", 2)]
)
def test_during(tmp_path: Path, during: str, verdict: str, checked: int) -> None:
    # a is late during a fault, b is in time long after.
    h = taken(7.05, claims=[{**LAG, "during": during}])
    h.fault(5.5, 6)
    document = verdict_of(h, tmp_path)
    check(document, {"lag": (verdict, checked)})
    (claim,) = document["claims"]
    assert (claim["covers"], sum(claim["left_out"].values())) == (2, 2 - checked)


def test_lag_claimed_for_each_part_of_the_run(tmp_path: Path) -> None:
    h = taken(7.05, claims=[LAG, {**LAG, "during": "faults"}])
    h.fault(5.5, 6)
    assert [claim["verdict"] for claim in verdict_of(h, tmp_path)["claims"]] == ["holds", "violated"]


def test_recovery_takes_its_bound_from_the_calm_lag(tmp_path: Path) -> None:
    # Late by 2 s after the fault: late by the calm bound of 1 s, not by that of 10 s during faults.
    claims: list[Any] = [{"claim": "recovery", "within_s": 1}, LAG, {"claim": "lag", "max_s": 10, "during": "faults"}]
    h = History({"orders": queue()}, claims)
    for n in range(30):
        h.send(f"m{n}", at=5 + n)
        h.take(f"m{n}", at=7.5 + n)
    h.fault(4, 5)
    h.mark("load-stopped", at=40, scheduled=30)
    check(verdict_of(h, tmp_path), {"recovery": "violated"})


# -- the siblings


@pytest.mark.parametrize("b, verdict", [(3.5, "unknown"), (4, "unknown"), (4 + NS, "holds"), (2 - NS, "violated")])
def test_effects_closer_than_the_clocks(tmp_path: Path, b: float, verdict: str) -> None:
    # a is applied at 3 by c1, b by c2; clocks differ by 1 s.
    h = History({"orders": fifo()}, ["ordered-effects"], clock_error_s=1)
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10, broker_seq=str(n + 1))
    h.receive("a", at=3, started=2.9, batch="A")
    h.effect("a", at=3, started=3)
    h.receive("b", at=b, started=b - 0.1, consumer="c2", batch="B")
    h.effect("b", at=b, started=b)
    document = verdict_of(h, tmp_path)
    assert document["claims"][0]["verdict"] == verdict


@pytest.mark.parametrize("again, verdict", [(3.4, "violated"), (3.6, "unknown")])
def test_an_effect_of_elsewhere_that_was_applied_again_before_it_in_one_file(
    tmp_path: Path, again: float, verdict: str
) -> None:
    # b is applied by c2, whose clock may be a second off, and by c1, as a is.
    h = History({"orders": fifo()}, ["ordered-effects"], clock_error_s=1)
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10, broker_seq=str(n + 1))
    for id, at, consumer in (("b", 3.0, "c2"), ("b", again, "c1"), ("a", 3.5, "c1")):
        h.receive(id, at=at, started=at - 0.05, consumer=consumer, batch=f"{id}-{consumer}")
        h.effect(id, at=at, started=at, consumer=consumer, batch=f"{id}-{consumer}")
    document = verdict_of(h, tmp_path)
    assert document["claims"][0]["verdict"] == verdict
    assert document["anomalies"]["effect-out-of-order"]["count"] == int(verdict == "violated")


@pytest.mark.parametrize("start, vacuous", [(5.5, 0), (5.5 + NS, 1)])
def test_a_fault_that_may_have_touched_a_message_proves_nothing(tmp_path: Path, start: float, vacuous: int) -> None:
    # a's life ends at 6, the fault starts half a second before it, as far as clocks half a second apart can tell.
    h = History({"orders": queue()}, ["no-loss"], clock_error_s=0.5)
    h.send("a", at=1)
    h.receive("a", at=5)
    h.delete("a", at=5.9, ended=6)
    h.fault(start, 20)
    h.drained(at=50)
    check(verdict_of(h, tmp_path), {"no-loss": ("unknown" if vacuous else "holds", 1)}, {"vacuous": vacuous})
