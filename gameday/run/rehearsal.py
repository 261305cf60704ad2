"""Run scenarios again and again and hold each verdict to what the scenario expects: `python -m gameday.run.rehearsal`.

A negative control that holds once in ten runs is no control, and a good scenario that breaks once is no proof. It
promises to run each as a person would, as a process of its own, to keep the directory of every run that surprised, and
to end with 1 when one did, or when none could be run. What the live view counted is held to the verdict, too. A
scenario that the target refuses, because it lacks what the scenario asks for, surprises nobody.

    python -m gameday.run.rehearsal --times 10
    python -m gameday.run.rehearsal broken-no-guard quick --times 3 --target localstack
"""

from __future__ import annotations

from gameday.processes.isolation import isolate

if __name__ == "__main__":
    isolate()

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.history.errors import TargetLacks, UsageError
from gameday.report.printing import outlive_readers
from gameday.run.many import Task
from gameday.scenario import reading as scenario
from gameday.scenario.model import ExpectSpec
from gameday.watch.live import differences
from gameday.watch.metrics import differing_totals, final_counts
from gameday.watch.observer import Observer

_PASSED_ON = {
    "--target": "where to run",
    "--endpoint-url": "the endpoint of --target",
    "--carrier": "who carries the calls",
    "--seed": "of every scenario",
}


def surprises(expect: ExpectSpec, verdict: Mapping[str, Any]) -> list[str]:
    """In what a verdict.json differs from what was expected."""
    found = []
    if verdict["verdict"] != expect.verdict:
        found.append(f"the verdict is {verdict['verdict']}, not {expect.verdict}")
    claims = {claim["key"]: claim for claim in verdict["claims"]}
    for name, expected in expect.claims.items():
        if claims[name]["verdict"] != expected:
            found.append(f"{name} is {claims[name]['verdict']}, not {expected}")
    if expect.verdict == "holds":
        found += [
            f"{name} is {claim['verdict']}: {'; '.join(claim['why']) or claim['anomalies']}"
            for name, claim in claims.items()
            if claim["verdict"] != "holds"
        ]
    for name in expect.anomalies:
        if not verdict["anomalies"][name]["count"]:
            found.append(f"no {name}")
    return found


class Refused(Exception):
    """The target cannot do what the scenario asks for; the message says what."""


def expected(name: str) -> ExpectSpec:
    """What the scenario says of its verdict. Errors: UsageError where it says nothing."""
    expect = scenario.load(scenario.find(name)).expect
    if expect is None:
        raise UsageError(f"the scenario {name} does not say what it expects; add `expect: {{verdict: …}}`")
    return expect


def rehearse(name: str, expect: ExpectSpec, arguments: Sequence[str], directory: Path) -> list[str]:
    """Run it once; what surprised, if anything. Errors: Refused."""
    task = Task(arguments=[name, *arguments], directory=directory)
    ran = subprocess.run(task.argv, capture_output=True, text=True, check=False)
    done = task.done(ran.returncode, ran.stderr)
    if done.verdict is None:
        if done.code == TargetLacks.exit_code:
            raise Refused(done.said)
        return [f"exit code {done.code}: {done.said}"]
    observer = Observer(directory)
    observer.finish()
    return [
        *surprises(expect, done.verdict),
        *differences(final_counts(observer), done.verdict["anomalies"], observer.live.open_counts),
        *differing_totals(observer, done.verdict["totals"]),
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a rehearsal is to run: names of scenarios, how often each, and what `gameday run` is told besides."""

    names: tuple[str, ...]
    times: int
    arguments: tuple[str, ...]


def asked(words: Sequence[str]) -> Asked:
    parser = argparse.ArgumentParser(
        prog="python -m gameday.run.rehearsal", description="Run scenarios; check verdicts."
    )
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="default: all of scenarios/")
    parser.add_argument("--times", type=int, default=1, help="how often each; 1 unless told")
    for option, meaning in _PASSED_ON.items():
        parser.add_argument(option, dest=option, help=f"{meaning}, as of `gameday run`")
    chosen = vars(parser.parse_args(words))
    told = [(option, chosen[option]) for option in _PASSED_ON if chosen[option] is not None]
    return Asked(
        names=tuple(chosen["names"] or scenario.names()),
        times=chosen["times"],
        arguments=tuple(word for pair in told for word in pair),
    )


def main() -> int:
    chosen = asked(sys.argv[1:])
    runs = Path(tempfile.mkdtemp(prefix="gameday-rehearsal-"))
    surprised = ran = 0
    for name in chosen.names:
        for turn in range(1, chosen.times + 1):
            directory = runs / f"{name}-{turn}"
            began = time.monotonic()
            try:
                found = rehearse(name, expected(name), chosen.arguments, directory)
            except UsageError as error:
                print(error, file=sys.stderr)
                return error.exit_code
            except Refused as refused:
                print(f"{name}: refused: {refused}", flush=True)
                break
            ran += 1
            took = f"{time.monotonic() - began:.0f} s"
            print(
                f"{name} {turn}/{chosen.times}: {'as expected' if not found else '; '.join(found)} ({took})", flush=True
            )
            if found:
                surprised += 1
                print(f"  kept: {directory}", flush=True)
            else:
                shutil.rmtree(directory)
    if not surprised:
        runs.rmdir()
    return 1 if surprised or not ran else 0


if __name__ == "__main__":
    outlive_readers()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
