"""Messages of the user's own: from a file, from a template, or made beforehand by a function of theirs.

It promises that the message with a number is the same one whoever asks for it, and how often: each process of the load
walks through the whole schedule by itself, and all of them must deal the groups to the same users. What a message is
called (its group, its id) can be had without making the rest of it.
"""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from gameday.history.errors import UsageError
from gameday.history.identity import ATTRIBUTE, RUN_ATTRIBUTE, check_pointer, text_at, value_at
from gameday.loadgen.templates import Context, Most, Part, Template
from gameday.transports.base import Attribute

BY_ATTRIBUTE = "attribute"
# Whose functions make messages, where nobody says which Python.
INTERPRETER = "python3"


class Ask(NamedTuple):
    """Which message is wanted. `group` is the schedule's where the message names none; `id` what the history calls it;
    `due` is ns of the run's clock."""

    number: int
    group: str
    seq: int
    id: str
    due: int


class Made(NamedTuple):
    """A message as it goes out. What is None is left to the load. `key`: what its effects are read back under."""

    body: str
    dedup_id: str | None
    key: str | None
    attributes: Mapping[str, Attribute]


class Source(Protocol):
    """Errors of each: UsageError that names the message, and what is wrong with it."""

    def group(self, number: int) -> str | None:
        """The group that the message names itself; None where the schedule draws one."""
        ...

    def id(self, ask: Ask) -> str | None:
        """The id that the message names itself; `ask.id` is not looked at."""
        ...

    def make(self, ask: Ask) -> Made: ...

    def where(self, number: int) -> str:
        """The message as its author finds it: a line of a file, or its number."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnMessages:
    """What is sent in place of our own orders, as JSON for each process of the load.

    `kind`: lines of a `path`, a `template`, or "made": a file in which each message stands as it was made, one a line.
    `group`, `dedup_id` and `key` are JSON Pointers into the body, and so is `id` unless it is "attribute". `attributes`
    are texts, or pointers where they begin with a slash. `run`: the run whose mark stands beside an id that is an
    attribute, where others send, too.
    """

    kind: Literal["file", "template", "made"]
    path: str = ""
    repeat: bool = True
    template: Any = None
    group: str | None = None
    dedup_id: str | None = None
    key: str | None = None
    id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    run: str | None = None

    @property
    def id_pointer(self) -> str | None:
        return None if self.id == BY_ATTRIBUTE else self.id

    @property
    def pointers(self) -> dict[str, str]:
        """Every place in a body that is looked at, by the key that says so."""
        own = {"group": self.group, "dedup_id": self.dedup_id, "key": self.key, "id": self.id_pointer}
        more = {f"attributes.{name}": text for name, text in self.attributes.items() if text.startswith("/")}
        return {name: pointer for name, pointer in own.items() if pointer is not None} | more

    def check(self) -> Iterator[tuple[str, str]]:
        """Each key that holds no pointer, and why."""
        for name, pointer in self.pointers.items():
            try:
                check_pointer(pointer)
            except ValueError as error:
                yield name, str(error)

    def open(self, *, seed: int, run: str) -> Source:
        """Errors: UsageError for a file that cannot be read, or a template that cannot be made anything of."""
        if self.kind == "file":
            return Lines(self)
        if self.kind == "made":
            return _Ready(self)
        return Templated(self, seed=seed, run=run)

    def beside(self, document: object, id: str | None) -> dict[str, Attribute]:
        """The attributes of a message. Errors: ValueError."""
        told = {name: attribute_at(document, text) for name, text in self.attributes.items()}
        if id is None or self.id != BY_ATTRIBUTE:
            return told
        run = {} if self.run is None else {RUN_ATTRIBUTE: Attribute("String", self.run)}
        return {**told, ATTRIBUTE: Attribute("String", id), **run}


def attribute_at(document: object, text: str) -> Attribute:
    """Of a text itself, or of what a pointer leads to. Errors: ValueError."""
    if not text.startswith("/"):
        return Attribute("String", text)
    return attribute_of(value_at(document, text))


def attribute_of(value: object) -> Attribute:
    """A list is an array of SNS's. Errors: ValueError."""
    if isinstance(value, list):
        return Attribute("String.Array", orjson.dumps(value).decode())
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number and not isinstance(value, str):
        raise ValueError(f"an attribute would be {value!r}; a text, a number or a list belongs there")
    return Attribute("Number" if number else "String", str(value))


class _Bodies(ABC):
    """What sources share whose messages are bodies, in which all else is found."""

    def __init__(self, own: OwnMessages) -> None:
        self._own = own

    @abstractmethod
    def body(self, ask: Ask) -> str: ...

    def where(self, number: int) -> str:
        return f"message {number}"

    def make(self, ask: Ask) -> Made:
        return self._made(self.body(ask), ask)

    def _made(self, body: str, ask: Ask) -> Made:
        own = self._own
        try:
            document = _parsed(body) if own.pointers else None
            return Made(
                body=body,
                dedup_id=None if own.dedup_id is None else text_at(document, own.dedup_id),
                key=None if own.key is None else text_at(document, own.key),
                attributes=own.beside(document, ask.id),
            )
        except ValueError as error:
            raise UsageError(f"{self.where(ask.number)}: {error}") from None

    def told(self, body: str, pointer: str, number: int) -> str:
        try:
            return text_at(_parsed(body), pointer)
        except ValueError as error:
            raise UsageError(f"{self.where(number)}: {error}") from None


