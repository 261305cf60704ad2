"""What a reader of effects is: what a scenario writes of it, and how it counts what stands somewhere.

A reader changes nothing where it reads, but for a queue, which it empties. It promises numbers that somebody wrote:
what it cannot read as a whole number under a name that is text is an error that names the place, never a guess.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict

from gameday.transports.base import Capability
from gameday.transports.endpoint import Endpoint
from gameday.transports.words import replace

_BRIEF = 60


class ReadFailed(Exception):
    """Effects could not be read; one sentence that says where, why, and what to do."""


class NotThere(ReadFailed):
    """What should be read does not exist: before the load that is as good as empty, after it nobody knows anything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How often each effect stands. `of`: under the id of its message, or under a key, which what was sent tells: the
    key that the message was intended with, else its id. `passed_over`: what stands there too and is no effect."""

    of: Literal["id", "key"] = "key"
    applied: Mapping[str, int] = field(default_factory=dict)
    passed_over: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a reader stands in its run. `words`: see gameday/transports/words.py. `directory`: what the scenario's
    paths are relative to; `log`: for what a program says; `own`: the names of the run's own queues."""

    words: Mapping[str, str]
    endpoint: Endpoint
    directory: Path
    log: Path
    own: Collection[str] = ()


class EffectReader(ABC):
    """One place, from before the load until it has been read. It may be read several times. Errors: ReadFailed."""

    async def before(self) -> Counts:
        """What stands there before the load, where nothing of this run can stand yet."""
        try:
            return await self.read()
        except NotThere:
            return Counts()

    @abstractmethod
    async def read(self) -> Counts:
        """All that stands there now."""

    def kill(self) -> None:  # noqa: B027 (most have started nothing)
        """End at once what it has started, if anything: nobody waits for it any more."""

    async def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Whatever happened."""


class Settings(BaseModel):
    """What a scenario writes of one reader. Every text in it may hold words.

    `services`: what it needs of AWS; `needs`: what not every target has of that. `short`: the one field that may be
    written without its name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    services: ClassVar[Sequence[str]] = ()
    needs: ClassVar[Capability | None] = None
    short: ClassVar[str | None] = None

    @abstractmethod
    def reader(self, place: Place) -> EffectReader:
        """Its words are replaced already."""

    def texts(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Each text, with where it stands."""
        for name, value in self:
            for number, text in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(text, str):
                    yield (name, number) if isinstance(value, list) else (name,), text

    def told(self, words: Mapping[str, str]) -> Self:
        """With every word replaced. Errors: UnknownWord."""

        def told(value: Any) -> Any:
            if isinstance(value, list):
                return [told(item) for item in value]
            return replace(value, words) if isinstance(value, str) else value

        return self.model_copy(update={name: told(value) for name, value in self})


def how_often(value: object, where: str) -> int:
    """A whole number, however it was written. Errors: ReadFailed."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if number.is_finite() and number == number.to_integral_value() and number >= 0:
            return int(number)
    raise ReadFailed(f"{where}: how often is {brief(value)}, and no whole number from 0")


def name_of(value: object, where: str) -> str:
    """An id or a key as text. Errors: ReadFailed."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ReadFailed(f"{where}: an id or a key is a text or a whole number, and not {brief(value)}")


def add(applied: dict[str, int], name: str, times: int) -> None:
    applied[name] = applied.get(name, 0) + times


def brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 1]}…"


def check_pointer(pointer: str) -> None:
    """Errors: ValueError for what is no JSON pointer (RFC 6901)."""
    if not pointer.startswith("/"):
        raise ValueError(
            f"{pointer!r} is no JSON pointer; write it like /orderId, or /detail/items/0/sku for what lies deeper"
        )


def at(pointer: str, body: bytes | str, where: str) -> str:
    """The id or key at a pointer into a JSON text. Errors: ReadFailed."""
    try:
        here = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ReadFailed(f"{where} is not JSON: {error.msg}") from error
    for written in pointer.split("/")[1:]:
        part = written.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            raise ReadFailed(f"{where} has nothing at {pointer}")
    return name_of(here, f"{where}, {pointer}")
