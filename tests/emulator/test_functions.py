"""Lambda in memory: its operations as data, what each defect of a mapping breaks, and the processes of functions."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from gameday.emulator.defects import DEFECTS
from gameday.emulator.held import Held
from gameday.emulator.mappings import MappingConduct
from gameday.emulator.wire import Refused
from gameday.processes import proc
from tests.emulator.inside import Inside, arn_of
from tests.needed import installed
from tests.transports.asked import code_of

ROLE = "arn:aws:iam::000000000000:role/r"
# Does as the bodies say; the doors to the world are the test's (tests/emulator/in_process.py).
CODE = """
import os

def handler(event, context):
    bodies = [record["body"] for record in event["Records"]]
    _send(bodies)
    _sleep(float(os.environ.get("TAKES_S", "0")))
    if "raise" in bodies:
        raise ValueError("no such order")
    failed = [record["messageId"] for record in event["Records"] if record["body"].startswith("bad")]
    answer = os.environ.get("ANSWER", "")
    if answer == "null":
        return None
    return {"batchItemFailures": [{"itemIdentifier": answer or name} for name in failed]}
"""


def zipped(code: str = CODE, file: str = "app.py") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(file, code)
    return packed.getvalue()


class Mapped:
    """A function with a mapping from a queue that hides messages for ten seconds. `seen`: when it was handed what."""

    def __init__(
        self,
        planted: str | None = None,
        *,
        queue: str = "q",
        environment: Mapping[str, str] | None = None,
        **params: Any,
    ) -> None:
        self.inside = Inside(planted)
        self.seen: list[tuple[float, list[str]]] = []
        self.inside.played.send = lambda bodies, _: self.seen.append((self._at(), list(bodies)))  # type: ignore[call-overload]  # a list here
        self.queue = self.inside.queue(queue)
        function(self.inside, Environment={"Variables": dict(environment or {})})
        self._began = self.inside.sqs.now
        given = {"FunctionResponseTypes": ["ReportBatchItemFailures"], **params}
        answer = self.inside.functions(
            "CreateEventSourceMapping", FunctionName="f", EventSourceArn=arn_of(self.queue), **given
        )
        self.id = str(answer["UUID"])

    def send(self, *bodies: str, after_s: float = 0.1) -> list[list[str]]:
        """What has been handed over so long after the send."""
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        if self.queue.endswith(".fifo"):
            entries = [
                {**entry, "MessageGroupId": body[0], "MessageDeduplicationId": body}
                for entry, body in zip(entries, bodies, strict=True)
            ]
        self.inside.sqs("SendMessageBatch", QueueUrl=self.queue, Entries=entries)
        return self.after(after_s)

    def after(self, seconds: float) -> list[list[str]]:
        self.inside.later(seconds)
        return [bodies for _, bodies in self.seen]

    def times(self, body: str) -> int:
        return sum(bodies.count(body) for _, bodies in self.seen)

    def left(self) -> int:
        names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible")]
        told = self.inside.sqs("GetQueueAttributes", QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(told[name]) for name in names)

    def _at(self) -> float:
        return (self.inside.played.now - self._began) / 1e9


def function(inside: Inside, **params: Any) -> dict[str, Any]:
    given = {"Runtime": "python3.12", "Role": ROLE, "Handler": "app.handler", "Timeout": 3, **params}
    return inside.functions("CreateFunction", FunctionName="f", Code={"ZipFile": zipped()}, **given)


# Functions


def test_a_function_is_made_changed_and_removed() -> None:
    inside = Inside()
    made = function(inside, Tags={"gameday:run": "r"}, Environment={"Variables": {"A": "b"}})
    assert (made["State"], made["Timeout"], made["Environment"]) == ("Active", 3, {"Variables": {"A": "b"}})
    assert inside.functions("ListTags", Resource=made["FunctionArn"]) == {"Tags": {"gameday:run": "r"}}
    changed = inside.functions("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    assert (changed["Timeout"], changed["Handler"]) == (9, "app.handler")
    inside.functions("UpdateFunctionCode", FunctionName=made["FunctionArn"], ZipFile=zipped(CODE + "\n"))
    assert [code.timeout_s for code in inside.played.deployed] == [3, 9, 9]
    assert inside.played.retired == 2, "what was there before takes no more invocations"
    assert [each["FunctionName"] for each in inside.functions("ListFunctions")["Functions"]] == ["f"]
    inside.functions("DeleteFunction", FunctionName="f")
    assert inside.functions.refusal("GetFunction", FunctionName="f") == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "wrong",
    [
        {"Timeout": 901},
        {"Runtime": "cobol"},
        {"Handler": "app"},
        {"Role": "me"},
        {"MemorySize": 64},
        {"Environment": {"Variables": {"AWS_REGION": "x"}}},
    ],
)
def test_what_lambda_refuses(wrong: dict[str, Any]) -> None:
    inside = Inside()
    given = {"Runtime": "python3.12", "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": zipped()}, **wrong}
    assert inside.functions.refusal("CreateFunction", FunctionName="f", **given) == "InvalidParameterValueException"
    function(inside)
    assert inside.functions.refusal("CreateFunction", FunctionName="f", **(given | {"Role": ROLE})) == (
        "ResourceConflictException"
    )


def test_an_invocation_is_answered_when_it_ends_and_throttled_above_what_is_reserved() -> None:
    inside = Inside()
    inside.played.send = lambda *_: None
    function(inside, Environment={"Variables": {"TAKES_S": "2"}})
    inside.functions("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=1)
    payload = b'{"Records": []}'

    def invoke() -> Held:
        answer = inside.functions.service.call(inside.sqs.now, "Invoke", {"FunctionName": "f", "Payload": payload})
        assert isinstance(answer, Held)
        return answer

    held = invoke()
    with pytest.raises(Refused) as throttled:
        invoke()
    assert (throttled.value.code, throttled.value.status) == ("TooManyRequestsException", 429)
    inside.later(1)
    assert held.answer is None
    inside.later(2)
    assert held.answer is not None and json.loads(held.answer["Payload"]) == {"batchItemFailures": []}
    assert "FunctionError" not in held.answer
    inside.functions("DeleteFunctionConcurrency", FunctionName="f")
    failed, _ = invoke(), invoke()
    inside.functions("UpdateFunctionConfiguration", FunctionName="f", Timeout=1)
    late = invoke()
    inside.later(3)
    assert failed.answer is not None and "FunctionError" not in failed.answer, "it ends as it began"
    assert late.answer is not None and late.answer["FunctionError"] == "Unhandled"


# Mappings


def test_what_is_done_is_deleted_and_what_failed_comes_again() -> None:
    mapped = Mapped()
    assert mapped.send("good", "bad") == [["good", "bad"]]
    assert mapped.left() == 1
    assert mapped.after(9) == [["good", "bad"]]
    assert mapped.after(1)[1:] == [["bad"]], "when its visibility timeout is over"
    assert mapped.send("raise", "good2")[2:] == [["raise", "good2"]]
    assert mapped.left() == 3


def test_an_invocation_that_is_too_late_fails() -> None:
    mapped = Mapped(environment={"TAKES_S": "4"})
    mapped.send("a", after_s=5)
    assert mapped.left() == 1


def test_without_partial_answers_every_answer_is_success() -> None:
    mapped = Mapped(FunctionResponseTypes=[])
    mapped.send("bad")
    assert mapped.left() == 0


def test_no_more_invocations_at_once_than_the_mapping_may_have() -> None:
    mapped = Mapped(environment={"TAKES_S": "2"}, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    assert mapped.send("a", "b", "c", "d", "e") == [["a"], ["b"]]
    assert mapped.after(2)[2:] == [["c"], ["d"]]


def test_a_batch_is_gathered_until_it_is_full_or_its_window_is_over() -> None:
    mapped = Mapped(BatchSize=12, MaximumBatchingWindowInSeconds=2)
    assert mapped.send("a") == []
    assert mapped.send("b", after_s=1.7) == []
    assert mapped.after(0.2) == [["a", "b"]]
    mapped.send(*map(str, range(10)))
    assert len(mapped.send("x", "y", "z")[1]) == 12, "at once when it is full"
    assert mapped.after(2)[2:] == [["z"]]


def test_of_a_fifo_queue_a_group_has_one_invocation_at_a_time() -> None:
    mapped = Mapped(queue="q.fifo", environment={"TAKES_S": "1"}, BatchSize=2)
    mapped.send("a1", "a2", "a3", "b1", after_s=3)
    starts = {bodies[0]: at for at, bodies in mapped.seen}
    assert sorted(starts) == ["a1", "a3", "b1"]
    assert starts["a3"] >= starts["a1"] + 1
    mapped = Mapped(queue="q.fifo")
    mapped.send("bad", "b2")
    assert mapped.after(10)[1:] == [["bad"]] and mapped.left() == 1


def test_a_filter_deletes_unseen() -> None:
    wanted = json.dumps({"body": {"kind": ["wanted"]}})
    mapped = Mapped(FilterCriteria={"Filters": [{"Pattern": wanted}]})
    assert mapped.send('{"kind": "other"}', '{"kind": "wanted"}', "text") == [['{"kind": "wanted"}']]
    assert mapped.left() == 0


def test_throttles_use_up_receives() -> None:
    mapped = Mapped()
    dead = mapped.inside.queue("dead")
    policy = json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": 2})
    mapped.inside.sqs("SetQueueAttributes", QueueUrl=mapped.queue, Attributes={"RedrivePolicy": policy})
    mapped.inside.functions("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=0)
    assert mapped.send("a", after_s=21) == []
    assert mapped.inside.bodies(dead) == ["a"], "dead, and no function has seen it"
    mapped.send("b", after_s=5)
    mapped.inside.functions("DeleteFunctionConcurrency", FunctionName="f")
    assert mapped.after(0.1) == [["b"]], "what still waits is tried again"
    assert mapped.left() == 0


def test_what_a_queue_denies_everybody_it_denies_a_mapping() -> None:
    mapped = Mapped()

    def deny(*actions: str) -> None:
        statement = {"Effect": "Deny", "Principal": "*", "Resource": arn_of(mapped.queue), "Action": list(actions)}
        policy = json.dumps({"Statement": [statement]}) if actions else ""
        mapped.inside.sqs("SetQueueAttributes", QueueUrl=mapped.queue, Attributes={"Policy": policy})

    deny("sqs:ReceiveMessage")
    assert mapped.send("a", after_s=5) == []
    deny("sqs:DeleteMessage")
    assert mapped.after(0.1) == [["a"]] and mapped.left() == 1
    deny()
    assert mapped.after(10) == [["a"], ["a"]] and mapped.left() == 0


def test_a_mapping_is_disabled_enabled_and_removed() -> None:
    mapped = Mapped(Enabled=False)
    assert mapped.inside.functions("GetEventSourceMapping", UUID=mapped.id)["State"] == "Disabled"
    assert mapped.send("a") == []
    assert mapped.inside.functions("UpdateEventSourceMapping", UUID=mapped.id, Enabled=True)["State"] == "Enabled"
    assert mapped.after(0.1) == [["a"]]
    told = mapped.inside.functions("ListEventSourceMappings", FunctionName="f")["EventSourceMappings"]
    assert [each["UUID"] for each in told] == [mapped.id]
    mapped.inside.functions("DeleteEventSourceMapping", UUID=mapped.id)
    assert mapped.send("b")[1:] == []
    assert mapped.inside.functions.refusal("GetEventSourceMapping", UUID=mapped.id) == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("fifo", "params"),
    [
        (False, {"BatchSize": 11}),
        (True, {"BatchSize": 11}),
        (True, {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 1}),
        (True, {"MaximumBatchingWindowInSeconds": 1}),
        (False, {"BatchSize": 10_001, "MaximumBatchingWindowInSeconds": 1}),
        (False, {"ScalingConfig": {"MaximumConcurrency": 1}}),
        (False, {"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}),
        (False, {"FunctionResponseTypes": ["Whole"]}),
        (False, {"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:nowhere"}),
    ],
)
def test_mappings_that_are_refused(fifo: bool, params: dict[str, Any]) -> None:
    inside = Inside()
    function(inside)
    given = {"EventSourceArn": arn_of(inside.queue("q.fifo" if fifo else "q")), "FunctionName": "f"}
    refused = inside.functions.refusal("CreateEventSourceMapping", **{**given, **params})
    assert refused == "InvalidParameterValueException"
    made = inside.functions("CreateEventSourceMapping", **given)
    if "EventSourceArn" not in params:
        again = inside.functions.refusal("UpdateEventSourceMapping", UUID=made["UUID"], **params)
        assert again == "InvalidParameterValueException"
    assert inside.functions.refusal("CreateEventSourceMapping", **given) == "ResourceConflictException"


def test_a_timeout_is_held_to_the_queue_when_the_mapping_is_made_and_not_later() -> None:
    inside = Inside()
    function(inside, Timeout=11)
    given = {"EventSourceArn": arn_of(inside.queue()), "FunctionName": "f"}
    assert inside.functions.refusal("CreateEventSourceMapping", **given) == "InvalidParameterValueException"
    inside.functions("UpdateFunctionConfiguration", FunctionName="f", Timeout=10)
    inside.functions("CreateEventSourceMapping", **given)
    assert inside.functions("UpdateFunctionConfiguration", FunctionName="f", Timeout=60)["Timeout"] == 60


# Defects


def _refuses(fifo: bool = False, visibility: str = "10", **params: Any) -> Callable[[str | None], bool]:
    def asked(planted: str | None) -> bool:
        inside = Inside(planted)
        function(inside)
        queue = inside.queue("q.fifo" if fifo else "q", VisibilityTimeout=visibility)
        given = {"EventSourceArn": arn_of(queue), "FunctionName": "f", **params}
        try:
            inside.functions("CreateEventSourceMapping", **given)
        except Refused:
            return True
        return False

    return asked


def _deletes(planted: str | None) -> bool:
    mapped = Mapped(planted)
    mapped.send("a")
    return mapped.left() == 0


def _partial(planted: str | None) -> bool:
    mapped = Mapped(planted)
    mapped.send("bad")
    return mapped.left() == 1


def _unknown(planted: str | None) -> bool:
    mapped = Mapped(planted, environment={"ANSWER": "nobody"})
    mapped.send("bad", "good")
    return mapped.left() == 2


def _empty(planted: str | None) -> bool:
    mapped = Mapped(planted, environment={"ANSWER": "null"})
    mapped.send("a")
    mapped.after(11)
    return mapped.times("a") == 1 or mapped.left() == 0


def _fails(planted: str | None) -> bool:
    mapped = Mapped(planted)
    mapped.send("raise")
    return mapped.left() == 1


def _fills(planted: str | None) -> bool:
    mapped = Mapped(planted, BatchSize=2)
    return all(len(bodies) <= 2 for bodies in mapped.send("a", "b", "c", "d"))


FILTER = {"Filters": [{"Pattern": '{"body": ["wanted"]}'}]}


def _filters(planted: str | None) -> bool:
    return Mapped(planted, FilterCriteria=FILTER).send("other") == []


def _drops(planted: str | None) -> bool:
    mapped = Mapped(planted, FilterCriteria=FILTER)
    mapped.send("other")
    return mapped.left() == 0


def _throttles(planted: str | None) -> bool:
    mapped = Mapped(planted)
    mapped.inside.functions("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=0)
    return mapped.send("a") == []


def _heeds(planted: str | None) -> bool:
    return Mapped(planted, Enabled=False).send("a") == []


PROMISES: Mapping[str, Callable[[str | None], bool]] = {
    "deletes what is done": _deletes,
    "reads answers": _partial,
    "fails the unknown": _unknown,
    "takes the empty": _empty,
    "leaves what failed": _fails,
    "fills no more": _fills,
    "filters": _filters,
    "drops": _drops,
    "throttles": _throttles,
    "heeds disabled": _heeds,
    "refuses to outlast": _refuses(visibility="2"),
    "refuses a batch": _refuses(BatchSize=11),
    "refuses a batch of FIFO": _refuses(fifo=True, BatchSize=11),
    "refuses a window": _refuses(fifo=True, MaximumBatchingWindowInSeconds=1),
}
BREAKS: Mapping[str, set[str]] = {
    # What stays is handed over again and again, whatever was said of it.
    "mapping-keeps": {"deletes what is done", "takes the empty"},
    "partial-ignored": {"reads answers", "fails the unknown"},
    "unknown-identifier-succeeds": {"fails the unknown"},
    "empty-answer-fails": {"takes the empty"},
    "failed-deleted": {"leaves what failed"},
    "mapping-overfills": {"fills no more"},
    # And what it sees it has done.
    "mapping-filter-ignored": {"filters"},
    "mapping-filter-leaves": {"drops"},
    "outlasting-taken": {"refuses to outlast"},
    "large-batch-taken": {"refuses a batch", "refuses a batch of FIFO"},
    "fifo-window-taken": {"refuses a window"},
    "reserved-ignored": {"throttles"},
    "disabled-ignored": {"heeds disabled"},
}


def test_a_correct_mapping_keeps_every_promise() -> None:
    assert {name for name, kept in PROMISES.items() if not kept(None)} == set()


@pytest.mark.parametrize("planted", BREAKS)
def test_a_defect_breaks_its_promises_and_no_other(planted: str) -> None:
    assert {name for name, kept in PROMISES.items() if not kept(planted)} == BREAKS[planted]


def test_every_defect_of_mappings_is_here() -> None:
    assert {name for name, kind in DEFECTS.items() if issubclass(kind, MappingConduct)} == BREAKS.keys()


# In processes


@contextmanager
def broker(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """The broker as a process, and a client of its Lambda."""
    argv = [sys.executable, "-m", "gameday.emulator", *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            yield (
                process,
                boto3.client(
                    "lambda",
                    endpoint_url=url,
                    region_name="us-east-1",
                    aws_access_key_id="x",
                    aws_secret_access_key="y",
                ),
            )
        finally:
            process.kill()


def create(client: Any, code: str, *, file: str = "app.py", runtime: str = "python3.12", timeout_s: int = 10) -> None:
    client.create_function(
        FunctionName="f",
        Runtime=runtime,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": zipped(code, file)},
        Timeout=timeout_s,
        Environment={"Variables": {"MINE": "1"}},
    )


def invoke(client: Any, event: object) -> tuple[str | None, Any]:
    answer = client.invoke(FunctionName="f", Payload=json.dumps(event).encode())
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


PYTHON = """
import os, time
print("loaded")

