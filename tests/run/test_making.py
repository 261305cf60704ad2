"""The user's own messages before a run: made by their function, and nothing is built when one of them is wrong."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
import pytest

from gameday.history.errors import GamedayError, ProcessError, UsageError
from gameday.loadgen.sender import ask_for
from gameday.run import making
from gameday.run.context import RunContext, RunRequest
from gameday.run.making import make_messages
from gameday.run.state import Run
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.scenario.sending import imagined

OWN = """\
name: own
transport: sqs-fifo
load: {rate: 20/s, duration: 2s, groups: 3, users: 2, batch: 1, message: {python: "mine:make", id: /id}}
claims: [no-loss]
"""


class Nobody:
    """Who watches."""

    def phase(self, text: str) -> None: ...


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def make(code: str, *overrides: str, text: str = OWN) -> Run:
        (tmp_path / "mine.py").write_text(code)
        read = document.override(document.parse(text, name=str(tmp_path / "own.yaml")), overrides)
        context = RunContext(scenario=scenario.resolve(read), id="own-1", directory=tmp_path / "run", seed=5)
        context.directory.mkdir()
        view: Any = Nobody()
        return Run(request=RunRequest(scenario=context.scenario), context=context, view=view)

    return make


def sent(run: Run) -> list[dict[str, Any]]:
    """What a load would send of them, by the file that they were written to."""
    context = run.context
    config = replace(
        imagined(context.scenario, context.scenario.shape, seed=5, run=context.id), own=context.own_messages
    )
    source = config.source()
    assert source is not None
    return [
        {**message._asdict(), "made": source.make(ask_for(message))} for message in config.schedule(source).messages(0)
    ]


GOOD = """
import random
def make(ask):
    draw = random.Random(f"{ask['seed']}:{ask['n']}")
    body = {"id": f"{ask['run']}-{ask['n']}", "no": draw.randrange(100), "ask": ask}
    return {"body": body, "group": f"c{ask['n'] % 4}", "key": ask["seq"], "attributes": {"a": [1], "n": 2}}
"""


def test_a_function_makes_every_message_of_the_schedule(run: Any) -> None:
    first = run(GOOD)
    asyncio.run(make_messages(first))
    messages = sent(first)
    assert len(messages) == 40
    for n, message in enumerate(messages, start=1):
        body = orjson.loads(message["made"].body)
        assert (message["id"], message["group"]) == (f"own-1-{n}", f"c{n % 4}")
        assert message["seq"] == (n + 3) // 4 if n % 4 else n // 4
        asked = body["ask"]
        assert (asked["n"], asked["total"], asked["seed"], asked["run"]) == (n, 40, 5, "own-1")
        assert asked["at_s"] == pytest.approx((n - 0.5) / 20)
        assert message["made"].key == str(asked["seq"])
        assert {name: tuple(each) for name, each in message["made"].attributes.items()} == {
            "a": ("String.Array", "[1]"),
            "n": ("Number", "2"),
        }
    assert {asked["group"] for m in messages for asked in [orjson.loads(m["made"].body)["ask"]]} == {"g0", "g1", "g2"}


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("import nothing_like_it", ProcessError, "mine:make cannot be called: ModuleNotFoundError: No module named"),
        ("def make(ask): return 1 / (ask['n'] - 7)", ProcessError, "failed on message 1: TypeError"),
        (
            "def make(ask): return {'id': ask['n'], 'x': 1 / (ask['n'] - 7)}",
            ProcessError,
            "message 7: ZeroDivisionError",
        ),
        ("import os\ndef make(ask): os._exit(3)", ProcessError, "ended when it should come with message 1"),
        ("def make(ask): return {'no': 1}", UsageError, "message 1, from mine:make: it has nothing at /id"),
        ("def make(ask): return 'hello'", UsageError, "message 1, from mine:make: it is not JSON"),
        ("def make(ask): return {'id': ask['n'] // 3}", UsageError, "message 2, from mine:make: its id '0' is that of"),
        ("def make(ask): return {'body': {'id': 1}, 'id': 2}", UsageError, "returned as '2', and at /id stands '1'"),
        ("def make(ask): return {'body': {'id': 1}, 'attributes': 2}", UsageError, "its attributes are no dict"),
        (
            "def make(ask): return {'body': {'id': 1}, 'attributes': {'a': None}}",
            UsageError,
            "an attribute would be None",
        ),
        ("def make(ask): return {'body': {'id': 1}, 'group': {}}", UsageError, "at /group it has {}"),
        (
            "def make(ask): return {'id': ask['n'], 'x': 'x' * (1048000 + 100 * ask['n'])}",
            UsageError,
            "bytes with the attribute traceparent, and sqs-fifo takes 1048576; make it smaller",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_message_and_no_process_is_left(
    run: Any, code: str, kind: type[GamedayError], said: str
) -> None:
    wrong = run(code)
    with pytest.raises(kind) as error:
        asyncio.run(make_messages(wrong))
    assert said in str(error.value)
    assert type(error.value) is kind
    assert not [p for p in psutil.Process().children(recursive=True) if "message_shim" in " ".join(p.cmdline())]


def test_what_their_code_said_last_is_quoted(run: Any) -> None:
    wrong = run("import sys\nprint('so it goes', file=sys.stderr)\ndef make(ask): raise ValueError('no')")
    with pytest.raises(ProcessError, match=r"(?s)failed on message 1: ValueError: no.*so it goes"):
        asyncio.run(make_messages(wrong))


def test_one_that_takes_too_long_is_given_up(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_ANSWER_S", 0.3)
    slow = run("import time\ndef make(ask): time.sleep(600)")
    began = time.monotonic()
    with pytest.raises(ProcessError, match=r"took longer than 0\.3 s with message 1"):
        asyncio.run(make_messages(slow))
    assert time.monotonic() - began < 30


def test_a_template_is_looked_at_with_the_runs_seed(run: Any) -> None:
    """When the scenario was read there was none: of some hundreds that were drawn then none came twice."""
    text = OWN.replace('{python: "mine:make", id: /id}', '{template: {id: "{int:1:1000000}"}, id: /id}').replace(
        "duration: 2s", "duration: 200s"
    )
    twice = run("", text=text)
    with pytest.raises(UsageError, match=r"load.message: message \d+: its id '\d+' is that of message \d+ as well"):
        asyncio.run(make_messages(twice))


def test_nothing_is_made_of_orders_of_ours_and_of_a_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text("\n".join(f'{{"id": {n}}}' for n in range(40)))
    own = run("", text=OWN.replace('python: "mine:make"', "file: o.jsonl"))
    asyncio.run(make_messages(own))
    assert list(own.context.directory.iterdir()) == []
