"""What the producer gave up, and the claim that everything was accepted: `given-up` and `all-accepted`.

`orders` is a standard queue. A load of which nothing is known but its messages never came to an end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.handmade.builder import History, check, queue, verdict_of


def load(
    outcomes: list[tuple[str | None, ...]], *, scheduled: int | None = None, claims: list[Any] | None = None
) -> History:
    """One message for each entry, with these outcomes of its attempts; who was acked is taken. All were scheduled."""
    h = History({"orders": queue()}, claims or ["all-accepted", "no-loss"])
    h.mark("load-started", at=0.5)
    for n, attempts in enumerate(outcomes):
        for k, outcome in enumerate(attempts):
            h.send(
                f"m{n}", at=1 + n / 100 + k / 1000, ended=1.0005 + n / 100 + k / 1000, due=1 + n / 100, outcome=outcome
            )
        if "ok" in attempts:
            h.take(f"m{n}", at=2 + n / 100)
    h.mark("load-stopped", at=20, scheduled=len(outcomes) if scheduled is None else scheduled)
    h.drained(at=30)
    return h


def test_all_accepted(tmp_path: Path) -> None:
    h = load([("ok",), ("failed", "ok"), ("unknown", "ok")])
    check(verdict_of(h, tmp_path), {"all-accepted": ("holds", 3), "no-loss": ("holds", 3)})


def test_given_up(tmp_path: Path) -> None:
    h = load([("ok",), ("failed",), ("failed", "failed")])
    check(verdict_of(h, tmp_path), {"all-accepted": ("violated", 3), "no-loss": ("holds", 1)}, {"given-up": 2})


def test_given_up_and_received_all_the_same(tmp_path: Path) -> None:
    # Proven not to be stored by every answer, and here it is: a phantom, and still given up.
    h = load([("ok",), ("failed",)])
    h.take("m1", at=5)
    check(verdict_of(h, tmp_path), {"all-accepted": ("violated", 2)}, {"given-up": 1, "phantom": 1})


@pytest.mark.parametrize("attempts", [("unknown",), (None,), ("failed", "unknown"), ("failed", None)])
def test_an_unknown_send_that_nobody_received(tmp_path: Path, attempts: tuple[str | None, ...]) -> None:
    check(verdict_of(load([("ok",), attempts]), tmp_path), {"all-accepted": ("unknown", 2)})


def test_an_unknown_send_that_was_received(tmp_path: Path) -> None:
    h = load([("ok",), ("unknown",)])
    h.take("m1", at=5)
    check(verdict_of(h, tmp_path), {"all-accepted": ("holds", 2)}, {"recovered": 1})


def test_fewer_intended_than_scheduled(tmp_path: Path) -> None:
    # Who stood behind an abandoned message of its group is never intended.
    check(verdict_of(load([("ok",)] * 3, scheduled=4), tmp_path), {"all-accepted": ("unknown", 3)})


@pytest.mark.parametrize("started, stopped", [(True, None), (False, None), (True, {})])
def test_a_load_that_never_came_to_its_end(tmp_path: Path, started: bool, stopped: dict[str, int] | None) -> None:
    # Nobody says that it ended, or how many were scheduled.
    h = History({"orders": queue()}, ["all-accepted", "no-loss"])
    if started:
        h.mark("load-started", at=0.5)
    h.send("a", at=1)
    h.take("a", at=2)
    if stopped is not None:
        h.mark("load-stopped", at=3, **stopped)
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"all-accepted": ("unknown", 1), "no-loss": ("holds", 1)})


def test_given_up_beats_a_load_that_never_ended(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["all-accepted"])
    h.send("a", at=1)
    h.take("a", at=2)
    h.send("b", at=2, outcome="failed")
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"all-accepted": ("violated", 2)}, {"given-up": 1})


def test_a_producer_that_started_anew_had_no_answer_to_its_first_attempt(tmp_path: Path) -> None:
    # Intended twice as attempt 1, answered once: nobody knows what became of the other.
    h = load([("ok",)])
    h.send("b", at=5, outcome=None, seq=2)
    h._attempts["b"] = 0
    h.send("b", at=6, due=5, outcome="failed", seq=2)
    check(verdict_of(h, tmp_path), {"all-accepted": ("unknown", 2)})


# -- what lag says of it


@pytest.mark.parametrize("failed, verdict", [(0, "holds"), (2, "holds"), (3, "unknown"), (80, "unknown")])
def test_lag_says_nothing_of_what_was_given_up(tmp_path: Path, failed: int, verdict: str) -> None:
    # More than one in a hundred of 200 scheduled: the p99 of the others is not the p99.
    h = load([("ok",)] * (200 - failed) + [("failed",)] * failed, claims=[{"claim": "lag", "p99_s": 2}])
    check(verdict_of(h, tmp_path), {"lag": (verdict, 200 - failed)}, {"given-up": failed})


@pytest.mark.parametrize("scheduled, verdict", [(201, "holds"), (202, "unknown")])
def test_given_up_and_never_intended_count_together(tmp_path: Path, scheduled: int, verdict: str) -> None:
    h = load([("ok",)] * 199 + [("failed",)], scheduled=scheduled, claims=[{"claim": "lag", "p99_s": 2}])
    check(verdict_of(h, tmp_path), {"lag": (verdict, 199)}, {"given-up": 1})


@pytest.mark.parametrize("during, verdict", [("calm", "holds"), ("faults", "unknown"), ("all", "unknown")])
def test_given_up_around_a_fault_is_left_out_as_others_are(tmp_path: Path, during: str, verdict: str) -> None:
    # 150 of 300 are due around a fault, ten of which are given up there.
    h = History({"orders": queue()}, [{"claim": "lag", "p99_s": 1, "grace_s": 0, "during": during}])
    for n in range(300):
        at = 1 + n / 100 if n < 150 else 11 + n / 100
        lost = n % 15 == 0 and n < 150
        h.send(f"m{n}", at=at, ended=at + 0.0001, outcome="failed" if lost else "ok")
        if not lost:
            h.take(f"m{n}", at=at + 0.1)
    h.fault(0.9, 4)
    h.mark("load-stopped", at=20, scheduled=300)
    h.drained(at=30)
    check(
        verdict_of(h, tmp_path),
        {"lag": (verdict, {"calm": 150, "faults": 140, "all": 290}[during])},
        {"given-up": 10},
    )
