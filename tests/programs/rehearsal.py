"""Run the programs as consumers under test, again and again: `python -m tests.programs.rehearsal --times 10`.

It promises to run each case as a person would, to hold each verdict, and what it blames, to what the case expects, to
keep the directory of every run that surprised, and to end with 1 when one did.

    python -m tests.programs.rehearsal --times 10 boto3 broken-boto3-no-guard
    python scripts/serve.py localstack --port 0 -- python -m tests.programs.rehearsal --target localstack --jobs 2
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gameday.run.rehearsal import Refused, rehearse
from tests.programs.cases import CASES, Case


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One run. `surprises` is None where the target refused it."""

    name: str
    surprises: Sequence[str] | None
    took_s: float


def run(case: Case, directory: Path, target: str) -> list[str]:
    """What surprised, if anything. Errors: Refused."""
    found = rehearse(str(case.path), case.expect, [*case.arguments, "--target", target], directory)
    path = directory / "verdict.json"
    return found + case.unblamed(json.loads(path.read_bytes())) if path.exists() else found


def turn(name: str, number: int, target: str, runs: Path) -> Turn:
    directory, began = runs / f"{name}-{number}", time.monotonic()
    try:
        found: list[str] | None = run(CASES[name], directory, target)
    except Refused as refused:
        found = None
        told = f"refused: {refused}"
    else:
        told = f"{'; '.join(found)}\n  kept: {directory}" if found else "as expected"
    took_s = time.monotonic() - began
    print(f"{name} {number}: {told} ({took_s:.0f} s)", flush=True)
    if not found:
        shutil.rmtree(directory, ignore_errors=True)
    return Turn(name=name, surprises=found, took_s=took_s)


def table(turns: Sequence[Turn]) -> str:
    lines = ["| program | expected | as expected | seconds a run |", "|---|---|---|---|"]
    for name in dict.fromkeys(each.name for each in turns):
        these = [each for each in turns if each.name == name and each.surprises is not None]
        good = sum(not each.surprises for each in these)
        took = f"{statistics.median(each.took_s for each in these):.0f}" if these else ""
        expect = CASES[name].expect
        broken = [claim for claim, verdict in expect.claims.items() if verdict == "violated"]
        expected = " ".join([expect.verdict, *broken])
        lines.append(f"| {name} | {expected} | {f'{good}/{len(these)}' if these else 'refused'} | {took} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.rehearsal")
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"default: all. They are {', '.join(CASES)}; or 'go*'")
    parser.add_argument("--target", choices=("embedded", "localstack", "memory"), default="embedded")
    parser.add_argument("--times", type=int, default=1, help="how often each")
    parser.add_argument("--jobs", type=int, default=1, help="how many at the same time")
    chosen = parser.parse_args()
    asked = [name for name in CASES if not chosen.names or any(fnmatch.fnmatch(name, one) for one in chosen.names)]
    if not asked:
        parser.error(f"no case is called {' or '.join(chosen.names)}")
    for name in asked:
        if not CASES[name].ready:
            print(f"{name}: not installed; get it with: make programs", flush=True)
    todo = [(name, number) for number in range(1, chosen.times + 1) for name in asked if CASES[name].ready]
    runs = Path(tempfile.mkdtemp(prefix="gameday-programs-"))
    with ThreadPoolExecutor(chosen.jobs) as pool:
        turns = list(pool.map(lambda one: turn(*one, chosen.target, runs), todo))
    print(table(turns))
    surprised = any(each.surprises for each in turns)
    if not surprised:
        shutil.rmtree(runs)
    return 1 if surprised or not any(each.surprises is not None for each in turns) else 0


if __name__ == "__main__":
    sys.exit(main())
