"""Every fault on whole runs: `python -m tests.chaos.proven`.

Each is played on the broker in memory, once with who is correct, of whom every claim must hold, and once with who is
broken, of whom one claim must be violated, for the reason that tests/chaos/proofs.py names. It promises to run each as
a person would, as a process of its own, to keep the directory of every run that surprised, and to end with 1 when one
did.

    python -m tests.chaos.proven --times 10
    python -m tests.chaos.proven kill-consumer reshard --times 3 --jobs 2
    python -m tests.chaos.proven reshard --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.run.many import Done, Task, play
from gameday.scenario.reading import SCENARIOS
from tests.chaos.proofs import PROOFS, Elsewhere, Proof

# A program of boto3 that knows nothing of gameday, with mistakes to choose from.
WORKER = Path(__file__).resolve().parents[1] / "wire" / "worker.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One run of a proof, with who is correct or with who is broken. `number`: its seed."""

    fault: str
    proof: Proof
    broken: bool
    number: int = 1

    @property
    def name(self) -> str:
        return f"{self.fault} {'broken' if self.broken else 'correct'} {self.number}"

    @property
    def scenario(self) -> str:
        """YAML."""
        return placed(self.proof.scenario)

    @property
    def overrides(self) -> list[str]:
        return [placed(each) for each in self.proof.overrides(broken=self.broken)]

    def task(self, runs: Path) -> Task:
        """Its run, in a directory of its own in `runs`."""
        path = runs / f"{self.fault}.yaml"
        path.write_text(self.scenario, encoding="utf-8")
        sets = [word for each in self.overrides for word in ("--set", each)]
        arguments = [str(path), "--target", "memory", "--seed", str(self.number), *sets]
        return Task(arguments=arguments, directory=runs / self.name.replace(" ", "-"))

    def surprises(self, verdict: Mapping[str, Any]) -> list[str]:
        """In what a verdict.json is not what the proof says."""
        if not self.broken:
            return [
                f"{claim['key']} is {claim['verdict']}: {'; '.join(claim['why']) or claim['anomalies']}"
                for claim in verdict["claims"]
                if claim["verdict"] != "holds"
            ]
        proof, found = self.proof, list[str]()
        (claim,) = [each for each in verdict["claims"] if each["claim"] == proof.violates]
        if claim["verdict"] != "violated":
            found.append(f"{proof.violates} is {claim['verdict']}")
        if proof.anomaly is not None and not claim["anomalies"].get(proof.anomaly):
            found.append(f"no {proof.anomaly}")
        for kind, cause in proof.causes.items():
            named = verdict["causes"].get(kind, {})
            if cause not in named:
                found.append(f"of {kind} the cause {cause} is not named, but {', '.join(named) or 'none'}")
        return found

    def told(self, verdict: Mapping[str, Any]) -> str:
        """How often what the broken one is caught by was found, and why; for people."""
        proof, told = self.proof, list[str]()
        if proof.anomaly is not None:
            told.append(f"{verdict['anomalies'][proof.anomaly]['count']} {proof.anomaly}")
        for kind in proof.causes:
            for cause, each in verdict["causes"].get(kind, {}).items():
                by = f" by {', '.join(each['faults'])}" if each["faults"] else ""
                told.append(f"{kind}: {each['count']} {cause}{by}")
        return "; ".join(told)


def placed(text: str) -> str:
    """With what stands elsewhere on each machine."""
    for name, there in (("SCENARIOS", SCENARIOS), ("PYTHON", sys.executable), ("WORKER", WORKER)):
        text = text.replace(name, str(there))
    return text


def turns(faults: Sequence[str], numbers: Sequence[int]) -> Iterator[Turn]:
    for fault in faults:
        proof = PROOFS[fault]
        if isinstance(proof, Proof):
            for number in numbers:
                for broken in (False, True):
                    yield Turn(fault=fault, proof=proof, broken=broken, number=number)


def judged(turn: Turn, done: Done) -> list[str]:
    """What surprised in a run that has ended."""
    if done.verdict is None:
        return [f"exit code {done.code}: {done.said}"]
    return turn.surprises(done.verdict)


async def prove(faults: Sequence[str], numbers: Sequence[int], *, at_once: int, runs: Path) -> int:
    """How many runs surprised. Prints a line for each."""
    playing: dict[Path, Turn] = {}
    surprised = 0

    def tasks() -> Iterator[Task]:
        for turn in turns(faults, numbers):
            task = turn.task(runs)
            playing[task.directory] = turn
            yield task

    async for done in play(tasks(), at_once=at_once):
        turn = playing.pop(done.task.directory)
        found = judged(turn, done)
        what = turn.told(done.verdict) if turn.broken and done.verdict else ""
        print(f"{turn.name}: {'; '.join(found) or 'as expected'}{what and f' ({what})'}", flush=True)
        if found:
            surprised += 1
            print(f"  kept: {done.task.directory}", flush=True)
        else:
            shutil.rmtree(done.task.directory)
    return surprised


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.proven", description="Every fault on whole runs.")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="default: every one")
    parser.add_argument("--times", type=int, default=1, help="how often each; 1 unless told")
    parser.add_argument("--seed", type=int, default=1, help="of the first time; each later one has the next; 1")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at once; 1 unless told")
    asked = parser.parse_args(argv)
    if unknown := [fault for fault in asked.faults if fault not in PROOFS]:
        parser.error(f"no fault is called {unknown[0]}; there are {', '.join(PROOFS)}")
    faults = asked.faults or list(PROOFS)
    for fault in faults:
        if isinstance(elsewhere := PROOFS[fault], Elsewhere):
            print(f"{fault}: {elsewhere.why}: {elsewhere.test}", flush=True)
    runs = Path(tempfile.mkdtemp(prefix="gameday-proven-"))
    surprised = asyncio.run(prove(faults, range(asked.seed, asked.seed + asked.times), at_once=asked.jobs, runs=runs))
    if not surprised:
        shutil.rmtree(runs)
    return 1 if surprised else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
