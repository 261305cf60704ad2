"""What the report reads from a history, on histories made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.report.html.data import Fault, Model, bucket_s, read, spans
from gameday.verify.judge import judging
from tests.verify.handmade.builder import History, fifo, queue


def model(history: History, tmp_path: Path) -> Model:
    with judging(history.write(tmp_path / "run")) as (run, _):
        return read(run)


def panel(shown: Model, name: str) -> dict[str, list[float | None]]:
    (found,) = [panel for panel in shown.timeline.panels if panel.name == name]
    return {series.name: list(series.values) for series in found.series}


def test_rates_lag_backlog_and_redeliveries_stand_in_their_buckets(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.mark("load-started", at=0)
    for n in range(4):
        h.send(f"m{n}", at=1.1 + n / 10, due=1.0)
    h.take("m0", at=1.2)
    h.take("m1", at=1.3)
    h.receive("m2", at=2.6)
    h.handle("m2", at=8.1)
    h.drained(at=20)
    shown = model(h, tmp_path)
    assert shown.timeline.bucket_s == 0.5
    assert shown.timeline.length_s == pytest.approx(8.21, abs=0.02)
    rates = panel(shown, "rate")
    # A count by bucket as a number a second.
    assert rates["scheduled"][2] == 8 and sum(v or 0 for v in rates["scheduled"]) == 8
    assert rates["sent"][2] == 8
    assert [n for n, v in enumerate(rates["received"]) if v] == [2, 5, 16]
    # Due at 1.0: m0 and m1 came after 0.2 and 0.3 s, m2 after 1.6 s, m3 never.
    lag = panel(shown, "lag-orders")
    assert lag["p50"][2] == pytest.approx(0.3) and lag["max"][2] == pytest.approx(1.6)
    assert all(value is None for n, value in enumerate(lag["p50"]) if n != 2)
    # m2 and m3 wait; m2 leaves when it is deleted at 8.2, m3 never does.
    backlog = panel(shown, "backlog")["orders"]
    assert (backlog[1], backlog[3], backlog[15], backlog[16]) == (0, 2, 2, 1)
    again = panel(shown, "redeliveries")["orders"]
    assert [(n, v) for n, v in enumerate(again) if v] == [(16, 1)]
    assert panel(shown, "effects")["applied"][16] == 2


def test_a_day_has_no_more_points_than_an_hour() -> None:
    assert [bucket_s(seconds) for seconds in (10, 500, 501, 3600, 86_400)] == [0.5, 0.5, 1, 5, 100]


def fault(number: int, start_s: float, stop_s: float | None) -> Fault:
    return Fault(
        number=number,
        name=f"f {number}",
        fault="f",
        label="",
        targets=(),
        start_s=start_s,
        stop_s=stop_s,
        fired=1,
        unproven=False,
    )


def test_before_and_after_a_fault_end_where_another_one_is_on() -> None:
    assert spans([fault(1, 10, 20), fault(2, 40, None)], 100) == [(0, 10, 20, 40), (20, 40, 100, 100)]
    # The second begins within the first and outlasts it: it has no before, and the first no after.
    assert spans([fault(1, 10, 20), fault(2, 15, 30)], 100) == [(0, 10, 20, 20), (15, 15, 30, 100)]


def test_latency_around_a_fault_and_how_long_recovery_took(tmp_path: Path) -> None:
    h = History({"orders": queue(visibility_timeout_s=1)}, ["no-loss", {"claim": "lag", "p99_s": 0.5}])
    h.mark("load-started", at=0)
    for n in range(300):
        due = 1 + n / 10
        # What is due from 10 to 14 s waits until 15 s.
        h.send(f"m{n:03}", at=due)
        h.take(f"m{n:03}", at=max(due + 0.05, 15.0) if 10 <= due < 14 else due + 0.05)
    h.fault(10, 14)
    h.mark("load-stopped", at=31, scheduled=300)
    h.drained(at=40)
    shown = model(h, tmp_path)
    (around,) = shown.latencies
    assert (around.before.count, around.during.count, around.after.count) == (90, 40, 170)
    assert around.before.max_s == pytest.approx(0.05) and around.during.max_s == pytest.approx(5.0)
    assert around.after.p99_s == pytest.approx(0.05)
    (recovery,) = shown.recoveries
    # Late until 15 s, and the fault stopped at 14.
    assert recovery.took_s == pytest.approx(1.0) and recovery.bound_s == 0.5


def test_a_fault_that_never_stops_has_no_recovery(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss", {"claim": "lag", "p99_s": 0.5}])
    h.send("a", at=1)
    h.take("a", at=1.1)
    h.fault(1, None)
    h.drained(at=10)
    (recovery,) = model(h, tmp_path).recoveries
    assert (recovery.took_s, recovery.why) == (None, "it never stopped")


def test_an_overtaken_message_stands_beside_the_line_in_its_group(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["ordered-per-group"])
    for n, id in enumerate("abcd", start=1):
        h.send(id, at=n, broker_seq=str(n))
    for n, id in enumerate("acbd"):
        h.take(id, at=5 + n)
    h.drained(at=20)
    shown = model(h, tmp_path)
    (order,) = shown.orders
    assert (order.group, order.what, shown.groups_violated) == ("g", "received", 1)
    assert [(point.id, point.sent, point.received) for point in order.points] == [
        ("a", 1, 1),
        ("c", 3, 2),
        ("b", 2, 3),
        ("d", 4, 4),
    ]
    assert {point.mark for point in order.points if point.id in "bc"} == {"broken", "other"}
    assert "nonmonotonic-delivery" in shown.timeline.found


def test_a_clean_run_has_no_order_picture(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["ordered-per-group"])
    for n, id in enumerate("ab", start=1):
        h.send(id, at=n, broker_seq=str(n))
        h.take(id, at=n + 0.5)
    h.drained(at=20)
    shown = model(h, tmp_path)
    assert (list(shown.orders), dict(shown.timeline.found)) == ([], {})
