"""Measures `gameday verify` on synthetic histories: events per second and peak memory, beside a bare DuckDB scan.

    python benchmarks/judging.py [EVENTS …] [--hot]

Each size is judged in a process of its own, whose peak resident memory is read from the kernel. The scan parses the
same files into the same columns with DuckDB alone and counts the events by kind: what any judge on this engine pays at
the least. `--hot` puts half of all messages into one group. Run it on a quiet machine; only the ratio travels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic_history import write

SIZES = (1_000_000, 3_000_000, 10_000_000)


def judge(run: Path) -> None:
    from gameday.verify.judge import judge as judge_run

    assert judge_run(run).verdict == "holds"


def scan(run: Path) -> None:
    import duckdb

    from gameday.verify.load import COLUMNS, MEMORY_LIMIT, THREADS

    columns = ", ".join(f"'{field.name}': '{field.sql}'" for field in COLUMNS.values())
    db = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
    # Counting every column makes the engine parse it; what nobody asks for, it would skip.
    counts = ", ".join(f'count("{field.name}")' for field in COLUMNS.values())
    db.execute(
        f"SELECT event, {counts} FROM read_json(?, format = 'newline_delimited', columns = {{{columns}}}) "
        "GROUP BY event",
        [[str(path) for path in sorted((run / "history").iterdir())]],
    ).fetchall()


def measured(what: str, run: Path) -> dict[str, float]:
    """Seconds, CPU seconds and peak MiB of one of the two, in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, str(run)], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def child(what: str, run: Path) -> None:
    started = time.monotonic()
    {"judge": judge, "scan": scan}[what](run)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "s": time.monotonic() - started,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_mib": usage.ru_maxrss / 1024,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="*", type=lambda text: int(float(text)), default=list(SIZES))
    parser.add_argument("--hot", action="store_true", help="half of all messages in one group")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return
    print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
    print(
        f"{'events':>12} {'judge':>9} {'events/s':>10} {'CPU':>8} {'peak':>9} {'scan':>8} {'scan peak':>10} "
        f"{'ratio':>6}"
    )
    for events in arguments.events:
        with tempfile.TemporaryDirectory(prefix="gameday-judging-") as scratch:
            run = Path(scratch) / "run"
            lines = write(run, events=events, hot=arguments.hot)
            # The first reader warms the page cache, so neither pays for the disk alone.
            scanned, judged = measured("scan", run), measured("judge", run)
            print(
                f"{lines:>12,} {judged['s']:>7.1f} s {lines / judged['s']:>10,.0f} {judged['cpu_s']:>6.1f} s "
                f"{judged['peak_mib']:>5.0f} MiB {scanned['s']:>6.1f} s {scanned['peak_mib']:>6.0f} MiB "
                f"{judged['s'] / scanned['s']:>6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
