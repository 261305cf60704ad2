"""The JSON Schema of a scenario, generated from the models and registries that read one, for editors to check against.

It promises to accept what `reading.load` reads as written (`5s`, `150/s`, `10%`), key by key; what does not go
together (a claim that a transport never promises) only the run itself can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from gameday.chaos.base import units as fault_units
from gameday.chaos.registry import FAULTS
from gameday.history.manifest import ALIASES, BOUNDS, During
from gameday.loadgen.shapes import SHAPES
from gameday.loadgen.shapes import units as shape_units
from gameday.scenario import effects, units
from gameday.scenario.claims import needs_bound, short_bound
from gameday.scenario.conditions import trigger_schema
from gameday.scenario.model import Body
from gameday.scenario.tenants import SAID_BY_TENANTS
from gameday.transports.registry import TRANSPORTS

Schema = dict[str, Any]


def schema() -> Schema:
    root = Body.model_json_schema(by_alias=True)
    properties = root["properties"]
    properties["transport"] = {"enum": list(TRANSPORTS), **_description_of(properties["transport"])}
    properties["load"] = {**_load(root["$defs"].pop("LoadSpec")), **_description_of(properties["load"])}
    properties["effects"] = effects.schema()
    properties["chaos"] = {
        "type": "array",
        "items": {"oneOf": [_fault(name) for name in FAULTS]},
        "description": "what is broken and when, while the load runs (default: nothing)",
    }
    properties["claims"] = {
        "type": "array",
        "minItems": 1,
        "items": {"oneOf": _claims()},
        "description": "what must hold: a name, or an object with its bounds",
    }
    root["required"] = [*root["required"], "claims"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "title": "gameday scenario"}


def _load(common: Schema) -> Schema:
    """One branch for each shape, which adds keys of its own to those of every load."""
    branches = []
    for name, model in SHAPES.items():
        own = _with_units(model, shape_units(model))["properties"]
        shape = {"const": name, **_description_of(common["properties"]["shape"])}
        properties = {**own, **common["properties"], "shape": shape}
        # Without a `shape` it is the default one.
        default = name == common["properties"]["shape"]["default"]
        required = [*common["required"], *([] if default else ["shape"])]
        alone = {key: value for key, value in properties.items() if key not in ("tenants", "tell_tenants")}
        branches.append({**common, "title": f"{name} load", "properties": alone, "required": required})
    # Tenants say how fast it is.
    properties = {key: value for key, value in common["properties"].items() if key not in ("shape", *SAID_BY_TENANTS)}
    branches.append(
        {**common, "title": "load of tenants", "properties": properties, "required": ["duration", "tenants"]}
    )
    return {"oneOf": branches}


def _fault(name: str) -> Schema:
    model = FAULTS[name]
    found = _with_units(model, fault_units(model))
    found["properties"]["fault"] = {"const": name, "description": "what is broken"}
    return {**found, "title": name, "required": list(dict.fromkeys([*found.get("required", ()), "fault"]))}


def _claims() -> list[Schema]:
    long_forms = []
    for name, bounds in BOUNDS.items():
        names = [name, *(alias for alias, real in ALIASES.items() if real == name)]
        properties: Schema = {"claim": {"enum": names, "description": "what must hold"}}
        for bound, kind in bounds.items():
            written = _BOUND_KINDS.get(kind, _UNITS["duration"] if bound.endswith("_s") else {"type": "number"})
            properties[short_bound(bound)] = {**written, "description": _BOUNDS[bound]}
        long_forms.append(
            {"type": "object", "properties": properties, "required": ["claim"], "additionalProperties": False}
        )
    bare = [name for name in [*BOUNDS, *ALIASES] if not needs_bound(ALIASES.get(name, name))]
    return [{"enum": bare}, *long_forms]


_BOUND_KINDS: Mapping[type, Schema] = {bool: {"type": "boolean"}, str: {"enum": list(get_args(During))}}
_BOUNDS: Mapping[str, str] = {
    "strict": "count what AWS allows, too: what overtakes a dead letter, and what dies beside poison",
    "p50_s": "half of the messages are received, or starts accepted, at most so long after they were due",
    "p99_s": "99 % of the messages are received, or starts accepted, at most so long after they were due",
    "max_s": "every message is received, or start accepted, at most so long after it was due",
    "grace_s": "how long after a fault its window still counts (default: recovery's `within`, else 5s)",
    "during": "which messages are judged: calm (default) leaves out those due around faults, faults judges only those, "
    "all judges all",
    "within_s": "how soon after a fault no message is late any more",
    "duration_p50_s": "half of the executions take at most so long",
    "duration_p99_s": "99 % of the executions take at most so long",
    "duration_max_s": "every execution takes at most so long",
    "quiet_p99_s": "99 % of quiet tenants' messages wait at most so long while a noisy one sends",
    "times_baseline": "and at most so many times as long as before it began",
}


def _description_of(written: Schema) -> Schema:
    """The description alone."""
    return {word: written[word] for word in ("description",) if word in written}


def _with_units(model: type[BaseModel], kinds: Mapping[str, str]) -> Schema:
    """The model's schema with numbers as a scenario writes them."""
    found = model.model_json_schema(by_alias=True)
    found.pop("$defs", None)
    for key, kind in kinds.items():
        if kind in _UNITS:
            written = found["properties"][key]
            found["properties"][key] = {**_UNITS[kind], **_description_of(written)}
    return found


def _schema_of(kind: Any) -> Schema:
    return TypeAdapter(kind).json_schema()


_UNITS: Mapping[str, Schema] = {
    "duration": _schema_of(units.Duration),
    "rate": _schema_of(units.Rate),
    "trigger": trigger_schema(),
    "share": _schema_of(units.Share),
    "count-or-share": {"anyOf": [{"type": "integer", "minimum": 1}, *_schema_of(units.Share)["anyOf"]]},
    "duration-or-multiple": {
        "anyOf": [
            _schema_of(units.Duration),
            {"type": "string", "pattern": r"^\d*\.?\d+\s*[x×*]\s*visibility_timeout$"},
        ],
        "examples": ["1.5x visibility_timeout", "8s"],
    },
}
