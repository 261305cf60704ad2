"""How many schedules a hunt tries in a minute on a clock that jumps, and on real processes of the memory target.

    python -m benchmarks.virtual_hunt [--budget 60s] [--jobs 2]

The same scenario, messages and seed, one hunt after the other. Its consumers have a guard that keeps an effect from
being doubled, so that neither hunt ends before its time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from tests.commanded import COMMAND

SCENARIO = """\
name: hunted
transport: sqs-fifo
topology: {visibility_timeout: 2s, max_receives: 20}
load: {rate: 50/s, duration: 10s, groups: 10, users: 2}
consumers: {processes: 3, processing_time: 50ms}
claims: [no-loss, exactly-once-delivery, ordered-per-group, exactly-once-effect]
"""


def hunted(place: Path, *words: str) -> tuple[int, float]:
    """How many runs, and how many a minute."""
    (place / "hunted.yaml").write_text(SCENARIO, encoding="utf-8")
    began = time.monotonic()
    ran = subprocess.run(
        [*COMMAND, "hunt", "hunted.yaml", "--json", *words], cwd=place, stdout=subprocess.PIPE, check=False
    )
    took_s = time.monotonic() - began
    runs = len(json.loads(ran.stdout)["runs"])
    return runs, runs / took_s * 60


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.virtual_hunt", description=__doc__)
    parser.add_argument("--budget", default="60s", help="of each hunt; 60s unless told")
    parser.add_argument("--jobs", default="2", help="runs, or processes that play runs, side by side; 2 unless told")
    asked = parser.parse_args()
    words = ("--budget", asked.budget, "--jobs", asked.jobs)
    with tempfile.TemporaryDirectory() as place:
        virtual, virtual_a_minute = hunted(Path(place), "--virtual", "--out", "virtual", *words)
        real, real_a_minute = hunted(Path(place), "--out", "real", *words)
    print(f"on a clock that jumps: {virtual} schedules, {virtual_a_minute:.0f} a minute")
    print(f"on real processes:     {real} schedules, {real_a_minute:.1f} a minute")
    print(f"ratio: {virtual_a_minute / real_a_minute:.0f}")


if __name__ == "__main__":
    main()
