"""What `gameday sweep-crashes` and `gameday hunt` share: a scenario with a small load, run again and again with other
faults, each run kept with what it came to, and a file that repeats what broke a claim."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic

import typer

from gameday.commands.common import TargetName
from gameday.history.errors import HistoryError, UsageError
from gameday.search.outcomes import Outcome, S, smallest

if TYPE_CHECKING:
    from rich.console import Console

    from gameday.run.many import Done, Task
    from gameday.scenario.model import Scenario


BudgetOption = Annotated[str, typer.Option(metavar="DURATION", help="Begin no run after this time.")]
MessagesOption = Annotated[int, typer.Option(metavar="N", min=1, help="How many messages each run sends.")]
JobsOption = Annotated[int, typer.Option(metavar="N", min=1, help="Runs side by side.")]
SearchTargetOption = Annotated[TargetName, typer.Option(help="Where AWS is; not `aws`.")]


class Small:
    """The scenario `read` as a search runs it: with `messages` messages in all, without its own faults, and without
    claims that are of faults alone; `given`: as `--set` takes them. Errors: UsageError."""

    def __init__(self, *, path: Path, read: Scenario, given: Sequence[str], messages: int) -> None:
        from gameday.scenario.claims import CLAIMS

        self.path = str(path.resolve())
        self.read = read
        self.given = list(given)
        self._messages = messages
        self._load = _small_load(read)
        written = read.source.data.get("claims") or []
        self._claims = [
            each for each, claim in zip(written, read.claims, strict=True) if not CLAIMS[claim.claim].of_faults
        ]

    def overrides(self, chaos: Sequence[Mapping[str, Any]], *, lasts_s: float, **made: Any) -> list[str]:
        """As `--set` takes them: `made` besides, by key with `__` for its dots."""
        load = {**self._load, "rate": f"{self._messages / lasts_s:.9f}/s", "duration": f"{lasts_s:g}s"}
        made |= {"load": load, "claims": self._claims, "chaos": list(chaos), "steady": None, "brakes": None}
        return [*self.given, *(f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in made.items())]


def _small_load(read: Scenario) -> dict[str, Any]:
    """Errors: UsageError for tenants, who have rates of their own."""
    from gameday.scenario.model import LoadSpec
    from gameday.scenario.problems import keys

    if read.load.tenants is not None:
        raise UsageError("a search sends few messages one by one, and load.tenants has rates of its own")
    load = read.source.data["load"]
    return {key: value for key, value in load.items() if key in keys(LoadSpec)} | {"shape": "constant"}


@dataclass(kw_only=True, slots=True)
class Kept(Generic[S]):
    """A directory with the runs of a search, and with what each came to in `file`.

    `identity`: what must be the same for a search to go on there; `step`: reads a part of a schedule back.
    """

    directory: Path
    file: str
    identity: Mapping[str, Any]
    step: Callable[[Any], S]
    outcomes: list[Outcome[S]] = field(default_factory=list)
    # What is being tried, by the directory of its run.
    under_way: dict[Path, tuple[S, ...]] = field(default_factory=dict)

    def resume(self, console: Console) -> None:
        """What was tried there before, which is told. Errors: UsageError where that was another search."""
        path = self.directory / self.file
        if not path.exists():
            return
        try:
            document = json.loads(path.read_bytes())
            found = document["search"]
            self.outcomes = [Outcome.from_json(run, self.step) for run in document["runs"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is nothing that can be gone on with: {error}") from error
        if found != self.identity:
            raise UsageError(f"{path} is of another search ({found['scenario']}); name another directory with --out")
        if self.outcomes:
            console.print(f"goes on in {self.directory}, where {len(self.outcomes)} runs are", soft_wrap=True)

    def add(self, done: Done) -> Outcome[S]:
        """What came of a task of ours. Errors: HistoryError."""
        outcome = self.came(done)
        self.add_all([outcome])
        return outcome

    def came(self, done: Done) -> Outcome[S]:
        """What came of it, kept nowhere but in its directory."""
        directory = done.task.directory
        failed = done.said or f"exit code {done.code}"
        return outcome_of(done.verdict, self.under_way.pop(directory), directory=str(directory), failed=failed)

    def add_all(self, outcomes: Sequence[Outcome[S]]) -> None:
        """Errors: HistoryError."""
        self.outcomes += outcomes
        document = {"schema": 1, "search": self.identity, "runs": [each.to_json() for each in self.outcomes]}
        path = self.directory / self.file
        draft = path.with_suffix(".json.new")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(document, indent=2), encoding="utf-8")
            draft.replace(path)
        except OSError as error:
            raise HistoryError(f"cannot write {path}: {error.strerror}") from error

    def task(self, schedule: tuple[S, ...], arguments: Sequence[str], overrides: Sequence[str]) -> Task:
        """A run in a directory of its own, which is there from now on, and under way. Errors: RunError."""
        from gameday.run.directory import make_directory
        from gameday.run.many import Task

        numbers = [int(path.name) for path in self.directory.glob("[0-9]*") if path.name.isdigit()]
        place = self.directory / f"{max(numbers, default=0) + 1:03d}"
        make_directory(place)
        self.under_way[place] = schedule
        sets = [word for override in overrides for word in ("--set", override)]
        return Task(arguments=[arguments[0], *sets, *arguments[1:]], directory=place)

    def replays(
        self,
        overrides: Callable[[tuple[S, ...]], Sequence[str]],
        in_words: Callable[[tuple[S, ...]], str],
        *,
        scenario: str,
        seed: int,
        target: str,
    ) -> dict[str, str]:
        """By claim that was broken, the file that repeats it. Errors: HistoryError."""
        from gameday.run.directory import shown
        from gameday.run.replays import Replay

        found = {}
        for claim, outcome in smallest(self.outcomes).items():
            path = self.directory / f"{claim.replace(' ', '-')}.json"
            Replay(
                scenario=scenario,
                overrides=overrides(outcome.schedule),
                seed=seed,
                target=target,
                claim=claim,
                schedule=in_words(outcome.schedule),
                why=outcome.why.get(claim, ""),
            ).save(path)
            found[claim] = shown(path)
        return found


def outcome_of(
    verdict: Mapping[str, Any] | None, schedule: tuple[S, ...], *, directory: str, failed: str | None
) -> Outcome[S]:
    """Of the object of a verdict.json; `failed`: why there is none, where there is none."""
    claims = {} if verdict is None else {claim["key"]: claim["verdict"] for claim in verdict["claims"]}
    return Outcome(
        schedule=schedule,
        claims=claims,
        why={} if verdict is None else {key: why for key in claims if (why := _why(verdict, key))},
        directory=directory,
        places={} if verdict is None else {place: told["messages"] for place, told in verdict["reached"].items()},
        reached=frozenset() if verdict is None else frozenset(_reached(verdict)),
        failed=failed if verdict is None else None if "violated" in claims.values() else verdict["aborted"],
    )


def _why(verdict: Mapping[str, Any], key: str) -> str:
    """What broke a claim, and its cause, in a line; nothing for one that was not."""
    from gameday.verify.explaining import KIND_OF

    (claim,) = [claim for claim in verdict["claims"] if claim["key"] == key]
    if claim["verdict"] != "violated":
        return ""
    parts = [f"{count} {anomaly}" for anomaly, count in claim["anomalies"].items() if count]
    examples = [each for anomaly in claim["anomalies"] for each in verdict["anomalies"][anomaly]["examples"]]
    causes = list(dict.fromkeys(each["why"]["cause"] for each in examples if "why" in each))
    if not examples:
        # Of runs that were judged many at once.
        named = {KIND_OF[anomaly] for anomaly, count in claim["anomalies"].items() if count and anomaly in KIND_OF}
        causes = [cause for kind in sorted(named) for cause in verdict["causes"].get(kind, {})]
    cause = f"; cause: {', '.join(causes)}" if causes else ""
    return (", ".join(parts) or "; ".join(claim["why"])) + cause


def _reached(verdict: Mapping[str, Any]) -> Iterator[str]:
    """The dangerous places that messages came to, alone and two at once, with what happened there and why."""
    for place, told in verdict["reached"].items():
        if told["messages"]:
            yield place
            yield from (" and ".join(sorted((place, other))) for other in told.get("with", {}))
    for what, causes in verdict["causes"].items():
        yield from (f"{what} by {cause}" for cause in causes)
    yield from (anomaly for anomaly, told in verdict["anomalies"].items() if told["count"])
