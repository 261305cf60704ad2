"""What a sweep removes, what it leaves alone, and what it says when something cannot be done."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from gameday.cli import main
from gameday.history.errors import TargetError
from gameday.run.context import new_id
from gameday.targets import sweep as sweeping
from gameday.targets.endpoints import endpoint_of
from gameday.targets.start import given
from gameday.targets.sweep import Remains, SweepRequest, began_s, by_run, kept
from gameday.transports.base import Answer, Call, CallFailed, Plan
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.registry import TRANSPORTS
from gameday.transports.services import SERVICES, Left, queues, run_of, streams
from tests.commanded import COMMAND, Gameday
from tests.series import in_series

HOUR_S = 3600.0
BEGAN_S = 1_577_836_800.0  # 2020-01-01, at midnight
RUN = "quick-20200101-000000-abcd"
ANY = SweepRequest(run=None, older_than_s=None, dry=False)


def test_every_service_that_a_run_uses_is_asked() -> None:
    used = {service for transport in TRANSPORTS.values() for service in transport.services}
    # Of the schedules and the pipes probes make something.
    assert used | {"dynamodb", "scheduler", "pipes", "s3", "lambda"} == set(SERVICES)
    # AWS itself is refused a workflow, so no machine of a run is ever there.
    assert [service for service in used if SERVICES[service].emulated_only] == ["stepfunctions"]


def nothing() -> Plan[None]:
    yield from ()


def left(name: str, run: str | None = RUN, made_s: float | None = None, what: str = "queue") -> Left:
    return Left(what=what, name=name, run=run, made_s=made_s, remove=nothing)


@pytest.mark.parametrize(
    ("name", "tags", "run"),
    [
        ("gameday-quick-orders", {"gameday:run": "quick"}, "quick"),
        ("gameday-quick-orders", {}, None),
        ("gameday-quick-orders", {"team": "payments"}, None),
        ("gameday-probe-0123456789ab-queue-1.fifo", {}, "probe-0123456789ab"),
        ("gameday-probe-of-somebody-else", {}, None),
        # MiniStack drops a stream's tags.
        (f"gameday-{RUN}", {}, RUN),
        (f"gameday-{RUN}.fifo", {}, RUN),
        (f"gameday-{RUN}-orders-dlq.fifo", {}, RUN),
        (f"gameday-{RUN}5", {}, None),
        (f"{RUN}-orders", {}, None),
    ],
)
def test_ours_is_what_has_our_tag_or_the_name_of_a_probe(name: str, tags: Mapping[str, str], run: str | None) -> None:
    assert run_of(name, tags) == run


def test_a_run_began_when_its_id_says_so() -> None:
    assert began_s(RUN, [left("a", made_s=BEGAN_S + 9)]) == BEGAN_S
    told = began_s(new_id("a-scenario"), [])
    assert told is not None and told > BEGAN_S


def test_else_it_began_when_the_last_of_its_things_was_made() -> None:
    for run in ("mine", "mine-20209999-000000-abcd"):
        assert began_s(run, [left("a", made_s=5.0), left("b", made_s=7.0), left("c")]) == 7.0
        assert began_s(run, [left("c")]) is None


def test_what_was_found_is_told_run_by_run_the_oldest_first() -> None:
    other = "quick-20190101-000000-abcd"
    found = [left("a", what="bus"), left("b"), left("c", run=other), left("d", run=None), left("e", run="new")]
    remains = by_run([*found, left("f")])
    assert [(each.run, [thing.name for thing in each.things]) for each in remains] == [
        (other, ["c"]),
        (RUN, ["a", "b", "f"]),
        ("new", ["e"]),
    ]
    assert remains[1].described(BEGAN_S + 5400) == f"{RUN}, begun 1.5 h ago: 1 bus, 2 queues"
    assert remains[2].described(BEGAN_S) == "new, of unknown age: 1 queue"


@pytest.mark.parametrize(
    ("asked", "age_s", "goes"),
    [
        ({}, HOUR_S + 1, True),
        ({}, HOUR_S - 1, False),
        ({}, -60.0, False),
        ({}, None, False),
        ({"older_than_s": 60.0}, 61.0, True),
        ({"older_than_s": 60.0}, 59.0, False),
        ({"older_than_s": 0.0}, None, False),
        ({"run": RUN}, 1.0, True),
        ({"run": RUN}, None, True),
        ({"run": RUN}, -60.0, True),
        ({"run": RUN, "older_than_s": 60.0}, None, False),
        ({"run": RUN, "older_than_s": 60.0}, 1.0, False),
    ],
)
def test_what_may_be_going_on_is_left_alone(asked: dict[str, Any], age_s: float | None, goes: bool) -> None:
    remains = Remains(run=RUN, things=[], began_s=None if age_s is None else BEGAN_S - age_s)
    request = SweepRequest(**{"run": None, "older_than_s": None, "dry": False, **asked})
    assert (kept(remains, request, BEGAN_S) is None) is goes


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--older-than", "5"], 2, "--older-than '5' has no unit"),
        (["--target", "embedded"], 2, "the target embedded ends with its run"),
        (["--target", "memory"], 2, "the target memory ends with its run"),
        (["--target", "aws", "--endpoint-url", "http://127.0.0.1:9"], 2, "of aws, AWS_ENDPOINT_URL says where it is"),
        (["--region", "eu-west-1"], 2, "--region: of --target aws, which is not asked for"),
    ],
)
def test_what_cannot_be_swept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["gameday", "sweep", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert said in capsys.readouterr().err


def test_all_pages_are_looked_at() -> None:
    asked: list[Call] = []

    def carry(call: Call) -> Answer:
        asked.append(call)
        match call.operation, call.params:
            case "ListQueues", {"NextToken": "2"}:
                return {"QueueUrls": ["http://x/0/gameday-b"]}
            case "ListQueues", _:
                return {"QueueUrls": ["http://x/0/gameday-a"], "NextToken": "2"}
            case "ListStreams", {"ExclusiveStartStreamName": "others"}:
                return {"StreamNames": ["gameday-c"], "HasMoreStreams": False}
            case "ListStreams", _:
                return {"StreamNames": ["others"], "HasMoreStreams": True}
            case "ListQueueTags" | "ListTagsForStream", _:
                raise CallFailed("QueueDoesNotExist", "it is gone", definite=True)
        return {}

    assert [found.name for found in run_plan(queues(), carry)] == ["gameday-a", "gameday-b"]
    assert [found.name for found in run_plan(streams(), carry)] == ["gameday-c"]


class Answers:
    """An endpoint with one queue of a run and one of nobody's, which lacks Kinesis; `failing` operations fail."""

    def __init__(self, *failing: str, code: str = "ServiceUnavailable") -> None:
        self.failing = failing
        self.code = code
        self.deleted: list[str] = []

    def __call__(self, call: Call) -> Answer:
        if call.operation in self.failing or "everything" in self.failing:
            raise CallFailed(self.code, "as planted", definite=False)
        if call.service == "kinesis":
            raise CallFailed("UnknownOperationException", "no such service", definite=True)
        if call.operation == "ListQueues":
            return {"QueueUrls": [f"http://x/0/gameday-{RUN}-orders", "http://x/0/gameday-somebody"]}
        if call.operation == "ListQueueTags":
            return {"Tags": {"gameday:run": RUN} if RUN in call.params["QueueUrl"] else {"team": "payments"}}
        if call.operation == "DeleteQueue":
            self.deleted.append(call.params["QueueUrl"])
        return {}


