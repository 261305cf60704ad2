"""Many runs of one scenario on a clock that jumps, judged together: judging many at once takes a part of the time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.history.errors import GamedayError, HistoryError, NotARun
from gameday.scenario import document as documents
from gameday.scenario.reading import resolve
from gameday.simulation.play import play
from gameday.verify.judge import judge_all
from gameday.verify.load import Loaded

# Memory, where there is some: a run is a dozen small files, and none outlives its judgement.
_SHM = Path("/dev/shm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One run: `overrides` as `--set` takes them. `number` is whose it is, for who asks for many."""

    number: int
    overrides: Sequence[str]
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """`path`: the scenario's file."""

    path: Path
    orders: Sequence[Order]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Of the order with that number: the object of verdict.json, without examples; or why there is none."""

    number: int
    verdict: Mapping[str, Any] | None = None
    failed: str | None = None


def make_place() -> Path:
    """A directory for runs; whoever makes it removes it."""
    return Path(tempfile.mkdtemp(prefix="gameday-simulated-", dir=_SHM if _SHM.is_dir() else None))


def judged(runs: Sequence[Path], *, look: Callable[[Loaded], object] | None = None) -> list[dict[str, Any]]:
    """The object of verdict.json for each run, without examples; `look` as of `judge_all`. Errors: NotARun."""
    documents = []
    for verdict in judge_all(runs, look=look):
        if isinstance(verdict, NotARun):
            raise verdict
        documents.append(verdict.document)
    return documents


def play_batch(batch: Batch) -> list[Judged]:
    """Play all, judge them, and leave nothing behind. Errors: HistoryError, UsageError."""
    read = documents.read(batch.path)
    place = make_place()
    try:
        failed: dict[int, str] = {}
        for order in batch.orders:
            scenario = resolve(documents.override(read, order.overrides))
            try:
                play(scenario, seed=order.seed, directory=place / str(order.number))
            except HistoryError:
                raise
            except GamedayError as error:
                failed[order.number] = str(error)
            except Exception as error:  # a bug of ours in one run takes no other with it
                failed[order.number] = f"the simulation failed: {error!r}"
        played = [order.number for order in batch.orders if order.number not in failed]
        verdicts = dict(zip(played, judged([place / str(number) for number in played]), strict=True))
        return [
            Judged(number=order.number, verdict=verdicts.get(order.number), failed=failed.get(order.number))
            for order in batch.orders
        ]
    finally:
        shutil.rmtree(place, ignore_errors=True)