class _File:
    """The lines of a file that are not blank, each by its place from 0, without holding them in memory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._starts = array("Q")
        self._numbers = array("Q")
        try:
            # Not mapped into memory: to read what somebody has cut off meanwhile would end the process.
            self._descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)
            start = 0
            with open(self._descriptor, "rb", closefd=False) as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        self._starts.append(start)
                        self._numbers.append(number)
                    start += len(line)
            self._starts.append(start)
        except OSError as error:
            raise UsageError(f"cannot read the messages in {path}: {error.strerror}") from None

    def __len__(self) -> int:
        return len(self._numbers)

    def line(self, place: int) -> str:
        """Errors: UsageError."""
        start, end = self._starts[place], self._starts[place + 1]
        # Blank lines lie between.
        text, _, _ = os.pread(self._descriptor, end - start, start).partition(b"\n")
        try:
            return text.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self.where(place)}: it is not UTF-8: {error.reason} at byte {error.start}; write other bytes as "
                "base64"
            ) from None

    def where(self, place: int) -> str:
        return f"{self.path}:{self._numbers[place]}"


class Lines(_Bodies):
    """`len`: how many messages there are, before the first comes again."""

    def __init__(self, own: OwnMessages) -> None:
        super().__init__(own)
        self._file = _File(own.path)
        if not len(self._file):
            raise UsageError(f"{own.path} has no line that is not blank; each line is the body of a message")

    def __len__(self) -> int:
        return len(self._file)

    def where(self, number: int) -> str:
        return self._file.where(self._place(number))

    def group(self, number: int) -> str | None:
        if self._own.group is None:
            return None
        return self.told(self._file.line(self._place(number)), self._own.group, number)

    def id(self, ask: Ask) -> str | None:
        pointer = self._own.id_pointer
        return None if pointer is None else self.told(self.body(ask), pointer, ask.number)

    def body(self, ask: Ask) -> str:
        return self._file.line(self._place(ask.number))

    def _place(self, number: int) -> int:
        return (number - 1) % len(self._file)


class Templated(_Bodies):
    """`largest` is a message at least as large as each, `widest_group` a group as long as any."""

    def __init__(self, own: OwnMessages, *, seed: int, run: str) -> None:
        super().__init__(own)
        try:
            self._template = Template(own.template, seed=seed, run=run)
            parts = {
                name: (pointer, self._template.at(pointer))
                for name, pointer in (("group", own.group), ("id", own.id_pointer))
                if pointer is not None
            }
        except ValueError as error:
            raise UsageError(f"the template: {error}") from None
        self._group, self._id = parts.get("group"), parts.get("id")
        if self._group is not None and (circle := self._group[1].uses & {"group", "seq"}):
            raise UsageError(
                f"the template: the group is read from {self._group[0]}, where {{{min(circle)}}} stands, which is "
                "known only of a message whose group is; put {choice:…} or another placeholder there"
            )

    def group(self, number: int) -> str | None:
        return self._told(self._group, Context(number, "", 0, 0), number)

    def id(self, ask: Ask) -> str | None:
        return self._told(self._id, _context(ask), ask.number)

    def body(self, ask: Ask) -> str:
        return self._template.body(_context(ask))

    def largest(self, ask: Ask) -> Made:
        return self._made(self._template.longest(Most(ask.number, ask.group)), ask)

    def widest_group(self, total: int, drawn: str) -> str:
        """`drawn` is the longest of the schedule's own."""
        return drawn if self._group is None else str(self._group[1].longest(Most(total, "")))

    def _told(self, asked: tuple[str, Part] | None, context: Context, number: int) -> str | None:
        if asked is None:
            return None
        pointer, part = asked
        try:
            # As whoever reads the body finds it.
            return text_at({"": part.value(context)}, "/")
        except ValueError as error:
            raise UsageError(f"{self.where(number)}: {str(error).replace('at /', f'at {pointer}', 1)}") from None


class _Ready:
    """A line holds the group, the id and the rest as `written` has it."""

    def __init__(self, own: OwnMessages) -> None:
        self._file = _File(own.path)
        # The last one that was looked at: its names are asked for before it is made.
        self._latest: tuple[int, Mapping[str, Any]] = (0, {})

    def group(self, number: int) -> str | None:
        group: str | None = self._line(number).get("own_group")
        return group

    def id(self, ask: Ask) -> str | None:
        id: str | None = self._line(ask.number).get("id")
        return id

    def make(self, ask: Ask) -> Made:
        line = self._line(ask.number)
        attributes = {name: Attribute(*given) for name, given in (line.get("attributes") or {}).items()}
        return Made(body=line["body"], dedup_id=line.get("dedup_id"), key=line.get("key"), attributes=attributes)

    def where(self, number: int) -> str:
        return f"message {number}"

    def _line(self, number: int) -> Mapping[str, Any]:
        if self._latest[0] != number:
            if number > len(self._file):
                raise UsageError(f"{self._file.path} holds {len(self._file)} messages, and number {number} is due")
            self._latest = (number, orjson.loads(self._file.line(number - 1)))
        return self._latest[1]


def written(made: Made, *, group: str | None, id: str | None) -> bytes:
    """A line of the file that "made" messages stand in. `group` and `id` where the message's maker said them."""
    fields = {
        "own_group": group,
        "id": id,
        "dedup_id": made.dedup_id,
        "key": made.key,
        "attributes": {name: list(attribute) for name, attribute in made.attributes.items()} or None,
        "body": made.body,
    }
    return orjson.dumps({name: value for name, value in fields.items() if value is not None}) + b"\n"


def _context(ask: Ask) -> Context:
    return Context(ask.number, ask.group, ask.seq, ask.due)


def _parsed(body: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error}), and a pointer leads into it") from None
