"""Judged in buckets a history has the verdict that it has judged whole, to the byte; the wide comparison is
`python -m tests.verify.jobs`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gameday.history.errors import HistoryError
from gameday.verify import buckets
from gameday.verify.judge import Verdict, judge, judge_all
from gameday.verify.workers import in_processes
from tests.reference.flows import draw
from tests.series import in_series, in_soak, soak
from tests.verify.handmade.builder import History, fifo, ns, queue, stream
from tests.verify.jobs import differing, handmade, random

IDS = "abcdefgh"
FIVE = {"5": buckets.one_after_another(5)}


def sent(subscriptions: dict[str, dict[str, object]], claims: list[str], **fields: str) -> History:
    """A message of each of eight groups, which fall into several buckets."""
    h = History(subscriptions, claims)
    for n, id in enumerate(IDS):
        h.send(id, at=1 + n / 10, group=f"group of {id}", broker_seq=str(n + 1), **fields)
    return h


def one_batch_for_all() -> History:
    """A handler fails a message, and those that shared its batch die with it."""
    h = sent({"s": queue(dead_letter=True, max_receives=1)}, ["dead-letter"])
    for id in IDS:
        h.receive(id, at=3, batch="the one")
        h.effect(id, at=3.5, outcome="failed" if id == "h" else "applied")
        h.dead(id, at=20)
    h.drained(at=30)
    return h


def one_key_for_all() -> History:
    """Nobody knows whose effects stand under a key that all have; one that nobody has is nobody's."""
    h = sent({"s": queue(effects_from="read-back")}, ["exactly-once-effect"])
    for line in h.files["p1"]:
        if line["event"] == "intended" and line["id"] != "h":
            line["key"] = "k"
    for id in IDS:
        h.take(id, at=3)
    for key in ("k", "nobody", "h"):
        h.record("main", 20, "effects", subscription="s", key=key, applied=1)
    h.drained(at=25)
    h.effects_read(at=30)
    return h


def a_delete_of_any() -> History:
    """One that names no message may have been of each in its batch: none has vanished, and claims are unknown."""
    h = sent({"s": queue()}, ["no-loss"])
    for id in IDS:
        h.receive(id, at=3, batch="the one")
    call = {"subscription": "s", "consumer": "c1", "batch": "the one", "action": "delete"}
    h.record("c1", 4, "settling", **call)
    h.record("c1", 4.1, "settled", **call, outcome="ok", started=ns(4))
    h.drained(at=30)
    return h


def one_partition_for_all() -> History:
    """A zombie's checkpoint falls behind that of another one, each at a record of another group."""
    h = sent({"s": stream()}, ["ordered-per-partition"], partition="0")
    for n, id in enumerate(IDS):
        h.take(id, at=3 + n / 10, partition="0")
    for n, id in ((8, "h"), (2, "b"), (3, "c")):
        h.checkpoint(id, at=5 + (n < 8) + n / 10, partition="0", broker_seq=str(n))
    h.drained(at=30)
    return h


def a_name_that_nobody_gave() -> History:
    """What is received under it may be any message whose send was never answered."""
    h = sent({"s": queue(seen_from="wire")}, ["no-loss", "no-phantom"])
    h.send("x", at=2, group="group of x", outcome="unknown")
    for id in IDS[:4]:
        h.take(id, at=3)
    for id in ("x", "y"):
        h.receive(id, at=4, broker_id=f"?{id}", omit=["id"])
    h.record("c1", 5, "delivered", subscription="s", consumer="c1", batch="c1-batch-1", outcome="failed")
    h.drained(at=30)
    return h


def perhaps_sent_back() -> History:
    """A dead letter was sent back, and nobody knows which: of what may be it, a second copy is nobody's fault."""
    h = sent({"s": fifo()}, ["exactly-once-delivery"])
    for id in ("x", "y"):
        h.send(id, at=2, group=f"group of {id}", outcome="unknown")
        for n in (1, 2):
            h.receive(id, at=2 + n, broker_id=f"{id}{n}", broker_seq=str(20 + n), enqueued=2 + n / 10)
            h.delete(id, at=2.5 + n)
    h.record("main", 6, "redriven", subscription="s", broker_id="?")
    h.drained(at=30)
    return h


def looked_too_early() -> History:
    """The last look came before the last send was settled, and a fault touched the first message alone."""
    h = sent({"s": fifo(settle_s=20)}, ["no-loss", "ordered-per-group", "exactly-once-delivery"])
    h.fault(0.9, 1.05)
    h.send("later", at=15, group="group of another")
    for id in (*IDS[:-1], "later"):
        h.take(id, at=16)
    h.drained(at=30)
    return h


def out_of_order() -> History:
    """The only one in which groups have several messages."""
    h = sent({"s": fifo()}, ["ordered-per-group"])
    for n, id in enumerate(IDS):
        h.send(f"{id}2", at=2 + n / 10, group=f"group of {id}", broker_seq=str(n + 20))
        h.take(f"{id}2", at=3)
        h.take(id, at=4)
    h.drained(at=30)
    return h


