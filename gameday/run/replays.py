"""A replay: what it takes to do a run again that broke a claim, in a file that can be handed on.

The scenario is named, not copied: it and the files that it names must be where they were. `gameday run --replay FILE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from gameday.history.errors import HistoryError, UsageError

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """`overrides`: as `--set` takes them. `claim` is what was broken, `schedule` and `why` say how, in words."""

    scenario: str
    overrides: Sequence[str]
    seed: int
    target: str
    claim: str
    schedule: str
    why: str

    def save(self, path: Path) -> None:
        """Errors: HistoryError."""
        try:
            path.write_bytes(orjson.dumps({"schema": _SCHEMA, **asdict(self)}, option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            raise HistoryError(f"cannot write {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> Replay:
        """Errors: UsageError that says what is wrong with the file."""
        try:
            given = orjson.loads(path.read_bytes())
        except OSError as error:
            raise UsageError(f"--replay {path}: {error.strerror}") from error
        except orjson.JSONDecodeError as error:
            raise UsageError(f"--replay {path}: it is no JSON: {error}") from error
        if not isinstance(given, dict) or given.pop("schema", None) != _SCHEMA:
            raise UsageError(f"--replay {path}: it is no replay of this gameday, which has `schema: {_SCHEMA}`")
        try:
            return cls(**given)
        except TypeError as error:
            raise UsageError(f"--replay {path}: {str(error).partition(') ')[2] or error}") from error
