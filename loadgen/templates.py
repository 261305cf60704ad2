"""Bodies made of a template: JSON, or plain text, in which `{…}` stands for something that each message has anew.

It promises that a body is a function of the seed, the run's name and the message alone, and that what one placeholder
draws changes nothing of what another one does: so a single value can be had without the rest. A value that is one
placeholder alone keeps that one's type ("{n}" is a number); among other text it is text. Keys stay as they are, and a
brace itself is written twice.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from gameday.history.clock import NS_PER_S
from gameday.history.identity import value_at

Scalar = str | int | float
NS_PER_MS = 1_000_000
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ISO_LENGTH = len("2026-01-01T00:00:00.000Z")


class Context(NamedTuple):
    """The message that a body is made for. `due` is when the schedule wants it sent, in ns of the epoch."""

    n: int
    group: str
    seq: int
    due: int


class Most(NamedTuple):
    """The largest that there is of what is not drawn."""

    n: int
    group: str


@dataclass(frozen=True, slots=True)
class Draw:
    """Chance for one placeholder: the same for one message whenever it is asked."""

    of: str

    def number(self, n: int) -> int:
        return int.from_bytes(self.bytes(n)[:8], "big")

    def bytes(self, n: int) -> bytes:
        return blake2b(f"{self.of}:{n}".encode(), digest_size=16).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Placeholder:
    """`longest`: one that is at least as long as each of its values."""

    value: Callable[[Context], Scalar]
    longest: Callable[[Most], Scalar]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A placeholder that can be written. `made`: of what stands after its colons. Errors: ValueError.

    `written` is how, for documents, and `told` what it stands for.
    """

    written: str
    told: str
    made: Callable[[Sequence[str], Draw, str], Placeholder]


