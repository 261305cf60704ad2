"""The live view and the checks look at the same random histories: the counts they share agree."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gameday.watch.live import SHARED
from gameday.watch.observer import Observer
from tests.watch.live_histories import S, random_history


@pytest.mark.parametrize("seed", range(12))
def test_the_shared_counts_are_the_judges(seed: int, tmp_path: Path) -> None:
    judge = pytest.importorskip("gameday.verify.judge", reason="the judge is not there yet")
    manifest, files = random_history(seed, clock_error_ns=(0, 0, S // 5)[seed % 3])
    manifest.save(tmp_path)
    history = tmp_path / "history"
    history.mkdir()
    for name, records in files.items():
        (history / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    observer = Observer(tmp_path)
    observer.finish()
    live = observer.live.shared()
    judged = judge.judge(tmp_path).document["anomalies"]
    assert live == {name: judged[name]["count"] for name in SHARED if name in live}
