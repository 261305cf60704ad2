"""What keeps chaos in bounds: a steady state before the first fault, and what ends all of it.

Both stand beside `chaos`:

    steady: {for: 5s, claims: [no-loss, lag]}
    brakes: {stop_when: [{oldest: ">20s"}, {anomaly: effect-duplicate}], each: 10s, within: 60s}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from gameday.chaos.conditions import Condition
from gameday.history.manifest import Claim
from gameday.scenario.conditions import condition_schemas, read_condition
from gameday.scenario.problems import no_such, unknown_key
from gameday.scenario.units import PositiveDuration
from gameday.verify.claims import anomalies_against
from gameday.watch.live import COUNTS

# How often alarms are asked for.
ALARMS_EVERY_S = 5.0
_KINDS = ("anomaly", "claim", "alarm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """One of: a number, an anomaly that the live view counts, a claim that what was counted speaks against, a
    CloudWatch alarm's name. `written`: as the scenario has it."""

    written: dict[str, Any]
    condition: Condition | None = None
    anomaly: str | None = None
    claim: str | None = None
    alarm: str | None = None

    @classmethod
    def read(cls, value: object) -> Stop:
        """Errors: ValueError that says what to write."""
        if isinstance(value, cls):
            return value
        kind = next((kind for kind in _KINDS if isinstance(value, dict) and kind in value), None)
        if not isinstance(value, dict) or kind is None:
            return cls(written=value if isinstance(value, dict) else {}, condition=Condition(**read_condition(value)))
        for key in value:
            if key != kind:
                raise ValueError(unknown_key(str(key), [kind]))
        if not isinstance(value[kind], str):
            raise ValueError(f"{value[kind]!r} is no name of {kind}")
        if kind == "anomaly" and value[kind] not in COUNTS:
            raise ValueError(no_such("anomaly that is counted while a run goes on", value[kind], COUNTS))
        return cls(written=value, **{kind: value[kind]})

    def __str__(self) -> str:
        if self.condition is not None:
            return str(self.condition)
        ((kind, name),) = self.written.items()
        return f"{kind} {name}"


def _stops() -> dict[str, Any]:
    told = {
        "anomaly": {"enum": list(COUNTS), "description": "it was counted once"},
        "claim": {"type": "string", "description": "what is counted already speaks against this claim of the scenario"},
        "alarm": {"type": "string", "description": "this alarm of CloudWatch is in ALARM (on AWS)"},
    }
    own = [
        {"type": "object", "properties": {kind: told[kind]}, "required": [kind], "additionalProperties": False}
        for kind in _KINDS
    ]
    return {"oneOf": [*condition_schemas(), *own]}


def can_be_told_live(claim: Claim) -> bool:
    """Whether anything that is counted while the run goes on can speak against it."""
    violating = {*anomalies_against(claim)}
    return claim.claim == "lag" or any({*count.anomalies} <= violating for count in COUNTS.values())


_Stop = Annotated[
    Stop,
    BeforeValidator(Stop.read),
    PlainSerializer(lambda stop: stop.written),
    WithJsonSchema(_stops()),
]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=True, arbitrary_types_allowed=True
    )


class SteadyModel(_Strict):
    """No fault strikes before the run was seen to be well."""

    for_: PositiveDuration = Field(alias="for", description="how long after the load began it is looked at")
    claims: list[str] | None = Field(
        default=None,
        description="which claims must hold by then, as far as the live view can tell (default: those of the scenario)",
    )


class BrakesModel(_Strict):
    """What ends chaos before its end: everything is healed, and nothing more strikes."""

    stop_when: list[_Stop] = Field(default_factory=list, description="any of these ends it")
    each: PositiveDuration | None = Field(default=None, description="no fault lasts longer than that")
    within: PositiveDuration | None = Field(
        default=None, description="all of chaos is over so long after the load began"
    )

    @property
    def alarms(self) -> Iterator[str]:
        return (stop.alarm for stop in self.stop_when if stop.alarm is not None)
