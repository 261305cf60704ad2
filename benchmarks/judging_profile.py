"""Says where the seconds of `gameday verify` go: each statement of the engine, and each line of our own reader.

    python benchmarks/judging_profile.py [EVENTS] [--most N] [--hot]

It judges a synthetic history in this process. A statement is named by its first words. Engine and reader work at once
while the history is read, so their seconds add up to more than the whole. Lines are sampled, two hundred times a
second, among the threads that run Python.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from synthetic_history import write

from gameday.verify import load
from gameday.verify.judge import judge

_SAMPLES_PER_S = 200
_WORDS = 10
_READERS = ("gameday/history/", "gameday/verify/load.py")


class Timed:
    """A connection that counts the seconds of each statement. `statements`: [times, seconds, CPU seconds] by name."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db
        self.statements: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, query: Any, parameters: Any = None) -> Any:
        statements = duckdb.extract_statements(query) if isinstance(query, str) and parameters is None else [query]
        for statement in statements:
            text = statement if isinstance(statement, str) else statement.query
            started, cpu = time.perf_counter(), time.process_time()
            given = self._db.execute(statement, parameters)
            counted = self.statements[_named(text)]
            counted[0] += 1
            counted[1] += time.perf_counter() - started
            counted[2] += time.process_time() - cpu
        return given


def _named(query: str) -> str:
    said = " ".join(line for line in query.splitlines() if not line.lstrip().startswith("--"))
    return " ".join(said.split()[:_WORDS])


@contextmanager
def sampled() -> Iterator[Counter[str]]:
    """How often each line of the readers was met."""
    lines: Counter[str] = Counter()
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(1 / _SAMPLES_PER_S):
            for thread, frame in sys._current_frames().items():
                if thread == sampler.ident:
                    continue
                at = frame.f_code.co_filename
                if any(reader in at for reader in _READERS):
                    lines[f"{Path(at).name}:{frame.f_lineno}"] += 1

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield lines
    finally:
        ended.set()
        sampler.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="?", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--most", type=int, default=25, metavar="N", help="so many statements, and so many lines")
    parser.add_argument("--hot", action="store_true", help="half of all messages in one group")
    arguments = parser.parse_args()
    connections: list[Timed] = []
    connect = load.connect

    def timed(*given: Any, **more: Any) -> Any:
        connections.append(Timed(connect(*given, **more)))
        return connections[-1]

    load.connect = timed
    with tempfile.TemporaryDirectory(prefix="gameday-judging-") as scratch, sampled() as lines:
        run = Path(scratch) / "run"
        count = write(run, events=arguments.events, hot=arguments.hot)
        lines.clear()
        started = time.perf_counter()
        judge(run)
        whole = time.perf_counter() - started
    print(f"{count:,} events in {whole:.1f} s; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    (db,) = connections
    print(f"{'share':>6} {'s':>7} {'CPU s':>7} {'times':>6}  statement")
    spent = sorted(db.statements.items(), key=lambda each: -each[1][1])
    for name, (times, seconds, cpu) in spent[: arguments.most]:
        print(f"{seconds / whole:>6.1%} {seconds:>7.2f} {cpu:>7.2f} {times:>6}  {name}")
    rest = sum(seconds for _, (_, seconds, _) in spent[arguments.most :])
    print(f"{rest / whole:>6.1%} {rest:>7.2f} {'':>14}  {len(spent) - arguments.most} others\n")
    print(f"{'share':>6} {'s':>7}  line of our reader, or that waits for the engine")
    for line, met in lines.most_common(arguments.most):
        print(f"{met / _SAMPLES_PER_S / whole:>6.1%} {met / _SAMPLES_PER_S:>7.2f}  {line}")


if __name__ == "__main__":
    main()
