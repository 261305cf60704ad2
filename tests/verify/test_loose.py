"""Settling calls that do not tell which hold they are of excuse all that they may be of; both judges say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.reference.judge import judge as reference
from tests.series import series
from tests.verify.agreement import shown
from tests.verify.handmade.builder import judged_run

pytestmark = pytest.mark.usefixtures("judged_ahead")

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
Line = dict[str, Any]


def judged(run: Path, claim: str, lines: list[tuple[float, Line]], **promised: Any) -> tuple[str, dict[str, int]]:
    """The verdict of the claim, and the anomalies that were found."""
    queues = {
        name: {"kind": "queue", "visibility_timeout_s": 30, "seen_from": "wire", **promised} for name in ("q", "q2")
    }
    (run / "history").mkdir(parents=True)
    manifest = {"schema": 1, "subscriptions": {"q": queues["q"]}, "claims": [{"claim": claim}]}
    if any(line.get("subscription") == "q2" for _, line in lines):
        manifest["subscriptions"] = queues
    (run / "manifest.json").write_bytes(orjson.dumps(manifest))
    by_file: dict[str, list[bytes]] = {}
    for at, line in sorted(lines, key=lambda each: each[0]):
        file = {"intended": "producer", "sent": "producer", "mark": "observer"}.get(line["event"], "consumer")
        record = {"at": START + round(at * SECOND), "by": file, **line}
        by_file.setdefault(file, []).append(orjson.dumps(record) + b"\n")
    for file, written in by_file.items():
        (run / "history" / f"{file}.jsonl").write_bytes(b"".join(written))
    verdict = judged_run(run)
    told = shown(verdict.document)
    assert told == shown(reference(run))
    (claimed,) = verdict.document["claims"]
    return claimed["verdict"], {name: count for name, count in told["anomalies"].items() if count}


def sent(at: float, id: str, name: str, expect: str = "q") -> list[tuple[float, Line]]:
    return [
        (at, {"event": "intended", "id": id, "attempt": 1, "expect": [expect]}),
        (at + 0.01, {"event": "sent", "id": id, "attempt": 1, "outcome": "ok", "broker_id": name}),
    ]


def received(at: float, batch: str, name: str, on: str = "q", **more: Any) -> tuple[float, Line]:
    return at, {"event": "received", "subscription": on, "batch": batch, "broker_id": name, **more}


def settled(at: float, action: str, outcome: str = "ok", on: str = "q", **more: Any) -> list[tuple[float, Line]]:
    about = {"subscription": on, "action": action, **more}
    return [(at, {"event": "settling", **about}), (at + 0.01, {"event": "settled", "outcome": outcome, **about})]


def drained(on: str = "q") -> tuple[float, Line]:
    return 200, {"event": "mark", "name": "drained", "subscription": on, "empty": True}


@pytest.mark.parametrize("batch", [{"batch": "r1"}, *series({}, {"batch": "of nobody"})])
@pytest.mark.parametrize(
    ("action", "outcome", "vanished"), [("delete", "ok", False), ("delete", "failed", True), ("release", "ok", True)]
)
def test_a_delete_that_names_nothing(
    tmp_path: Path, batch: dict[str, str], action: str, outcome: str, vanished: bool
) -> None:
    lines = [*sent(1, "m1", "b1"), received(2, "r1", "b1"), *settled(3, action, outcome, **batch), drained()]
    expected = ("violated", {"vanished": 1}) if vanished else ("unknown", {})
    assert judged(tmp_path / "run", "no-loss", lines) == expected


@pytest.mark.parametrize(
    ("at", "names", "early"),
    [(5, {}, False), (5, {"broker_id": "b1"}, False), (5, {"id": "m1"}, False), (1.5, {}, True), (15, {}, True)],
)
@pytest.mark.parametrize("action", ["release", *series("extend")])
def test_a_release_or_extend_ends_any_hold_that_it_may_be_of(
    tmp_path: Path, at: float, names: dict[str, str], early: bool, action: str
) -> None:
    more: Line = {**names, "hidden_s": 1} if action == "extend" else {**names}
    lines = [*sent(1, "m1", "b1"), received(2, "r1", "b1", receives=1), *settled(at, action, **more)]
    lines += [received(10, "r2", "b1", receives=2), *settled(11, "delete", batch="r2", broker_id="b1"), drained()]
    verdict, found = judged(tmp_path / "run", "exactly-once-delivery", lines, dedup_window_s=300)
    assert found == ({"early-redelivery": 1} if early else {"redelivery": 1})
    assert verdict == ("violated" if early else "holds" if names else "unknown")


def test_two_queues_that_number_alike(tmp_path: Path) -> None:
    lines = [*sent(1, "m1", "1"), *sent(3, "m2", "1", "q2"), drained(), drained("q2")]
    for at, on in ((2, "q"), (4, "q2")):
        lines += [
            received(at, f"of {on}", "1", on),
            *settled(at + 0.5, "delete", on=on, batch=f"of {on}", broker_id="1"),
        ]
    assert judged(tmp_path / "run", "no-loss", lines) == ("holds", {})
