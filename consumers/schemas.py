"""Whether an event fits: its payload the version of a schema that the consumer knows, and the event its conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import fastjsonschema

from gameday.history import envelope
from gameday.history.events import Conforms

Conformity = Callable[[str], Conforms]


def compiled(document: Mapping[str, Any]) -> Callable[[Any], object]:
    """What a value is held against: it raises a ValueError for one that does not fit. Errors: ValueError for what is no
    schema, or one that cannot be used."""
    try:
        fits: Callable[[Any], object] = fastjsonschema.compile(dict(document), use_default=False)
    except fastjsonschema.JsonSchemaDefinitionException as error:
        raise ValueError(str(error)) from error
    except (RecursionError, KeyError, TypeError, AttributeError) as error:
        # Of a schema that refers to itself, for one.
        raise ValueError(f"it is more than can be used here ({type(error).__name__})") from error
    return fits


def conformity(document: Mapping[str, Any]) -> Conformity:
    """Asks a body. Errors: ValueError for what is no schema."""
    fits = compiled(document)

    def asked(body: str) -> Conforms:
        read = envelope.unpack(body)
        if read is None or not read.conventional:
            return "bad"
        try:
            fits(read.payload)
        except ValueError:
            return "bad"
        return "ok"

    return asked
