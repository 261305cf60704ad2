"""A value that fits a JSON Schema, the same again for the same seed, from the part of JSON Schema that events use.

Known are `type`, `properties`, `required`, `items`, `enum`, `const`, `examples`, bounds of numbers, lengths and arrays,
`format` (uuid, date-time, date, time, email, uri), `$ref` to a definition of the same document, and the first of
`oneOf` and `anyOf`. Optional properties are there half of the time. It promises no value where it cannot make one: what
it does not know (a `pattern` without `examples`) is a ValueError that says where.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MOST = 1_000_000
_DEEPEST = 32


def make(schema: Mapping[str, Any], *, seed: str) -> Any:
    """Errors: ValueError for a schema from which nothing can be made, with the place."""
    return _value(schema, schema, random.Random(seed), "", 0)


def _value(schema: Any, root: Mapping[str, Any], chance: random.Random, path: str, depth: int) -> Any:
    if schema is True:
        return None
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        raise ValueError(f"at {path or '/'}: no value can be made of that")
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if schema.get(key):
            return chance.choice(list(schema[key]))
    if "$ref" in schema:
        return _value(_referred(schema["$ref"], root, path), root, chance, path, depth + 1)
    for key in ("oneOf", "anyOf"):
        if schema.get(key):
            return _value(schema[key][0], root, chance, path, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    make_one = _KINDS.get(str(kind))
    if make_one is None:
        raise ValueError(f"at {path or '/'}: a `type` is missing or not known; give it one, or `examples`")
    return make_one(schema, root, chance, path, depth)


def _referred(ref: object, root: Mapping[str, Any], path: str) -> Any:
    if not isinstance(ref, str) or not ref.startswith("#/"):
        raise ValueError(f"at {path or '/'}: {ref!r} refers to another document")
    here: Any = root
    for token in ref[2:].split("/"):
        name = token.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, Mapping) or name not in here:
            raise ValueError(f"at {path or '/'}: there is nothing at {ref}")
        here = here[name]
    return here


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], chance: random.Random, path: str, depth: int) -> Any:
    properties = schema.get("properties") or {}
    required = list(schema.get("required") or ())
    names = [name for name in properties if name in required or chance.random() < 0.5]
    names += [name for name in required if name not in properties]
    return {
        name: _value(properties.get(name, {"type": "string"}), root, chance, f"{path}/{name}", depth + 1)
        for name in names
    }


def _array(schema: Mapping[str, Any], root: Mapping[str, Any], chance: random.Random, path: str, depth: int) -> Any:
    least = int(schema.get("minItems", 1))
    most = int(schema.get("maxItems", max(least, 3)))
    items = schema.get("items", {"type": "string"})
    count = chance.randint(least, max(least, min(most, least + 3)))
    return [_value(items, root, chance, f"{path}/{n}", depth + 1) for n in range(count)]


def _string(schema: Mapping[str, Any], root: Mapping[str, Any], chance: random.Random, path: str, depth: int) -> str:
    if "pattern" in schema:
        raise ValueError(f"at {path or '/'}: no text is made from a `pattern`; give it `examples`")
    if (known := _FORMATS.get(str(schema.get("format")))) is not None:
        return known(chance)
    least = int(schema.get("minLength", 1))
    most = int(schema.get("maxLength", max(least, 12)))
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randint(least, max(least, min(most, least + 12)))))


def _integer(schema: Mapping[str, Any], root: Mapping[str, Any], chance: random.Random, path: str, depth: int) -> int:
    step = int(schema.get("multipleOf", 1)) or 1
    low = int(schema.get("minimum", int(schema.get("exclusiveMinimum", -1)) + 1))
    high = int(schema.get("maximum", int(schema.get("exclusiveMaximum", low + _MOST + 1)) - 1))
    first, last = -(-low // step), high // step
    if last < first:
        raise ValueError(f"at {path or '/'}: no whole number is from {low} to {high}")
    return chance.randint(first, last) * step


def _number(schema: Mapping[str, Any], root: Mapping[str, Any], chance: random.Random, path: str, depth: int) -> float:
    low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
    high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + _MOST)))
    if high < low:
        raise ValueError(f"at {path or '/'}: no number is from {low:g} to {high:g}")
    # Away from both ends, which may be excluded.
    return round(low + (high - low) * chance.uniform(0.1, 0.9), 2) if high > low + 1 else (low + high) / 2


def _moment(chance: random.Random) -> str:
    return f"{_day(chance)}T{_clock(chance)}"


def _day(chance: random.Random) -> str:
    return f"20{chance.randint(10, 30)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def _clock(chance: random.Random) -> str:
    return f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}Z"


_FORMATS: Mapping[str, Callable[[random.Random], str]] = {
    "uuid": lambda chance: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    "date-time": _moment,
    "date": _day,
    "time": _clock,
    "email": lambda chance: f"{chance.choice(_LETTERS)}{chance.randint(0, 999)}@example.org",
    "uri": lambda chance: f"https://example.org/{chance.randint(0, 9999)}",
}
_KINDS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], random.Random, str, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda schema, root, chance, path, depth: chance.random() < 0.5,
    "null": lambda schema, root, chance, path, depth: None,
}
