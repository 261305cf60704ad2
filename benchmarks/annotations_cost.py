"""What annotations in Grafana cost: processor time of `quick` on the memory target with and without them, in turn.

    python -m benchmarks.annotations_cost [--rounds 3]

The Grafana is the tests' fake one, in this process, and not counted. They are written by a process of its own, so what
they cost is its processor time beside that of all processes of the run; the whole runs beside each other show that
nothing else became dearer, with the noise of two runs (some per cent).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # comes with Locust, without types

from tests.commanded import COMMAND
from tests.dashboards.fake_grafana import TOKEN, FakeGrafana

_LOOK_S = 0.1


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def annotators_s(run: psutil.Process) -> float | None:
    """Processor time of the annotator so far; None while there is none."""
    for child in run.children():
        try:
            if "gameday.dashboards.annotator" in child.cmdline():
                times = child.cpu_times()
                return float(times.user + times.system)
        except psutil.NoSuchProcess:
            continue
    return None


def played(directory: Path, grafana: str | None) -> tuple[float, float]:
    """A run: processor time of all its processes, and of its annotator until shortly before its end, in seconds."""
    before, annotator_s = children_s(), 0.0
    options = [] if grafana is None else ["--grafana", grafana]
    with subprocess.Popen(
        [*COMMAND, "run", "quick", "--target", "memory", "--seed", "1", "--out", str(directory), *options],
        env={**os.environ, "GRAFANA_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        run = psutil.Process(process.pid)
        while process.poll() is None:
            annotator_s = annotators_s(run) or annotator_s
            time.sleep(_LOOK_S)
    assert process.returncode == 0, f"quick ended with {process.returncode}"
    return children_s() - before, annotator_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}; {time.strftime('%Y-%m-%d')}", flush=True)
    grafana, shares, ratios = FakeGrafana(), [], []
    try:
        with tempfile.TemporaryDirectory(prefix="gameday-annotations-") as scratch:
            for number in range(rounds):
                with_s, annotator_s = played(Path(scratch) / f"with{number}", grafana.url)
                without_s, _ = played(Path(scratch) / f"without{number}", None)
                shares.append(annotator_s / without_s)
                ratios.append(with_s / without_s - 1)
                print(
                    f"round {number + 1}: {with_s:.2f} s with, of which the annotator {annotator_s:.2f} s; "
                    f"{without_s:.2f} s without",
                    flush=True,
                )
    finally:
        grafana.end()
    print(f"the annotator: {statistics.mean(shares):+.1%} of the run; whole runs: {statistics.mean(ratios):+.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
