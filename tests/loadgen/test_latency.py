"""Latency stays true where a sink stalls: from `due`, in the history, the verdict, the metrics and Locust's statistics.

A client that measured from when it begins a call would hide most of a stall, for while it waits it begins none.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.history.clock import NS_PER_S
from gameday.loadgen.buckets import bucket
from gameday.loadgen.meters import Meters
from gameday.loadgen.sender import Sample
from tests.loadgen.stalling import MS, Planned, plan, run
from tests.verify.handmade.builder import BASE, History, check, queue, verdict_of

WITHIN = 0.02
# Of what the sink can take.
LOADS = [0.5, 1.0]
# From when a message is accepted until it is received, by its number.
_UNDERWAY_MS = (3, 5, 12, 7)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """By nearest rank."""
    ranked = sorted(values)
    return {"p50": ranked[math.ceil(len(ranked) * 0.5) - 1], "p99": ranked[math.ceil(len(ranked) * 0.99) - 1],
            "max": ranked[-1]}  # fmt: skip


def true(told: dict[str, float], truth: dict[str, float]) -> bool:
    return told == {name: pytest.approx(value, rel=WITHIN) for name, value in truth.items()}


def truth_ms(planned: Planned) -> dict[str, float]:
    return quantiles([(accepted - due) / MS for due, accepted in planned.accepted])


@pytest.fixture(params=LOADS)
def ran(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Planned, list[Sample], list[dict[str, Any]]]:
    """What was planned, the samples, and the history's records."""
    planned, samples = plan(tmp_path / "load", request.param), list[Sample]()
    run(planned, samples.append)
    lines = (tmp_path / "load" / "history" / "load.jsonl").read_bytes().splitlines()
    return planned, samples, [orjson.loads(line) for line in lines]


Ran = tuple[Planned, list[Sample], list[dict[str, Any]]]


def test_the_stall_is_in_what_was_planned_at_either_load(tmp_path: Path) -> None:
    half, full = (truth_ms(plan(tmp_path, share)) for share in LOADS)
    assert half["p50"] < 100 and 900 < half["p99"] < half["max"] < 1200
    assert full["p50"] > 400 and full["max"] > 1000


def test_the_history_tells_the_truth_from_due_and_not_from_when_a_call_began(ran: Ran) -> None:
    planned, _, records = ran
    due = {r["id"]: r["due"] for r in records if r["event"] == "intended"}
    sent = [r for r in records if r["event"] == "sent"]
    assert len(due) == len(sent) == len(planned.accepted)
    told, truth = quantiles([(r["at"] - due[r["id"]]) / MS for r in sent]), truth_ms(planned)
    assert true(told, truth)
    # What a closed loop would tell does not come near it.
    closed = quantiles([(r["at"] - r["started"]) / MS for r in sent])
    assert not true(closed, truth) and closed["p99"] < 0.95 * truth["p99"]


def test_the_verdict_tells_the_truth_from_due_to_received(ran: Ran, tmp_path: Path) -> None:
    planned, _, records = ran
    underway = [_UNDERWAY_MS[n % len(_UNDERWAY_MS)] for n in range(len(planned.accepted))]
    truth = quantiles(
        [(at - due) / NS_PER_S + ms / 1000 for (due, at), ms in zip(planned.accepted, underway, strict=True)]
    )
    due = {r["id"]: r["due"] for r in records if r["event"] == "intended"}
    sent = sorted((r for r in records if r["event"] == "sent"), key=lambda r: (due[r["id"]], r["at"]))
    over_s = (max(r["at"] for r in sent) - BASE) / NS_PER_S

    def judged(name: str, **bounds: float) -> dict[str, Any]:
        h = History({"orders": queue()}, [{"claim": "lag", **bounds}])
        h.files["load"] = [r for r in records if r.get("name") != "closed"]
        for r, ms in zip(sent, underway, strict=True):
            stored_s = (r["at"] - BASE) / NS_PER_S
            h.take(r["id"], at=stored_s + ms / 1000, started=stored_s, broker_id=r["broker_id"])
        h.mark("load-stopped", at=over_s, scheduled=len(sent))
        h.drained(at=over_s + 200)
        (tmp_path / name).mkdir()
        return verdict_of(h, tmp_path / name)

    good = judged("good", **{f"{q}_s": value * (1 + WITHIN) for q, value in truth.items()})
    check(good, {"lag": ("holds", len(sent))})
    assert true(good["latency_s"]["orders"], truth)
    for q, value in truth.items():
        (claim,) = judged(q, **{f"{q}_s": value * (1 - WITHIN)})["claims"]
        # Most of it is that sends began late, and no record proves whose doing that was.
        late = "counted from when the sends began" in " ".join(claim["why"])
        assert claim["verdict"] == ("unknown" if late else "violated"), claim


def test_the_metrics_tell_how_late_the_load_itself_was(ran: Ran) -> None:
    planned, samples, _ = ran
    meters = Meters()
    for sample in samples:
        meters.sent(sample)
    lag = next(iter(meters.collect()))
    told = {
        (s.name.removeprefix("gameday_load_schedule_lag_seconds_"), s.labels.get("le")): s.value for s in lag.samples
    }
    late = [begun - due for due, begun in begun_at(planned)]
    assert told["count", None] == len(late)
    assert told["sum", None] == pytest.approx(sum(late) / NS_PER_S, rel=WITHIN)
    for le in ("0.1", "0.5", "1.0"):
        assert told["bucket", le] == sum(each <= float(le) * NS_PER_S for each in late)


def begun_at(planned: Planned) -> list[tuple[int, int]]:
    """When each message was due and its call begins: once the call before it is answered, or once it is due."""
    found: list[tuple[int, int]] = []
    for dues in planned.dues.values():
        of_user = Planned(planned.config, {0: dues}).accepted
        ends = sorted({accepted for _, accepted in of_user})
        before = dict(zip(ends, [0, *ends], strict=False))
        first: dict[int, int] = {}
        for due, accepted in of_user:
            first.setdefault(accepted, due)
        found += [(due, max(before[accepted], first[accepted])) for due, accepted in of_user]
    return found


@pytest.mark.parametrize("share", LOADS)
def test_locusts_statistics_tell_the_truth_from_due(share: float, tmp_path: Path) -> None:
    # Locust changes the whole process that imports it, and must come before what it changes.
    code = "import locust, sys; from tests.loadgen.stalling import tell_what_locust_says as tell; tell(*sys.argv[1:])"
    words = [sys.executable, "-c", code, str(tmp_path / "load"), str(share)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    planned = plan(tmp_path, share)
    assert told.pop("count") == len(planned.accepted)
    assert true(told, truth_ms(planned))


@given(st.floats(0, 1e7))
def test_what_locust_keeps_is_near(ms: float) -> None:
    assert abs(bucket(ms) - ms) <= max(0.01 * ms, 0.005) * 1.000001


def test_what_locust_keeps_is_little() -> None:
    kept = {bucket(10 ** (n / 10_000)) for n in range(40_000)}
    assert len(kept) <= 4 * 180
