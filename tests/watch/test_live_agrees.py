"""The live view and the verdict look at the same histories: where their counts differ, the metric's help says how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from gameday.verify.judge import Verdict, judge_all
from gameday.watch.live import COUNTS, differences
from gameday.watch.metrics import differing_totals, final_counts
from gameday.watch.observer import Observer
from tests.reference.retelling import read_lines, share, write_lines
from tests.reference.simulation import simulate
from tests.series import soak

# Between them they have every count, held to the verdict.
RICH = (8, 30, 69, 92)
HISTORIES = range(40)
MORE = range(40, 260)


def watched(run: Path) -> bool:
    """Whether it is as our own runs leave it: no file that was packed or lost."""
    return not any(path.suffix == ".gz" for path in (run / "history").iterdir())


def told_again(run: Path, seed: int) -> None:
    """In some of them others use a queue, too."""
    files = {path: list(read_lines(path)) for path in sorted((run / "history").glob("*.jsonl"))}
    write_lines(share(seed, files, orjson.loads((run / "manifest.json").read_bytes())["subscriptions"]))


@pytest.mark.parametrize("seeds", [[*RICH], *soak([*HISTORIES, *MORE])], ids=["rich", "more"])
def test_the_counts_differ_only_as_they_say(seeds: Sequence[int], tmp_path: Path) -> None:
    simulated = {tmp_path / str(seed): seed for seed in seeds}
    for run, seed in simulated.items():
        simulate(seed, run=run)
        if seed not in RICH:
            told_again(run, seed)
    runs = [run for run in simulated if watched(run)]
    seen, held = dict.fromkeys(COUNTS, 0), dict.fromkeys(COUNTS, 0)
    for run, verdict in zip(runs, judge_all(runs), strict=True):
        if not isinstance(verdict, Verdict) or verdict.document["damaged"]:
            continue
        observer = Observer(run)
        observer.finish()
        live, document = observer.live, verdict.document
        # As Prometheus is told them, by subscription and kind.
        assert final_counts(observer) == live.counts
        assert differing_totals(observer, document["totals"]) == [], run.name
        for name, count in live.counts.items():
            seen[name] += count
            held[name] += name not in live.open_counts and count > 0
        found = differences(live.counts, document["anomalies"], live.open_counts)
        assert found == [], run.name
    assert min(seen.values()) > 0, seen
    # In a history or more the verdict was held to it.
    assert min(held.values()) > 0, held
