"""A record whose message is told by the answer to its send behaves in every check as if the `id` had stood in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history.errors import NotARun
from gameday.verify.judge import Verdict, judge, judge_all
from tests.reference.simulation import simulate
from tests.series import in_series, in_soak, soak
from tests.verify.handmade.builder import ns

ABOUT_A_COPY = ("received", "settling", "settled", "dead", "redriven")


def _records(path: Path) -> list[Any]:
    """Each line's record, or the line where it is none."""
    found: list[Any] = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            found.append(line)
    return found


def _name(record: dict[str, Any], kind: str) -> object:
    if kind == "queue":
        return record.get("broker_id")
    place = (record.get("partition"), record.get("broker_seq"))
    return None if None in place else place


def forget(run: Path) -> int:
    """Take the `id` away from every record that the answer to a send of its message alone names. How many?"""
    kinds = {
        name: spec["kind"] for name, spec in orjson.loads((run / "manifest.json").read_bytes())["subscriptions"].items()
    }
    files = {path: _records(path) for path in sorted((run / "history").glob("*.jsonl"))}
    every = [record for records in files.values() for record in records if isinstance(record, dict)]
    answered: dict[tuple[str, object], set[str]] = defaultdict(set)
    for record in every:
        if record.get("event") == "sent" and record.get("outcome") == "ok":
            for kind in ("queue", "stream"):
                answered[kind, _name(record, kind)].add(record["id"])
    forgotten = 0
    for record in every:
        kind = kinds.get(record.get("subscription") or "")
        name = None if kind is None or record.get("event") not in ABOUT_A_COPY else _name(record, kind)
        if kind is not None and name is not None and answered[kind, name] == {record.get("id")}:
            del record["id"]
            forgotten += 1
    for path, records in files.items():
        path.write_bytes(b"".join(one if isinstance(one, bytes) else orjson.dumps(one) + b"\n" for one in records))
    return forgotten


def _told(verdict: Verdict | NotARun) -> Any:
    """All but the examples, in which faults and damaged lines stand."""
    if isinstance(verdict, NotARun):
        return None
    document: Any = orjson.loads(orjson.dumps(verdict.document))
    for entry in document["anomalies"].values():
        entry.pop("examples")
    return {name: document[name] for name in ("claims", "anomalies", "totals", "latency_s", "notes")}


# Of them all three that leave out much.
@pytest.mark.parametrize("seeds", [range(6, 9), *soak([*range(6), *range(9, 400)])], ids=["some", "more"])
def test_it_is_judged_as_if_the_id_had_stood_in_it(seeds: Sequence[int], tmp_path: Path) -> None:
    whole, less = [tmp_path / f"{seed}" for seed in seeds], [tmp_path / f"{seed} less" for seed in seeds]
    forgotten = 0
    for seed, one, other in zip(seeds, whole, less, strict=True):
        simulate(seed, run=one)
        simulate(seed, run=other)
        for path in (*one.glob("history/*.gz"), *other.glob("history/*.gz")):
            path.unlink()  # What is lacking then lacks in both.
        forgotten += forget(other)
    assert forgotten > 20 * len(seeds)
    verdicts = zip(seeds, judge_all(whole), judge_all(less), strict=True)
    different = [seed for seed, one, other in verdicts if not _same(_told(one), _told(other), tmp_path, seed)]
    assert different == []


def _same(one: Any, other: Any, directory: Path, seed: int) -> bool:
    """But for the path in what is said of damage."""
    return bool(orjson.dumps(one) == orjson.dumps(other).replace(f"/{seed} less/".encode(), f"/{seed}/".encode()))


@in_series
@in_soak
def test_the_lines_of_a_large_history_stay_where_they_are(tmp_path: Path) -> None:
    """The judge writes ids into its table: more of them than it keeps in one piece."""
    count = 50_000
    (tmp_path / "run" / "history").mkdir(parents=True)
    manifest = {
        "schema": 1,
        "subscriptions": {"orders": {"kind": "queue", "ordered_by": "group", "visibility_timeout_s": 30}},
        "claims": [{"claim": "no-loss"}, {"claim": "ordered-per-group"}],
    }
    (tmp_path / "run" / "manifest.json").write_bytes(orjson.dumps(manifest))
    lines: list[dict[str, Any]] = []
    for n in range(count):
        told = {"id": f"m{n}", "attempt": 1, "producer": "p"}
        send = {
            "event": "intended",
            "at": ns(1) + 2 * n,
            "group": f"g{n // 10}",
            "seq": n,
            "expect": ["orders"],
            **told,
        }
        lines += [send, {"event": "sent", "at": ns(1) + 2 * n + 1, "outcome": "ok", "broker_id": f"b{n}", **told}]
    (tmp_path / "run" / "history" / "p.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    lines = []
    for n in range(count):
        # The last two change places, and line order is all that tells.
        name = f"b{ {count - 2: count - 1, count - 1: count - 2}.get(n, n) }"
        for event in ("received", "settling", "settled"):
            record = {"event": event, "at": ns(2), "subscription": "orders", "batch": f"r{n}", "broker_id": name}
            lines.append(record | ({} if event == "received" else {"action": "delete"}))
            if event == "settled":
                lines[-1]["outcome"] = "ok"
    lines.append({"event": "mark", "at": ns(9), "name": "drained", "subscription": "orders", "empty": True})
    (tmp_path / "run" / "history" / "c.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    document = judge(tmp_path / "run").document
    found = {name: entry["count"] for name, entry in document["anomalies"].items() if entry["count"]}
    assert found == {"nonmonotonic-delivery": 1}
    assert [(claim["verdict"], claim["checked"]) for claim in document["claims"]] == [
        ("holds", count),
        ("violated", count - count // 10),
    ]
