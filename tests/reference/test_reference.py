"""Holds the reference judge to its two rules on simulated runs, and to the small print of reading on written ones.

A legal service with correct processes is never blamed, however they are killed; and the simulation is rich enough that
every anomaly and every verdict occurs, so that agreement with another judge over the same seeds means something.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.reference.anomalies import ANOMALIES
from tests.reference.judge import CLAIMS, HOLDS, UNKNOWN, VIOLATED, judge
from tests.reference.simulation import simulate
from tests.reference.world import EPOCH

# Rows that blame the service or the consumer and that no legal run may show. The others are legal (`redelivery`), say
# how well a promise was kept that depends on more than legality (`effect-missing` of a message that died because its
# consumers were killed too often), or may be legal where less is promised (`lost` where delivery is at most once).
BLAMING = (
    "vanished",
    "lost-on-redrive",
    "replay-missing",
    "phantom",
    "corrupt",
    "early-redelivery",
    "effect-duplicate",
    "effect-lost",
    "nonmonotonic-send",
    "stored-out-of-order",
    "nonmonotonic-delivery",
    "group-overtake",
    "effect-out-of-order",
    "child-before-parent",
    "stale-checkpoint",
    "over-received",
    "healthy-dead",
)
NEVER_VIOLATED = (
    "no-loss",
    "at-least-once",
    "no-phantom",
    "ordered-effects",
    "fanout-complete",
    "replay-complete",
    "filter-correct",
)


def blame(run: Path, verdict: dict[str, Any]) -> list[str]:
    """What a verdict on a legal run blames that it must not."""
    manifest = orjson.loads((run / "manifest.json").read_bytes())
    counts, claims = verdict["anomalies"], {claim["claim"]: claim["verdict"] for claim in verdict["claims"]}
    found = [name for name in BLAMING if counts[name]]
    found += [name for name in NEVER_VIOLATED if claims.get(name) == VIOLATED]
    # Without a deduplication window nobody promises that a retried send is stored once.
    deduplicated = all(spec["dedup_window_s"] is not None for spec in manifest["subscriptions"].values())
    if deduplicated and claims["exactly-once-delivery"] == VIOLATED:
        found.append("exactly-once-delivery")
    # A message that died of its killed consumers was not applied.
    for name in ("at-least-once-effect", "exactly-once-effect"):
        if claims[name] == VIOLATED and not counts["collateral-dead"]:
            found.append(name)
    # `strict` asks for more than the service promises.
    for claim in verdict["claims"]:
        strict = any(claim["anomalies"].get(name) for name in ("dlq-gap", "collateral-dead"))
        if claim["claim"].startswith(("ordered-per", "dead-letter")) and claim["verdict"] == VIOLATED and not strict:
            found.append(claim["claim"])
    return found


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_a_legal_run_is_never_blamed(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 50):
        run = tmp_path / str(seed)
        simulate(seed, run=run, legal=True)
        assert blame(run, judge(run)) == [], f"seed {seed}"


def test_every_anomaly_and_every_verdict_occurs(tmp_path: Path) -> None:
    names = [name for name in CLAIMS if name != "at-least-once"]
    missing = set(ANOMALIES) | {(name, verdict) for name in names for verdict in (HOLDS, VIOLATED, UNKNOWN)}
    missing |= {"torn", "damaged"}
    for seed in range(1500):
        run = tmp_path / str(seed)
        simulate(seed, run=run)
        verdict = judge(run)
        missing -= {name for name, count in verdict["anomalies"].items() if count}
        missing -= {(claim["claim"], claim["verdict"]) for claim in verdict["claims"]}
        missing -= {name for name, said in (("torn", verdict["torn_lines"]), ("damaged", verdict["damaged"])) if said}
        if not missing:
            break
    assert not missing


def test_the_same_seed_writes_the_same_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate(11, run=tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.json*"))
    assert files
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


QUEUE = {"kind": "queue", "ordered_by": "group", "visibility_timeout_s": 5, "dedup_window_s": 300}


def write_run(run: Path, lines: bytes, **manifest: Any) -> Path:
    document = {"schema": 1, "subscriptions": {"q": QUEUE}, "claims": [{"claim": "no-loss"}]} | manifest
    (run / "history").mkdir(parents=True)
    (run / "manifest.json").write_bytes(orjson.dumps(document))
    (run / "history" / "a.jsonl").write_bytes(lines)
    return run


TIMES = ("due", "started", "enqueued", "since", "until")


def line(event: str, at: int, **fields: Any) -> bytes:
    """One record, its times told in nanoseconds from an epoch."""
    times = {name: EPOCH + fields[name] for name in TIMES if fields.get(name) is not None}
    return orjson.dumps({"event": event, "at": EPOCH + at, **fields, **times}) + b"\n"


CALM = (
    line("intended", 10, id="m", attempt=1, producer="p", group="g", seq=1, due=5, expect=["q"])
    + line("sent", 20, id="m", attempt=1, started=11, outcome="ok", broker_seq="9")
    + line("received", 30, id="m", subscription="q", batch="b", started=25, broker_id="B", broker_seq="9", receives=1)
    + line("settling", 40, id="m", subscription="q", batch="b", broker_id="B", action="delete")
    + line("settled", 50, id="m", subscription="q", batch="b", broker_id="B", action="delete", outcome="ok")
    + line("mark", 60, name="drained", subscription="q", empty=True)
)


def test_a_calm_run_holds(tmp_path: Path) -> None:
    verdict = judge(write_run(tmp_path / "run", CALM))
    assert (verdict["verdict"], verdict["claims"][0]["checked"]) == (HOLDS, 1)


def test_a_torn_last_line_is_counted_and_skipped(tmp_path: Path) -> None:
    verdict = judge(write_run(tmp_path / "run", CALM + b'{"event":"rec'))
    assert (verdict["verdict"], verdict["torn_lines"], verdict["damaged"]) == (HOLDS, 1, [])


def test_a_last_line_without_newline_is_a_record(tmp_path: Path) -> None:
    verdict = judge(write_run(tmp_path / "run", CALM.rstrip(b"\n")))
    assert (verdict["verdict"], verdict["torn_lines"]) == (HOLDS, 0)


@pytest.mark.parametrize(
    "lines",
    [
        CALM + b"\n",
        b"[]\n" + CALM,
        b'{"event":"sent"}\n' + CALM,
        b'{"at":5}\n' + CALM,
        b'{"event":"sent","at":true}\n' + CALM,
        b'{"event":"sent","at":5.0}\n' + CALM,
        b'{"event":"se\n' + CALM,
        CALM + line("mark", 70, name="closed") + b'{"ev',
        CALM + line("mark", 70, name="writer", file="b.jsonl"),
    ],
)
def test_damage_leaves_every_claim_unknown(tmp_path: Path, lines: bytes) -> None:
    verdict = judge(write_run(tmp_path / "run", lines))
    assert verdict["verdict"] == UNKNOWN
    assert len(verdict["damaged"]) == 1


@pytest.mark.parametrize(
    "manifest",
    [
        {"schema": 2},
        {"claims": []},
        {"claims": [{"claim": "no-such-claim"}]},
        {"claims": [{"claim": "lag", "p95_s": 1}]},
        {"claims": [{"claim": "recovery"}]},
    ],
)
def test_what_is_not_a_run_is_said_so(tmp_path: Path, manifest: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        judge(write_run(tmp_path / "run", CALM, **manifest))


def test_a_directory_without_manifest_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        judge(tmp_path)


def test_sequences_are_compared_as_integers_of_any_length(tmp_path: Path) -> None:
    small, large = "9" * 5000, "1" + "0" * 5000
    lines = b""
    for at, id, number in ((10, "a", small), (20, "b", large)):
        lines += line("intended", at, id=id, attempt=1, producer="p", group="g", seq=1 + at // 20, due=1, expect=["q"])
        lines += line("sent", at + 5, id=id, attempt=1, started=at + 1, outcome="ok", broker_seq=number)
    received = {"subscription": "q", "receives": 1}
    lines += line("received", 50, id="a", batch="b1", started=45, broker_id="A", broker_seq=small, **received)
    lines += line("received", 60, id="b", batch="b2", started=55, broker_id="B", broker_seq=large, **received)
    verdict = judge(write_run(tmp_path / "run", lines, claims=[{"claim": "ordered-per-group"}]))
    assert (verdict["verdict"], verdict["claims"][0]["checked"]) == (HOLDS, 1)
