"""Runs that are judged together get the verdicts that each gets alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from gameday.history.errors import NotARun
from gameday.verify.judge import Verdict, judge, judge_all
from tests.reference.simulation import simulate


def without_examples(verdict: Verdict) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(orjson.dumps(verdict.document))
    for entry in document["anomalies"].values():
        del entry["examples"]
    return document


def alone(run: Path) -> dict[str, Any] | None:
    try:
        return without_examples(judge(run))
    except NotARun:
        return None


def test_nothing_of_two_runs_meets(tmp_path: Path) -> None:
    # They have the same ids, names and times, so that whatever met would be counted twice.
    runs = [tmp_path / str(n) for n in range(9)]
    for n, run in enumerate(runs):
        simulate(n // 3, run=run)
    (tmp_path / "nothing").mkdir()
    together = judge_all([*runs, tmp_path / "nothing"])
    assert isinstance(together.pop(), NotARun)
    told = [None if isinstance(verdict, NotARun) else without_examples(verdict) for verdict in together]
    # Three of each kind, which are the same to the byte.
    assert told == [verdict for first in (0, 3, 6) for verdict in [alone(runs[first])] * 3]
