"""Which message a body is, for everybody who receives one: our consumers, who reads the dead letters, the wire.

There is one answer, `Identification.identify`, and the scenario says how it is found: in our own envelope, at a place
of the body that a JSON Pointer names, in a message attribute that was sent for it, or not at all, where the broker's
own id is all that tells it. It promises to say nothing that the message does not tell: what is not there is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from gameday.history import claim_check, envelope
from gameday.history.claim_check import Reference

Told = Literal["envelope", "pointer", "attribute", "broker"]
# The message attribute that is added to messages of somebody else's making.
ATTRIBUTE = "gameday-id"
# And the one that says which run such a message is of, where others may send as well.
RUN_ATTRIBUTE = "gameday-run"
_POINTER = re.compile(r"(/([^~/]|~[01])*)+")


class Identity(NamedTuple):
    """What a message tells of itself. `intact`: its checksum agrees, None where it has none. `poison`: the handler must
    fail on it. `ours`: it may be one of the run's; one that should tell its id and does not is somebody else's.
    `reference`: it stands for a body that is elsewhere.
    """

    id: str | None
    group: str | None
    intact: bool | None
    poison: bool
    ours: bool
    reference: Reference | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Identification:
    """How the messages of a run are told apart. `id` and `group` are JSON Pointers into the body.

    `run`: where others may send, too, the run whose mark a message must bear to be one of ours.
    """

    by: Told = "envelope"
    id: str | None = None
    group: str | None = None
    run: str | None = None

    @property
    def attributes(self) -> Sequence[str]:
        """The message attributes that whoever receives must ask the service for."""
        if self.by != "attribute":
            return []
        return [ATTRIBUTE] if self.run is None else [ATTRIBUTE, RUN_ATTRIBUTE]

    def identify(self, body: str, attributes: Mapping[str, str]) -> Identity:
        """`body` is what the producer wrote, without what a service put around it; `attributes` its text attributes."""
        if self.by == "envelope":
            if (pointed := claim_check.read_pointer(body)) is not None and pointed.id:
                if self.run not in (None, pointed.run):
                    return Identity(id=None, group=None, intact=None, poison=False, ours=False)
                return Identity(id=pointed.id, group=None, intact=None, poison=False, ours=True, reference=pointed)
            read = envelope.unpack(body)
            if read is None or self.run not in (None, read.run):
                return Identity(id=None, group=None, intact=False, poison=False, ours=False)
            return Identity(read.id, read.group, read.intact, read.poison, True, read.reference)
        document = _document(body) if self.id or self.group else None
        id = None
        if self.by == "pointer" and self.id:
            id = told_at(document, self.id)
        elif self.by == "attribute" and self.run in (None, attributes.get(RUN_ATTRIBUTE)):
            id = attributes.get(ATTRIBUTE) or None
        group = told_at(document, self.group) if self.group else None
        return Identity(id=id, group=group, intact=None, poison=False, ours=self.by == "broker" or id is not None)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Identification:
        return cls(**document)


def check_pointer(pointer: str) -> None:
    """Errors: ValueError for what is no JSON Pointer (RFC 6901) to something inside a document."""
    if not _POINTER.fullmatch(pointer):
        raise ValueError(f"{pointer!r} is no JSON Pointer; one is written like /order/id, from the top of the body")


def value_at(document: object, pointer: str) -> Any:
    """Errors: ValueError that says what is not there."""
    here: Any = document
    for token in _tokens(pointer):
        if isinstance(here, Mapping) and token in here:
            here = here[token]
        elif isinstance(here, list) and token.isascii() and token.isdigit() and int(token) < len(here):
            here = here[int(token)]
        else:
            raise ValueError(f"it has nothing at {pointer}")
    return here


def text_at(document: object, pointer: str) -> str:
    """A text or a number, as text. Errors: ValueError."""
    value = value_at(document, pointer)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    told = "an empty text" if value == "" else orjson.dumps(value).decode()[:40]
    raise ValueError(f"at {pointer} it has {told}, and a text or a number belongs there")


def told_at(document: object, pointer: str) -> str | None:
    """The same of a message that may be anybody's."""
    try:
        return text_at(document, pointer)
    except ValueError:
        return None


def _tokens(pointer: str) -> Sequence[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _document(body: str) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
