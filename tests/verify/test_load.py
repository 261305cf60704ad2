"""Nothing that was recorded is passed over in silence, whatever the files are called and whatever stands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history import manifest as manifests
from gameday.history.errors import NotARun
from gameday.verify.judge import judge_all
from tests.verify.handmade.builder import History, fifo, judged_run, ns, queue

pytestmark = pytest.mark.usefixtures("judged_ahead")


def lossy() -> History:
    """`b` is lost."""
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.drained(at=10)
    return h


def test_the_path_of_a_run_changes_nothing(tmp_path: Path) -> None:
    names = ["outcome=failed", "event=received", "empty=true", "run[1]", "a*b?", "it's", "[a-z]"]
    for name in names:
        (tmp_path / name).mkdir()
        lossy().write(tmp_path / name / "x")
    for name, verdict in zip(names, judge_all([tmp_path / name / "x" for name in names]), strict=True):
        assert not isinstance(verdict, NotARun)
        assert verdict.document["damaged"] == [], name
        assert (verdict.verdict, verdict.document["anomalies"]["lost"]["count"]) == ("violated", 1), name


def test_a_file_name_with_brackets_is_that_file_alone(tmp_path: Path) -> None:
    lossy().write(tmp_path / "run")
    other = tmp_path / "run" / "history" / "load1.jsonl"
    (tmp_path / "run" / "history" / "load[1].jsonl").write_bytes(
        orjson.dumps({"event": "intended", "at": ns(3), "id": "c", "attempt": 1, "expect": ["orders"]})
        + b"\n"
        + orjson.dumps({"event": "sent", "at": ns(3.1), "id": "c", "attempt": 1, "outcome": "ok"})
        + b"\n"
    )
    other.write_bytes(orjson.dumps({"event": "hiccup", "at": ns(3)}) + b"\n" + b'{"event":"hiccup","at":3}\n')
    assert judged_run(tmp_path / "run").document["anomalies"]["lost"]["count"] == 2


INTENDED = {"event": "intended", "id": "c", "attempt": 1, "producer": "p", "expect": ["orders"]}
SENT = {"event": "sent", "id": "c", "attempt": 1, "outcome": "ok"}
RECEIVED = {"event": "received", "id": "a", "subscription": "orders", "batch": "x", "consumer": "c"}


@pytest.mark.parametrize(
    "record",
    [
        INTENDED | {"expect": None},
        INTENDED | {"expect": "orders"},
        INTENDED | {"expect": [None]},
        INTENDED | {"poison": "no"},
        INTENDED | {"id": None},
        INTENDED | {"due": "soon"},
        INTENDED | {"due": 2**62},
        SENT | {"outcome": "OK"},
        SENT | {"outcome": None},
        SENT | {"outcome": True},
        RECEIVED | {"id": None},
        RECEIVED | {"subscription": None},
        RECEIVED | {"intact": {}},
        RECEIVED | {"hidden_s": 1e12},
        {"event": "effect", "id": "a", "subscription": "orders", "batch": "x"},
        {"event": "effects", "id": "a", "subscription": "orders"},
        {"event": "mark", "name": "drained", "subscription": "orders", "empty": "yes"},
        {"event": "mark", "name": "writer"},
        {"event": "fault", "fault": "kill-consumer", "phase": None},
    ],
    ids=str,
)
def test_a_record_that_no_check_could_read_is_damage(tmp_path: Path, record: dict[str, Any]) -> None:
    lossy().write(tmp_path / "run")
    file = tmp_path / "run" / "history" / "more.jsonl"
    file.write_bytes(orjson.dumps({"at": ns(5)} | record) + b"\n")
    document = judged_run(tmp_path / "run").document
    assert document["verdict"] == "unknown"
    assert [(damage["file"], damage["line"]) for damage in document["damaged"]] == [("more.jsonl", 1)]


def test_an_expected_subscription_that_the_manifest_lacks_leaves_claims_unknown(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss", "no-phantom"])
    h.send("a", at=1)
    h.take("a", at=2)
    h.drained(at=10)
    h.write(tmp_path / "run")
    assert judged_run(tmp_path / "run").verdict == "holds"
    load = next(path for path in (tmp_path / "run" / "history").iterdir() if b'"intended"' in path.read_bytes())
    load.write_bytes(load.read_bytes().replace(b'["orders"]', b'["orders","audit"]'))
    verdict = judged_run(tmp_path / "run")
    assert verdict.verdict == "unknown"
    assert "audit is expected by messages" in json.dumps(verdict.document["claims"])


@pytest.mark.parametrize(
    ("key", "value"),
    [("clock_error_ns", -1), ("broker_tick_ns", 2**63), ("seed", "x"), ("subscriptions", [])],
)
def test_a_manifest_out_of_range_is_no_run(tmp_path: Path, key: str, value: object) -> None:
    lossy().write(tmp_path / "run")
    file = tmp_path / "run" / "manifest.json"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | {key: value}))
    with pytest.raises(NotARun, match=key):
        manifests.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("key", "value"),
    [("dead_letter", "false"), ("settle_s", -1), ("visibility_timeout_s", 1e12), ("max_receives", 2.5)],
)
def test_a_promise_out_of_range_is_no_run(tmp_path: Path, key: str, value: object) -> None:
    lossy().write(tmp_path / "run")
    file = tmp_path / "run" / "manifest.json"
    document = orjson.loads(file.read_bytes())
    document["subscriptions"]["orders"][key] = value
    file.write_bytes(orjson.dumps(document))
    with pytest.raises(NotARun, match=key):
        manifests.load(tmp_path / "run")


def test_a_broker_without_locks_is_judged_in_bounded_memory(tmp_path: Path) -> None:
    # One group, and every message is held while the next two hundred are received: half a million pairs.
    count, held = 2500, 200
    h = History({"orders": fifo(dead_letter=False)}, ["ordered-per-group"])
    h.write(tmp_path / "run")
    lines = []
    for n in range(count):
        at = ns(2) + n * 1_000_000
        lines += [
            {"event": "intended", "at": at, "id": f"m{n}", "attempt": 1, "producer": "p", "group": "g", "seq": n + 1,
             "expect": ["orders"]},
            {"event": "sent", "at": at, "id": f"m{n}", "attempt": 1, "started": at, "outcome": "ok",
             "broker_seq": str(n + 1)},
        ]  # fmt: skip
    file = tmp_path / "run" / "history" / "p.jsonl"
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    events: list[dict[str, Any]] = []
    for n in range(count):
        at = ns(3) + n * 1_000_000
        same = {"id": f"m{n}", "subscription": "orders", "batch": f"b{n}", "consumer": "c", "broker_id": f"i{n}"}
        done = at + held * 1_000_000 + 500_000
        events += [
            {"event": "received", "at": at, "started": at, "broker_seq": str(n + 1), "receives": 1, **same},
            {"event": "settling", "at": done, "action": "delete", **same},
            {"event": "settled", "at": done, "started": done, "action": "delete", "outcome": "ok", **same},
        ]
    events.sort(key=lambda event: int(event["at"]))
    (tmp_path / "run" / "history" / "c.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in events))
    document = judged_run(tmp_path / "run").document
    # The first overtakes nobody; each later one overtakes those still held.
    assert document["anomalies"]["group-overtake"]["count"] == count - 1
    assert document["verdict"] == "violated"
