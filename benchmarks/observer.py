"""Measures the live view: how many records a second it reads and counts, beside a loop that only parses the same lines.

    python benchmarks/observer.py [EVENTS]

Both run in this process, one after the other, on a synthetic history; the ratio of their CPU seconds is what to quote.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import orjson
from synthetic_history import write

from gameday.watch.observer import Observer


def parse_only(run: Path) -> None:
    for path in sorted((run / "history").iterdir()):
        with path.open("rb") as file:
            for line in file:
                orjson.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="?", type=lambda text: int(float(text)), default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gameday-observer-") as scratch:
        run = Path(scratch) / "run"
        lines = write(run, events=arguments.events)
        began = time.process_time()
        parse_only(run)
        parsed_s = time.process_time() - began
        observer = Observer(run)
        began = time.process_time()
        observer.finish()
        observed_s = time.process_time() - began
    assert (observer.records, observer.tail.unreadable) == (lines, 0)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{lines:,} records: parsed alone {lines / parsed_s:,.0f}/s, observed {lines / observed_s:,.0f}/s, "
        f"ratio {observed_s / parsed_s:.1f}; {len(observer.live.messages):,} messages known, peak {peak_mib:.0f} MiB"
    )


if __name__ == "__main__":
    main()
