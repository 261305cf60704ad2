"""The manifest and the exit codes: what is no run directory, what an alias is, and what a command ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import NotARun
from tests.verify.handmade.builder import History, check, judged, queue, verdict_of


def plain(claims: list[Any], *, lost: bool = False, drained: bool = True, **manifest: Any) -> History:
    h = History({"orders": queue()}, claims, manifest=manifest)
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    if not lost:
        h.take("b", at=3)
    if drained:
        h.drained(at=10)
    return h


# -- exit codes


def test_every_claim_holds(tmp_path: Path) -> None:
    verdict = judged(plain(["no-loss", "no-phantom"]), tmp_path)
    assert verdict.exit_code == 0
    assert verdict.document["verdict"] == "holds"


def test_a_claim_is_violated(tmp_path: Path) -> None:
    # Violated beats unknown: b is lost, nobody was poisoned, and nothing was sent in order.
    verdict = judged(plain(["no-phantom", "dead-letter", "no-loss", "ordered-per-group"], lost=True), tmp_path)
    assert verdict.exit_code == 1
    assert verdict.document["verdict"] == "violated"
    told = {claim["claim"]: claim["verdict"] for claim in verdict.document["claims"]}
    assert told == {
        "no-phantom": "holds",
        "dead-letter": "unknown",
        "no-loss": "violated",
        "ordered-per-group": "unknown",
    }


def test_a_claim_is_unknown(tmp_path: Path) -> None:
    verdict = judged(plain(["no-loss", "no-phantom"], drained=False), tmp_path)
    assert verdict.exit_code == 3
    assert verdict.document["verdict"] == "unknown"
    assert {claim["claim"]: claim["verdict"] for claim in verdict.document["claims"]} == {
        "no-loss": "unknown",
        "no-phantom": "holds",
    }


def test_anomalies_that_violate_no_claim_of_this_run(tmp_path: Path) -> None:
    # b is lost, and nobody claimed that nothing would be.
    verdict = judged(plain(["no-phantom"], lost=True), tmp_path)
    assert verdict.exit_code == 0
    check(verdict.document, {"no-phantom": ("holds", 1)}, {"lost": 1})


# -- no run directory


def no_run(h: History, tmp_path: Path) -> None:
    with pytest.raises(NotARun) as caught:
        judged(h, tmp_path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_another_schema(tmp_path: Path, schema: object) -> None:
    no_run(plain(["no-loss"], schema=schema), tmp_path)


def test_no_schema(tmp_path: Path) -> None:
    h = plain(["no-loss"])
    del h.manifest["schema"]
    no_run(h, tmp_path)


def test_no_claims(tmp_path: Path) -> None:
    no_run(plain([]), tmp_path)


def test_no_claims_at_all(tmp_path: Path) -> None:
    h = plain(["no-loss"])
    del h.manifest["claims"]
    no_run(h, tmp_path)


@pytest.mark.parametrize("claim", ["no-losses", "No-Loss", "lost", ""])
def test_a_claim_that_does_not_exist(tmp_path: Path, claim: str) -> None:
    no_run(plain(["no-loss", claim]), tmp_path)


@pytest.mark.parametrize(
    "claim",
    [
        {"claim": "no-loss", "p99_s": 1},
        {"claim": "no-loss", "strict": True},
        {"claim": "at-least-once", "within_s": 1},
        {"claim": "exactly-once-delivery", "strict": True},
        {"claim": "ordered-effects", "strict": True},
        {"claim": "lag", "p95_s": 1},
        {"claim": "lag", "max_s": 1, "within_s": 1},
        {"claim": "recovery", "within_s": 1, "grace_s": 1},
    ],
    ids=str,
)
def test_a_bound_that_does_not_exist(tmp_path: Path, claim: dict[str, Any]) -> None:
    no_run(plain(["no-phantom", claim]), tmp_path)


def remove_the_manifest(run: Path) -> None:
    (run / "manifest.json").unlink()


def leave_it_empty(run: Path) -> None:
    (run / "manifest.json").write_text("")


@pytest.mark.parametrize("spoil", [remove_the_manifest, leave_it_empty])
def test_no_manifest(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    h = plain(["no-loss"])
    write = h.write

    def write_and_spoil(run: Path) -> Path:
        write(run)
        spoil(run)
        return run

    h.write = write_and_spoil  # type: ignore[method-assign]
    no_run(h, tmp_path)


# -- claims


@pytest.mark.parametrize("lost, verdict", [(False, "holds"), (True, "violated")])
def test_an_alias(tmp_path: Path, lost: bool, verdict: str) -> None:
    # `at-least-once` is `no-loss`; which of the names the document bears is left open.
    document = verdict_of(plain(["at-least-once"], lost=lost), tmp_path)
    (claim,) = document["claims"]
    assert claim["claim"] in ("at-least-once", "no-loss")
    check(document, {claim["claim"]: (verdict, 2)}, {"lost": int(lost)})


@pytest.mark.parametrize("count, upper", [(1, 1.0), (2, 1.0), (3, 1.0), (4, 0.75), (12, 0.25), (300, 0.01)])
def test_how_strongly_a_claim_holds(tmp_path: Path, count: int, upper: float) -> None:
    # 3 / checked, and never above 1.
    h = History({"orders": queue()}, ["no-loss"])
    for n in range(count):
        h.send(f"m{n}", at=1 + n / 100)
        h.take(f"m{n}", at=5 + n / 100)
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": ("holds", count)})
    assert document["claims"][0]["rate_upper_95"] == pytest.approx(upper)


def test_the_document(tmp_path: Path) -> None:
    h = plain(["no-phantom", "no-loss"], run="a run", scenario={"anything": [1, 2]}, colour="green")
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": ("holds", 2), "no-phantom": ("holds", 2)})
    assert document["schema"] == 1
    assert document["run"] == "a run"
    assert document["torn_lines"] == 0
    assert document["damaged"] == []
    json.dumps(document)


LEFT_OUT = {"kind": "queue"}
NULL = LEFT_OUT | {
    "ordered_by": None,
    "visibility_timeout_s": None,
    "max_receives": None,
    "dead_letter": False,
    "dedup_window_s": None,
    "filtered": False,
    "settle_s": 0,
    "effective_from": None,
    "promises": "at-least-once",
}


@pytest.mark.parametrize("fields", [LEFT_OUT, NULL], ids=["left out", "null"])
def test_fields_of_a_subscription_by_default(tmp_path: Path, fields: dict[str, Any]) -> None:
    # Nothing but the kind: no order, no dead letters, no window, delivered at least once, in force from the start.
    h = History({"orders": fields}, ["no-loss", "exactly-once-delivery", "fanout-complete"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("b", at=2, hidden_s=5)
    h.take("a", at=3, hidden_s=5)
    h.drained(at=10)
    check(
        verdict_of(h, tmp_path),
        {"no-loss": ("holds", 2), "exactly-once-delivery": ("holds", 2), "fanout-complete": ("holds", 2)},
    )
