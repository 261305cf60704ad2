"""The replay step: what the history tells of a replay that ends, one that fails, and one that never does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gameday.history.clock import NS_PER_S, Clock
from gameday.history.writer import DIRECTORY, Writer
from gameday.run import replay
from gameday.run.replay import Replay
from gameday.transports.base import Addresses, Answer, Call, CallFailed
from gameday.transports.eventbridge import Eventbridge

ADDRESSES = Addresses(send_to="bus", extra={"bus": "arn:bus", "archive": "arn:archive"})
Told = tuple[str | None, list[dict[str, Any]], list[str]]


def replayed(
    run: Path,
    script: Sequence[str | CallFailed],
    *,
    patience_s: float = 20,
    start: Sequence[CallFailed | None] = (None,),
) -> Told:
    """Why it did not end, the marks, and the operations called; `start` and `script` answer one call after another,
    the last one for ever."""
    starts, states, calls = list(start), list(script), list[str]()

    def next_of(answers: list[Any]) -> Any:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def carry(call: Call) -> Answer:
        calls.append(call.operation)
        told = next_of(starts if call.operation == "StartReplay" else states)
        if isinstance(told, CallFailed):
            raise told
        return {"State": told}

    (run / DIRECTORY).mkdir()
    writer = Writer(run=run, name="conductor", clock=Clock.start())
    since_ns = writer.clock.now_ns() - 3 * NS_PER_S
    step = Replay(
        transport=Eventbridge(), addresses=ADDRESSES, name="again", since_ns=since_ns, carry=carry, writer=writer
    )
    why = asyncio.run(step.run(patience_s=patience_s, tell=lambda state: None))
    writer.close()
    records = [json.loads(line) for line in (run / DIRECTORY / "conductor.jsonl").read_bytes().splitlines()]
    marks = [record for record in records if record["name"].startswith("replay-")]
    started = marks[0]
    assert started["since"] <= since_ns < started["since"] + NS_PER_S
    assert started["until"] - NS_PER_S < started["at"]
    assert started["since"] % NS_PER_S == started["until"] % NS_PER_S == 0
    return why, marks, calls


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(replay, "_REFUSED_S", 0.2)


def outcomes(told: Told) -> list[tuple[str, str | None]]:
    return [(mark["name"], mark.get("outcome")) for mark in told[1]]


def test_it_is_waited_for_and_its_end_noted(tmp_path: Path) -> None:
    lost_answer = CallFailed("ReadTimeoutError", "no answer", definite=False)
    told = replayed(tmp_path, ["STARTING", "RUNNING", lost_answer, "COMPLETED"])
    assert told[0] is None
    assert outcomes(told) == [("replay-started", None), ("replay-ended", "ok")]
    assert {mark["replay"] for mark in told[1]} == {"again"}
    assert told[2] == ["StartReplay", *["DescribeReplay"] * 4]


def test_one_that_failed_says_why(tmp_path: Path) -> None:
    told = replayed(tmp_path, ["RUNNING", "FAILED"])
    assert told[0] == "FAILED: no reason"
    assert outcomes(told)[-1] == ("replay-ended", "failed")


@pytest.mark.parametrize("stuck", ["RUNNING", CallFailed("ReadTimeoutError", "no answer", definite=False)])
def test_one_that_comes_no_further_is_given_up(tmp_path: Path, stuck: str | CallFailed) -> None:
    told = replayed(tmp_path, [stuck], patience_s=0.2)
    assert told[0] in ("RUNNING for 0.2 s and no further", "ReadTimeoutError: no answer")
    assert outcomes(told)[-1] == ("replay-ended", "unknown")


REFUSED = CallFailed("ResourceNotFoundException", "not yet", definite=True)


def test_an_archive_that_is_not_ready_is_asked_again(tmp_path: Path) -> None:
    told = replayed(tmp_path, ["COMPLETED"], start=[REFUSED, REFUSED, None])
    assert told[0] is None
    assert told[2] == [*["StartReplay"] * 3, "DescribeReplay"]


def test_one_that_is_refused_for_long_was_none(tmp_path: Path) -> None:
    told = replayed(tmp_path, ["COMPLETED"], start=[REFUSED])
    assert told[0] == "it could not be started: ResourceNotFoundException: not yet"
    assert outcomes(told) == [("replay-started", None), ("replay-ended", "failed")]
    assert set(told[2]) == {"StartReplay"}


def test_one_that_may_have_started_is_not_started_again(tmp_path: Path) -> None:
    told = replayed(tmp_path, ["COMPLETED"], start=[CallFailed("ReadTimeoutError", "no answer", definite=False)])
    assert told[0] is None
    assert told[2] == ["StartReplay", "DescribeReplay"]
