"""Numbers with their unit, as a scenario writes them: 5s, 150/s, 512B, 10%, 1.5x visibility_timeout.

It promises that no number is read without its unit: `rate: 150` could mean a second or a minute, so it is an error
that says what to write. The annotated types at the end are what the scenario's models use; they are written back with
their unit, so that a resolved scenario is a scenario again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"
_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATE_PER_S: Mapping[str, float] = {"s": 1.0, "min": 1 / 60, "m": 1 / 60, "h": 1 / 3600}
_BYTES: Mapping[str, int] = {"B": 1, "KiB": 1024, "MiB": 1024**2}
# 1000 to some and 1024 to others, AWS's own pages among them.
_AMBIGUOUS = re.compile(rf"{_NUMBER}\s*([kKM])B")


def duration_s(value: object) -> float:
    """Seconds: `duration_s("15ms")` is 0.015. Errors: ValueError that says what to write."""
    number, unit = _split(value, "a duration", example="5s, 15ms or 2m", units=_SECONDS)
    return number * _SECONDS[unit]


def rate_per_s(value: object) -> float:
    """Messages per second: `rate_per_s("90/min")` is 1.5. Errors: ValueError that says what to write."""
    what, example = "a rate", "150/s or 20/min"
    if not isinstance(value, str):
        raise ValueError(_unit_missing(value, what, example))
    matched = re.fullmatch(rf"{_NUMBER}\s*(?:/\s*(\w+))?", value.strip())
    if matched is None:
        raise ValueError(f"{value!r} is not {what}; write it like {example}")
    number, unit = matched.groups()
    if unit is None:
        raise ValueError(_unit_missing(value, what, example))
    if unit not in _RATE_PER_S:
        raise ValueError(f"{value!r}: no rate is per {unit!r}; write it like {example}")
    return float(number) * _RATE_PER_S[unit]


def size_bytes(value: object) -> int:
    """Bytes: `size_bytes("2KiB")` is 2048. Errors: ValueError that says what to write."""
    if isinstance(value, str) and (matched := _AMBIGUOUS.fullmatch(value.strip())):
        number, binary = matched[1], f"{matched[2].upper()}iB"
        wide, narrow = (_plain(float(number) * one) for one in (_BYTES[binary], {"K": 1e3, "M": 1e6}[binary[0]]))
        raise ValueError(
            f"{value!r} is {narrow} bytes to some and {wide} to others; "
            f"write {number}{binary} ({wide} bytes) or {narrow}B"
        )
    number, unit = _split(value, "a size", example="512B or 2KiB", units=_BYTES)
    size = number * _BYTES[unit]
    if size != int(size):
        raise ValueError(f"{value!r} is no whole number of bytes")
    return int(size)


def share(value: object) -> float:
    """A part of a whole, 0 to 1: "10%" and 0.1 are the same. Errors: ValueError that says what to write."""
    example = "10% or 0.1"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a share; write it like {example}")
    if isinstance(value, str):
        matched = re.fullmatch(rf"{_NUMBER}\s*(%?)", value.strip())
        if matched is None:
            raise ValueError(f"{value!r} is not a share; write it like {example}")
        number = float(matched[1]) / 100 if matched[2] else float(matched[1])
    else:
        number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value!r} is not a share: it must be between 0 and 1 (0% and 100%); write it like {example}")
    return number


def multiple(value: object, references: Collection[str]) -> float | None:
    """How many times something that has a name: 1.5 for "1.5x visibility_timeout", None where nothing of that form
    stands. Errors: ValueError for a name that is not in `references`."""
    if not isinstance(value, str) or not (matched := re.fullmatch(rf"{_NUMBER}\s*[x×*]\s*(\w+)", value.strip())):
        return None
    number, name = matched.groups()
    if name not in references:
        raise ValueError(f"{value!r}: nothing here is called {name!r}; known are {', '.join(references)}")
    return float(number)


def format_duration(seconds: float) -> str:
    return f"{_plain(seconds)}s"


def _plain(number: float) -> str:
    """Without an exponent, which no unit's reader takes."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _split(value: object, what: str, *, example: str, units: Mapping[str, float]) -> tuple[float, str]:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not {what}; write it like {example}")
    matched = re.fullmatch(rf"{_NUMBER}\s*([A-Za-zµ]*)", str(value).strip())
    if matched is None:
        raise ValueError(f"{value!r} is not {what}; write it like {example}")
    number, unit = matched.groups()
    if not unit:
        raise ValueError(_unit_missing(value, what, example))
    if unit not in units:
        raise ValueError(f"{value!r}: {what} has no unit {unit!r}; known are {', '.join(units)} (as in {example})")
    return float(number), unit


def _unit_missing(value: object, what: str, example: str) -> str:
    return f"{value!r} has no unit; {what} is written like {example}"


Duration = Annotated[
    float,
    BeforeValidator(duration_s),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\d*\.?\d+\s*(ms|s|m|min|h)$", "examples": ["5s", "15ms", "2m"]}),
]
Rate = Annotated[
    float,
    BeforeValidator(rate_per_s),
    PlainSerializer(lambda rate: f"{_plain(rate)}/s"),
    WithJsonSchema({"type": "string", "pattern": r"^\d*\.?\d+\s*/\s*(s|min|m|h)$", "examples": ["150/s", "20/min"]}),
]
Size = Annotated[
    int,
    BeforeValidator(size_bytes),
    PlainSerializer(lambda size: f"{size}B"),
    WithJsonSchema({"type": "string", "pattern": r"^\d*\.?\d+\s*(B|KiB|MiB)$", "examples": ["512B", "2KiB"]}),
]
Share = Annotated[
    float,
    BeforeValidator(share),
    PlainSerializer(lambda part: f"{_plain(part * 100)}%"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\d*\.?\d+\s*%?$"},
            ],
            "examples": ["10%", 0.1],
        }
    ),
]
PositiveDuration = Annotated[Duration, Field(gt=0)]