def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("exit"):
        os._exit(3)
    if event.get("raise"):
        raise ValueError("no such order")
    mine = [os.environ.get(name) for name in ("MINE", "AWS_REGION", "HOME")]
    return {"pid": os.getpid(), "name": context.function_name, "cwd": os.getcwd(), "env": mine}
"""


@pytest.mark.live
def test_a_function_runs_in_a_process_that_ends_with_the_broker(tmp_path: Path) -> None:
    with broker("--functions", str(tmp_path / "code")) as (process, client):
        create(client, PYTHON, timeout_s=1)
        error, told = invoke(client, {})
        assert (error, told["name"], told["env"]) == (None, "f", ["1", "us-east-1", told["cwd"]])
        assert Path(told["cwd"]).parent == tmp_path / "code"
        assert invoke(client, {})[1]["pid"] == told["pid"], "an environment is used again"
        assert invoke(client, {"raise": 1}) == (
            "Unhandled",
            {"errorMessage": "no such order", "errorType": "ValueError"},
        )
        error, late = invoke(client, {"sleep": 30})
        assert (error, late["errorType"]) == ("Unhandled", "Sandbox.Timedout")
        # It was killed when its time was over.
        _gone(told["pid"])
        error, ended = invoke(client, {"exit": 1})
        assert (error, ended["errorType"]) == ("Unhandled", "Runtime.ExitError")
        _, told = invoke(client, {})
        # However the broker ends: it is gone in the same moment, and nobody tells its children.
        process.send_signal(signal.SIGKILL)
        process.wait()
        _gone(told["pid"])


@pytest.mark.live
def test_a_broker_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    with broker() as (process, client):
        create(client, PYTHON)
        _, told = invoke(client, {})
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert not proc.lives(told["pid"])
    assert not Path(told["cwd"]).exists()


@pytest.mark.live
def test_what_is_changed_has_environments_of_its_own_and_bad_code_is_refused(tmp_path: Path) -> None:
    with broker("--functions", str(tmp_path / "code")) as (_, client):
        bad = {"FunctionName": "f", "Runtime": "python3.12", "Role": ROLE, "Handler": "app.handler"}
        assert code_of(client.create_function, **bad, Code={"ZipFile": b"no zip"}) == "InvalidParameterValueException"
        create(client, PYTHON)
        _, told = invoke(client, {})
        client.update_function_code(FunctionName="f", ZipFile=zipped("def handler(event, context): return 'new'"))
        assert invoke(client, {}) == (None, "new")
        _gone(told["pid"])
        client.update_function_code(FunctionName="f", ZipFile=zipped("raise RuntimeError('not loaded')"))
        error, answer = invoke(client, {})
        assert error == "Unhandled" and "did not become ready" in answer["errorMessage"]
        client.delete_function(FunctionName="f")
        assert code_of(client.invoke, FunctionName="f") == "ResourceNotFoundException"
        _until(lambda: list((tmp_path / "code").iterdir()) == [], "its code is still there")


@pytest.mark.live
def test_a_function_of_node_s(tmp_path: Path) -> None:
    installed("node", package="nodejs")
    code = "exports.handler = async (event) => ({ pid: process.pid, got: event.got })"
    with broker("--functions", str(tmp_path / "code")) as (process, client):
        create(client, code, file="app.js", runtime="nodejs22.x")
        error, told = invoke(client, {"got": [1]})
        assert (error, told["got"]) == (None, [1])
        process.send_signal(signal.SIGKILL)
        process.wait()
        _gone(told["pid"])


def _gone(pid: int) -> None:
    _until(lambda: not proc.lives(pid), f"the process {pid} is still there")


def _until(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        os.sched_yield()
