"""The one file that speaks the line protocol for a function of Python's: in a project of somebody else's."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gameday.processes import python_handler
from gameday.processes.handler_process import PYTHON_SHIM

SOURCE = """
import asyncio, os, sys
import config, work, effects, handlers

print("imported")

def handle(message):
    print("working on", message["body"])
    os.system("echo a child; cat")
    assert sys.stdin.read() == ""
    if message["body"] == "bad":
        raise ValueError("no such order")
    return {"done": message["body"]}

async def later(message):
    await asyncio.sleep(0)
    return "later"

def nothing(message): pass
def leaves(message): sys.exit(3)
def no_json(message): return object()
def not_a_number(message): return float("nan")

def lambdas(event, context):
    remaining = context.get_remaining_time_in_millis()
    assert 0 < remaining <= 5000, remaining
    return [event["Records"], context.function_name, context.aws_request_id]

class Orders:
    @staticmethod
    def handle(message):
        return "of a class"

no_function = 5
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose modules have the names of ours."""
    for name in ("config", "work", "effects", "handlers"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "app.py").write_text(SOURCE)
    return tmp_path


def ask(project: Path, function: str, *requests: dict[str, Any]) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, what it said after it was ready, and its log."""
    lines = "".join(
        json.dumps({"request": n, "timeout_s": 5, **request}) + "\n" for n, request in enumerate(requests, start=1)
    )
    done = subprocess.run(
        [sys.executable, str(PYTHON_SHIM), function],
        input=lines,
        cwd=project,
        env={"PATH": os.environ["PATH"], "GAMEDAY_CONSUMER": "orders-1.1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    ready, *answers = [json.loads(line) for line in done.stdout.splitlines()] or [{"ready": True}]
    assert ready == {"ready": True}
    return done.returncode, answers, done.stderr


def message(body: str = "b") -> dict[str, Any]:
    return {"message": {"body": body}}


def test_what_is_printed_is_no_answer_and_its_input_is_empty(project: Path) -> None:
    code, answers, log = ask(project, "orders.app:handle", message("a"), message("bad"), message("c"))
    assert answers == [
        {"request": 1, "outcome": "ok", "result": {"done": "a"}},
        {"request": 2, "outcome": "failed", "error": "ValueError: no such order"},
        {"request": 3, "outcome": "ok", "result": {"done": "c"}},
    ]
    assert code == 0
    assert [word in log for word in ("imported", "working on a", "a child", "Traceback")] == [True] * 4


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        ("nothing", {"outcome": "ok", "result": None}),
        ("later", {"outcome": "ok", "result": "later"}),
        ("Orders.handle", {"outcome": "ok", "result": "of a class"}),
        ("no_json", {"outcome": "failed", "error": "TypeError: Object of type object is not JSON serializable"}),
        (
            "not_a_number",
            {"outcome": "failed", "error": "ValueError: Out of range float values are not JSON compliant"},
        ),
    ],
)
def test_what_a_function_may_return(project: Path, function: str, answer: dict[str, Any]) -> None:
    _, (got,), _ = ask(project, f"orders.app:{function}", message())
    assert {**got, "error": got.get("error", "").partition(": nan")[0]} == {"request": 1, "error": "", **answer}


def test_an_event_comes_with_a_context(project: Path) -> None:
    _, ((got),), _ = ask(project, "orders.app:lambdas", {"event": {"Records": [1]}})
    records, name, request = got["result"]
    assert (records, name) == ([1], "lambdas")
    assert request.startswith("orders-1.1-")


def test_a_function_that_ends_the_process_gives_no_answer(project: Path) -> None:
    code, answers, _ = ask(project, "orders.app:leaves", message(), message())
    assert (code, answers) == (3, [])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("orders.ap:handle", "No module named 'orders.ap'"),
        ("orders.app:handel", "has no attribute 'handel'"),
        ("orders.app:no_function", "orders.app:no_function is int, and nothing that could be called"),
    ],
)
def test_what_is_not_there_is_told_before_any_message(project: Path, function: str, why: str) -> None:
    code, answers, log = ask(project, function, message())
    assert (code, answers) == (1, [])
    assert why in log


def test_it_needs_no_more_than_python_3_8() -> None:
    source = PYTHON_SHIM.read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in [a.name for a in node.names]
    }
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
    assert Path(python_handler.__file__).resolve() == PYTHON_SHIM
