"""Whole runs with a handler of somebody else's: a correct one holds, and each planted mistake is found.

Poison is what tells them apart: the handler fails it, and must bring exactly those to the dead-letter queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commanded import Gameday, poison_and_dead
from tests.series import in_series, in_soak, series

pytestmark = pytest.mark.live

# One process that takes its time, so that batches are full: who shares one with poison is the point.
SCENARIO = """\
name: own
transport: sqs
topology: {visibility_timeout: 2s, max_receives: 3}
load: {rate: 80/s, duration: 3s, groups: 20, poison: 15%}
consumers: {processes: 1, concurrency: 1, handler: {python: "own:correct", event: sqs}}
chaos: [{at: 1s, fault: kill-consumer}]
claims: [no-loss, {claim: dead-letter, strict: true}]
"""
HANDLERS = '''
import base64, json, os, time
from pathlib import Path

def is_poison(record):
    return json.loads(record["body"])["detail"]["metadata"]["poison"]

def correct(event, context):
    time.sleep(0.2)
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in event["Records"] if is_poison(r)]}

def ignores_the_answer(event, context):
    """Its error is caught and told to nobody."""
    correct(event, context)

def misspells_the_list(event, context):
    return {"batchItemFailure": correct(event, context)["batchItemFailures"]}

def misspells_the_identifier(event, context):
    failures = correct(event, context)["batchItemFailures"]
    return {"batchItemFailures": [{"messageId": each["itemIdentifier"]} for each in failures]}

def raises(event, context):
    if correct(event, context)["batchItemFailures"]:
        raise ValueError("one of them was poison")

def stops_at_the_first(event, context):
    """As AWS asks of a function on a FIFO queue."""
    bad = [is_poison(r) for r in event["Records"]]
    first = bad.index(True) if True in bad else len(bad)
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in event["Records"][first:]]}

def of_a_stream(event, context):
    """Fails one record in ten, the first time that it sees it."""
    for record in event["Records"]:
        number = record["kinesis"]["sequenceNumber"]
        id = json.loads(base64.b64decode(record["kinesis"]["data"]))["detail"]["metadata"]["id"]
        seen = Path(os.environ["GAMEDAY_EFFECTS"], id)
        if id.endswith("7") and not seen.exists():
            seen.touch()
            return {"batchItemFailures": [{"itemIdentifier": number}]}

def of_a_topic(event, context):
    (record,) = event["Records"]
    assert (record["EventSource"], record["Sns"]["Type"]) == ("aws:sns", "Notification")
    if json.loads(record["Sns"]["Message"])["detail"]["metadata"]["poison"]:
        raise ValueError("poison")

def of_a_bus(event, context):
    assert event["source"] == "gameday.orders" and event["account"]
    if event["detail"]["metadata"]["poison"]:
        raise ValueError("poison")

def plain(message):
    if json.loads(message["body"])["detail"]["metadata"]["poison"]:
        raise ValueError("poison")
'''
Start = Callable[..., Gameday]


def judged(gameday: Start, place: Path, *overrides: str) -> tuple[Gameday, Any]:
    (place / "own.py").write_text(HANDLERS)
    (place / "own.yaml").write_text(SCENARIO)
    sets = [word for override in overrides for word in ("--set", override)]
    run = gameday(str(place / "own.yaml"), "--target", "memory", "--seed", "7", *sets)
    ended, out, err = run.end()
    assert ended in (0, 1), (out, err)
    return run, json.loads((run.run / "verdict.json").read_bytes())


def handled_by(function: str) -> str:
    return f"consumers.handler.python=own:{function}"


def test_a_correct_handler_holds(gameday: Start, tmp_path: Path) -> None:
    run, verdict = judged(gameday, tmp_path)
    assert verdict["verdict"] == "holds"
    poison, dead = poison_and_dead(run.run, "orders")
    assert dead == poison and len(poison) > 5


@pytest.mark.parametrize(
    ("function", "anomaly"),
    [
        *series(("misspells_the_identifier", "collateral-dead")),
        pytest.param("ignores_the_answer", "poison-escaped", marks=(in_series, in_soak)),
        pytest.param("misspells_the_list", "poison-escaped", marks=(in_series, in_soak)),
        pytest.param("raises", "collateral-dead", marks=(in_series, in_soak)),
    ],
)
def test_a_planted_mistake_is_found(function: str, anomaly: str, gameday: Start, tmp_path: Path) -> None:
    _, verdict = judged(gameday, tmp_path, handled_by(function))
    assert verdict["verdict"] == "violated"
    assert verdict["anomalies"][anomaly]["count"] > 0
    # Nobody is told to have failed a healthy message.
    assert verdict["anomalies"]["healthy-dead"]["count"] == 0


@in_series
@pytest.mark.parametrize(
    "overrides",
    [
        ("consumers.handler={python: 'own:plain'}", "chaos.0={at: 1s, fault: crash-at, point: before-delete, nth: 5}"),
        ("transport=sqs-fifo", handled_by("stops_at_the_first"), "claims=[no-loss, ordered-per-group, dead-letter]"),
        ("transport=sns", "consumers.handler={python: 'own:of_a_topic', event: sns}"),
        ("transport=eventbridge", "consumers.handler={python: 'own:of_a_bus', event: eventbridge}"),
        (
            "transport=kinesis",
            "consumers.handler={python: 'own:of_a_stream', event: kinesis}",
            "topology={}",
            "load.poison=0%",
            "claims=[no-loss, ordered-per-partition]",
        ),
    ],
    ids=["plain", "fifo", "sns", "eventbridge", "kinesis"],
)
@in_soak
def test_a_correct_handler_holds_for_every_kind_of_event(
    overrides: tuple[str, ...], gameday: Start, tmp_path: Path
) -> None:
    _, verdict = judged(gameday, tmp_path, *overrides)
    assert verdict["verdict"] == "holds", verdict["claims"]


@in_series
def test_faults_strike_around_it(gameday: Start, tmp_path: Path) -> None:
    """Each struck, by its own account: else the run would be vacuous."""
    chaos = [
        "{at: 500ms, fault: stretch-processing, to: 300ms, for: 1s}",
        "{at: 1500ms, fault: fail-handler, for: 500ms}",
        "{at: 2s, fault: pause-consumer, for: 1s}",
    ]
    _, verdict = judged(gameday, tmp_path, f"chaos=[{', '.join(chaos)}]", "load.poison=0%", "claims=[no-loss]")
    assert verdict["verdict"] == "holds", verdict["claims"]
    assert verdict["anomalies"]["vacuous"]["count"] == 0
