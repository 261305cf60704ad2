"""`gameday plan`, held to what a run really called.

`python -m tests.scenario.plan_against_recording [SCENARIO [KEY=VALUE …]]` prints both, and is 1 where they differ.

Each run is one without faults, on an AWS that is played by the broker in memory and counts every call; the plan is made
with the seed of the run and the pace that was measured in it. Without arguments it goes through `RUNS`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gameday.report.used import pace_of, read_calls
from gameday.scenario import reading
from gameday.scenario.calm.pace import Pace
from gameday.scenario.estimate import Estimate, Operation, estimate
from gameday.targets.products import MEMORY
from tests.commanded import COMMAND
from tests.run.plays_aws import REGION, allow, environment, playing
from tests.transports.asked import served

# By what is run: how much longer each call takes than it does on this machine, in seconds.
RUNS: Mapping[str, float] = {
    "standard-at-least-once chaos=[]": 0.0,
    # As far away as a region of AWS: messages wait for their user, and travel together.
    "quick chaos=[] claims=[no-loss] load.duration=15s": 0.025,
    "poison": 0.0,
    "redrive": 0.0,
    "sns-fanout chaos=[]": 0.0,
    "sns-fifo chaos=[] consumers.store=dynamodb": 0.0,
    "eventbridge chaos=[]": 0.0,
    "kinesis chaos=[] consumers.store=dynamodb claims=[no-loss]": 0.0,
}
# How far off a service may be, of what is no poll that finds nothing.
WITHIN = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """`asked`: all calls of the run, `empty` those of them that were receives and found nothing; `told`: all calls, as
    the run itself says that it made them."""

    planned: Estimate
    asked: Mapping[Operation, int]
    empty: Mapping[Operation, int]
    pace: Pace
    told: Mapping[Operation, int]

    def outside(self) -> list[str]:
        """The operations of which more or fewer were called than both ends of the plan say."""
        none = [f"{' '.join(each)}: not in the plan" for each in self.asked if each not in self.planned.calls]
        return none + [
            f"{' '.join(each)}: {self.asked.get(each, 0)}, planned {count}"
            for each, count in self.planned.calls.items()
            if not count.low <= self.asked.get(each, 0) <= count.high
        ]

    def by_service(self) -> dict[str, tuple[float, float]]:
        """What is likely, and what was called, without what found nothing."""
        services = {service for service, _ in self.asked}
        return {
            service: (
                sum(count.likely for each, count in self.planned.calls.items() if each[0] == service)
                - sum(count.likely for each, count in self.planned.empty.items() if each[0] == service),
                sum(count for each, count in self.asked.items() if each[0] == service)
                - sum(self._empty(each) for each in self.planned.empty if each[0] == service),
            )
            for service in sorted(services)
        }

    def _empty(self, operation: Operation) -> float:
        """Nobody counts reads of a stream that find nothing: its readers ask at a pace, whatever they find."""
        if operation == ("kinesis", "GetRecords"):
            return self.planned.empty[operation].likely
        return self.empty.get(operation, 0)

    def off(self) -> dict[str, float]:
        return {service: likely / called - 1 for service, (likely, called) in self.by_service().items()}

    def lines(self) -> Iterator[str]:
        yield f"  {'':<44} {'planned':>34} {'called':>7} {'off':>7}"
        for each in sorted({*self.planned.calls, *self.asked}):
            count, called = self.planned.calls.get(each), self.asked.get(each, 0)
            off = f"{count.likely / called - 1:+.1%}" if count is not None and called else ""
            yield f"  {' '.join(each):<44} {count!s:>34} {called:>7,} {off:>7}"
        for each, count in self.planned.empty.items():
            yield f"  {' '.join(each) + ', of it in vain':<44} {count!s:>34} {self.empty.get(each, ''):>7}"
        for service, (likely, called) in self.by_service().items():
            yield f"  {service + ', but for these':<44} {likely:>34,.0f} {called:>7,.0f} {likely / called - 1:>+7.1%}"


def record(arguments: str, directory: Path, *, far_s: float = 0.0) -> Recording:
    """Run it in that directory, and plan it. Errors: AssertionError where the run was not done."""
    scenario, *overrides = arguments.split()
    allow(directory)
    settings = [part for each in overrides for part in ("--set", each)]
    command = [*COMMAND, "run", scenario, "--target", "aws", "--region", REGION, "--yes", "--out", "run", *settings]
    with served() as url, playing(url) as aws:
        aws.far_s = far_s
        ran = subprocess.run(
            command,
            cwd=directory,
            env=environment(aws, directory),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = directory / "run"
    seed = json.loads((run / "manifest.json").read_bytes())["seed"]
    pace = pace_of(read_calls(run)[0], Pace.of(MEMORY))
    read = reading.load(reading.find(scenario), overrides)
    return Recording(
        planned=estimate(read, region=REGION, seed=seed, product=MEMORY, pace=pace),
        asked=_by_operation(aws.asked),
        empty=_by_operation(aws.empty),
        pace=pace,
        told=_told(run),
    )


def _told(run: Path) -> dict[Operation, int]:
    calls = json.loads((run / "used.json").read_bytes())["calls"]
    return _by_operation(calls)


def _by_operation(counts: Mapping[str, int]) -> dict[Operation, int]:
    found = {}
    for name, count in counts.items():
        service, _, operation = name.partition(" ")
        found[service, operation] = count
    return found


def main(arguments: Sequence[str]) -> int:
    wrong = 0
    for run, far_s in {" ".join(arguments): 0.0}.items() if arguments else RUNS.items():
        with tempfile.TemporaryDirectory() as directory:
            recording = record(run, Path(directory), far_s=far_s)
        pace = recording.pace
        print(f"{run} (a send took {pace.send * 1000:.1f} ms, another call {pace.call * 1000:.1f} ms)", flush=True)
        for line in recording.lines():
            print(line)
        far = [service for service, off in recording.off().items() if abs(off) > WITHIN]
        for each in [*recording.outside(), *(f"{service} is more than {WITHIN:.0%} off" for service in far)]:
            wrong = 1
            print(f"  WRONG: {each}")
        print()
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
