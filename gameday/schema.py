"""The JSON Schema of a scenario, generated from the models and registries that read one, for editors to check against.

It promises to accept what `scenario.load` reads as written (`5s`, `150/s`, `10%`), key by key; what does not go
together (a claim that a transport never promises) only the run itself can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from chaos.base import units as fault_units
from chaos.registry import FAULTS
from gameday import scenario, units
from history.manifest import ALIASES, BOUNDS
from loadgen.shapes import SHAPES
from loadgen.shapes import units as shape_units
from transports.registry import TRANSPORTS

Schema = dict[str, Any]


def schema() -> Schema:
    root = scenario.Body.model_json_schema(by_alias=True)
    properties = root["properties"]
    properties["transport"] = {"enum": list(TRANSPORTS)}
    properties["load"] = _load(root["$defs"].pop("LoadSpec"))
    properties["chaos"] = {"type": "array", "items": {"oneOf": [_fault(name) for name in FAULTS]}}
    properties["claims"] = {"type": "array", "minItems": 1, "items": {"oneOf": _claims()}}
    root["required"] = [*root["required"], "claims"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "title": "gameday scenario"}


def _load(common: Schema) -> Schema:
    """One branch for each shape, which adds keys of its own to those of every load."""
    branches = []
    for name, model in SHAPES.items():
        own = _with_units(model, shape_units(model))["properties"]
        properties = {**own, **common["properties"], "shape": {"const": name}}
        # Without a `shape` it is the default one.
        default = name == common["properties"]["shape"]["default"]
        required = [*common["required"], *([] if default else ["shape"])]
        branches.append({**common, "title": f"{name} load", "properties": properties, "required": required})
    return {"oneOf": branches}


def _fault(name: str) -> Schema:
    model = FAULTS[name]
    found = _with_units(model, fault_units(model))
    found["properties"]["fault"] = {"const": name}
    return {**found, "title": name, "required": list(dict.fromkeys([*found.get("required", ()), "fault"]))}


def _claims() -> list[Schema]:
    long_forms = []
    for name, bounds in BOUNDS.items():
        properties: Schema = {"claim": {"enum": [name, *(alias for alias, real in ALIASES.items() if real == name)]}}
        for bound, kind in bounds.items():
            properties[scenario.short_bound(bound)] = {"type": "boolean"} if kind is bool else _UNITS["duration"]
        long_forms.append(
            {"type": "object", "properties": properties, "required": ["claim"], "additionalProperties": False}
        )
    bare = [name for name in [*BOUNDS, *ALIASES] if not scenario.needs_bound(ALIASES.get(name, name))]
    return [{"enum": bare}, *long_forms]


def _with_units(model: type[BaseModel], kinds: Mapping[str, str]) -> Schema:
    """The model's schema with numbers as a scenario writes them."""
    found = model.model_json_schema(by_alias=True)
    found.pop("$defs", None)
    for key, kind in kinds.items():
        if kind in _UNITS:
            written = found["properties"][key]
            kept = {word: written[word] for word in ("description",) if word in written}
            found["properties"][key] = {**_UNITS[kind], **kept}
    return found


def _schema_of(kind: Any) -> Schema:
    return TypeAdapter(kind).json_schema()


_UNITS: Mapping[str, Schema] = {
    "duration": _schema_of(units.Duration),
    "rate": _schema_of(units.Rate),
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