def run_sweep(monkeypatch: pytest.MonkeyPatch, answers: Answers) -> tuple[int, list[str]]:
    said: list[str] = []
    monkeypatch.setattr(sweeping, "BotoCarrier", lambda endpoint: answers)
    return sweeping.sweep(ANY, given(list(SERVICES), "http://127.0.0.1:9", {}), said.append), said


def test_a_service_that_is_not_there_is_skipped_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers()
    code, said = run_sweep(monkeypatch, answers)
    assert code == 0
    assert answers.deleted == [f"http://x/0/gameday-{RUN}-orders"]
    assert any(line.startswith("kinesis at http://127.0.0.1:9 is not there, so it is skipped") for line in said)
    assert "left alone: gameday-somebody: named as ours are, but without the tag of a run" in said
    assert said[-1] == "1 removed, 0 could not be removed"


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ("DeleteQueue", "  could not remove the queue gameday-quick-20200101-000000-abcd-orders: DeleteQueue"),
        ("ListTopics", "sns at http://127.0.0.1:9 does not say what it holds: ServiceUnavailable"),
    ],
)
def test_what_could_not_be_done_is_told_and_is_exit_code_4(
    monkeypatch: pytest.MonkeyPatch, failing: str, told: str
) -> None:
    code, said = run_sweep(monkeypatch, Answers(failing))
    assert code == 4
    assert any(line.startswith(told) for line in said), said


