"""What is wrong with a scenario, collected: as much as can be told at once, each with its place and what to do.

It promises one complaint for each value, the first, and that a misspelt key or name is answered with the nearest one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError, WithJsonSchema

from gameday.history.errors import UsageError
from gameday.scenario.document import Document, Route

Model = TypeVar("Model", bound=BaseModel)


class Problems:
    """What is wrong so far, each with the path of the value that is."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[Route, str] = {}

    def add(self, path: Route, message: str) -> None:
        """The first complaint about a value is the one to act on; a union's other branches only repeat it."""
        key = ".".join(str(part) for part in path)
        self._found.setdefault(path, f"{self._document.where(path)}: {key + ': ' if key else ''}{message}")

    def validated(
        self, model: type[Model], data: object, path: Route, known: Iterable[str] | None = None
    ) -> Model | None:
        """The model of the data, or None and its problems noted. `known`: the keys there are, if not the model's."""
        try:
            return model.model_validate(data)
        except ValidationError as errors:
            for error in errors.errors():
                inner = tuple(_without_tags(error["loc"], data))
                if error["type"] == "extra_forbidden":
                    at_top = len(inner) == 1 and known is not None
                    message = unknown_key(str(inner[-1]), known if at_top and known else _keys_at(model, inner[:-1]))
                elif error["type"] == "missing":
                    message = f"is missing{_like(model, inner)}"
                elif error["type"] == "bool_type":
                    message = f"{self._written((*path, *inner))!r} is neither true nor false"
                elif error["type"] == "value_error":
                    message = str(error["ctx"]["error"])
                else:
                    message = f"{self._written((*path, *inner))!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
                self.add((*path, *inner), message)
            return None

    def _written(self, path: Route) -> object:
        """The value as it stands in the document, before units were read; one that is written in short, as a whole."""
        here: Any = self._document.data
        for part in path:
            try:
                here = here[part]
            except (KeyError, IndexError, TypeError):
                break
        return here

    def told_of(self, path: Route) -> bool:
        return path in self._found

    def raise_if_any(self) -> None:
        if self._found:
            raise UsageError("\n".join(self._found.values()))


def _without_tags(loc: Iterable[str | int], data: object) -> Iterator[str | int]:
    """Pydantic puts the branches of a union into the path; what stands in no document is left out."""
    here = data
    loc = list(loc)
    for place, part in enumerate(loc):
        if isinstance(here, dict):
            # A key that is not there is a missing one, and then the last of its path.
            if part not in here and place < len(loc) - 1:
                continue
            yield part
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            yield part
            here = here[part]


def keys(model: type[BaseModel]) -> list[str]:
    return [found.alias or name for name, found in model.model_fields.items()]


def _keys_at(model: type[BaseModel], loc: Route) -> list[str]:
    inner = _model_at(model, loc)
    return keys(inner) if inner else []


def _model_at(annotation: Any, loc: Route) -> type[BaseModel] | None:
    """The model that a path leads to, through optional values, lists and what stands under names."""
    while (origin := get_origin(annotation)) in (Union, UnionType, Annotated, list, dict):
        if origin in (list, dict) and loc:
            loc = loc[1:]
        annotation = get_args(annotation)[1 if origin is dict else 0]
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    if not loc:
        return annotation
    found = next((f for name, f in annotation.model_fields.items() if (f.alias or name) == str(loc[0])), None)
    return _model_at(found.annotation, loc[1:]) if found else None


def _like(model: type[BaseModel], loc: Route) -> str:
    """An example of a missing value, where its type has one."""
    inner = _model_at(model, loc[:-1])
    found = inner.model_fields.get(str(loc[-1])) if inner else None
    for schema in [item.json_schema for item in (found.metadata if found else ()) if isinstance(item, WithJsonSchema)]:
        if schema and schema.get("examples"):
            return f"; write it like `{loc[-1]}: {schema['examples'][0]}`"
    return ""


def unknown_key(key: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1)
    return f"there is no such key{f'; did you mean `{close[0]}`?' if close else '.'} Known here: {', '.join(known)}"


def no_such(what: str, name: object, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"no {what} is called {name!r}{f'; did you mean {close[0]}?' if close else '.'} Known are {', '.join(known)}"
