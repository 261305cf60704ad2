"""What a scenario says of effects that stand elsewhere: where they are read back, of which subscription, how long.

`effects` is one entry or a list of them, each with one reader (gameday/consumers/read_back/registry.py). It promises
that what comes out names its subscription, and that written back it is read as the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gameday.consumers.read_back.base import Settings
from gameday.consumers.read_back.registry import READERS
from gameday.scenario.document import Route
from gameday.scenario.problems import Problems, keys
from gameday.scenario.units import Duration, PositiveDuration, format_duration

_EXAMPLE = "write it like {dynamodb: {table: orders, key: orderId}}"


class ReadingSpec(BaseModel):
    """What an entry has besides its reader."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    subscription: str | None = Field(
        default=None, description="whose effects these are; may be left out where there is one subscription"
    )
    settle: Duration = Field(
        default=1.0,
        description="how long nothing may change before what stands there counts: longer than what your consumers "
        "leave to others takes",
    )
    timeout: PositiveDuration = Field(
        default=60.0, description="how long the whole reading may take, that it stays the same included"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectsEntry:
    """`place`: where in the document it stands."""

    subscription: str
    kind: str
    settings: Settings
    settle_s: float
    timeout_s: float
    place: Route


def read(data: object, only: str | None, problems: Problems) -> list[EffectsEntry]:
    """`only`: the subscription, where there is one. What is wrong is noted, and left out."""
    if data is None:
        return []
    listed = isinstance(data, list)
    entries = enumerate(data) if isinstance(data, list) else [(0, data)]
    found = (_entry(entry, ("effects", n) if listed else ("effects",), only, problems) for n, entry in entries)
    return [entry for entry in found if entry is not None]


def _entry(data: object, path: Route, only: str | None, problems: Problems) -> EffectsEntry | None:
    if not isinstance(data, dict):
        problems.add(path, f"{data!r} does not say where effects stand; {_EXAMPLE}")
        return None
    named = [name for name in data if name in READERS]
    rest = {name: value for name, value in data.items() if name not in READERS}
    spec = problems.validated(ReadingSpec, rest, path, known=[*READERS, *keys(ReadingSpec)])
    if spec is None:
        return None
    if len(named) != 1:
        what = f"{' and '.join(named)} are two places" if named else "it does not say where effects stand"
        problems.add(path, f"{what}; write one of {', '.join(READERS)}")
        return None
    settings = _settings(named[0], data[named[0]], (*path, named[0]), problems)
    subscription = spec.subscription or only
    if subscription is None:
        problems.add(path, "whose effects are these? With several subscriptions each entry has its `subscription`")
    if settings is None or subscription is None:
        return None
    return EffectsEntry(
        subscription=subscription,
        kind=named[0],
        settings=settings,
        settle_s=spec.settle,
        timeout_s=spec.timeout,
        place=path,
    )


def _settings(kind: str, written: object, path: Route, problems: Problems) -> Settings | None:
    model = READERS[kind]
    if not isinstance(written, dict):
        if model.short is None:
            problems.add(path, f"{written!r}: its keys belong here: {', '.join(keys(model))}")
            return None
        written = {model.short: written}
    return problems.validated(model, written, path)


def written_back(entries: list[EffectsEntry]) -> list[dict[str, Any]]:
    """As a scenario would say it, defaults included."""
    return [
        {
            "subscription": entry.subscription,
            entry.kind: entry.settings.model_dump(mode="json", exclude_none=True),
            "settle": format_duration(entry.settle_s),
            "timeout": format_duration(entry.timeout_s),
        }
        for entry in entries
    ]


def schema() -> dict[str, Any]:
    """JSON Schema of `effects`."""
    own = ReadingSpec.model_json_schema()["properties"]
    entries = []
    for kind, model in READERS.items():
        whole = model.model_json_schema()
        short = [whole["properties"][model.short]] if model.short else []
        described = {"description": whole.pop("description")}
        entries.append(
            {
                "type": "object",
                "title": kind,
                "properties": {kind: {"anyOf": [whole, *short], **described}, **own},
                "required": [kind],
                "additionalProperties": False,
            }
        )
    entry = {"oneOf": entries}
    return {
        "oneOf": [*entries, {"type": "array", "items": entry}],
        "description": "where the effects of consumers that others wrote stand, to be read back when the run is over",
    }
