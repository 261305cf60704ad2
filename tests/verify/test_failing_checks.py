"""The judge survives its checks: one that cannot be carried out leaves unknown only the claims that rest on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import HistoryError
from gameday.verify import explaining
from gameday.verify import judge as judging
from gameday.verify import load as loading
from gameday.verify.judge import judge
from gameday.verify.registry import CAUSES, CHECKS, Check
from tests.verify.handmade.builder import History, fifo

CLAIMS = ["no-loss", "no-phantom", "ordered-per-group", "exactly-once-delivery"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    h = History({"orders": fifo()}, CLAIMS)
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n, group="g")
        h.take(id, at=5 + n, group="g")
    h.drained(at=10)
    directory = h.write(tmp_path_factory.mktemp("good") / "run")
    assert verdicts(judge(directory).document) == dict.fromkeys(CLAIMS, "holds")
    return directory


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {claim["claim"]: claim["verdict"] for claim in document["claims"]}


def broken(monkeypatch: pytest.MonkeyPatch, anomaly: str) -> None:
    sql = "-- cannot be carried out\nSELECT s, id, error('out of memory') AS n, NULL AS note FROM pairs"
    monkeypatch.setattr(judging, "CHECKS", {**CHECKS, anomaly: Check(anomaly=anomaly, sql=sql)})


def test_a_check_that_fails_leaves_its_own_claims_unknown(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "vanished")
    document = judge(run).document
    told = dict.fromkeys(CLAIMS, "holds") | {"no-loss": "unknown", "exactly-once-delivery": "unknown"}
    assert verdicts(document) == told
    why = "the check vanished could not be carried out: Invalid Input Error: out of memory"
    assert why in document["claims"][0]["why"]
    assert document["anomalies"]["vanished"]["failed"] == "Invalid Input Error: out of memory"
    assert "the check vanished could not be carried out" in document["notes"][0]["text"]


def test_what_else_is_found_still_violates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("a", at=1, group="g")
    h.send("b", at=2, group="g")
    h.take("b", at=5, group="g")
    h.drained(at=10)
    broken(monkeypatch, "vanished")
    assert verdicts(judge(h.write(tmp_path / "run")).document) == {"no-loss": "violated"}


def test_without_knowing_whether_anything_happened_nothing_holds(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "vacuous")
    assert verdicts(judge(run).document) == dict.fromkeys(CLAIMS, "unknown")


def test_a_table_that_cannot_be_made_leaves_unknown_what_reads_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_TABLES", {**loading._TABLES, "70_order.sql": "SELECT error('no space')"})
    document = judge(run).document
    told = dict.fromkeys(CLAIMS, "holds") | {"ordered-per-group": "unknown"}
    assert verdicts(document) == told
    assert "no space" in document["anomalies"]["nonmonotonic-delivery"]["failed"]


def test_without_the_messages_there_is_nothing_to_judge_by(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_TABLES", {**loading._TABLES, "20_messages.sql": "SELECT error('no space')"})
    with pytest.raises(HistoryError, match=r"cannot judge: 20_messages\.sql failed: .*no space"):
        judge(run)


def test_a_cause_that_cannot_be_looked_for_leaves_all_causes_untold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the others nobody would know that they are the first. The claims are judged all the same."""
    h = History({"orders": fifo()}, ["exactly-once-delivery"])
    h.send("a", at=1, group="g")
    h.receive("a", at=2)
    h.take("a", at=8, consumer="c2")
    h.drained(at=10)
    run = h.write(tmp_path / "run")
    assert judge(run).document["causes"]["redelivery"]
    broken = replace(CAUSES["given-back"], sql="SELECT error('out of memory')")
    monkeypatch.setattr(explaining, "CAUSES", {**CAUSES, "given-back": broken})
    document = judge(run).document
    assert verdicts(document) == {"exactly-once-delivery": "holds"}
    assert document["causes"] == {}
    assert "why" not in document["anomalies"]["redelivery"]["examples"][0]
    (note,) = document["notes"]
    assert note["text"].startswith("given-back could not be looked for, so neither causes nor places are told: ")
