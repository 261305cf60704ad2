"""Measures how often `gameday compare` is wrong: runs of the same thing, and runs with a slowdown planted in them.

    python -m benchmarks.compare simulation [--pairs 50] [--slowed 20]
    python -m benchmarks.compare memory [--pairs 50] [--slowed 20] [--in-turn]

Of the pairs of the same thing at most one in fifty may be called different (better or worse); of the slowed ones, whose
handler takes 30 % longer, all must be called worse. It exits 1 if that is not so. `simulation`: whole runs on virtual
time, the same on every machine. `memory`: real processes on the target memory, on this machine as it is. In rounds: two
runs of the same thing and now and then a slowed one are held against one baseline, and on `memory` the runs of a round
are played side by side: what a machine that is busy with other things does to a run as a whole, no bounds from within
that run can know. `--in-turn` plays them one after the other, and shows how much that is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from gameday.compare.compare import CONFIDENCE, TOLERANCE, Comparison, Row, compare
from gameday.verify.judge import EXIT_CODES
from tests.simulation.plan import Plan
from tests.simulation.play import play

SLOWED = 1.3
# A pair in fifty.
_WRONG_MOST = 0.02
# Pairs of the same thing with one baseline.
_A_ROUND = 2


def scenario(transport: str, work_ms: float, *, rate: int, seconds: int, workers: int) -> Mapping[str, Any]:
    """A consumer that is busy for about half of its time."""
    return {
        "name": "compared",
        "transport": transport,
        "topology": {"subscriptions": [{"name": "orders"}], "visibility_timeout": "5s", "max_receives": 10},
        "load": {
            "shape": "constant",
            "rate": f"{rate}/s",
            "duration": f"{seconds}s",
            "groups": 100,
            "users": 4,
            "payload": "256B",
            "give_up": "30s",
        },
        "consumers": {
            "processes": 1,
            "concurrency": workers,
            "handler": "reference",
            "processing_time": f"{work_ms:g}ms",
            "guard": "transaction",
        },
        "claims": ["no-loss", "exactly-once-effect"],
        "drain_timeout": "60s",
    }


def simulated(seed: int, slowdown: float, directory: Path) -> None:
    document = scenario("sqs-fifo", 50 * slowdown, rate=60, seconds=10, workers=6)
    played = play(Plan(seed=seed, scenario=document, latency_s=(0.001, 0.01)), directory)
    assert not played.failures and played.refused is None, (played.failures, played.refused)


def on_memory(seed: int, slowdown: float, directory: Path) -> None:
    file = directory.with_suffix(".yaml")
    # Few messages and long work, so that the work and not the machine's scheduler makes the delay.
    file.write_bytes(orjson.dumps(scenario("sqs", 400 * slowdown, rate=20, seconds=12, workers=16)))
    command = "from gameday.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", command, "run", str(file), "--target", "memory", "--seed", str(seed), "--out",
         str(directory), "--format", "json"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    # Whatever its verdict, it is a run; where there is none, its last words say why.
    assert done.returncode in EXIT_CODES.values(), done.stderr[-2000:]


def differences(comparison: Comparison) -> list[str]:
    """What a comparison called different, with its bounds."""
    rows = [_told(row) for row in comparison.rows if row.call in ("worse", "better")]
    return rows + [f"{claim.claim} {claim.value}" for claim in comparison.claims if claim.call != "same"]


def _shown(metric: str, comparison: Comparison) -> str:
    return "; ".join(_told(row) for row in comparison.rows if row.metric == metric)


def _told(row: Row) -> str:
    if row.change is None:
        return f"{row.metric} {row.call}: {row.why}"
    return f"{row.metric} {row.call} ({row.change:.2f}, {row.low:.2f} to {row.high:.2f})"


def _part(of: int, number: int, parts: int) -> int:
    """How many of them fall to one of so many parts."""
    return (number + 1) * of // parts - number * of // parts


def compared(where: str, *, pairs: int, slowed: int, seed: int, in_turn: bool) -> Iterator[tuple[bool, Comparison]]:
    """Round by round, each comparison with whether its second run was slowed. A round has one baseline."""
    play_one = {"simulation": simulated, "memory": on_memory}[where]
    seeds = count(seed)
    rounds = max(-(-pairs // _A_ROUND), slowed)
    for number in range(rounds):
        # Spread over each other, so that both meet the same hours of the machine.
        slowdowns = [1.0] * _part(pairs, number, rounds) + [SLOWED] * _part(slowed, number, rounds)
        # The simulation is one thread's work; who plays it in turn loses nothing.
        workers = 1 if in_turn or where == "simulation" else 1 + len(slowdowns)
        with (
            tempfile.TemporaryDirectory(prefix="gameday-compared-") as scratch,
            ThreadPoolExecutor(max_workers=workers) as pool,
        ):
            runs = [Path(scratch) / f"run{n}" for n in range(1 + len(slowdowns))]
            list(pool.map(play_one, seeds, [1.0, *slowdowns], runs))
            for slowdown, run in zip(slowdowns, runs[1:], strict=True):
                yield slowdown > 1, compare([runs[0], run], anyway=slowdown > 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", choices=["simulation", "memory"])
    parser.add_argument("--pairs", type=int, default=50, help="of the same thing")
    parser.add_argument("--slowed", type=int, default=20, help="pairs whose second run is slowed")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next ones have the next")
    parser.add_argument("--in-turn", action="store_true", help="the runs of a round one after the other")
    arguments = parser.parse_args()
    print(
        f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}; {time.strftime('%Y-%m-%d')}; "
        f"tolerance {TOLERANCE:.0%}, confidence {CONFIDENCE:.0%}",
        flush=True,
    )
    same = called_different = slow = called_worse = 0
    pairs = compared(
        arguments.where, pairs=arguments.pairs, slowed=arguments.slowed, seed=arguments.seed, in_turn=arguments.in_turn
    )
    for was_slowed, comparison in pairs:
        found = differences(comparison)
        if was_slowed:
            slow += 1
            called_worse += comparison.verdict == "regressed"
        else:
            same += 1
            called_different += bool(found)
        told = "; ".join(found) or f"no difference; {_shown('until done p50', comparison)}"
        print(f"{'slowed' if was_slowed else 'same':>6}: {told}", flush=True)
    print(f"{called_different} of {same} pairs of the same thing called different")
    print(f"{called_worse} of {slow} slowed runs called worse")
    return 0 if called_different <= _WRONG_MOST * same and called_worse == slow else 1


if __name__ == "__main__":
    sys.exit(main())
