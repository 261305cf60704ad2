"""Functions on the target: what is packed and deployed, and what becomes of what they have recorded."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import RunError
from gameday.run.functions import _NODE_SHIM, _SHIM, environments, packed, records_of
from gameday.scenario.functions import LambdaModel
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import run_all_despite_failures, run_plan
from gameday.transports.functions import Deployed, Function, deploy, enabled, name_of, removed
from tests.contract.aws_answers import complaints

_UUID = "12345678-1234-1234-1234-123456789012"
MODEL = LambdaModel.model_validate({"function": {"path": "orders.py"}})


def names(code: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(code)).namelist())


def test_what_is_packed(tmp_path: Path) -> None:
    for name in ("orders.py", "deep/prices.py", "__pycache__/orders.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert names(packed(tmp_path, shim=_SHIM)) == {"orders.py", "deep/prices.py", "gameday_shim.py"}
    assert names(packed(tmp_path / "orders.py", shim=None)) == {"orders.py"}
    assert names(packed(tmp_path / "orders.py", shim=_NODE_SHIM)) == {"orders.py", "gameday_shim.mjs"}


def test_names_are_short_enough_and_differ() -> None:
    short, long = name_of("run", "orders"), [name_of("r" * 48, f"{n}" * 16) for n in range(2)]
    assert short == "gameday-run-orders"
    assert [len(name) for name in long] == [64, 64] and long[0] != long[1]


# On the service


def function(**changes: Any) -> Function:
    given: dict[str, Any] = {
        "name": "gameday-f",
        "code": b"zip",
        "handler": "gameday_shim.handler",
        "runtime": "python3.12",
        "timeout_s": 3,
        "environment": {"A": "b"},
        "source_arn": "arn:aws:sqs:us-east-1:000000000000:q",
        "batch": 10,
        "window_s": 1,
        "concurrency": 5,
        "reserved": 2,
        "partial": True,
        "filter": [{"body": {"a": [1]}}],
        "later_timeout_s": 9,
    }
    return Function(**{**given, **changes})


class Lambda:
    """Answers as the service does; what `fails` is refused."""

    def __init__(self, fails: str = "") -> None:
        self.calls: list[str] = []
        self.looks = 0
        self.fails = fails

    def __call__(self, call: Call) -> Answer:
        assert not complaints(call), complaints(call)
        self.calls.append(call.operation)
        if call.operation == self.fails:
            raise CallFailed("TooBad", "no", definite=True)
        if call.operation == "GetFunctionConfiguration":
            self.looks += 1
            return {"State": "Pending" if self.looks == 1 else "Active"}
        if call.operation == "GetEventSourceMapping":
            return {"State": "Enabled" if "UpdateEventSourceMapping" not in self.calls else "Disabled"}
        return {"UUID": _UUID} if call.operation == "CreateEventSourceMapping" else {}


def test_a_function_is_deployed_with_its_mapping() -> None:
    service = Lambda()
    plan = deploy(function(), tags={"gameday:run": "r"})
    assert run_plan(plan, service, pause=lambda _: None) == Deployed(name="gameday-f", mapping=_UUID)
    assert service.calls == [
        "CreateFunction",
        "GetFunctionConfiguration",
        "GetFunctionConfiguration",
        "PutFunctionConcurrency",
        "CreateEventSourceMapping",
        "GetEventSourceMapping",
        # What somebody gets wrong later, AWS checks no more.
        "UpdateFunctionConfiguration",
    ]


def test_what_was_made_goes_where_the_rest_cannot_be() -> None:
    service = Lambda(fails="UpdateFunctionConfiguration")
    with pytest.raises(CallFailed, match="no"):
        run_plan(deploy(function(), tags={}), service, pause=lambda _: None)
    assert service.calls[-2:] == ["DeleteEventSourceMapping", "DeleteFunction"]


def test_a_mapping_is_disabled_and_removed() -> None:
    service = Lambda()
    run_plan(enabled(_UUID, False), service)
    run_all_despite_failures(removed(Deployed(name="gameday-f", mapping=_UUID)), service)
    assert service.calls[-2:] == ["DeleteEventSourceMapping", "DeleteFunction"]


# What they have recorded


def test_what_each_environment_wrote_is_in_its_order() -> None:
    told: dict[str, dict[str, Any]] = {f"{env}:{n:08d}": {"at": n} for n in (2, 1, 10) for env in "ab"}
    told |= {f"{env}:{n:08d}": {"at": n} for n in range(3, 10) for env in "ab"}
    assert {env: [entry["at"] for entry in entries] for env, entries in environments(told).items()} == {
        "a": list(range(1, 11)),
        "b": list(range(1, 11)),
    }


def test_an_entry_that_is_missing_is_an_error() -> None:
    with pytest.raises(RunError, match="entry 2 of the function's environment a"):
        environments({"a:00000001": {}, "a:00000003": {}})


RECORDS = [
    {"identifier": "b-a", "id": "a", "receives": "2", "sent_ms": "1700000000000", "group": "g", "sequence": "5"},
    {"identifier": "b-b", "id": "b", "receives": "1", "sent_ms": "1700000000000", "group": "g", "sequence": "6"},
]


def read(model: LambdaModel = MODEL, records: list[dict[str, Any]] = RECORDS, **entry: Any) -> list[dict[str, Any]]:
    about = {"subscription": "orders", "batch": "e-1", "request": "r", "records": records, "answered": True, "began": 7}
    return [dict(record) for record in records_of({**about, **entry}, model, consumer="function-e")]


def test_what_an_invocation_tells() -> None:
    began, first, _ = read(answered=False)
    assert (began["event"], began["ids"], began["batch"], began["request"]) == ("invoked", ["a", "b"], "e-1", "r")
    assert first == {
        "event": "received",
        "id": "a",
        "subscription": "orders",
        "consumer": "function-e",
        "batch": "e-1",
        "broker_id": "b-a",
        "broker_seq": "5",
        "group": "g",
        "receives": 2,
        "enqueued": 1_700_000_000_000_000_000,
    }


@pytest.mark.parametrize(
    "entry, outcome, failed",
    [
        ({"answer": None}, "ok", None),
        ({"answer": {"batchItemFailures": [{"itemIdentifier": "b-b"}]}}, "ok", ["b"]),
        ({"answer": {"batchItemFailures": [{"messageId": "b-b"}]}}, "failed", None),
        ({"error": "ValueError: no"}, "failed", None),
    ],
)
def test_what_an_answer_tells(entry: dict[str, Any], outcome: str, failed: list[str] | None) -> None:
    (record,) = read(**entry)
    assert (record["event"], record["outcome"], record.get("failed") or None) == ("responded", outcome, failed)


def test_without_partial_answers_nothing_in_them_counts() -> None:
    whole = LambdaModel.model_validate({"function": {"path": "orders.py"}, "partial": False})
    (record,) = read(whole, answer={"batchItemFailures": [{"itemIdentifier": "b-b"}]})
    assert record["outcome"] == "ok" and not record.get("failed")


def test_what_is_told_of_effects() -> None:
    effect, _ = read(answer={"gameday": {"applied": ["b-a"]}})
    assert (effect["id"], effect["outcome"], effect["started"], effect["batch"]) == ("a", "applied", 7, "e-1")


def test_of_a_message_that_cannot_be_named_nobody_is_told_that_the_rest_is_done() -> None:
    nameless = [RECORDS[0], {**RECORDS[1], "id": None}]
    began, *_ = read(records=nameless, answered=False)
    (record,) = read(records=nameless, answer={"batchItemFailures": [{"itemIdentifier": "b-b"}]})
    assert (began["ids"], record["outcome"]) == (["a"], "unknown")
