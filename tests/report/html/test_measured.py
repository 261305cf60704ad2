"""CloudWatch's numbers in the report: beside ours where both count the same, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.report.html import page
from gameday.report.html.measured import measured
from gameday.targets import cloudwatch
from gameday.targets.cloudwatch import Metric, Reading, Stat
from gameday.verify.judge import judging
from tests.report.html.test_page import command, lossy, words

MINUTE = 1_767_268_800


def of(name: str, value: float | None, stat: Stat = "Sum", resource: str = "q") -> Metric:
    return Metric(
        namespace="AWS/SQS",
        resource=resource,
        name=name,
        stat=stat,
        dimensions={"QueueName": resource},
        subscription="orders" if resource == "q" else None,
        points=[] if value is None else [(MINUTE, value)],
    )


METRICS = [
    of("NumberOfMessagesSent", 12.0),
    of("NumberOfMessagesReceived", 1.0),
    of("NumberOfMessagesDeleted", None),
    of("ApproximateAgeOfOldestMessage", 31.0, "Maximum"),
    of("NumberOfMessagesSent", 0.0, resource="q-dlq"),
]


def read(**changes: object) -> Reading:
    given: dict[str, object] = {
        "begin_s": MINUTE + 1.0,
        "end_s": MINUTE + 50.0,
        "asked_s": MINUTE + 60.0,
        "metrics": METRICS,
    }
    return Reading(region="eu-west-1", urls={}, **{**given, **changes})  # type: ignore[arg-type]


def section(run: Path) -> str:
    with judging(run) as (loaded, verdict):
        text = page.save(run, loaded, verdict).read_text(encoding="utf-8")
    if 'id="measured"' not in text:
        return ""
    return words(text.partition('id="measured"')[2].partition("</section>")[0])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two messages were accepted, and one of them was received and deleted, a second after it was due."""
    return lossy().write(tmp_path / "run")


def test_both_stand_beside_each_other(run: Path) -> None:
    read().save(run)
    told = section(run)
    assert "q NumberOfMessagesSent in all 12 2 12" in told
    assert "q NumberOfMessagesReceived in all 1 1 1" in told
    assert "q NumberOfMessagesDeleted in all no number 1 –" in told
    assert "q ApproximateAgeOfOldestMessage at most 31 s 1 s 31 s" in told
    # Of what is nobody's queue of ours there is no number of ours.
    assert "q-dlq NumberOfMessagesSent in all 0 – 0" in told
    assert "may be low" not in told and "No verdict rests on CloudWatch" in told


def test_what_is_missing_is_said_and_a_run_without_has_no_such_section(run: Path) -> None:
    missing: list[tuple[dict[str, object], str]] = [
        ({"end_s": MINUTE + 130.0}, "did not have the last minute of q, q-dlq yet"),
        ({"failed": "AccessDenied: no"}, "could not be read: AccessDenied: no"),
        ({"asked_s": None}, "the run did not come to its end"),
    ]
    with judging(run) as (loaded, verdict):
        assert measured(loaded, verdict.document) is None
        for changes, said in missing:
            read(**changes).save(run)
            told = measured(loaded, verdict.document)
            assert told is not None and any(said in note for note in told.notes)
        # A file that is broken harms no page.
        (run / cloudwatch.FILE).write_text("{")
        told = measured(loaded, verdict.document)
        assert told is not None and "is not as a run writes it" in told.notes[0]


def test_the_command_says_what_it_cannot_ask_for(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "report", str(run), "--cloudwatch") == 2
    assert "has no cloudwatch.json" in capsys.readouterr().err
    assert command(monkeypatch, "report", str(run), "--profile", "x") == 2
