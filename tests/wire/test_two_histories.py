"""A run of ours behind a wire that records into a second history: both are judged alike.

What the wire saw is more than what the consumer did, by the receives that never came to it; all else is the same.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from gameday.verify.judge import Verdict, judge
from tests.commanded import Gameday
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

Start = Callable[..., Gameday]
# As `gameday run`, but for a wire before the consumers that writes a history of its own.
BEHIND_A_WIRE = """
import dataclasses, os, pathlib
from gameday.cli import main
from gameday.run.context import RunContext
from gameday.scenario.model import Scenario
plain = RunContext.wire
second = pathlib.Path(os.environ["SECOND"])
RunContext.wire = lambda *given, **named: dataclasses.replace(plain(*given, **named), records_in=second)
Scenario.behind_wire = property(lambda scenario: True)
main()
"""
SCENARIO = """
name: two
transport: %s
topology: {visibility_timeout: 2s, max_receives: 12}
load: {rate: 60/s, duration: 10s, groups: 12}
consumers: {processes: 2, guard: %s}
chaos:
  - {at: 1s, fault: kill-consumer}
  - {at: 2s, fault: lose-answer, operation: receive, share: 50%%, for: 400ms}
  - {at: 3s, fault: pause-consumer, for: 3s}
  # Once what the lost answers hid is visible again: in a queue that is locked by group nothing is deleted till then.
  - {at: 5s, fault: lose-request, operation: delete, share: 50%%, for: 1500ms}
  # Long enough for all that those hid to be visible again and deleted.
  - {at: 7s, fault: lose-delete, share: 50%%, for: 2500ms}
claims: [all-accepted, no-loss, no-phantom, at-least-once-effect, exactly-once-effect%s]
"""


def second_of(first: Path, second: Path) -> None:
    """What the wire wrote, and what all but the consumers did, as the run of a consumer that only the wire saw."""
    manifest = orjson.loads((first / "manifest.json").read_bytes())
    manifest["subscriptions"]["orders"]["seen_from"] = "wire"
    (second / "manifest.json").write_bytes(orjson.dumps(manifest))
    for file in (first / "history").iterdir():
        if not file.name.startswith("orders-"):
            lines = file.read_bytes().splitlines()
            kept = [line for line in lines if not orjson.loads(line).get("file", "").startswith("orders-")]
            (second / "history" / file.name).write_bytes(b"".join(line + b"\n" for line in kept))


def received(run: Path, of: str) -> Counter[tuple[str, int]]:
    files = (run / "history").glob(f"{of}-*.jsonl")
    records = [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]
    return Counter((record["broker_id"], record["receives"]) for record in records if record["event"] == "received")


@in_series
@pytest.mark.parametrize(
    ("transport", "guard", "verdict"),
    [
        ("sqs", "none", "violated"),
        pytest.param("sqs-fifo", "transaction", "holds", marks=in_soak),
        pytest.param("sqs", "transaction", "holds", marks=in_soak),
    ],
)
def test_both_histories_give_the_same_verdicts(
    gameday: Start, tmp_path: Path, transport: str, guard: str, verdict: str
) -> None:
    second = tmp_path / "second"
    (second / "history").mkdir(parents=True)
    scenario = tmp_path / "two.yaml"
    scenario.write_text(
        SCENARIO % (transport, guard, ", exactly-once-delivery, ordered-per-group" if "fifo" in transport else "")
    )
    run = gameday(
        str(scenario),
        *("--target", "memory"),
        command=[sys.executable, "-c", BEHIND_A_WIRE],
        env={"SECOND": str(second)},
    )
    _, out, err = run.end()
    assert (run.run / "manifest.json").exists(), out + err
    second_of(run.run, second)
    own, wired = judge(run.run), judge(second)
    assert told(own) == told(wired), out + err
    assert own.verdict == verdict, (own.document["claims"], own.document["anomalies"]["vacuous"])

    by_consumer, by_wire = received(run.run, "orders"), received(second, "wire")
    assert not by_consumer - by_wire, "nothing comes to a consumer but through the wire"
    unseen = by_wire - by_consumer
    assert unseen, "the lost answers"
    counts, counted = found(own), found(wired)
    # The broker counts a receive that the consumer never saw; the wire did.
    gone = counts.pop("unrecorded-receive") - counted.pop("unrecorded-receive")
    more = counted.pop("redelivery") - counts.pop("redelivery")
    assert 0 <= gone <= sum(unseen.values()) and 0 <= more <= sum(unseen.values())
    # A consumer that is paused between its record of a delete and the call has begun in time by its own word alone.
    assert counts.pop("stale-delete") <= counted.pop("stale-delete")
    assert counts == counted


def told(verdict: Verdict) -> dict[str, tuple[str, int]]:
    claims = verdict.document["claims"]
    # A receive that never came to the consumer is one more that could be a phantom.
    return {c["key"]: (c["verdict"], c["checked"] if c["key"] != "no-phantom" else 0) for c in claims}


def found(verdict: Verdict) -> dict[str, int]:
    return {name: anomaly["count"] for name, anomaly in verdict.document["anomalies"].items()}