# Each with what it is about: an anomaly that has to be found, or what a claim has to say.
COUPLED: Sequence[tuple[Callable[[], History], str]] = [
    (one_batch_for_all, "it shared a batch with one that failed"),
    (one_key_for_all, "7 messages share the `key`"),
    (a_delete_of_any, "deletes, releases or extensions that name no message"),
    (one_partition_for_all, "'stale-checkpoint': {'count': 2"),
    (a_name_that_nobody_gave, "2 receives cannot be told"),
    (perhaps_sent_back, "'send-duplicate': {'count': 0"),
    (looked_too_early, "1 sends or replays were not 20 s over"),
    (out_of_order, "'nonmonotonic-delivery': {'count': 8"),
]


@pytest.fixture(scope="module")
def coupled(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Histories in which messages of different groups have to do with each other, and random ones."""
    directory = tmp_path_factory.mktemp("coupled")
    written = [history().write(directory / history.__name__) for history, _ in COUPLED]
    return [*written, *random([2], directory, retold=False), *random([2], directory, retold=True)]


@in_series
def test_what_couples_groups_is_the_same_in_buckets(coupled: list[Path]) -> None:
    whole = judge_all(coupled, with_examples=True)
    for (history, about), verdict in zip(COUPLED, whole, strict=False):
        assert isinstance(verdict, Verdict) and about in str(verdict.document), history.__name__
    assert differing(coupled, FIVE, whole=whole) == []


@in_series
def test_a_group_that_is_cut_is_found_out(coupled: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "_KEPT_TOGETHER", "r.id")
    assert [run.name for run, _ in differing(coupled[: len(COUPLED)], FIVE)] == ["out_of_order"]


@in_series
@pytest.mark.parametrize("table", [*soak("failures", "shared_keys", "of_any", "unidentified", "drains")])
def test_a_fact_of_the_whole_that_a_bucket_lacks_is_found_out(
    coupled: list[Path], table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = buckets._write_facts

    def lacking(db: buckets.duckdb.DuckDBPyConnection, directory: Path) -> None:
        written(db, directory)
        db.execute(f"COPY (FROM {table} LIMIT 0) TO '{directory / table}.parquet' (FORMAT parquet)")

    monkeypatch.setattr(buckets, "_write_facts", lacking)
    assert differing(coupled[: len(COUPLED)], FIVE)


@in_series
@pytest.mark.parametrize("retold", [True, *soak(False)])
@pytest.mark.parametrize("seeds", [range(2), *soak(range(2, 16))], ids=["some", "more"])
def test_random_histories(tmp_path: Path, seeds: Sequence[int], retold: bool) -> None:
    assert differing(random(seeds, tmp_path, retold=retold)) == [], "python -m tests.verify.jobs SEED"


@in_series
@in_soak
def test_histories_made_by_hand(tmp_path: Path) -> None:
    """Every eighth of them; `python -m tests.verify.jobs 0:0 --handmade` takes all."""
    runs = handmade(tmp_path)
    assert len(runs) > 400
    assert differing(runs[::8], {"7": buckets.one_after_another(7)}) == []


@in_series
def test_processes_of_their_own_say_the_same(coupled: list[Path]) -> None:
    run = coupled[0]
    assert judge(run, jobs=3).document == judge(run).document


def test_what_a_process_could_not_do_is_told(tmp_path: Path) -> None:
    bucket = buckets.Bucket(
        number=3,
        records=[str(tmp_path / "absent.parquet")],
        facts=str(tmp_path),
        results=str(tmp_path),
        scratch=str(tmp_path),
        clock_error_ns=0,
        broker_tick_ns=0,
        small=True,
    )
    with pytest.raises(HistoryError, match=r"cannot judge bucket 3: .*absent"):
        list(in_processes(buckets.judge_bucket, [bucket], jobs=1))


def test_a_process_that_dies_ends_the_judgement() -> None:
    with pytest.raises(HistoryError, match=r"died \(7\); fewer of them need less memory"):
        list(in_processes(os._exit, [7], jobs=1))


@in_series
def test_without_pyspark_it_says_what_to_install(coupled: list[Path]) -> None:
    """In a process that cannot import it, whether it is there or not."""
    script = (
        "import sys; sys.modules['pyspark'] = None\n"
        "sys.argv = ['gameday', 'verify', sys.argv[1], '--engine', 'spark']\n"
        "from gameday.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script, str(coupled[0])], capture_output=True, text=True, check=False)
    assert (done.returncode, "pip install 'gameday[spark]'" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("seeds", [(25,), *soak(range(40))], ids=["known", "more"])
def test_so_are_executions_of_workflows(tmp_path: Path, seeds: Sequence[int]) -> None:
    runs = [tmp_path / str(seed) for seed in seeds]
    for seed, run in zip(seeds, runs, strict=True):
        draw(seed, run=run)
    assert differing(runs, FIVE) == []
