"""The one file that runs in the user's Python: what it says, line by line, whatever their function does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gameday.loadgen import message_shim

SHIM = Path(message_shim.__file__)


def say(tmp_path: Path, code: str, *asks: dict[str, Any], function: str = "mine:make") -> tuple[list[Any], str]:
    """Its answers, and what went to standard error."""
    (tmp_path / "mine.py").write_text(code)
    done = subprocess.run(
        # -S -E: nothing of ours is there to be found, no more than in a Python of somebody else's.
        [sys.executable, "-S", "-E", str(SHIM), function],
        input="".join(json.dumps(ask) + "\n" for ask in asks),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_each_line_is_answered_and_what_they_print_goes_elsewhere(tmp_path: Path) -> None:
    code = "import os\nprint('one')\ndef make(ask):\n    os.write(1, b'two')\n    return {'n': ask['n'], 'é': '\\n'}\n"
    answers, said = say(tmp_path, code, {"n": 1}, {"n": 2})
    assert answers == [
        {"ready": True},
        *({"body": json.dumps({"n": n, "é": "\n"}, ensure_ascii=False)} for n in (1, 2)),
    ]
    assert said.count("two") == 2 and "one" in said


@pytest.mark.parametrize(
    ("returned", "answer"),
    [
        ("'text'", {"body": "text"}),
        ("b'\\xc3\\xa9'", {"body": "é"}),
        ("[1, None]", {"body": "[1, null]"}),
        (
            "{'body': {'a': 1}, 'group': 'g', 'attributes': {'n': 1}}",
            {"body": '{"a": 1}', "group": "g", "attributes": {"n": 1}},
        ),
        ("{'body': 'x', 'id': 7, 'dedup_id': 'd', 'key': 'k'}", {"body": "x", "id": 7, "dedup_id": "d", "key": "k"}),
    ],
)
def test_what_a_function_may_return(tmp_path: Path, returned: str, answer: dict[str, Any]) -> None:
    answers, _ = say(tmp_path, f"def make(ask):\n    return {returned}\n", {})
    assert answers == [{"ready": True}, answer]


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ("None", "TypeError: a body is a text, bytes in UTF-8, or what becomes JSON, and not None"),
        ("7", "TypeError: a body is"),
        ("b'\\xff'", "UnicodeDecodeError"),
        ("{'body': 'x', 'gruop': 'g'}", "ValueError: 'gruop' is none of body, group"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("{'a': ask}['b']", "KeyError: 'b'"),
        ("{'a': object()}", "TypeError"),
    ],
)
def test_an_error_is_the_last_answer(tmp_path: Path, returned: str, why: str) -> None:
    answers, said = say(tmp_path, f"def make(ask):\n    return {returned}\n", {"n": 1}, {"n": 2})
    assert len(answers) == 2 and answers[1]["error"].startswith(why)
    assert said.count("Traceback") == 1


@pytest.mark.parametrize(
    ("code", "function", "why"),
    [
        ("import nothing_like_it", "mine:make", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("", "mine:make", "AttributeError: module 'mine' has no attribute 'make'"),
        ("make = 7", "mine:make", "TypeError: mine:make is 7, which is no function"),
        ("", "yours:make", "ModuleNotFoundError: No module named 'yours'"),
        ("import sys; sys.exit('no')", "mine:make", "SystemExit: no"),
    ],
)
def test_a_function_that_is_not_there_ends_it(tmp_path: Path, code: str, function: str, why: str) -> None:
    answers, said = say(tmp_path, code, {"n": 1}, function=function)
    assert answers == [{"error": why}]
    assert "Traceback" in said


def test_a_function_may_be_a_method(tmp_path: Path) -> None:
    code = "class Orders:\n    @staticmethod\n    def make(ask): return str(ask['n'])\n"
    assert say(tmp_path, code, {"n": 5}, function="mine:Orders.make")[0][1] == {"body": "5"}
