"""What a verdict looks like: JSON alone on standard output, JUnit never green for nothing, a table for people."""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from gameday.verdicts import show
from tests.verify.handmade.builder import History, queue
from verify.judge import Verdict, judge


@pytest.fixture
def verdict(tmp_path: Path) -> Verdict:
    """`b` was lost; nothing says anything of effects; no phantom."""
    h = History({"orders": queue()}, ["no-loss", "exactly-once-effect", "no-phantom"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.drained(at=10)
    h.write(tmp_path / "run")
    return judge(tmp_path / "run")


def test_json_is_the_document_alone(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    show(verdict, "json")
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(verdict.document))


def test_junit_fails_what_is_violated_and_errs_on_what_is_unknown(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    show(verdict, "junit")
    suite = xml.fromstring(capsys.readouterr().out)
    told = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert told == {"no-loss": ["failure"], "exactly-once-effect": ["error"], "no-phantom": ["system-out"]}
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    failure = suite.find(".//failure")
    assert failure is not None and failure.text is not None
    assert "lost: message b on orders" in failure.text


def test_the_table_shows_counts_bounds_and_the_lost_message(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    show(verdict, "text")
    out = capsys.readouterr().out
    assert "1 lost" in out
    assert "lost: message b on orders. Cause: no fault was at work on it" in out
    assert "exactly-once-effect: orders: no effects recorded" in out
    assert out.rstrip().endswith("verdict: violated")
    assert max(len(line) for line in out.splitlines()) <= 132


def test_a_loss_on_a_slow_service_may_be_late(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h = History({"orders": queue(settle_s=60)}, ["no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.drained(at=100)
    h.write(tmp_path / "run")
    show(judge(tmp_path / "run"), "text")
    assert "1 lost, or later than 60 s" in capsys.readouterr().out
