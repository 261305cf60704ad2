"""A YAML document that remembers where each of its values stands, and the overrides of the command line on top of it.

It promises that every complaint about a value can name its file and line (or the `--set` that it came from), that a
key written twice is an error and not the last one's silent victory, and that a value is what YAML 1.2 says (its core
schema, yaml.org/spec/1.2.2): `3.018e2` is a number; `no`, `12:30` and `2026-01-01` are text, as every key is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gameday.history.errors import UsageError

Route = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
# What a word without quotation marks is; else it is text. PyYAML's own table is that of YAML 1.1. Infinity and NaN are
# left out, because JSON, in which filters go to AWS, cannot say them.
_WORDS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
    "merge": r"<<",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """`data` is plain Python; `places` tells of each path in it ("load", "rate") where it was written."""

    name: str
    data: dict[str, Any]
    places: dict[Route, str]

    @property
    def directory(self) -> Path:
        """What it names by a relative path is looked for here."""
        return Path(self.name).absolute().parent

    def where(self, path: Route) -> str:
        """The place of a path, or of the nearest thing around it that was written somewhere."""
        for length in range(len(path), -1, -1):
            if (place := self.places.get(path[:length])) is not None:
                return place
        return self.name


class _Ambiguous(yaml.MarkedYAMLError):
    """Good YAML that people read in two ways."""


class _Loader(yaml.SafeLoader):
    """Reads the core schema of YAML 1.2, and whatever JSON can say: no dates, no sets, and keys that are text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(problem="a key must be plain text", problem_mark=key.start_mark)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if re.fullmatch(r"[-+]?0[0-9]+", node.value):
            number = int(node.value)
            raise _Ambiguous(
                problem=f"`{node.value}` is {number} to some and octal to others; write {number} for the number, and "
                f'"{node.value}" for the text',
                problem_mark=node.start_mark,
            )
        return super().construct_yaml_int(node)


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern in _WORDS.items():
    # Below None stand those that are tried whatever the first character is.
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(f"(?:{_pattern})\\Z"), None)
_Loader.yaml_constructors = {
    **{
        tag: _Loader.yaml_constructors[tag]
        for tag in (f"{_TAG}{kind}" for kind in ("null", "bool", "float", "str", "seq", "map"))
    },
    f"{_TAG}int": _Loader.construct_yaml_int,
    None: _Loader.construct_undefined,
}


def read(path: Path, *, begins: str = "name") -> Document:
    """`begins`: a key that such a document has, for who wrote something else.

    Errors: UsageError for a file that cannot be read or is no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from error
    return parse(text, name=str(path), begins=begins)


def parse(text: str, *, name: str, begins: str = "name") -> Document:
    """Errors: UsageError, with the line."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(f"{name}:1: this is no YAML mapping; one begins like `{begins}: …`")
        places: dict[Route, str] = {}
        _note(node, (), name, places)
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = "" if isinstance(error, _Ambiguous) else "not YAML: "
        raise UsageError(f"{name}:{line}: {what}{error.problem or error.context}") from error
    except RecursionError:
        raise UsageError(f"{name}: nested too deep, or an alias (`*name`) that contains itself") from None
    except (yaml.YAMLError, ValueError) as error:
        # Control characters have no mark of their own.
        raise UsageError(f"{name}: not YAML: {error}") from error
    finally:
        loader.dispose()
    return Document(name=name, data=data, places=places)


def override(document: Document, assignments: Sequence[str]) -> Document:
    """Apply `key.path=value` one by one; the value is YAML, a list's items go by their number (from 0).

    Errors: UsageError.
    """
    places = dict(document.places)
    data = _copy(document.data)
    for assignment in assignments:
        label = f"--set {assignment}"
        left, equals, right = assignment.partition("=")
        if not equals or not left.strip():
            raise UsageError(f"{label}: write it as --set key.path=value, for example --set load.rate=50/s")
        try:
            value = yaml.load(right, _Loader)
        except _Ambiguous as error:
            raise UsageError(f"{label}: {error.problem}") from error
        except yaml.YAMLError as error:
            raise UsageError(f"{label}: {right!r} is not YAML: {error}") from error
        path = _assign(data, left.strip().split("."), value, label)
        for below in [known for known in places if known[: len(path)] == path]:
            del places[below]
        places[path] = label
    return Document(name=document.name, data=data, places=places)


def _assign(data: dict[str, Any], keys: Sequence[str], value: object, label: str) -> Route:
    here: Any = data
    path: list[str | int] = []
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(here, dict):
            path.append(key)
            if last:
                here[key] = value
            else:
                if here.get(key) is None:
                    here[key] = {}
                here = here[key]
        elif isinstance(here, list):
            if not key.isdigit() or int(key) > len(here):
                raise UsageError(
                    f"{label}: {'.'.join(keys[:depth])} is a list of {len(here)}; "
                    f"its items are called 0 to {len(here) - 1}, and {len(here)} adds one; {key!r} is none of them"
                )
            index = int(key)
            path.append(index)
            if index == len(here):
                here.append(value if last else {})
            elif last:
                here[index] = value
            here = here[index]
        else:
            raise UsageError(f"{label}: {'.'.join(keys[:depth])} is {here!r}, which has no keys of its own")
    return tuple(path)


def _note(node: yaml.Node, path: Route, name: str, places: dict[Route, str]) -> None:
    """Where each key and item stands. An alias (`*name`) stands where its anchor does, which is where to change it."""
    places.setdefault(path, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            place = f"{name}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{place}: a key must be plain text")
            if key.value in seen:
                raise UsageError(f"{place}: `{key.value}` is written twice in the same place; keep one")
            seen.add(key.value)
            places[*path, key.value] = place
            _note(value, (*path, key.value), name, places)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _note(item, (*path, number), name, places)


def _copy(value: Any) -> Any:
    """A copy in which an alias is a value of its own, so that an override of one place changes no other."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
