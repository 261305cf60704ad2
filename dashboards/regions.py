"""What a run's history has to say in Grafana: a region for each fault and each phase, and a mark for the verdict.

Pure: records in, regions out. It promises that a region that has begun is told before it has ended, and that every one
has ended when the history has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gameday.history.events import Record

TAG = "gameday"
_NS_PER_MS = 1_000_000
_SAID_MOST = 8

Kind = Literal["fault", "phase", "verdict"]


@dataclass(kw_only=True, slots=True)
class Region:
    """Times in ns; `end` is None while it goes on. `name` is its fault's, its phase's or the verdict; `key` its own."""

    kind: Kind
    run: str
    name: str
    key: str
    text: str
    start: int
    end: int | None = None

    @property
    def tags(self) -> list[str]:
        """What dashboards find it by, and what tells it apart from every other."""
        return list(dict.fromkeys([TAG, self.kind, self.run, self.name, self.key]))

    @property
    def start_ms(self) -> int:
        return self.start // _NS_PER_MS

    @property
    def end_ms(self) -> int | None:
        return None if self.end is None else max(self.start, self.end) // _NS_PER_MS


class Regions:
    """Feed it the conductor's records with `observe`, call `finish` when there are no more."""

    def __init__(self, run: str, subscriptions: Iterable[str]) -> None:
        self._run = run
        self._undrained = set(subscriptions)
        self._regions: dict[str, Region] = {}
        self._now = 0

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions.values())

    def observe(self, record: Record) -> None:
        at: int = record["at"]  # type: ignore[assignment]  # the reader gives none without
        if not self._now:
            self._begin("phase", "starting", at)
        self._now = max(self._now, at)
        if record["event"] == "fault":
            self._fault(record, at)
        elif record["event"] == "mark":
            self._mark(record, at)

    def finish(self) -> None:
        for region in self:
            if region.end is None:
                region.end = self._now

    def _fault(self, record: Mapping[str, Any], at: int) -> None:
        fault, instance = str(record.get("fault")), str(record.get("instance"))
        if record.get("phase") != "start":
            self._end(instance, at)
        elif instance not in self._regions:
            label = record.get("label")
            self._begin("fault", fault, at, key=instance, text=f"{fault}: {label}" if label else fault)

    def _mark(self, record: Mapping[str, Any], at: int) -> None:
        match record.get("name"):
            case "load-started":
                # The schedule begins a moment after the record.
                start = record.get("start")
                start = start if type(start) is int else at
                self._end("starting", start)
                self._begin("phase", "load", start)
            case "load-stopped":
                self._end("load", at)
                self._begin("phase", "draining", at)
            case "drained" if record.get("empty"):
                self._undrained.discard(str(record.get("subscription")))
                if not self._undrained:
                    self._end("draining", at)
            case "replay-started":
                self._begin("phase", "replay", at)
            case "replay-ended":
                self._end("replay", at)
            case "fault-unproven" if (region := self._regions.get(str(record.get("instance")))) is not None:
                region.text += " (nobody knows whether it struck)"
                region.end = at
            case "aborted":
                self._begin("phase", "aborted", at, text=f"aborted: {record.get('reason')}")

    def _begin(self, kind: Kind, name: str, at: int, *, key: str = "", text: str = "") -> None:
        key = key or name
        self._regions.setdefault(key, Region(kind=kind, run=self._run, name=name, key=key, text=text or name, start=at))

    def _end(self, key: str, at: int) -> None:
        region = self._regions.get(key)
        if region is not None and region.end is None:
            region.end = at


def verdict_region(document: Mapping[str, Any]) -> Region:
    """The verdict, as verdict.json has it, where the run ended."""
    verdict, run = str(document["verdict"]), str(document["run"])
    bad = [f"{claim['key']} {claim['verdict']}" for claim in document["claims"] if claim["verdict"] != "holds"]
    said = bad[:_SAID_MOST] + ([f"and {len(bad) - _SAID_MOST} more"] if len(bad) > _SAID_MOST else [])
    end = int(document["started"] or 0) + round(float(document["duration_s"] or 0) * 1_000_000_000)
    return Region(
        kind="verdict",
        run=run,
        name=verdict,
        key="verdict",
        text=f"verdict: {verdict}" + (f" ({', '.join(said)})" if said else ""),
        start=end,
        end=end,
    )
