"""What a filter asks of the service that carries it out, beyond the fields of nested objects.

Emulators leave out or do otherwise what their own tests never asked for, so that a filter which reaches this far would
be judged by what AWS does and carried out as the emulator does. What stands here is told before a run; which product
lacks what stands with each transport (`gaps`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gameday.history import envelope
from gameday.transports.base import Capability, Document
from gameday.transports.filters.rules import Language, read


def asks(document: Document, language: Language) -> set[Capability]:
    """What a policy or a pattern asks for, of the orders that we send. Errors: ValueError, as `read`."""
    found: set[Capability] = {"filter-dots"} if _dotted(document) else set()
    for rule in read(document, language):
        for array in _ARRAYS:
            below = sum(path.startswith(f"{array}.") for path in rule)
            if below:
                found.add("filter-arrays")
            if below > 1:
                found.add("filter-arrays-together")
    return found


def _dotted(value: Any) -> bool:
    """Whether a key has a dot; an operand has no keys but operators."""
    if isinstance(value, Mapping):
        return any("." in key or _dotted(inner) for key, inner in value.items())
    return isinstance(value, list | tuple) and any(map(_dotted, value))


def _arrays_of_objects(value: Any, path: str) -> Iterator[str]:
    """The paths, without arrays, at which an array with objects stands."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _arrays_of_objects(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if any(isinstance(inner, Mapping) for inner in value):
            yield path
        for inner in value:
            yield from _arrays_of_objects(inner, path)


_ARRAYS = frozenset(
    _arrays_of_objects(orjson.loads(envelope.pack(id="", run="", group=None, timestamp_ns=0, payload_bytes=0)), "")
)