def _counted(of: Callable[[Context], int], most: Callable[[Most], int]) -> Callable[..., Placeholder]:
    def made(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
        if not given:
            return Placeholder(value=of, longest=most)
        width = _integer(*_exactly(given, 1))
        if not 1 <= width <= 100:
            raise ValueError(f"{width} is no width; 1 to 100 digits")
        return Placeholder(
            value=lambda context: f"{of(context):0{width}}", longest=lambda largest: f"{most(largest):0{width}}"
        )

    return made


def _counter(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    if not 1 <= len(given) <= 2:
        raise ValueError("write it like {counter:1000}, or with a step {counter:1000:10}")
    start, step = [*map(_integer, given), 1][:2]

    def value(n: int) -> int:
        return start + step * (n - 1)

    return Placeholder(
        value=lambda context: value(context.n), longest=lambda most: max(value(1), value(most.n), key=_length)
    )


def _choice(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    # What is chosen from may hold colons.
    choices = ":".join(given).split("|")
    if len(choices) < 2:
        raise ValueError("there is nothing to choose from; write it like {choice:EUR|USD|GBP}")
    return Placeholder(
        value=lambda context: choices[draw.number(context.n) % len(choices)],
        longest=lambda most: max(choices, key=lambda choice: len(orjson.dumps(choice))),
    )


def _int(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    low, high = map(_integer, _exactly(given, 2))
    if high < low:
        raise ValueError(f"{high} is below {low}")
    return Placeholder(
        value=lambda context: low + draw.number(context.n) % (high - low + 1),
        longest=lambda most: max(low, high, key=_length),
    )


def _decimal(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    low, high, digits = map(_integer, _exactly(given, 3))
    if high < low or not 0 <= digits <= 9:
        raise ValueError("write it like {decimal:1:100:2}: from, to, and up to 9 digits")
    unit = 10**digits
    return Placeholder(
        value=lambda context: (low * unit + draw.number(context.n) % ((high - low) * unit + 1)) / unit,
        longest=lambda most: "0" * (max(_length(low), _length(high)) + digits + 2),
    )


def _uuid(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    _exactly(given, 0)
    return Placeholder(
        value=lambda context: str(uuid.UUID(bytes=draw.bytes(context.n), version=4)), longest=lambda most: "0" * 36
    )


_EPOCH: Mapping[str, int] = {"s": NS_PER_S, "ms": NS_PER_MS, "ns": 1}


def _time(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    if not given:
        return Placeholder(value=lambda context: _iso(context.due), longest=lambda most: "0" * _ISO_LENGTH)
    (unit,) = _exactly(given, 1)
    if unit not in _EPOCH:
        raise ValueError(f"{unit!r} is no unit; {', '.join(_EPOCH)} since 1970, or {{time}} for ISO 8601")
    return Placeholder(value=lambda context: context.due // _EPOCH[unit], longest=lambda most: 10**19 // _EPOCH[unit])


def _iso(ns: int) -> str:
    # In whole milliseconds, so that no rounding of a float shows.
    seconds, ms = divmod(ns // NS_PER_MS, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03}Z"


def _filler(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    count = _integer(*_exactly(given, 1))
    if not 0 <= count <= 16 * 1024**2:
        raise ValueError(f"{count} is no number of characters; 0 to 16777216")
    return Placeholder(value=lambda context: "x" * count, longest=lambda most: "x" * count)


def _run(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    _exactly(given, 0)
    return Placeholder(value=lambda context: run, longest=lambda most: run)


def _group(given: Sequence[str], draw: Draw, run: str) -> Placeholder:
    _exactly(given, 0)
    return Placeholder(value=lambda context: context.group, longest=lambda most: most.group)


PLACEHOLDERS: Mapping[str, Known] = {
    "n": Known(
        written="{n}, {n:6}",
        told="the message's number in the run, from 1; with a width it is text with leading zeros",
        made=_counted(lambda context: context.n, lambda most: most.n),
    ),
    "seq": Known(
        written="{seq}, {seq:6}",
        told="its number in its group, from 1",
        made=_counted(lambda context: context.seq, lambda most: most.n),
    ),
    "group": Known(written="{group}", told="its group", made=_group),
    "run": Known(written="{run}", told="the run's name, another one in each run", made=_run),
    "counter": Known(
        written="{counter:1000}, {counter:1000:10}", told="a number that starts there and goes up", made=_counter
    ),
    "int": Known(written="{int:1:100}", told="a whole number, both ends included", made=_int),
    "decimal": Known(
        written="{decimal:1:100:2}", told="a number with so many digits behind the point at most", made=_decimal
    ),
    "choice": Known(written="{choice:EUR|USD|GBP}", told="one of these texts", made=_choice),
    "uuid": Known(written="{uuid}", told="a UUID (version 4), the same again with the same seed", made=_uuid),
    "time": Known(
        written="{time}, {time:s}, {time:ms}, {time:ns}",
        told="when the message is due: ISO 8601 in UTC, or a number since 1970",
        made=_time,
    ),
    "filler": Known(written="{filler:1024}", told="so many characters", made=_filler),
}


class _Text:
    """A text with placeholders in it. `uses`: their names."""

    def __init__(self, text: str, seed: int, run: str, place: Callable[[], int]) -> None:
        self.uses: set[str] = set()
        self._parts: list[str | Placeholder] = []
        end = 0
        for found in _PART.finditer(text):
            self._parts.append(text[end : found.start()])
            end = found.end()
            if found[0] in ("{{", "}}"):
                self._parts.append(found[0][0])
            elif found[1] is None:
                raise ValueError(f"{text!r} has a brace that is not closed; a brace itself is written twice")
            else:
                name, *given = found[1].split(":")
                if name not in PLACEHOLDERS:
                    raise ValueError(
                        f"no placeholder is called {{{found[1]}}}; known are {', '.join(PLACEHOLDERS)}, and a brace "
                        "itself is written twice"
                    )
                try:
                    made = PLACEHOLDERS[name].made(given, Draw(f"{seed}:{place()}"), run)
                except ValueError as error:
                    raise ValueError(f"{{{found[1]}}}: {error}") from None
                self.uses.add(name)
                self._parts.append(made)
        self._parts.append(text[end:])
        self._parts = [part for part in self._parts if part != ""]

    def render(self, each: Callable[[Placeholder], Scalar]) -> Scalar:
        if len(self._parts) == 1 and isinstance(self._parts[0], Placeholder):
            return each(self._parts[0])
        return "".join(part if isinstance(part, str) else str(each(part)) for part in self._parts)


class Template:
    """Errors: ValueError for a placeholder that nobody knows, with its place in the template."""

    def __init__(self, template: object, *, seed: int, run: str) -> None:
        places = iter(range(1_000_000))
        self._is_text = isinstance(template, str)
        self._made = _compiled(template, "", seed, run, lambda: next(places))

    def body(self, context: Context) -> str:
        return self._written(_rendered(self._made, lambda placeholder: placeholder.value(context)))

    def longest(self, most: Most) -> str:
        """A body that is at least as long as each that is made."""
        return self._written(_rendered(self._made, lambda placeholder: placeholder.longest(most)))

    def at(self, pointer: str) -> Part:
        """What stands at a place of the body, alone. Errors: ValueError where the template has nothing there."""
        if self._is_text:
            raise ValueError(f"a template that is text has no {pointer}; write it as JSON")
        return Part(value_at(self._made, pointer))

    def _written(self, rendered: Any) -> str:
        return str(rendered) if self._is_text else orjson.dumps(rendered).decode()


class Part:
    def __init__(self, made: Any) -> None:
        self._made = made

    @property
    def uses(self) -> set[str]:
        return {name for text in _texts(self._made) for name in text.uses}

    def value(self, context: Context) -> Any:
        return _rendered(self._made, lambda placeholder: placeholder.value(context))

    def longest(self, most: Most) -> Any:
        return _rendered(self._made, lambda placeholder: placeholder.longest(most))


def _compiled(template: object, path: str, seed: int, run: str, place: Callable[[], int]) -> Any:
    if isinstance(template, Mapping):
        return {key: _compiled(value, f"{path}/{key}", seed, run, place) for key, value in template.items()}
    if isinstance(template, list):
        return [_compiled(value, f"{path}/{n}", seed, run, place) for n, value in enumerate(template)]
    if not isinstance(template, str):
        return template
    try:
        text = _Text(template, seed, run, place)
    except ValueError as error:
        raise ValueError(f"{f'at {path}: ' if path else ''}{error}") from None
    return text


def _rendered(made: Any, each: Callable[[Placeholder], Scalar]) -> Any:
    if isinstance(made, _Text):
        return made.render(each)
    if isinstance(made, dict):
        return {key: _rendered(value, each) for key, value in made.items()}
    if isinstance(made, list):
        return [_rendered(value, each) for value in made]
    return made


def _texts(made: Any) -> Iterator[_Text]:
    if isinstance(made, _Text):
        yield made
    elif isinstance(made, dict | list):
        for inner in made.values() if isinstance(made, dict) else made:
            yield from _texts(inner)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?\d{1,12}", text, re.ASCII):
        raise ValueError(f"{text!r} is no whole number of up to 12 digits")
    return int(text)


def _exactly(given: Sequence[str], count: int) -> Sequence[str]:
    if len(given) != count:
        raise ValueError(f"it takes {count} after its name, each behind a colon")
    return given


def _length(number: int) -> int:
    return len(str(number))
