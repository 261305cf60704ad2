"""How probes are run and their outcomes sorted: pure, without an endpoint."""

from __future__ import annotations

import json
import pkgutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module

import pytest

from gameday.conformance import probes
from gameday.conformance.base import Bench, Cell, NotImplementedHere, Probe, Result, Undecided, Violated, mostly
from gameday.conformance.matrix import counted, to_json, to_markdown
from gameday.conformance.registry import NEEDS, PROBES
from gameday.conformance.run import Matrix, ask, ask_all, chosen, look
from gameday.history.errors import TargetError, UsageError
from gameday.transports.base import Call, CallFailed
from gameday.transports.endpoint import Endpoint
from tests.conformance.in_memory import conditions

HERE = Endpoint(urls={"*": "http://127.0.0.1:1"})


def test_every_module_of_probes_is_registered() -> None:
    modules = {
        module.name: import_module(f"{probes.__name__}.{module.name}")
        for module in pkgutil.iter_modules(probes.__path__)
    }
    # A keyword has an underscore behind it.
    named = {name.rstrip("_").replace("_", "-"): module for name, module in modules.items()}
    assert named.keys() == PROBES.keys(), "a module is named for its service"
    for name, module in named.items():
        assert PROBES[name] is module.PROBES


def failing(error: Exception) -> Probe:
    def probe(bench: Bench) -> None:
        raise error

    return probe


@pytest.mark.parametrize(
    ("error", "result", "detail"),
    [
        (Violated("seen"), "violated", "seen"),
        (Undecided("why"), "unknown", "why"),
        (NotImplementedHere("no such thing"), "not-implemented", "no such thing"),
        (CallFailed("InvalidAction", "x", definite=True), "not-implemented", "InvalidAction: x"),
        (CallFailed("UnknownOperationException", "", definite=True), "not-implemented", "UnknownOperationException:"),
        (CallFailed("501", "Not Implemented", definite=False), "not-implemented", "501: Not Implemented"),
        (CallFailed("InternalFailure", "X is not yet implemented", definite=False), "not-implemented",
         "InternalFailure: X is not yet implemented"),
        (CallFailed("500", "<title>Oh</title>\n<h1>no</h1>", definite=False), "unknown", "500: Oh no"),
        (CallFailed("ReadTimeoutError", "slow", definite=False), "unknown", "ReadTimeoutError: slow"),
        (KeyError("QueueUrl"), "unknown", "KeyError: 'QueueUrl'"),
    ],
)  # fmt: skip
def test_whatever_happens_is_a_cell(error: Exception, result: Result, detail: str) -> None:
    cell = ask("sqs", "probe", failing(error), conditions())
    assert cell == Cell(service="sqs", probe="probe", result=result, detail=detail)


def test_what_was_made_is_removed_when_a_probe_breaks() -> None:
    at, calls = conditions(), list[str]()

    def probe(bench: Bench) -> None:
        for name in ("one", "two"):
            bench.afterwards("sqs", "DeleteQueue", QueueUrl=name)
        raise RuntimeError("mid-way")

    def carry(call: Call) -> Mapping[str, object]:
        calls.append(call.params["QueueUrl"])
        raise CallFailed("QueueDoesNotExist", "gone", definite=True)

    assert ask("sqs", "probe", probe, replace(at, carry=carry)).detail == "RuntimeError: mid-way"
    assert calls == ["two", "one"], "the latest first, and one that fails stops nothing"


def test_a_service_that_the_endpoint_lacks_is_not_asked() -> None:
    asked: list[Call] = []

    def carry(call: Call) -> Mapping[str, object]:
        asked.append(call)
        raise CallFailed("InvalidAction", "x", definite=True)

    heard: list[Cell] = []
    at = replace(conditions(), carry=carry)
    cells = ask_all(["sns", "dynamodb"], at, absent={"sns": "no sns here"}, done=heard.append)
    assert [(cell.service, cell.probe) for cell in cells] == [(s, n) for s in ("sns", "dynamodb") for n in PROBES[s]]
    assert {cell.result for cell in cells} == {"not-implemented"}
    assert {cell.detail for cell in cells if cell.service == "sns"} == {"no sns here"}
    assert {call.service for call in asked} == {"dynamodb"}
    assert sorted(heard, key=str) == sorted(cells, key=str)


