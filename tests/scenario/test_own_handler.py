"""A handler of the author's own in a scenario: what is wrong with it is known before anything runs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from gameday.history.errors import UsageError
from gameday.processes.handler_process import PYTHON_SHIM
from gameday.scenario import reading as scenario
from gameday.scenario.forecast import forecast
from gameday.scenario.model import HandlerModel, Scenario
from gameday.scenario.own_handler import NoProgram, program_of
from gameday.scenario.schema import schema

GOOD = """\
name: own
transport: sqs-fifo
load: {rate: 20/s, duration: 10s}
consumers: {processes: 2, handler: {python: "orders.app:handle"}}
chaos: [{at: 2s, fault: kill-consumer}]
claims: [no-loss]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a scenario, a program, and a file that is none."""
    (tmp_path / "own.yaml").write_text(GOOD)
    program = tmp_path / "handle"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "handle.txt").write_text("")
    (tmp_path / "worker").mkdir()
    return tmp_path


def read(place: Path, *overrides: str) -> Scenario:
    return scenario.load(place / "own.yaml", overrides)


def complaints(place: Path, *overrides: str) -> list[str]:
    with pytest.raises(UsageError) as error:
        read(place, *overrides)
    return str(error.value).splitlines()


def handler(**keys: object) -> str:
    return f"consumers.handler={yaml.safe_dump(keys, default_flow_style=True, width=1000).strip()}"


def test_a_function_of_python_s(place: Path) -> None:
    got = read(place)
    assert isinstance(got.consumers.handler, HandlerModel)
    program = program_of(got.consumers.handler, base=place, visibility_timeout_s=5)
    python, *rest = program.argv
    assert rest == [str(PYTHON_SHIM), "orders.app:handle"]
    assert Path(python).name == "python3" and Path(python).parent.resolve() != Path(sys.executable).parent.resolve()
    assert (program.cwd, program.event, program.timeout_s) == (place, None, 5)


def test_the_default_interpreter_is_never_ours(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though our environment is active, and its python3 the first on PATH."""
    ours = Path(sys.executable).parent
    assert (ours / "python3").exists()
    asked = HandlerModel(python="orders:handle")
    monkeypatch.setenv("PATH", f"{ours}{os.pathsep}{os.environ['PATH']}")
    assert not program_of(asked, base=place, visibility_timeout_s=5).argv[0].startswith(str(ours))
    monkeypatch.setenv("PATH", str(ours))
    with pytest.raises(NoProgram, match="gameday's own environment aside"):
        program_of(asked, base=place, visibility_timeout_s=5)


def test_an_interpreter_is_known_by_its_own_path(place: Path) -> None:
    """A link is not followed: by its own path it finds the libraries beside it."""
    (place / "worker" / "python").symlink_to(sys.executable)
    asked = HandlerModel(python="orders:handle", interpreter="./python", cwd="worker")
    program = program_of(asked, base=place, visibility_timeout_s=None)
    assert program.argv[0] == str(place / "worker" / "python")
    assert (program.cwd, program.timeout_s) == (place / "worker", 60)


def test_a_command(place: Path) -> None:
    sh = shutil.which("sh")
    got = read(
        place, handler(command=["sh", "-c", "x"], protocol="lines", event="sqs", timeout="3s", env={"A": "{run}"})
    )
    assert isinstance(got.consumers.handler, HandlerModel)
    program = program_of(got.consumers.handler, base=place, visibility_timeout_s=5)
    assert (program.argv, program.event, program.timeout_s) == ([sh, "-c", "x"], "sqs", 3)
    assert program.env == {"A": "{run}"}
    assert program_of(HandlerModel(command=["./handle"]), base=place, visibility_timeout_s=5).argv == [
        str(place / "handle")
    ]


@pytest.mark.parametrize(
    ("written", "key", "says"),
    [
        ({}, "python", "either `python` (a function) or `command` (a program)"),
        ({"python": "a:b", "command": ["sh"]}, "command", "keep one of the two"),
        ({"python": "orders.app.handle"}, "python", "names no function; write it like orders.app:handle"),
        ({"python": "orders.py:handle()"}, "python", "names no function"),
        ({"python": "a:b", "protocol": "lines"}, "protocol", "remove it"),
        ({"python": "a:b", "interpreter": ".venv/bin/python"}, "interpreter", "is not there"),
        ({"python": "a:b", "interpreter": "pythom3"}, "interpreter", "no program pythom3 is on PATH"),
        ({"python": "a:b", "cwd": "wroker"}, "cwd", "there is no directory"),
        ({"python": "a:b", "interpretr": "x"}, "interpretr", "did you mean `interpreter`?"),
        ({"python": 5}, "python", "should be a valid string"),
        ({"command": []}, "command", "write it like [node, handle.js]"),
        ({"command": "./handle"}, "command", "should be a valid list"),
        ({"command": ["./handel"]}, "command", "is not there"),
        ({"command": ["./handle.txt"]}, "command", "cannot be run"),
        ({"command": ["./handle"], "cwd": "worker"}, "command", "with a slash it counts from the handler's cwd"),
        ({"command": ["no-such-program"]}, "command", "no program no-such-program is on PATH"),
        ({"command": ["sh"], "interpreter": "sh"}, "interpreter", "put the interpreter in front of it"),
        ({"command": ["sh"], "protocol": "http"}, "protocol", "should be 'lines'"),
        ({"command": ["sh", "{queue}"]}, "command.1", "{queue} stands for nothing here"),
        ({"command": ["sh"], "env": {"T": "{topic_arn}"}}, "env.T", "{topic_arn} stands for nothing here"),
        ({"python": "a:b", "event": "kinesis"}, "event", "sqs-fifo has no stream; its events are sqs"),
        ({"python": "a:b", "event": "sns"}, "event", "sqs-fifo has no topic"),
        ({"python": "a:b", "event": "eventbridge"}, "event", "sqs-fifo has no event bus"),
        ({"python": "a:b", "event": "s3"}, "event", "should be 'sqs', 'kinesis', 'sns' or 'eventbridge'"),
        ({"python": "a:b", "timeout": "6s"}, "timeout", "longer than the visibility timeout of 5s"),
    ],
)
def test_what_is_wrong_with_a_handler_has_its_key(place: Path, written: dict[str, object], key: str, says: str) -> None:
    (complaint,) = complaints(place, handler(**written))
    assert f"consumers.handler.{key}: " in complaint
    assert says in complaint


