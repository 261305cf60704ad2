"""Measures report.html on a synthetic history: how long making it takes, how large it is, how soon Chromium shows it.

    python benchmarks/report.py [MESSAGES …] [--chromium /usr/bin/chromium]

Judging and drawing happen in a process of their own, whose peak resident memory is read from the kernel; drawing is
what the report adds to a run that is judged anyway. Opening is the time from the navigation to the `load` event, with
the script run and the first picture painted, the median of five. A report of a million messages must be under 5 MB and
open in 2 s. Run it on a quiet machine. Chromium is Debian's; playwright comes with the development lock.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic_history import EVENTS_PER_MESSAGE, write

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
TIMES = 5
SIZE_MOST_BYTES = 5_000_000
OPEN_MOST_S = 2.0


def child(run: Path) -> None:
    """Judge and draw; tell on standard output what both took."""
    from gameday.report.html.page import save
    from gameday.verify.judge import judging

    started = time.monotonic()
    with judging(run) as (loaded, verdict):
        judged = time.monotonic()
        save(run, loaded, verdict)
        drawn = time.monotonic()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"judge_s": judged - started, "draw_s": drawn - judged, "peak_mib": usage.ru_maxrss / 1024}))


def opened_s(page: Path, chromium: str) -> float:
    """The median of several openings, each in a fresh context."""
    from playwright.sync_api import sync_playwright

    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for _ in range(TIMES):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            began = time.monotonic()
            tab.goto(page.resolve().as_uri(), wait_until="load")
            # Two frames later the first picture is on the screen.
            tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            taken.append(time.monotonic() - began)
            context.close()
        browser.close()
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages", nargs="*", type=lambda text: int(float(text)), default=[10_000, 1_000_000])
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
    print(f"{'messages':>10} {'judged in':>10} {'drawn in':>10} {'peak':>9} {'size':>9} {'opens in':>9}")
    missed = False
    for messages in arguments.messages:
        with tempfile.TemporaryDirectory(prefix="gameday-report-") as scratch:
            run = Path(scratch) / "run"
            write(run, events=messages * EVENTS_PER_MESSAGE)
            done = subprocess.run(
                [sys.executable, __file__, "--child", str(run)], check=True, capture_output=True, text=True
            )
            told = json.loads(done.stdout.splitlines()[-1])
            page = run / "report.html"
            size, opens_s = page.stat().st_size, opened_s(page, arguments.chromium)
            missed |= size > SIZE_MOST_BYTES or opens_s > OPEN_MOST_S
            print(
                f"{messages:>10,} {told['judge_s']:>8.1f} s {told['draw_s']:>8.1f} s {told['peak_mib']:>5.0f} MiB "
                f"{size / 1e6:>6.2f} MB {opens_s:>7.2f} s",
                flush=True,
            )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
