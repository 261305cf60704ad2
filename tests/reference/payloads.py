"""Tells of large messages and of schemas in a simulated run: bodies in objects, fetched, removed and left, or not.

The run directory of `simulate` is changed in place, always the same for the same seed; every other run stays as it is.
Nothing that was there is changed, so what is told of the rest is judged as before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.reference.retelling import Line, read_lines, write_lines
from tests.reference.world import MILLISECOND


def add_payloads(run: Path, seed: int) -> None:
    chance = random.Random(f"payloads {seed}")
    if chance.random() < 0.5:
        return
    files = {path: list(read_lines(path)) for path in sorted((run / "history").glob("*.jsonl"))}
    told = _Told(chance, [line for lines in files.values() for line in lines if isinstance(line, dict)])
    files = {path: list(told.around(lines)) for path, lines in files.items()}
    told.close(files)
    write_lines(files)


class _Told:
    def __init__(self, chance: random.Random, every: Sequence[dict[str, Any]]) -> None:
        self._chance = chance
        self._last = max((line["at"] for line in every), default=0)
        large = chance.choice((0.0, 0.5, 1.0, 1.0))
        ids = sorted({line["id"] for line in every if line["event"] == "intended" and isinstance(line.get("id"), str)})
        self._large = {id for id in ids if chance.random() < large}
        # How often each thing goes wrong in this run: mostly never.
        self._unstored, self._unfetched, self._gone, self._corrupt, self._first, self._bad, self._untold = (
            chance.choice((0.0, 0.0, 0.0, 0.1)) for _ in range(7)
        )
        self._removes = chance.choice((0.0, 0.8, 1.0))
        self._schemas = chance.random() < 0.6

    def around(self, lines: Sequence[Line]) -> Iterator[Line]:
        """The lines of a file, with what is told beside them."""
        for line in lines:
            if not isinstance(line, dict):
                yield line
                continue
            id, beside = line.get("id"), {"at": line["at"], "by": line.get("by")}
            removal = {**beside, "id": id, "object": f"o/{id}"}
            deletes = id in self._large and line.get("action") == "delete"
            if deletes and line["event"] == "settling" and self._hits(self._first):
                yield {**removal, "event": "removing"}
                yield {**removal, "event": "removed", "outcome": self._outcome()}
            if line["event"] == "received" and self._schemas and not self._hits(self._untold):
                yield {**line, "schema": self._conforms()}
            else:
                yield line
            if line["event"] == "intended" and id in self._large and line.get("attempt") == 1:
                yield {**removal, "event": "storing"}
                if not self._hits(self._unstored):
                    yield {**removal, "event": "stored", "outcome": self._outcome()}
            elif line["event"] == "received" and id in self._large:
                yield from self._fetched(line, beside, str(id))
            elif line["event"] == "invoked":
                for each in line.get("ids") or ():
                    if each in self._large:
                        yield from self._fetched(line, beside, each)
            elif deletes and line["event"] == "settled" and self._hits(self._removes):
                yield {**removal, "event": "removing"}
                yield {**removal, "event": "removed", "outcome": self._outcome()}

    def close(self, files: dict[Path, list[Line]]) -> None:
        """What is listed at the end, most of the time of everything."""
        if not self._large or not files or self._hits(0.2):
            return
        lines = files[self._chance.choice(sorted(files))]
        place = 1 + max((n for n, line in enumerate(lines) if isinstance(line, dict)), default=-1)
        late = self._chance.choice((0, 5 * MILLISECOND, 2_000 * MILLISECOND))
        end = {"at": self._last + late, "by": "list"}
        left = [id for id in sorted(self._large) if self._hits(0.2)]
        told: list[Line] = [{**end, "event": "leftover", "id": id, "object": f"o/{id}"} for id in left]
        told += [{**end, "event": "leftover", "id": "never sent", "object": "o/never sent"}] * self._hits(0.1)
        bounded = {"expires_s": 86400} if self._hits(0.3) else {}
        told.append({**end, "event": "mark", "name": "objects-read", **bounded})
        lines[place:place] = told

    def _fetched(self, line: dict[str, Any], beside: dict[str, Any], id: str) -> Iterator[Line]:
        if self._hits(self._unfetched):
            return
        told = {**beside, "event": "fetched", "id": id, "object": f"o/{id}", "batch": line.get("batch")}
        told |= {"subscription": line.get("subscription"), "consumer": line.get("consumer")}
        outcome = "gone" if self._hits(self._gone) else "failed" if self._hits(self._gone) else "ok"
        if outcome == "ok" and not self._hits(self._untold):
            told["intact"] = not self._hits(self._corrupt)
        if self._schemas and not self._hits(self._untold):
            told["schema"] = self._conforms()
        yield {**told, "outcome": outcome}

    def _conforms(self) -> str:
        return "bad" if self._hits(self._bad) else "ok"

    def _outcome(self) -> str:
        return self._chance.choices(("ok", "failed", "unknown"), (8, 1, 1))[0]

    def _hits(self, share: float) -> bool:
        return self._chance.random() < share