def test_neither_a_name_nor_a_handler(place: Path) -> None:
    (complaint,) = complaints(place, "consumers.handler=[a]")
    assert "consumers.handler: " in complaint
    (complaint,) = complaints(place, "consumers.handler=refrence")
    assert "did you mean reference?" in complaint


@pytest.mark.parametrize(
    ("overrides", "key", "says"),
    [
        (["consumers.guard=none"], "consumers.guard", "has its own guard"),
        (["consumers.guard=in-progress", "consumers.guard_expiry=5s"], "consumers.guard_expiry", "has its own guard"),
        (["consumers.store=dynamodb"], "consumers.store", "keeps its effects itself"),
        (["consumers.processing_time=5ms"], "consumers.processing_time", "takes the time that it takes"),
        (
            ["consumers.handler.event=sqs", "consumers.after_failure=fail-batch"],
            "consumers.after_failure",
            "its answer says what failed",
        ),
        (
            ["chaos.0={at: 2s, fault: crash-at, point: before-effect, nth: 3}"],
            "chaos.0",
            "nobody sees from outside when a handler of your own has its effect",
        ),
        (
            ["chaos.0={at: 2s, for: 2s, fault: slow-store, takes: 1s}"],
            "chaos.0",
            "nobody sees what a handler of your own writes to its store",
        ),
        (
            ["chaos.0={at: 2s, for: 2s, fault: store-down}"],
            "chaos.0",
            "nobody sees what a handler of your own asks of its store",
        ),
        (["chaos.0={at: 2s, for: 2s, fault: hold-in-flight}"], "chaos.0", "pause-consumer stops the consumer of your"),
        (
            ["transport=sns", "consumers.handler.event=sns", "topology.subscriptions=[{name: orders, raw: true}]"],
            "consumers.handler.event",
            "orders gets messages raw",
        ),
        (
            ["transport=sns-fifo", "consumers.handler.event=sns"],
            "consumers.handler.event",
            "a FIFO topic delivers to queues alone",
        ),
        (
            ["transport=kinesis", "consumers.handler.event=kinesis", "consumers.checkpoint=before"],
            "consumers.checkpoint",
            "does not come again",
        ),
    ],
)
def test_what_means_nothing_with_a_handler_of_one_s_own(place: Path, overrides: list[str], key: str, says: str) -> None:
    found = complaints(place, *overrides)
    assert [line for line in found if f"{key}: " in line and says in line], found


@pytest.mark.parametrize(
    "overrides",
    [
        ["consumers.after_failure=continue"],
        ["consumers.handler.event=sqs", "consumers.retry_delay=2s"],
        ["consumers.handler.timeout=20s", "consumers.heartbeat=2s"],
        ["chaos.0={at: 2s, fault: crash-at, point: after-receive, nth: 3}"],
        ["chaos.0={at: 2s, fault: stretch-processing, to: 8s, for: 2s}"],
        ["chaos.0={at: 2s, fault: fail-handler, share: 10%, for: 2s}"],
        ["transport=kinesis", "consumers.handler.event=kinesis", "consumers.store=dynamodb"],
        ["transport=sns", "consumers.handler.event=sqs"],
        ["transport=eventbridge", "consumers.handler.event=eventbridge"],
        ["load.poison=5%", "claims=[no-loss, {claim: dead-letter, strict: true}]"],
    ],
)
def test_what_goes_with_it(place: Path, overrides: list[str]) -> None:
    assert isinstance(read(place, *overrides).consumers.handler, HandlerModel)


@pytest.mark.parametrize("event", ["null", "sqs"])
def test_written_back_it_is_the_same_scenario(place: Path, event: str) -> None:
    got = read(place, f"consumers.handler.event={event}")
    consumers = got.document["consumers"]
    assert not {"guard", "guard_expiry", "store", "processing_time"} & consumers.keys()
    assert ("after_failure" in consumers) == (event == "null")
    (place / "back.yaml").write_text(yaml.safe_dump(dict(got.document)))
    assert scenario.load(place / "back.yaml").document == got.document


def test_claims_about_its_effects_are_noted(place: Path) -> None:
    noted = forecast(read(place, "claims=[no-loss, at-least-once-effect, exactly-once-effect]"))
    (note,) = [note for note in noted if note.key == "consumers.handler"]
    assert note.claims == ["at-least-once-effect", "exactly-once-effect"]
    assert not [note for note in forecast(read(place)) if note.key == "consumers.handler"]


def test_the_schema_knows_both_forms() -> None:
    written = schema()["$defs"]
    forms = written["ConsumersSpec"]["properties"]["handler"]["oneOf"]
    assert forms == [{"$ref": "#/$defs/HandlerModel"}, {"type": "string"}]
    assert written["HandlerModel"]["properties"].keys() == HandlerModel.model_fields.keys()
