"""A function in a scenario: what becomes of it, and what is refused before anything runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from gameday.history.errors import UsageError
from gameday.processes.handler_process import NODE_SHIM
from gameday.scenario import reading as scenario
from gameday.scenario.forecast import forecast
from gameday.scenario.invoking import mapping_of
from gameday.scenario.model import HandlerModel, Scenario, needs_of, promises_of, topology_of
from gameday.scenario.own_handler import program_of

DIRECT = ("consumers.lambda.direct=true", "topology.max_receives=null", "topology.visibility_timeout=5min")
TARGET = ("consumers.lambda.by=target",)
GOOD = """\
name: functions
transport: sqs
load: {rate: 20/s, duration: 10s}
consumers: {lambda: {function: {path: code/orders.py}}}
claims: [no-loss]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a scenario, and code beside it."""
    (tmp_path / "own.yaml").write_text(GOOD)
    for name in ("code/orders.py", "code/index.mjs", "code/deep/app.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def read(place: Path, *overrides: str) -> Scenario:
    return scenario.load(place / "own.yaml", overrides)


def complaints(place: Path, *overrides: str) -> list[str]:
    with pytest.raises(UsageError) as error:
        read(place, *overrides)
    return str(error.value).splitlines()


def test_a_function_is_a_handler_that_is_asked_with_batches(place: Path) -> None:
    got = read(place)
    handler, mapping = got.consumers.handler, mapping_of(got)
    assert isinstance(handler, HandlerModel) and mapping is not None
    assert (handler.python, handler.event, handler.cwd) == ("orders:handler", "sqs", str(place / "code"))
    assert (mapping.function, mapping.batch, mapping.timeout_s) == ("orders", 10, 3.0)
    assert (got.consumers.processes, got.consumers.concurrency) == (1, 5)
    assert mapping_of(read(place, "consumers={}")) is None


# A program that is there, for Node need not be.
ANY = f"interpreter: {sys.executable}"


@pytest.mark.parametrize(
    "function, argv",
    [
        ("{path: code, handler: orders.main}", ["orders:main"]),
        ("{path: code, handler: deep/app.main}", ["deep.app:main"]),
        (f"{{path: code, handler: index.main, runtime: nodejs22.x, {ANY}}}", [str(NODE_SHIM), "index", "main"]),
        (f"{{path: code/index.mjs, runtime: nodejs22.x, {ANY}}}", [str(NODE_SHIM), "index", "handler"]),
    ],
)
def test_where_a_function_is(place: Path, function: str, argv: list[str]) -> None:
    handler = read(place, f"consumers.lambda.function={function}").consumers.handler
    assert isinstance(handler, HandlerModel)
    told = handler.command[1:] if handler.command else [handler.python]
    assert told == argv
    if handler.python:
        assert program_of(handler, base=place, visibility_timeout_s=None).argv[2:] == argv


def test_what_is_written_back_is_read_as_the_same(place: Path) -> None:
    first = read(place, "consumers.lambda.window=1s", "consumers.lambda.batch=100", "consumers.processes=2")
    assert set(first.document["consumers"]) == {"lambda", "processes", "wait", "restart_delay", "drain_timeout"}
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "own.yaml").write_text(json.dumps(first.document))
    again = scenario.load(place / "elsewhere" / "own.yaml")
    assert again.document == first.document
    assert mapping_of(again) == mapping_of(first)


def test_the_service_settles_and_each_invocation_is_recorded(place: Path) -> None:
    (promise,) = promises_of(read(place), settle_s=0).values()
    assert (promise.settled_by, promise.invocations, promise.filtered) == ("service", "all", False)


@pytest.mark.parametrize("transport, event", [("sns", "sns"), ("eventbridge", "eventbridge")])
def test_a_topic_or_a_bus_that_invokes_by_itself(place: Path, transport: str, event: str) -> None:
    got = read(place, f"transport={transport}", *DIRECT)
    mapping = mapping_of(got)
    assert isinstance(got.consumers.handler, HandlerModel) and mapping is not None
    assert (got.consumers.handler.event, mapping.batch, mapping.retries) == (event, 1, 2)
    (promise,) = promises_of(got, settle_s=0).values()
    assert (promise.visibility_timeout_s, promise.max_receives, promise.dead_letter) == (None, 3, False)
    # What was written back is read again.
    (place / "again.yaml").write_text(json.dumps(got.document))
    assert scenario.load(place / "again.yaml").document == got.document


@pytest.mark.parametrize("shim, seen", [("true", "consumer"), ("false", "nobody")])
def test_a_function_that_the_target_invokes(place: Path, shim: str, seen: str) -> None:
    got = read(place, *TARGET, f"consumers.lambda.shim={shim}")
    (promise,) = promises_of(got, settle_s=0).values()
    assert (promise.settled_by, promise.invocations, promise.seen_from) == ("service", None, seen)
    assert got.consumers.kind == "deployed" and "functions" in needs_of(got)
    assert set(got.document["consumers"]) == {"lambda"}
    (place / "again.yaml").write_text(json.dumps(got.document))
    assert scenario.load(place / "again.yaml").document == got.document


def test_a_function_of_a_stream(place: Path) -> None:
    more = ["consumers.lambda.parallel=4", "consumers.lambda.window=2s", "consumers.lambda.filter=[{data: {a: [1]}}]"]
    got = read(place, "transport=kinesis", "consumers.lambda.on_failure=true", "consumers.lambda.retries=1", *more)
    mapping = mapping_of(got)
    assert isinstance(got.consumers.handler, HandlerModel) and mapping is not None
    assert (got.consumers.handler.event, mapping.batch, mapping.retries) == ("kinesis", 100, 1)
    assert (mapping.parallel, mapping.window_s, mapping.filter) == (4, 2.0, [{"data": {"a": [1]}}])


def test_a_drain_waits_for_a_batch_that_is_gathered(place: Path) -> None:
    at_once, gathered = (
        read(place, "transport=kinesis", f"consumers.lambda.window={window}").drain_timeout_s
        for window in ("0s", "300s")
    )
    assert gathered == at_once + 300


def test_a_filter_is_part_of_what_is_meant(place: Path) -> None:
    got = read(place, "consumers.lambda.filter=[{body: {detail: {currency: [EUR]}}}]")
    (spec,) = topology_of(got, settle_s=0).subscriptions
    assert spec.invoked_for == [{"body": {"detail": {"currency": ["EUR"]}}}]
    (promise,) = promises_of(got, settle_s=0).values()
    assert promise.filtered


def test_a_function_may_tell_the_order_of_its_effects(place: Path) -> None:
    """So no note says that the claim will be unknown."""
    told = ["transport=sqs-fifo", "claims=[ordered-effects]", "effects={dynamodb: {table: t, key: k}}"]
    assert not [note for note in forecast(read(place, *told)) if "ordered-effects" in str(note)]


@pytest.mark.parametrize(
    "changes, why",
    [
        (["consumers.lambda.timeout=6s"], "timeout: 6s is longer than the visibility timeout of 5s, which AWS refuses"),
        (["transport=sqs-fifo", "consumers.lambda.batch=11"], "a FIFO queue, of which an invocation takes 10"),
        (["transport=sqs-fifo", "consumers.lambda.window=1s"], "a FIFO queue, and AWS gathers no batch of one"),
        (["consumers.lambda.batch=11"], "must be gathered; add `window: 1s`"),
        (["consumers.lambda.batch=10001"], "less than or equal to 10000"),
        (["consumers.lambda.window=1500ms"], "AWS takes whole seconds"),
        (["consumers.lambda.reserved=0"], "nothing is ever invoked"),
        (["consumers.lambda.deployed={timeout: 3s}"], "does not differ"),
        (["consumers.lambda.filter=[]"], "no pattern"),
        (["consumers.lambda.filter=[{detail: {a: [1]}}]"], "`body` alone"),
        (["transport=sns", "consumers.lambda.filter=[{body: {a: [1]}}]"], "filter at the subscription"),
        (["consumers.lambda.retries=0"], "as its redrive policy says"),
        (["consumers.lambda.bisect=true"], "as its redrive policy says"),
        (["consumers.lambda.parallel=2"], "belongs to a stream"),
        (["transport=kinesis", "consumers.lambda.parallel=11"], "less than or equal to 10"),
        (["transport=kinesis", "consumers.lambda.window=1500ms"], "AWS takes whole seconds"),
        (["transport=kinesis", "consumers.lambda.window=301s"], "less than or equal to 300"),
        (["transport=kinesis", "consumers.lambda.filter=[{body: {a: [1]}}]"], "`data` alone, not for body"),
        (["consumers.lambda.filter=[{data: {a: [1]}}]"], "`body` alone, not for data"),
        (["transport=sns", *DIRECT, "consumers.lambda.parallel=2"], "belongs to a stream"),
        (["consumers.lambda.direct=true"], "sqs invokes nobody by itself"),
        (["transport=sns-fifo", "consumers.lambda.direct=true"], "sns-fifo invokes nobody by itself"),
        (["transport=sns", "consumers.lambda.direct=true"], "write max_receives: null"),
        (["transport=sns", *DIRECT, "topology.visibility_timeout=60s"], "hide a message for all its tries"),
        (["transport=sns", *DIRECT, "consumers.lambda.retries=3"], "2 times more at most"),
        (["transport=sns", *DIRECT, "consumers.lambda.batch=2"], "one message at a time"),
        ([*TARGET, "transport=kinesis"], "invokes from queues alone"),
        ([*TARGET, "consumers.lambda.concurrency=1"], "least maximum concurrency of a mapping is 2"),
        ([*TARGET, "consumers.lambda.timeout=1500ms"], "takes whole seconds"),
        ([*TARGET, "consumers.processes=2"], "it tells a poller of ours"),
        ([*TARGET, "chaos=[{at: 1s, fault: kill-consumer}]"], "strikes a process of ours"),
        (["consumers.lambda.shim=false"], "belongs to `by: target`"),
        (["consumers.lambda.retry_wait=1s"], "belongs to `direct`"),
        (["consumers.lambda.nonsense=1"], "Known here: .*retry_wait"),
        (["consumers.guard=none"], "consumers.guard: with `lambda` a function works"),
        (["consumers.batch=5"], "consumers.batch: with `lambda` a function works"),
        (["consumers.command=[x]"], "command: with `lambda`|either a function is invoked"),
        (["consumers.lambda.function={path: code}"], "add `handler: FILE.FUNCTION`"),
        (["consumers.lambda.function={path: nowhere/x.py}"], "there is no directory"),
        (["consumers.lambda.function={path: code/x.py}"], "there is no file"),
        (["consumers.lambda.function={path: code/orders.py, interpreter: nowhere/python}"], "function.interpreter: "),
        (
            ["consumers.lambda.function={path: code/index.mjs, runtime: nodejs22.x, interpreter: nowhere/node}"],
            r"consumers\.lambda\.function\.interpreter: .*nowhere/node is not there",
        ),
        (["consumers.lambda.function={path: code/orders.py, env: {A: '{nothing}'}}"], "stands for nothing"),
        (["consumers.lambda.function.runtime=ruby3.3"], "should match"),
    ],
)
def test_what_is_refused(place: Path, changes: list[str], why: str) -> None:
    found = complaints(place, *changes)
    assert [line for line in found if re.search(why, line)], found


@pytest.mark.parametrize("fault", ["throttle-function", "disable-mapping"])
def test_a_fault_of_functions_needs_one(place: Path, fault: str) -> None:
    chaos = f"chaos=[{{at: 1s, fault: {fault}, for: 2s}}]"
    read(place, chaos)
    (line,) = complaints(place, "consumers={}", chaos)
    assert "nothing is invoked here" in line


def test_what_is_deployed_later_is_looked_at_by_nobody(place: Path) -> None:
    got = mapping_of(read(place, "consumers.lambda.deployed={timeout: 20s}"))
    assert got is not None and got.timeout_s == 20.0


@pytest.mark.parametrize("fault", ["store-down", "slow-store, takes: 1s", "hold-in-flight"])
def test_what_strikes_within_our_own_handlers_strikes_no_function(place: Path, fault: str) -> None:
    (found,) = complaints(place, f"chaos=[{{at: 1s, for: 1s, fault: {fault}}}]")
    assert "chaos.0: " in found and "a handler of" in found
