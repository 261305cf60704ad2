"""Whether an event fits: its payload the version of a schema that the consumer knows, and the event its conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import fastjsonschema

from gameday.history import envelope
from gameday.history.events import Conforms

Conformity = Callable[[str], Conforms]


def conformity(document: Mapping[str, Any]) -> Conformity:
    """Asks a body. Errors: fastjsonschema's, for what is no schema."""
    fits = fastjsonschema.compile(dict(document), use_default=False)

    def asked(body: str) -> Conforms:
        read = envelope.unpack(body)
        if read is None or not read.conventional:
            return "bad"
        try:
            fits(read.payload)
        except fastjsonschema.JsonSchemaValueException:
            return "bad"
        return "ok"

    return asked
