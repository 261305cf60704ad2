"""Removes what runs have left at an endpoint: `gameday sweep`. A run that is killed cannot remove its queues itself.

It promises to remove nothing that is not a run's (gameday/transports/services.py tells how that is known), nothing of
a run that began a shorter time ago than was said, because that one may be going on, and nothing whose age nobody knows,
but where the run was named; to go on when something cannot be removed; and to say what became of each thing.
"""

from __future__ import annotations

import calendar
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gameday.history.errors import TargetError
from gameday.targets.target import Target
from gameday.transports.aws_errors import UNREACHABLE, lacks
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import BotoCarrier, run_all_despite_failures, run_plan
from gameday.transports.services import SERVICES, Left, is_looked_for, tagged

OLDER_THAN_S = 3_600.0
# The end of a run's id: see `new_id` in gameday/run/setting.py.
_BEGAN = re.compile(r".*-(\d{8}-\d{6})-[0-9a-f]{4}")
_NAMED_MOST = 5
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Remains:
    """What is left of one run. `began_s`: when it began, in seconds since 1970, where that is known."""

    run: str
    things: Sequence[Left]
    began_s: float | None

    def described(self, now_s: float) -> str:
        counts = Counter(thing.what for thing in self.things)
        age = "of unknown age" if self.began_s is None else f"begun {_ago(now_s - self.began_s)} ago"
        return f"{self.run}, {age}: {', '.join(f'{_counted(count, what)}' for what, count in counts.items())}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepRequest:
    """What a person asked for. `run`: only that one; `older_than_s`: None where it was not said."""

    run: str | None
    older_than_s: float | None
    dry: bool


def began_s(run: str, things: Iterable[Left]) -> float | None:
    """When a run began: as its id says, else when the last of its things was made."""
    if told := _BEGAN.fullmatch(run):
        try:
            return float(calendar.timegm(time.strptime(told[1], "%Y%m%d-%H%M%S")))
        except ValueError:
            pass  # no date: a name that only looks like an id
    return max((thing.made_s for thing in things if thing.made_s is not None), default=None)


def by_run(found: Iterable[Left]) -> list[Remains]:
    """What is ours, run by run, the oldest first; each run's things in the order in which they were found."""
    things: dict[str, list[Left]] = {}
    for thing in found:
        if thing.run is not None:
            things.setdefault(thing.run, []).append(thing)
    remains = [Remains(run=run, things=those, began_s=began_s(run, those)) for run, those in things.items()]
    return sorted(remains, key=lambda each: (each.began_s is None, each.began_s or 0.0, each.run))


def kept(remains: Remains, asked: SweepRequest, now_s: float) -> str | None:
    """Why it is left alone; None where it is to be removed."""
    if asked.run is not None and asked.older_than_s is None:
        return None
    least_s = OLDER_THAN_S if asked.older_than_s is None else asked.older_than_s
    if remains.began_s is None:
        return "nobody knows its age; name it with --run, without --older-than, to have it removed"
    if now_s - remains.began_s < least_s:
        return f"it began less than {_ago(least_s)} ago, and may be going on; --run or --older-than says that it is not"
    return None


def sweep(asked: SweepRequest, at: Target, say: Callable[[str], None]) -> int:
    """Do it; the exit code: 0 when nothing is left that was to be removed, else 4. Errors: TargetError."""
    services = [name for name, each in SERVICES.items() if at.kind != "aws" or not each.emulated_only]
    carrier = BotoCarrier(at.endpoint)
    found, failures = _find(services, carrier, at, say)
    now_s = time.time()
    remains = [each for each in by_run(found) if asked.run in (None, each.run)]
    if alien := [thing.name for thing in found if thing.run is None]:
        more = f" and {len(alien) - _NAMED_MOST} more" if len(alien) > _NAMED_MOST else ""
        say(f"left alone: {', '.join(alien[:_NAMED_MOST])}{more}: named as ours are, but without the tag of a run")
    if not remains:
        others = "" if asked.run is None else ", ".join(each.run for each in by_run(found))
        say(f"nothing is left of {asked.run or 'any run'}" + (f"; there is something of {others}" if others else ""))
    removed: Counter[Literal["removed", "failed"]] = Counter()
    for each in remains:
        why = kept(each, asked, now_s)
        say(f"{each.described(now_s)}{'' if why is None else f' (left alone: {why})'}")
        for thing in each.things if why is None else ():
            if asked.dry:
                say(f"  would remove the {thing.what} {thing.name}")
            elif (error := _removed(thing, carrier)) is None:
                removed["removed"] += 1
                say(f"  removed the {thing.what} {thing.name}")
            else:
                removed["failed"] += 1
                say(f"  could not remove the {thing.what} {thing.name}: {error}")
    _tell_of_others(carrier, asked, say)
    if removed:
        say(f"{removed['removed']} removed, {removed['failed']} could not be removed")
    return TargetError.exit_code if failures or removed["failed"] else 0


def _find(
    services: Sequence[str], carry: Callable[[Call], Answer], at: Target, say: Callable[[str], None]
) -> tuple[list[Left], int]:
    """Everything with one of our names, and how many services did not tell. Errors: TargetError when none is there."""
    found: list[Left] = []
    silent: dict[str, str] = {}
    failures = 0
    for service in services:
        try:
            found += run_plan(SERVICES[service].leftovers(), carry)
        except CallFailed as failed:
            where = f"{service} at {at.endpoint.url(service) or at.what}"
            if failed.code in UNREACHABLE:
                silent[service] = f"no answer from {where}: {failed}"
            elif lacks(failed):
                say(f"{where} is not there, so it is skipped ({failed})")
            else:
                failures += 1
                say(f"{where} does not say what it holds: {failed}")
    if len(silent) == len(services):
        do = "Is the network there?" if at.kind == "aws" else "Start the endpoint, or name another with --endpoint-url."
        raise TargetError(f"{silent[services[0]]}. {do}")
    for why in silent.values():
        say(f"{why}; skipped")
    return found, failures


def _tell_of_others(carry: Callable[[Call], Answer], asked: SweepRequest, say: Callable[[str], None]) -> None:
    """What else carries the tag of a run. Few emulators know, and nobody's sweep fails of it."""
    try:
        found = run_plan(tagged(), carry)
    except CallFailed as failed:
        if not lacks(failed) and failed.code not in UNREACHABLE:
            say(f"the tagging API does not say what else carries the tag of a run: {failed}")
        return
    for arn, run in found:
        if asked.run in (None, run) and not is_looked_for(arn):
            say(f"left alone: {arn} carries the tag of {run}, and is nothing that a run makes")


def _removed(thing: Left, carry: Callable[[Call], Answer]) -> str | None:
    """Remove it; why not, if it could not be."""
    try:
        run_all_despite_failures(thing.remove(), carry)
    except CallFailed as failed:
        return str(failed).removeprefix(f"{failed.code}: ")
    return None


def _counted(count: int, what: str) -> str:
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{count} {what if count == 1 else plural}"


def _ago(seconds: float) -> str:
    """A duration in its largest unit, for people."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return "0 s"
