"""Plays plans, has them judged, and holds each verdict to what really happened: in batches, for judging has its price.

What comes of a run is a `Result`: its complaints, of which there should be none, and what was reached on the way.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gameday.simulation.batch import judged, make_place
from gameday.verify.explaining import Explained, explained
from gameday.verify.load import Loaded
from tests.reference.judge import judge as judge_slowly
from tests.simulation import causes
from tests.simulation.plan import Counts, Plan, draw
from tests.simulation.play import Played, play
from tests.simulation.truth import ORDERED, Truth, complaints, failures_of_the_parts
from tests.verify.agreement import shown

BATCH = 200


@dataclass(frozen=True, kw_only=True)
class Result:
    """`claims`: the verdict of each by name; `counts`: what the run reached."""

    plan: Plan
    complaints: Sequence[str]
    verdict: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    anomalies: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    said: str = ""

    @property
    def kind(self) -> str | None:
        """What its first complaint is about, without the particulars: what a smaller plan must complain about too."""
        return " ".join(self.complaints[0].split()[:3]) if self.complaints else None


def check(
    plans: Sequence[Plan], *, keep: Path | None = None, judging: bool = True, reference: bool = False
) -> list[Result]:
    """Each plan played and judged. `keep`: where the run directories stay, each named for its seed.

    Without `judging` only the parts are held to their promises. `reference`: the slow judge must say the same.
    """
    place = keep or make_place()
    try:
        directories = [place / f"{number}-seed-{plan.seed}" for number, plan in enumerate(plans)]
        played: list[Played | str] = [_played(*each) for each in zip(plans, directories, strict=True)]
        done = [directory for directory, each in zip(directories, played, strict=True) if isinstance(each, Played)]
        why: dict[Path, list[tuple[Explained, causes.Place]]] = {}

        def look(run: Loaded) -> None:
            places = causes.places(run)
            why[run.directory] = [(each, places.get(each.line)) for each in explained(run)]

        documents = iter(judged(done, look=look) if judging else [None] * len(done))
        return [
            _result(each, next(documents), why.get(each.directory, ()), reference=reference)
            if isinstance(each, Played)
            else Result(plan=plan, complaints=[f"crashed: {each}"])
            for plan, each in zip(plans, played, strict=True)
        ]
    finally:
        if keep is None:
            shutil.rmtree(place, ignore_errors=True)


def check_seeds(
    seeds: Sequence[int], *, jobs: int = 1, reference: bool = False, on_hosts: bool | None = None
) -> Iterator[Result]:
    """In the order of the seeds. `on_hosts` as `draw` takes it."""
    check_batch = partial(_check_batch, reference=reference, on_hosts=on_hosts)
    batches = [seeds[first : first + BATCH] for first in range(0, len(seeds), BATCH)]
    if jobs == 1:
        for batch in batches:
            yield from check_batch(batch)
        return
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        for results in pool.map(check_batch, batches):
            yield from results


def _check_batch(seeds: Sequence[int], *, reference: bool, on_hosts: bool | None) -> list[Result]:
    return check([draw(seed, on_hosts=on_hosts) for seed in seeds], reference=reference)


def _played(plan: Plan, directory: Path) -> Played | str:
    """What was played, or why it could not be: an error of the simulation, or of what it is made of."""
    try:
        return play(plan, directory)
    except Exception:
        return traceback.format_exc()


def _result(
    played: Played,
    document: Mapping[str, Any] | None,
    why: Sequence[tuple[Explained, causes.Place]],
    *,
    reference: bool,
) -> Result:
    if document is None:
        wrong = [*played.failures, *failures_of_the_parts(Truth(played))]
        return Result(plan=played.plan, complaints=wrong, counts=reached(played, {}), said=played.said)
    claims = {claim["claim"]: claim["verdict"] for claim in document["claims"]}
    counts = Counts(reached(played, claims))
    truth = Truth(played)
    return Result(
        plan=played.plan,
        complaints=[
            *complaints(truth, document),
            *causes.complaints(truth, document, why, counts),
            *(_differences(document, judge_slowly(played.directory)) if reference else ()),
        ],
        verdict=document["verdict"],
        claims=claims,
        anomalies={name: told["count"] for name, told in document["anomalies"].items() if told["count"]},
        counts=counts.of,
        said=played.said,
    )


def _differences(document: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Where the two judges differ."""
    one, two = shown(dict(document)), shown(dict(other))
    for name in one.keys() | two.keys():
        if one.get(name) != two.get(name):
            yield f"judges differ: {name}: {one.get(name)}, the reference judge: {two.get(name)}"


def reached(played: Played, claims: Mapping[str, str]) -> dict[str, int]:
    """How often a run came to what only some runs come to; `claims` are the verdicts."""
    plan, counts = played.plan, Counts(dict(played.counts.of))
    found = any(verdict == "violated" for verdict in claims.values())
    counts.add(f"transport {plan.transport}")
    if plan.planted is not None:
        name = plan.planted.partition(":")[0]
        counts.add(f"defect {name} struck", bool(played.struck))
        counts.add(f"defect {name} found", bool(played.struck and found))
    if plan.broken is not None:
        counts.add(f"broken {plan.broken}")
        counts.add(f"broken {plan.broken} found", found)
    if plan.planted is None and plan.broken is None:
        counts.add("correct")
    for claim, verdict in claims.items():
        counts.add(f"{claim} {verdict}")
    if plan.hosts:
        truth = Truth(played)
        counts.add("hosts")
        counts.add("hosts unsynchronised", bool(truth.unsynchronised))
        counts.add("hosts stepped, and known", any(h.step_ns for h in plan.hosts) and not truth.unsynchronised)
        counts.add("hosts silent", any(host.silent_s is not None for host in plan.hosts))
        for verdict in claims.values():
            counts.add(f"hosts: a claim {verdict}")
        if truth.inverted_across_hosts:
            counts.add("hosts reordered beyond the bound")
            order = [verdict for claim, verdict in claims.items() if claim in ORDERED]
            counts.add("hosts reordered beyond the bound, found", "violated" in order)
    counts.add("redriven", played.redriven)
    counts.add("replayed", played.replayed)
    return counts.of
