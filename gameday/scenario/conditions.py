"""Conditions as a scenario writes them: `{backlog: ">500"}`, `{point: after-effect, nth: 500}`, `{fault: deploy-1}`.

They stand under `when` of a fault and `stop_when` of `brakes`. Numbers carry their units, as everywhere in a scenario.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args

from gameday.chaos.conditions import POINTS, Measure
from gameday.scenario import units
from gameday.scenario.problems import no_such, unknown_key

_BOUND = re.compile(r"\s*([<>])\s*(.+?)\s*")


def _count(value: str) -> float:
    if not re.fullmatch(r"\d+", value):
        raise ValueError(f"{value!r} is not a whole number")
    return float(value)


# How the number of each is read, with an example, and what it is.
_MEASURES: Mapping[Measure, tuple[Callable[[str], float], str, str]] = {
    "backlog": (_count, ">500", "messages that wait, as the broker counts them"),
    "oldest": (units.duration_s, ">10s", "the age of the oldest message that nobody is done with"),
    "lag": (units.duration_s, ">2s", "p99 of the time from due to received, of all until now"),
    "rate": (units.rate_per_s, "<50/s", "messages accepted a second; with a subscription, received there"),
    "dead_letters": (_count, ">0", "messages in the dead-letter queue"),
    "iterator_age": (units.duration_s, ">5s", "how far the readers of a stream are behind it"),
    "errors": (units.share, ">5%", "the share of sends that were not accepted"),
}
assert {*_MEASURES, "point"} == {*get_args(Measure)}
_SUBSCRIPTION = {"type": "string", "description": "of which subscription (default: all of them, or the worst)"}
_AFTER = {"type": "string", "description": "how much later than that it strikes, like 2s"}
_NTH = {"type": "integer", "minimum": 1}
_FORMS = 'write it like {backlog: ">500"}, {point: after-effect, nth: 500}, {fault: kill-consumer-1, phase: stop}'


def read_trigger(value: object) -> dict[str, Any]:
    """The fields of a `Trigger`. Errors: ValueError that says what to write."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is nothing to wait for; {_FORMS}")
    given = dict(value)
    after_s = units.duration_s(given.pop("after", "0s"))
    if "fault" in given:
        _only(given, "fault", "phase")
        return {**given, "after_s": after_s}
    if "call" in given:
        _only(given, "call", "nth")
        return {**given, "after_s": after_s}
    return {"condition": read_condition(given), "after_s": after_s}


def read_condition(value: object) -> dict[str, Any]:
    """The fields of a `Condition`. Errors: ValueError that says what to write."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no condition; {_FORMS}")
    of = {"subscription": value["subscription"]} if "subscription" in value else {}
    if "point" in value:
        _only(value, "point", "nth", "subscription")
        nth = value.get("nth")
        if value["point"] not in POINTS:
            raise ValueError(no_such("point", value["point"], POINTS))
        if not isinstance(nth, int) or isinstance(nth, bool) or nth < 1:
            raise ValueError(f"at which message? write it like {{point: {value['point']}, nth: 500}}")
        return {"measure": "point", "point": value["point"], "bound": float(nth - 1), **of}
    named = [key for key in value if key != "subscription"]
    if len(named) != 1 or named[0] not in _MEASURES:
        strange = next((key for key in named if key not in _MEASURES), None)
        raise ValueError(unknown_key(strange, [*_MEASURES, "point"]) if strange else f"one number; {_FORMS}")
    read, example, _ = _MEASURES[named[0]]
    written = value[named[0]]
    found = _BOUND.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        raise ValueError(f'{written!r} is no bound; write it like {named[0]}: "{example}"')
    return {"measure": named[0], "above": found[1] == ">", "bound": read(found[2]), **of}


def _only(value: Mapping[str, Any], *keys: str) -> None:
    for key in value:
        if key not in keys:
            raise ValueError(unknown_key(str(key), keys))


def condition_schemas() -> list[dict[str, Any]]:
    """One JSON Schema for each form of a condition."""
    return [
        *(
            _object(
                {
                    name: {"type": "string", "examples": [example], "description": told},
                    "subscription": _SUBSCRIPTION,
                },
                required=[name],
            )
            for name, (_, example, told) in _MEASURES.items()
        ),
        _object(
            {
                "point": {"enum": list(POINTS), "description": "where messages are in the work of consumers"},
                "nth": {**_NTH, "description": "the how many-th message that is there"},
                "subscription": _SUBSCRIPTION,
            },
            required=["point", "nth"],
        ),
    ]


def trigger_schema() -> dict[str, Any]:
    """The JSON Schema of what stands under `when`."""
    other_fault = {
        "fault": {"type": "string", "description": "another fault of `chaos`, or one strike of it (kill-consumer-1)"},
        "phase": {"enum": ["start", "stop"], "description": "its start (default), or its end"},
    }
    call = {
        "call": {"type": "string", "examples": ["ReceiveMessage"], "description": "an operation, on the wire"},
        "nth": {**_NTH, "description": "the how many-th call of it that one consumer makes (default: 1)"},
    }
    forms = [*condition_schemas(), _object(other_fault, required=["fault"]), _object(call, required=["call"])]
    return {"oneOf": [{**form, "properties": {**form["properties"], "after": _AFTER}} for form in forms]}


def _object(properties: Mapping[str, Any], *, required: Collection[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
