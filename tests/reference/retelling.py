"""Tells a simulated run once more, as somebody tells it who saw less: a proxy before the consumers, or nobody.

The run directory of `simulate` is changed in place, always the same for the same seed. Records lose their `id`, batches
get their `delivered`, sends of two messages get one answer, subscriptions get no receives at all, or are used by others
too, and effects are read back under keys. It promises that all of that occurs, in odd mixtures too, and that a readable
history stays one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.reference.world import MILLISECOND

Line = dict[str, Any] | bytes
"""A record, or what cannot be read as one."""

ABOUT_A_COPY = ("received", "settling", "settled", "dead", "redriven")


def share(seed: int, files: dict[Path, list[Line]], subscriptions: dict[str, Any]) -> dict[Path, list[Line]]:
    """Somebody met messages of others on some subscriptions, and some of ours others have had, who tell nothing.

    `subscriptions` as in the manifest. From a stream nobody takes anything.
    """
    chance = random.Random(f"shared {seed}")
    for name, spec in sorted(subscriptions.items()):
        if not files or chance.random() >= 0.15:
            continue
        path = chance.choice(sorted(files))
        places = [number for number, line in enumerate(files[path]) if isinstance(line, dict)]
        if not places:
            continue
        place = chance.choice(places)
        before = files[path][place]
        assert isinstance(before, dict)
        mark = {"event": "mark", "name": "foreign", "subscription": name, "count": chance.choice((0, 1, 7))}
        files[path].insert(place, {**mark, "at": before["at"], "by": before.get("by")})
        share_had = chance.choice((0.0, 0.1, 0.5))
        if spec["kind"] != "queue":
            continue
        had: dict[object, bool] = {}
        for other, lines in files.items():
            files[other] = [
                line
                for line in lines
                if not _is(line, name, "received", "settling", "settled", "effect")
                or not isinstance(line, dict)
                or line.get("id") is None
                or not had.setdefault(line["id"], chance.random() < share_had)
            ]
    return files


def retell(run: Path, seed: int, *, honest: bool = False) -> None:
    """Packed files stay as they are: not every writer tells less. `honest`: nothing is told that was not so."""
    chance = random.Random(f"retold {seed}")
    manifest = orjson.loads((run / "manifest.json").read_bytes())
    files = {path: list(read_lines(path)) for path in sorted((run / "history").glob("*.jsonl"))}
    every = [line for lines in files.values() for line in lines if isinstance(line, dict)]
    for subscription in sorted(manifest["subscriptions"]):
        spec = manifest["subscriptions"][subscription]
        spec["seen_from"] = chance.choices(("consumer", "wire", "nobody"), (3, 5, 2))[0]
        if spec["seen_from"] == "nobody":
            files = unheard(chance, files, subscription)
        elif chance.random() < 0.8:
            forget_ids(chance, every, subscription)
            if spec["seen_from"] == "wire" and chance.random() < 0.5:
                files = {path: without(lines, subscription, "effect") for path, lines in files.items()}
            if chance.random() < 0.6:
                files = {
                    path: list(_passed_on(chance, lines, subscription, honest=honest)) for path, lines in files.items()
                }
    if not honest:
        answer_alike(chance, every)
    leave_unnamed(chance, every)
    packed = any((run / "history").glob("*.jsonl.gz"))
    if chance.random() < 0.5 and not (honest and packed):
        give_keys(chance, every, files)
    files = share(seed, files, manifest["subscriptions"])
    (run / "manifest.json").write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    write_lines(files)


def write_lines(files: dict[Path, list[Line]]) -> None:
    for path, lines in files.items():
        path.write_bytes(b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines))


def read_lines(path: Path) -> Iterator[Line]:
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record = None
        readable = (
            isinstance(record, dict) and isinstance(record.get("event"), str) and isinstance(record.get("at"), int)
        )
        yield record if readable and line.endswith(b"\n") else line


def _is(line: Line, subscription: str, *events: str) -> bool:
    return isinstance(line, dict) and line["event"] in events and line.get("subscription") == subscription


def without(lines: Sequence[Line], subscription: str, *events: str) -> list[Line]:
    return [line for line in lines if not _is(line, subscription, *events)]


def forget_ids(chance: random.Random, every: Sequence[dict[str, Any]], subscription: str) -> None:
    """Of each kind of record all, some or none; what could be told by nothing else keeps its id."""
    shares = {event: chance.choice((1.0, 1.0, 0.5, 0.1, 0.0)) for event in ABOUT_A_COPY}
    for record in every:
        if not _is(record, subscription, *ABOUT_A_COPY):
            continue
        named = record.get("broker_id") is not None or (
            record.get("partition") is not None and record.get("broker_seq") is not None
        )
        if (named or record["event"] in ("settling", "settled")) and chance.random() < shares[record["event"]]:
            record.pop("id", None)


def unheard(chance: random.Random, files: dict[Path, list[Line]], subscription: str) -> dict[Path, list[Line]]:
    """Nobody tells of receives; now and then somebody does all the same, or a handler tells of its effects."""
    events = ["received", "settling", "settled", *(["effect"] * (chance.random() < 0.7))]
    kept = chance.choice((0.0, 0.0, 0.0, 0.1))
    return {
        path: [line for line in lines if not _is(line, subscription, *events) or chance.random() < kept]
        for path, lines in files.items()
    }


def _passed_on(chance: random.Random, lines: Sequence[Line], subscription: str, *, honest: bool) -> Iterator[Line]:
    """After the last receive of each batch, whether it was passed on; at a time before that of the next line."""
    outcomes = chance.choice((("ok",), ("ok",) * 8 + ("failed", "unknown"), ("ok", "failed", "unknown", None)))
    if honest:
        outcomes = tuple("unknown" if outcome == "failed" else outcome for outcome in outcomes)
    for number, line in enumerate(lines):
        yield line
        ahead = lines[number + 1] if number + 1 < len(lines) else None
        if not isinstance(line, dict) or not _is(line, subscription, "received") or line.get("batch") is None:
            continue
        if isinstance(ahead, dict) and _is(ahead, subscription, "received") and ahead.get("batch") == line["batch"]:
            continue
        latest = ahead["at"] if isinstance(ahead, dict) else line["at"] + 20 * MILLISECOND
        for _ in range(chance.choice((1, 1, 1, 1, 1, 2))):
            outcome = chance.choice(outcomes)
            if outcome is not None:
                at = chance.randint(line["at"], max(line["at"], latest))
                told = {"event": "delivered", "subscription": subscription, "batch": line["batch"], "outcome": outcome}
                yield {**told, "at": at, "by": line.get("by")}


NAMES = ("broker_id", "broker_seq", "partition")


def answers_of(every: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in every if record["event"] == "sent" and record.get("outcome") == "ok"]


def answer_alike(chance: random.Random, every: Sequence[dict[str, Any]]) -> None:
    """Some sends get the answer that another one got."""
    answers = answers_of(every)
    if len(answers) > 1 and chance.random() < 0.4:
        for _ in range(chance.choice((1, 1, 2, 5))):
            one, other = chance.sample(answers, 2)
            if chance.random() < 0.5:
                one, other = sorted((one, other), key=lambda record: int(record["at"]))
            other |= {name: one.get(name) for name in NAMES}


def leave_unnamed(chance: random.Random, every: Sequence[dict[str, Any]]) -> None:
    """Some answers name nothing."""
    if chance.random() < 0.15:
        for record in answers_of(every):
            if chance.random() < 0.3:
                record.pop(chance.choice(NAMES), None)


def give_keys(chance: random.Random, every: Sequence[dict[str, Any]], files: dict[Path, list[Line]]) -> None:
    """Messages have keys, all or some, some of them the same; the store has effects by key, all or some, and some of
    nobody."""
    share, same = chance.choice((1.0, 0.5)), chance.choice((0.0, 0.0, 0.1, 0.5))
    ids = sorted(
        {record["id"] for record in every if record["event"] == "intended" and isinstance(record.get("id"), str)}
    )
    keys: dict[str, str] = {}
    for id in ids:
        if chance.random() < share:
            keys[id] = f"k-{chance.choice(ids) if chance.random() < same else id}"
        elif chance.random() < same / 5:
            keys[id] = chance.choice(ids)
    by_key = chance.choice((1.0, 1.0, 0.5))
    for record in every:
        if record["event"] == "intended" and record.get("id") in keys and ("expect" in record or chance.random() < 0.3):
            record["key"] = keys[record["id"]]
        elif record["event"] == "effects" and chance.random() < by_key:
            record["key"] = keys.get(record["id"], record["id"])
            if chance.random() < 0.9:
                del record["id"]
    for lines in files.values():
        for number in range(len(lines) - 1, -1, -1):
            line = lines[number]
            if isinstance(line, dict) and line["event"] == "effects" and chance.random() < 0.02:
                lines.insert(number, {**{k: v for k, v in line.items() if k != "id"}, "key": "nobody's"})
