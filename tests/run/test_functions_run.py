"""Whole runs with a function that is invoked as a mapping invokes it: what is right of it holds, and each fault that
strikes functions is there and heals.

The mistakes of functions are the shipped scenarios broken-lambda-…; here is what no scenario shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.registry import FAULTS
from tests.chaos.test_catches import OF_FUNCTIONS
from tests.commanded import Gameday, processes_of
from tests.needed import installed
from tests.recorded import recorded
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live
Start = Callable[..., Gameday]

SCENARIO = """\
name: functions
transport: sqs-fifo
topology: {visibility_timeout: 2s, max_receives: 3}
load: {rate: 40/s, duration: 6s, groups: 20}
consumers:
  lambda: {function: {path: own.py}, timeout: 1s, concurrency: 3}
claims: [no-loss, ordered-per-group, esm-ordered, batch-isolation, no-premature-death, discard-accounted]
"""
PYTHON = """
def handler(event, context):
    assert context.get_remaining_time_in_millis() <= 1000, "more time than was said"
    return {"batchItemFailures": []}
"""
TWO_VERSIONS = '''
import json, os
from pathlib import Path

DONE = Path(os.environ["GAMEDAY_EFFECTS"], "done.jsonl")
DONE.touch()

def handler(event, context):
    with DONE.open("a") as file:
        for record in event["Records"]:
            id = json.loads(record["body"])["detail"]["metadata"]["id"]
            file.write(json.dumps({"id": id, "applied": 1}) + "\\n")

def forgets(event, context):
    """A version that does nothing, and says that all is well."""
'''
NODE = """
exports.handler = async (event, context) => {
  if (context.getRemainingTimeInMillis() > 1000) throw new Error('it has more time than was said')
  console.log(event.Records.length, 'orders')
  return { batchItemFailures: [] }
}
"""


def judged(
    gameday: Start,
    place: Path,
    *overrides: str,
    code: str = PYTHON,
    file: str = "own.py",
    target: str = "memory",
) -> tuple[Path, Any]:
    (place / file).write_text(code)
    (place / "own.yaml").write_text(SCENARIO)
    sets = [word for override in overrides for word in ("--set", override)]
    run = gameday(str(place / "own.yaml"), "--target", target, "--seed", "7", *sets)
    ended, out, err = run.end()
    assert ended in (0, 1), (out, err)
    return run.run, json.loads((run.run / "verdict.json").read_bytes())


def strikes(run: Path) -> dict[str, int]:
    """How often each fault struck that is over."""
    records = recorded(run / "history" / "conductor.jsonl", "fault")
    return {record["fault"]: record["params"]["fired"] for record in records if record["phase"] == "stop"}


def test_a_mapping_is_killed_and_disabled_and_everything_holds(gameday: Start, tmp_path: Path) -> None:
    # A poll that waits when it strikes, for a second at most, may still bring something.
    chaos = "chaos=[{at: 1s, fault: kill-consumer}, {at: 4500ms, fault: disable-mapping, for: 2s}]"
    run, verdict = judged(gameday, tmp_path, chaos, "load.duration=8s", "topology.max_receives=5")
    assert verdict["verdict"] == "holds", verdict["claims"]
    assert all(strikes(run).values()) and set(strikes(run)) == {"kill-consumer", "disable-mapping"}
    faults = recorded(run / "history" / "conductor.jsonl", "fault")
    on, off = (record["at"] for record in faults if record["fault"] == "disable-mapping")
    received = [r["at"] for path in (run / "history").glob("orders-*.jsonl") for r in recorded(path, "received")]
    assert not [at for at in received if on + 1_500_000_000 < at < off - 200_000_000], "nothing is received meanwhile"


@in_series
def test_who_is_throttled_for_too_long_dies_unseen(gameday: Start, tmp_path: Path) -> None:
    chaos = "chaos=[{at: 1s, fault: throttle-function, for: 4.5s}]"
    run, verdict = judged(gameday, tmp_path, chaos, "topology.max_receives=1", "claims=[no-premature-death, no-loss]")
    assert {claim["claim"]: claim["verdict"] for claim in verdict["claims"]} == {
        "no-premature-death": "violated",
        "no-loss": "holds",
    }
    assert verdict["anomalies"]["premature-death"]["count"] > 0
    assert strikes(run)["throttle-function"] > 0


@in_series
@in_soak
def test_a_version_that_is_wrong_does_its_harm_until_it_is_rolled_back(gameday: Start, tmp_path: Path) -> None:
    chaos = (
        "chaos=[{at: 1s, fault: cold-start, takes: 500ms, share: 30%, for: 1s}, "
        "{at: 2500ms, fault: deploy, handler: own.forgets, for: 1s}, {at: 6s, fault: function-error, for: 5s}]"
    )
    sets = [
        "transport=sqs",
        "topology.max_receives=20",
        "load.duration=12s",
        "claims=[no-loss, discard-accounted, at-least-once-effect]",
    ]
    reads = "effects={command: [cat, '{effects}/done.jsonl']}"
    run, verdict = judged(gameday, tmp_path, chaos, *sets, reads, code=TWO_VERSIONS)
    assert {claim["claim"]: claim["verdict"] for claim in verdict["claims"]} == {
        "no-loss": "holds",
        "discard-accounted": "holds",
        "at-least-once-effect": "violated",
    }
    assert set(strikes(run)) == {"cold-start", "deploy", "function-error"} and all(strikes(run).values())


@in_series
@in_soak
def test_a_function_of_node_s(gameday: Start, tmp_path: Path) -> None:
    installed("node", package="nodejs")
    function = "consumers.lambda.function={path: own.js, runtime: nodejs22.x}"
    run, verdict = judged(gameday, tmp_path, function, code=NODE, file="own.js")
    assert verdict["verdict"] == "holds", verdict["claims"]
    answers = [r for path in (run / "history").glob("orders-*.jsonl") for r in recorded(path, "responded")]
    assert {record["outcome"] for record in answers} == {"ok"}


@in_series
def test_on_the_target_it_is_throttled_and_its_mapping_disabled(gameday: Start, tmp_path: Path) -> None:
    """And both are put back: else nothing would be drained."""
    chaos = "chaos=[{at: 1s, fault: disable-mapping, for: 1s}, {at: 3s, fault: throttle-function, for: 1s}]"
    sets = ["consumers.lambda.by=target", "topology.visibility_timeout=10s", "topology.max_receives=20"]
    run, verdict = judged(gameday, tmp_path, chaos, *sets, "claims=[no-loss, esm-ordered]", target="embedded")
    assert verdict["verdict"] == "holds", verdict["claims"]
    assert strikes(run) == {"disable-mapping": 1, "throttle-function": 1}
    files = list((run / "history").glob("function-*.jsonl"))
    invoked = [record for path in files for record in recorded(path, "invoked")]
    assert invoked and not list((run / "history").glob("orders-*.jsonl"))


def test_each_fault_of_functions_has_its_proof() -> None:
    """Here, and in tests/consumers/test_mapping.py."""
    assert set(OF_FUNCTIONS) == {name for name, fault in FAULTS.items() if fault.needs_function}


STREAM = """
import base64, json, os, zlib
from pathlib import Path

