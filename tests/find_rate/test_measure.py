"""What a step measured, from hand-made records: who was stuck, and never the broker for what our own load did late."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.find_rate.measure import Measured, measure
from gameday.verify.judge import judge
from tests.verify.handmade.builder import History, ns, queue

DURATION_S = 10
MESSAGES = 1000


def measured(h: History, tmp_path: Path) -> Measured:
    run = h.write(tmp_path / "run")
    document = judge(run).document
    return measure(run, document, rate_per_s=100, again=False, took_s=1, shown="run")


def load(
    *,
    late_s: float = 0.0,
    call_s: float = 0.005,
    lag_s: float = 0.02,
    growing_s: float = 0.0,
    stood_still_s: float = 0.0,
    poll_s: float = 0.001,
    refused: int = 0,
    missed: int = 0,
) -> History:
    """A hundred a second for ten seconds, each sent `late_s` after it was due, by a call of `call_s`, and received
    `lag_s` after that; at the end `growing_s` later than at the start, or from the middle on after having stood still.
    Each came by a poll of its own of `poll_s`. The first `refused` are accepted at their second attempt."""
    h = History({"orders": queue()}, ["no-loss", {"claim": "lag", "p99_s": 0.5}])
    h.mark("load-started", at=1, start=ns(1), schedule=[[0, 0], [DURATION_S, MESSAGES]])
    for n in range(MESSAGES - missed):
        due = 1 + n * DURATION_S / MESSAGES
        began = due + late_s
        if n < refused:
            h.send(f"m{n}", at=began, due=due, outcome="failed")
            h.send(f"m{n}", at=began + 0.006, ended=began + 0.006 + call_s)
        else:
            h.send(f"m{n}", at=began, due=due, ended=began + call_s)
        at = began + call_s + lag_s + growing_s * n / MESSAGES + (stood_still_s if n * 2 >= MESSAGES else 0)
        h.take(f"m{n}", at=at, started=at - poll_s)
    h.mark("load-stopped", at=30, scheduled=MESSAGES)
    h.drained(at=60)
    return h


def test_all_is_well(tmp_path: Path) -> None:
    found = measured(load(), tmp_path)
    assert (found.verdict, found.broken, found.bottleneck) == ("holds", (), [])
    assert not found.load_was_late
    assert found.p99_s == pytest.approx(0.025)
    assert found.call_p99_s == pytest.approx(0.005)


def test_consumers_that_are_at_work(tmp_path: Path) -> None:
    found = measured(load(growing_s=2), tmp_path)
    assert (found.verdict, found.clear) == ("violated", True)
    (waiting,) = found.waiting
    assert (waiting.half, waiting.end) == (pytest.approx(85, abs=2), pytest.approx(169, abs=2))
    assert waiting.received_per_s == pytest.approx(100 / 1.2, rel=0.02)
    (told,) = found.bottleneck
    assert told.startswith("orders: the backlog grew from ")
    assert told.endswith("8% of the time asking for messages: they are at work, and too few or too slow")


def test_a_broker_that_gives_no_more(tmp_path: Path) -> None:
    # 83 a second, each after a poll of 10 ms.
    found = measured(load(growing_s=2, poll_s=0.01), tmp_path)
    (told,) = found.bottleneck
    assert told.endswith("83% of the time asking for messages: the broker gave no more")


def test_who_stood_still_is_not_clear(tmp_path: Path) -> None:
    found = measured(load(stood_still_s=1.5), tmp_path)
    assert (found.verdict, found.clear) == ("violated", False)
    assert not found.waiting[0].grew_steadily


def test_a_load_that_was_late_by_itself_is_not_the_broker(tmp_path: Path) -> None:
    found = measured(load(late_s=1), tmp_path)
    assert (found.verdict, found.load_was_late, found.clear) == ("unknown", True, False)
    (broken,) = found.broken
    assert (broken.claim, broken.verdict) == ("lag", "unknown")
    assert "the load was late" in broken.why
    (told,) = found.bottleneck
    assert told.startswith(
        "the load itself, not the broker, was late: 1,000 of 1,000 sends began late, send calls took 0.005 s"
    )


def test_what_was_never_sent(tmp_path: Path) -> None:
    found = measured(load(missed=30), tmp_path)
    assert (found.missed, found.load_was_late) == (30, True)
    assert "30 messages were never sent" in found.bottleneck[0]


def test_a_load_that_was_late_behind_slow_answers(tmp_path: Path) -> None:
    found = measured(load(late_s=1, call_s=0.4), tmp_path)
    assert found.bottleneck[0].startswith("sends were answered slowly, by the broker or because this machine is busy")


@pytest.mark.parametrize("refused, told", [(0, False), (9, False), (50, True)])
def test_a_broker_that_refuses(tmp_path: Path, refused: int, told: bool) -> None:
    found = measured(load(refused=refused), tmp_path)
    assert sum(found.refused.values()) == refused
    assert any(each.startswith(f"the broker took no more: {refused} of 1,050 ") for each in found.bottleneck) is told


def test_a_claim_without_a_clock_is_clear(tmp_path: Path) -> None:
    h = load()
    h.send("gone", at=5)
    found = measured(h, tmp_path)
    assert [(each.claim, each.verdict) for each in found.broken] == [("no-loss", "violated")]
    assert found.clear
    assert "1 lost" in found.broken[0].why
