"""Random faults that a scenario could have, for who searches for those that break a claim.

An entry is drawn from what the fault's own model says of its fields: units, choices, examples. Whether the scenario may
have it is decided where every scenario is checked. It promises the same entry for the same state of the generator.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from gameday.chaos.base import Entry, Fault, UnitKind
from gameday.chaos.base import units as fault_units
from gameday.chaos.registry import FAULTS
from gameday.history.errors import UsageError
from gameday.scenario import document as documents
from gameday.scenario.reading import resolve
from gameday.scenario.units import format_duration

# What is long and short is told by how long a message is hidden, or a lease lasts.
_TIMES = (0.15, 0.5, 1.3, 2.4)
_SHARES = ("20%", "50%", "100%")
_COUNTS = (1, 2, 3, 8, 20)
# How often a key is drawn that an entry need not have.
_OPTIONAL = 0.25
# How often a fault waits for another one, and how often it strikes again and again.
_WAITS, _AGAIN = 0.25, 0.2
_MOMENTS = 16
# How often a fault is drawn before it counts as one that the scenario cannot have.
_TRIES = 40


class Drawer:
    """Of one scenario, as `path` and `overrides` give it; `names`: the faults to draw from (default: all)."""

    def __init__(
        self,
        path: Path,
        overrides: Sequence[str],
        *,
        seed: int,
        names: Sequence[str] | None = None,
        allows: Callable[[Fault], bool] = lambda fault: True,
    ) -> None:
        """`allows`: whether one is wanted at all. Errors: UsageError where the scenario is wrong, or can have none of
        these faults."""
        self._allows = allows
        self._document = documents.override(documents.read(path), overrides)
        plain = resolve(documents.override(self._document, ["chaos=[]"]))
        self._load_s = plain.load.duration
        self._measure_s = min(plain.topology.visibility_timeout, self._load_s / 2)
        self._rate_per_s = plain.shape.rate_at(0.0)
        rng = Random(seed)
        self.names = [name for name in (names or FAULTS) if self._can_have(name, rng)]
        if not self.names:
            raise UsageError(f"{path}: none of the faults {', '.join(names or FAULTS)} can strike this scenario")

    def _can_have(self, name: str, rng: Random) -> bool:
        return any((entry := self._of(name, rng, [])) is not None and self.fits([entry]) for _ in range(_TRIES))

    def fits(self, chaos: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the scenario may have these faults."""
        try:
            scenario = resolve(documents.override(self._document, [f"chaos={json.dumps(list(chaos))}"]))
        except UsageError:
            return False
        return all(map(self._allows, scenario.chaos))

    def draw(self, rng: Random, beside: Sequence[str]) -> Mapping[str, Any]:
        """An entry, which may wait for one of the faults `beside` it."""
        while True:
            entry = self._of(rng.choice(self.names), rng, beside)
            if entry is not None:
                return entry

    def _of(self, name: str, rng: Random, beside: Sequence[str]) -> dict[str, Any] | None:
        """None where a key must be written of which nobody knows what to write."""
        model = FAULTS[name]
        kinds = fault_units(model)
        entry: dict[str, Any] = {"fault": name, **self._moment(rng, beside)}
        for field_name, field in model.model_fields.items():
            key = field.alias or field_name
            if field_name in Entry.model_fields or key == "fault":
                continue
            # One without an end would last until the load has ended.
            if not (field.is_required() or key == "for" or rng.random() < _OPTIONAL):
                continue
            value = self._value(field, kinds.get(key), rng)
            if value is not None:
                entry[key] = value
            elif field.is_required():
                return None
        return entry

    def _moment(self, rng: Random, beside: Sequence[str]) -> dict[str, Any]:
        if beside and rng.random() < _WAITS:
            return {"when": {"fault": rng.choice(beside), "phase": rng.choice(("start", "stop"))}}
        if rng.random() < _AGAIN:
            return {"every": _duration(self._load_s / rng.choice((2, 3, 5)))}
        return {"at": _duration(self._load_s * rng.randrange(_MOMENTS * 3 // 4) / _MOMENTS)}

    def _value(self, field: FieldInfo, kind: UnitKind | None, rng: Random) -> Any:
        """None where nobody knows what to write."""
        if field.examples:
            return rng.choice(field.examples)
        if kind in ("duration", "duration-or-multiple"):
            return _duration(self._measure_s * rng.choice(_TIMES))
        if kind == "rate":
            return f"{self._rate_per_s * rng.choice((0.2, 1, 3)):g}/s"
        if kind == "share":
            return rng.choice(_SHARES)
        if kind == "count":
            return rng.choice(_COUNTS)
        if kind == "count-or-share":
            return rng.choice((1, "100%"))
        choices = [value for kind_ in _alternatives(field.annotation) for value in _choices(kind_)]
        return rng.choice(choices) if choices else None


def _duration(seconds: float) -> str:
    return format_duration(round(seconds, 3))


def _alternatives(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) not in (None, Literal) else (annotation,)


def _choices(annotation: Any) -> Sequence[Any]:
    if annotation is bool:
        return (True, False)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def needed(name: str) -> frozenset[str]:
    """The keys that an entry of this fault must have, or nearly so: one without an end lasts as long as the load."""
    model: type[Fault] = FAULTS[name]
    return frozenset(
        field.alias or field_name
        for field_name, field in model.model_fields.items()
        if field.is_required() or field.alias == "for"
    )