TRIED = Path(os.environ["GAMEDAY_EFFECTS"])

def _fails(order):
    # One in twenty, the first time that it is tried.
    path = TRIED / f"tried-{zlib.crc32(order.encode())}"
    if zlib.crc32(order.encode()) % 20 or path.exists():
        return False
    path.touch()
    return True

def _order(record):
    event = json.loads(base64.b64decode(record["kinesis"]["data"]))
    assert event["detail"]["currency"] in ("EUR", "USD"), "the filter lets nothing else through"
    return event["detail"]["metadata"]["id"]

def handler(event, context):
    told = {"applied": [], "failed": []}
    for record in event["Records"]:
        name = record["kinesis"]["sequenceNumber"]
        if _fails(_order(record)):
            told["failed"].append(name)
            return {"batchItemFailures": [{"itemIdentifier": name}], "gameday": told}
        told["applied"].append(name)
    return {"gameday": told}

def swallows(event, context):
    told = {"applied": [], "failed": []}
    for record in event["Records"]:
        told["failed" if _fails(_order(record)) else "applied"].append(record["kinesis"]["sequenceNumber"])
    return {"gameday": told}
"""


@in_series
@pytest.mark.parametrize(("handler", "effect"), [("own.handler", "holds"), ("own.swallows", "violated")])
@in_soak
def test_a_shard_in_several_lanes_with_a_filter(gameday: Start, tmp_path: Path, handler: str, effect: str) -> None:
    """Who dies in between has what is done behind the checkpoint come again; and a failure that is not reported is
    found, in whichever lane it was."""
    function = f"path: own.py, handler: {handler}, env: {{GAMEDAY_EFFECTS: '{{effects}}'}}"
    run, verdict = judged(
        gameday,
        tmp_path,
        "transport=kinesis",
        "topology={shards: 1}",
        f"consumers.lambda={{function: {{{function}}}, timeout: 5s, batch: 5, parallel: 4, concurrency: 4, window: 1s, "
        "filter: [{data: {detail: {currency: [EUR, USD]}}}]}",
        "chaos=[{at: 2s, fault: kill-consumer}]",
        "claims=[no-loss, ordered-per-partition, esm-ordered, filter-correct, at-least-once-effect, discard-accounted]",
        code=STREAM,
    )
    found = {claim["claim"]: claim["verdict"] for claim in verdict["claims"]}
    assert found == {**dict.fromkeys(found, "holds"), "at-least-once-effect": effect}, verdict["claims"]
    assert strikes(run) == {"kill-consumer": 1}
    conductor = recorded(run / "history" / "conductor.jsonl", "intended")
    files = list((run / "history").glob("*.jsonl"))
    intended = [record for path in files for record in recorded(path, "intended")] or conductor
    received = {record["id"] for path in files for record in recorded(path, "received")}
    expected = {record["id"] for record in intended if record["expect"]}
    assert received == expected and 0 < len(expected) < len(intended)
    # Several invocations at work at once.
    moments = sorted(
        (record["at"], 1 if record["event"] == "invoked" else -1)
        for path in files
        for kind in ("invoked", "responded")
        for record in recorded(path, kind)
    )
    at_once = [sum(step for _, step in moments[:place]) for place in range(len(moments))]
    assert max(at_once) > 1


@in_series
@pytest.mark.parametrize(("target", "transport"), [("memory", "sqs"), ("memory", "sqs-fifo")])
def test_on_the_broker_in_memory_it_is_deployed_too(
    gameday: Start, tmp_path: Path, target: str, transport: str
) -> None:
    chaos = "chaos=[{at: 1s, fault: disable-mapping, for: 1s}, {at: 3s, fault: throttle-function, for: 1s}]"
    sets = ["consumers.lambda.by=target", "topology.visibility_timeout=10s", "topology.max_receives=20"]
    sets += [f"transport={transport}"]
    claims = "claims=[no-loss, esm-ordered]" if transport == "sqs-fifo" else "claims=[no-loss]"
    run, verdict = judged(gameday, tmp_path, chaos, *sets, claims, target=target)
    assert verdict["verdict"] == "holds", verdict["claims"]
    assert strikes(run) == {"disable-mapping": 1, "throttle-function": 1}
    files = list((run / "history").glob("function-*.jsonl"))
    invoked = [record["at"] for path in files for record in recorded(path, "invoked")]
    assert invoked and len(files) > 1
    for fault in ("disable-mapping", "throttle-function"):
        on, off = (r["at"] for r in recorded(run / "history" / "conductor.jsonl", "fault") if r["fault"] == fault)
        assert not [at for at in invoked if on + 100_000_000 < at < off - 100_000_000], fault
    assert processes_of(run) == []


NODE_DEPLOYED = """
exports.handler = async (event, context) => {
  const bad = event.Records.filter((record) => Number(record.attributes.ApproximateReceiveCount) === 1 &&
    record.messageId.startsWith('0'))
  return { batchItemFailures: bad.map((record) => ({ itemIdentifier: record.messageId })) }
}
"""


@in_series
@in_soak
def test_a_function_of_node_s_is_deployed_behind_a_shim(gameday: Start, tmp_path: Path) -> None:
    installed("node", package="nodejs")
    sets = [
        "transport=sqs",
        "consumers.lambda={function: {path: own.js, runtime: nodejs22.x}, by: target, timeout: 2s, concurrency: 3}",
        "topology.visibility_timeout=3s",
        "topology.max_receives=20",
        "claims=[no-loss, no-phantom, discard-accounted]",
    ]
    run, verdict = judged(gameday, tmp_path, *sets, code=NODE_DEPLOYED, file="own.js")
    assert verdict["verdict"] == "holds", verdict["claims"]
    answers = [r for path in (run / "history").glob("function-*.jsonl") for r in recorded(path, "responded")]
    assert any(record.get("failed") for record in answers) and {record["outcome"] for record in answers} == {"ok"}


@in_series
@pytest.mark.parametrize(
    ("scenario", "violated", "found"),
    [
        # MiniStack takes the answer for success: there nothing comes twice, and it is gone.
        ("broken-lambda-miskeyed", "exactly-once-effect", "effect-duplicate"),
        ("broken-lambda-swallow", "at-least-once-effect", "effect-missing"),
    ],
)
@in_soak
def test_a_mistake_is_found_in_memory_as_it_is_with_our_poller(
    gameday: Start, scenario: str, violated: str, found: str
) -> None:
    run = gameday(scenario, "--target", "memory", "--seed", "7", "--set", "consumers.lambda.by=target")
    ended, out, err = run.end()
    assert ended == 1, (out, err)
    verdict = json.loads((run.run / "verdict.json").read_bytes())
    assert violated in [claim["claim"] for claim in verdict["claims"] if claim["verdict"] == "violated"]
    assert verdict["anomalies"][found]["count"] > 0
