"""What a run would take, before anything is created, for people and as JSON: `gameday plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gameday.scenario.estimate import Estimate
from gameday.scenario.forecast import forecast
from gameday.scenario.model import Scenario
from gameday.scenario.outlook import Outlook
from gameday.scenario.quotas import quotas
from gameday.scenario.units import format_duration
from gameday.targets.prices import AS_OF, FACTORS, PRICES, REGION, UNKNOWN_FACTOR, Range

_MINUTE = 60.0
_MORE = (UNKNOWN_FACTOR - 1) * 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`where`: the target, or the account with its region; `priced_for`: the region whose prices count. `effective_s`:
    how long a filter may take to apply there; `policy_s`: the policy of a queue. `warning`: of a rate that is more
    than was ever seen there, if it is."""

    scenario: Scenario
    planned: Estimate
    where: str
    priced_for: str
    seed: int = 0
    effective_s: float = 0.0
    policy_s: float = 0.0
    warning: str | None = None

    def to_json(self) -> Mapping[str, Any]:
        planned = self.planned
        return {
            "scenario": self.scenario.name,
            "where": self.where,
            "messages": planned.messages,
            "peak_per_s": planned.peak_per_s,
            "message_bytes": planned.bytes,
            "load_s": planned.load_s,
            "lasts_s": _pair(planned.lasts_s),
            "resources": [{"what": each.what, "name": each.name} for each in planned.resources],
            "existing": list(planned.existing),
            "calls": {f"{service} {operation}": _pair(count) for (service, operation), count in planned.calls.items()},
            "breaks": [
                *({"at_s": at_s, "fault": called} for at_s, called in self._breaks),
                *({"when": when, "fault": called} for when, called in self._waiting),
            ],
            "quotas": quotas(self.scenario, planned),
            "costs": [
                {"item": line.item, "count": _pair(line.count), "dollars": _pair(line.dollars)}
                for line in planned.costs
            ],
            "cost": _pair(planned.cost),
            "prices": {"as_of": AS_OF, "region": self.priced_for},
            "notes": [str(note) for note in self._notes],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        planned = self.planned
        yield f"{self.scenario.name} on {self.where}"
        yield ""
        yield (
            f"sends {planned.messages:,} messages of {planned.bytes:,} bytes in {format_duration(planned.load_s)}, at "
            f"most {planned.peak_per_s:,.4g} a second; it lasts {_time(planned.lasts_s)}"
        )
        yield ""
        yield "creates, and removes at its end:"
        for resource in planned.resources:
            yield f"  {resource.what:<13} {resource.name}"
        if not planned.resources:
            yield "  nothing"
        if planned.existing:
            yield f"uses what is there already: {', '.join(planned.existing)}"
        yield ""
        yield "breaks:"
        breaks = self._breaks
        for at_s, called in breaks:
            yield f"  {called}" if " at " in called else f"  {called}, at {format_duration(at_s)}"
        for when, called in self._waiting:
            yield f"  {called}, once: {when}"
        if not breaks and not self._waiting:
            yield "  nothing"
        else:
            yield "  each is healed at its end, and all of it when the run ends, Ctrl-C included"
        yield ""
        yield "calls:"
        for (service, operation), count in planned.calls.items():
            yield f"  {service + ' ' + operation:<38} {count}"
        yield ""
        if told := quotas(self.scenario, planned):
            yield "quotas (AWS's defaults):"
            for each in told:
                yield f"  {each}"
            yield ""
        yield from self._costs()
        for note in self._notes:
            yield f"note: {note}"

    def _costs(self) -> Iterator[str]:
        where = self.priced_for
        if where not in FACTORS:
            where = f"{where}, whose prices are not known here: {REGION}'s, and up to {_MORE:.0f} % more"
        yield f"costs at AWS's list prices of {AS_OF} in {where}; no free tier, no discount, no traffic out of AWS:"
        for line in self.planned.costs:
            yield f"  {_dollars(line.dollars):<24} {line.count} × {PRICES[line.item].unit}"
        yield f"  {_dollars(self.planned.cost):<24} in all"

    @property
    def _breaks(self) -> list[tuple[float, str]]:
        outlook = Outlook(self.scenario, seed=self.seed)
        return [(window.start_s, window.called) for window in outlook.windows]

    @property
    def _waiting(self) -> list[tuple[str, str]]:
        """What each waits for that has no moment of its own."""
        chaos = enumerate(self.scenario.chaos)
        return [(str(fault.when), f"chaos.{number} ({fault.fault})") for number, fault in chaos if fault.when]

    @property
    def _notes(self) -> list[object]:
        foreseen = forecast(self.scenario, seed=self.seed, effective_s=self.effective_s, policy_s=self.policy_s)
        return [*([self.warning] if self.warning else []), *foreseen]


def _pair(given: Range) -> list[float]:
    return [given.low, given.high]


def _dollars(given: Range) -> str:
    low, high = f"${given.low:,.4f}", f"${given.high:,.4f}"
    return low if low == high else f"{low} to {high}"


def _time(given: Range) -> str:
    def said(seconds: float) -> str:
        return f"{seconds:,.0f} s" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:,.0f} min"

    return f"{said(given.low)} to {said(given.high)}"