def test_probes_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=20)

    def probe(bench: Bench) -> None:
        """They meet (nowhere)."""
        together.wait()

    monkeypatch.setattr("gameday.conformance.run.PROBES", {"sqs": {"one": probe, "two": probe}})
    cells = ask_all(["sqs"], conditions(), absent={}, done=lambda cell: None)
    assert [cell.result for cell in cells] == ["holds", "holds"]


def answering(**failures: CallFailed | None):  # type: ignore[no-untyped-def]  # a carrier of one line
    def carry(call: Call) -> None:
        if (failure := failures.get(call.service)) is not None:
            raise failure

    return carry


def test_looking_tells_what_is_not_there() -> None:
    absent = look(
        ["sqs", "kinesis"], answering(kinesis=CallFailed("InternalFailure", "not enabled", definite=False)), HERE
    )
    assert absent == {"kinesis": "kinesis at http://127.0.0.1:1: InternalFailure: not enabled"}


def test_an_endpoint_that_answers_nothing_is_no_target() -> None:
    gone = CallFailed("EndpointConnectionError", "refused", definite=True)
    with pytest.raises(TargetError, match=r"no answer from sqs, sns at http://127\.0\.0\.1:1: EndpointConnectionError"):
        look(["sqs", "sns"], answering(sqs=gone, sns=gone), HERE)


@pytest.mark.parametrize("code", ["EndpointConnectionError", "AccessDenied", "ReadTimeoutError"])
def test_a_failure_that_says_nothing_of_the_service_is_left_to_its_probes(code: str) -> None:
    assert look(["sqs", "sns"], answering(sns=CallFailed(code, "", definite=True)), HERE) == {}


@pytest.mark.parametrize(
    ("text", "services"),
    [(None, list(PROBES)), ("sqs", ["sqs"]), ("kinesis, sqs", ["sqs", "kinesis"]), ("sns,sns,", ["sns"])],
)
def test_services_are_chosen_in_the_order_of_the_catalogue(text: str | None, services: list[str]) -> None:
    assert chosen(text) == services


@pytest.mark.parametrize("text", ["", ",", "sqs,sqss", "SQS"])
def test_a_service_that_nobody_knows_is_bad_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is none of sqs, sqs-fifo, sns"):
        chosen(text)


def test_what_a_service_may_do_now_and_then_is_not_blamed() -> None:
    mostly(0, 10, "came twice")
    with pytest.raises(Undecided, match="5 of 10 came twice; a standard queue may"):
        mostly(5, 10, "came twice")
    with pytest.raises(Violated, match="6 of 10 came twice"):
        mostly(6, 10, "came twice")


def matrix(*results: Result) -> Matrix:
    cells = [
        Cell(service=list(NEEDS)[n % 2], probe=f"p{n // 2}", result=result, detail=f"d|{n}")
        for n, result in enumerate(results)
    ]
    return Matrix(target="embedded", what="here", cells=cells)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        (["holds", "holds"], 0),
        (["holds", "not-implemented"], 3),
        (["unknown", "holds"], 3),
        (["unknown", "violated", "not-implemented"], 1),
        ([], 3),
    ],
)
def test_the_exit_code_never_lies(results: list[Result], code: int) -> None:
    assert matrix(*results).exit_code == code


def test_json_has_every_cell() -> None:
    document = json.loads(to_json(matrix("holds", "violated")))
    assert document["target"] == "embedded"
    assert document["cells"] == [
        {"service": "sqs", "probe": "p0", "result": "holds", "detail": "d|0"},
        {"service": "sqs-fifo", "probe": "p0", "result": "violated", "detail": "d|1"},
    ]


def test_markdown_is_a_grid_and_a_word_on_what_does_not_hold() -> None:
    assert to_markdown(matrix("holds", "violated", "unknown")).splitlines() == [
        "| probe | `sqs` | `sqs-fifo` |",
        "|---|---|---|",
        "| `p0` | holds | **violated** |",
        "| `p1` | **unknown** |  |",
        "",
        "1 hold, 1 violated, 1 unknown.",
        "",
        "- **violated** `sqs-fifo` `p0`: d|1",
        "- **unknown** `sqs` `p1`: d|2",
    ]
    assert counted(matrix("holds", "holds").cells) == "2 hold"
