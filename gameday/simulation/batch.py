"""Many runs of one scenario on a clock that jumps, judged together: judging many at once takes a part of the time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.history.errors import GamedayError, HistoryError, NotARun
from gameday.scenario import document as documents
from gameday.scenario.reading import resolve
from gameday.simulation.play import play
from gameday.verify.judge import judge_all

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


def play_batch(batch: Batch) -> list[Judged]:
    """Play all, judge them, and leave nothing behind. Errors: HistoryError, UsageError."""
    read = documents.read(batch.path)
    place = Path(tempfile.mkdtemp(prefix="gameday-simulated-", dir=_SHM if _SHM.is_dir() else None))
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
        verdicts = judge_all([place / str(number) for number in played])
        judged = {}
        for number, verdict in zip(played, verdicts, strict=True):
            if isinstance(verdict, NotARun):
                raise verdict
            judged[number] = Judged(number=number, verdict=verdict.document)
        return [
            judged.get(order.number) or Judged(number=order.number, failed=failed[order.number])
            for order in batch.orders
        ]
    finally:
        shutil.rmtree(place, ignore_errors=True)