def test_what_only_carries_a_runs_tag_is_told_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have copied the tag; and what was removed a moment ago may be told still."""
    copied, gone = "arn:aws:ecs:r:1:cluster/load", f"arn:aws:sns:r:1:gameday-{RUN}"

    class Tagged(Answers):
        def __call__(self, call: Call) -> Answer:
            if call.operation != "GetResources":
                return super().__call__(call)
            if call.params.get("PaginationToken") != "2":
                asked = {"ResourceARN": copied, "Tags": [{"Key": "gameday:run", "Value": RUN}]}
                return {"ResourceTagMappingList": [asked], "PaginationToken": "2"}
            told = [gone, f"arn:aws:events:r:1:rule/gameday-{RUN}/all", "arn:aws:sqs:r:1:orders"]
            tags = [{"Key": "gameday:run", "Value": RUN}]
            return {
                "ResourceTagMappingList": [{"ResourceARN": arn, "Tags": tags} for arn in told],
                "PaginationToken": "",
            }

    code, said = run_sweep(monkeypatch, Tagged())
    assert code == 0 and said[-1] == "1 removed, 0 could not be removed"
    assert [line for line in said if "carries the tag" in line] == [
        f"left alone: {arn} carries the tag of {RUN}, and is nothing that a run makes"
        for arn in (copied, "arn:aws:sqs:r:1:orders")
    ]
    code, said = run_sweep(monkeypatch, Answers("GetResources", code="AccessDenied"))
    assert code == 0 and any(line.startswith("the tagging API does not say what else carries") for line in said)


def test_an_endpoint_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TargetError, match=r"no answer from events at http://127.0.0.1:9"):
        run_sweep(monkeypatch, Answers("everything", code="EndpointConnectionError"))
    code, said = run_sweep(monkeypatch, Answers("ListTables", code="EndpointConnectionError"))
    assert code == 0, "somebody who has only queues has no endpoint for tables"
    assert any(line.startswith("no answer from dynamodb") and line.endswith("skipped") for line in said)


@pytest.fixture
def broker() -> Iterator[str]:
    """A broker that somebody else runs."""
    argv = [sys.executable, "-m", "gameday.emulator"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


@pytest.mark.live
@in_series
def test_a_run_that_was_killed_leaves_queues_and_a_sweep_removes_them(
    gameday: Callable[..., Gameday], broker: str
) -> None:
    def there() -> list[str]:
        answer = BotoCarrier(endpoint_of(["sqs"], broker, {}))(Call("sqs", "ListQueues", {}))
        return [url.rpartition("/")[2] for url in answer.get("QueueUrls", ())]

    def sweep(*arguments: str) -> str:
        argv = [*COMMAND, "sweep", "--endpoint-url", broker, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    run = gameday("quick", "--endpoint-url", broker, "--set", "load.duration=30s")
    run.wait_for_traffic()
    run.send(signal.SIGKILL)
    run.end()
    run.assert_nothing_left()
    left = there()
    id = json.loads((run.run / "manifest.json").read_bytes())["run"]
    assert sorted(left) == [f"gameday-{id}-orders-dlq.fifo", f"gameday-{id}-orders.fifo"]

    assert "it began less than 1 h ago, and may be going on" in sweep()
    assert there() == left
    assert "would remove" in sweep("--run", id, "--dry-run")
    assert there() == left
    assert sweep("--run", "another") == f"nothing is left of another; there is something of {id}\n"
    assert "2 removed, 0 could not be removed" in sweep("--run", id)
    assert there() == []
    assert sweep() == "nothing is left of any run\n"
