"""A whole run on messages of the user's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commanded import Gameday
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

OWN = """\
name: own
transport: {transport}
topology: {topology}
load:
  rate: 80/s
  duration: 2s
  users: 3
  processes: {processes}
  message: {message}
consumers: {{processes: 2}}
chaos: {chaos}
claims: [no-loss, no-phantom, all-accepted, exactly-once-effect]
"""

Start = Callable[..., Gameday]


def start(
    gameday: Start,
    tmp_path: Path,
    message: str,
    *,
    transport: str = "sqs-fifo",
    topology: str = "{visibility_timeout: 1s}",
    chaos: str = "[]",
    processes: int = 1,
    claims: str = "",
) -> Gameday:
    path = tmp_path / "own.yaml"
    text = OWN.format(transport=transport, topology=topology, message=message, chaos=chaos, processes=processes)
    path.write_text(text.replace("exactly-once-effect]", f"exactly-once-effect{claims}]"))
    return gameday(str(path), "--seed", "7", "--target", "memory")


def orders(tmp_path: Path, *, twice: int | None = None) -> None:
    lines = [{"order": {"id": f"o-{n}", "customer": f"c{n % 7}"}, "total": n} for n in range(200)]
    if twice is not None:
        lines[twice] = lines[0]
    (tmp_path / "orders.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def records(run: Path, name: str) -> list[dict[str, object]]:
    return [
        record
        for path in sorted(run.glob("history/*.jsonl"))
        for line in path.read_bytes().splitlines()
        if (record := json.loads(line))["event"] == name
    ]


@in_soak
@in_series
def test_orders_of_a_file_are_told_apart_by_a_place_in_them(gameday: Start, tmp_path: Path) -> None:
    """Two processes of the load deal the same groups to their users, and a consumer that is killed is judged."""
    orders(tmp_path)
    run = start(
        gameday,
        tmp_path,
        "{file: orders.jsonl, id: /order/id, group: /order/customer, key: /total}",
        processes=2,
        chaos="[{at: 1s, fault: kill-consumer}]",
        claims=", ordered-per-group",
    )
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    intended = {record["id"]: record for record in records(run.run, "intended") if record["attempt"] == 1}
    assert intended.keys() == {f"o-{n}" for n in range(160)}
    assert {record["key"] for record in intended.values()} == {str(n) for n in range(160)}
    received = records(run.run, "received")
    assert {record["id"] for record in received} == intended.keys()
    assert all(record["group"] == intended[record["id"]]["group"] for record in received)
    assert all("intact" not in record for record in received)
    assert len(records(run.run, "effects")) == 160


@in_soak
@in_series
def test_an_attribute_tells_them_apart_behind_a_topic_raw_or_not(gameday: Start, tmp_path: Path) -> None:
    run = start(
        gameday,
        tmp_path,
        '{template: {kind: "{choice:new|old}", who: "c{int:1:4}"}, id: attribute, attributes: {kind: /kind}}',
        transport="sns",
        topology="{visibility_timeout: 1s, subscriptions: [{name: orders, raw: true}, {name: wrapped}, "
        "{name: new, filter: {kind: [new]}}]}",
        claims=", filter-correct",
    )
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    assert {record["id"] for record in records(run.run, "received")} == {f"m{n}" for n in range(1, 161)}


@in_series
def test_a_function_of_the_users_makes_events_for_a_bus(gameday: Start, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def make(ask):\n"
        "    return {'source': 'shop', 'detail-type': 'Placed', 'detail': {'id': ask['n'], 'total': ask['n'] % 100}}\n"
    )
    run = start(
        gameday,
        tmp_path,
        f'{{python: "mine:make", interpreter: {sys.executable}, id: /detail/id}}',
        transport="eventbridge",
        topology="{visibility_timeout: 1s, subscriptions: [{name: orders}, "
        '{name: large, pattern: {detail: {total: [{numeric: [">", 50]}]}}}]}',
        claims=", filter-correct",
    )
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    assert len((run.run / "messages.jsonl").read_bytes().splitlines()) == 160


def test_an_id_that_is_not_unique_is_an_error_before_the_run(gameday: Start, tmp_path: Path) -> None:
    orders(tmp_path, twice=12)
    run = start(gameday, tmp_path, "{file: orders.jsonl, id: /order/id, group: /order/customer}")
    ended, _, err = run.end()
    assert ended == 2
    file = tmp_path / "orders.jsonl"
    assert f"own.yaml:9: load.message.file: {file}:13: its id 'o-0' is that of {file}:1 as well" in err
    assert not run.run.exists()


def test_a_function_that_fails_is_an_error_and_leaves_nothing(gameday: Start, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def make(ask):\n    return {'id': 10 // (3 - ask['n'])}\n")
    run = start(gameday, tmp_path, f'{{python: "mine:make", interpreter: {sys.executable}, id: /id}}')
    ended, _, err = run.end()
    assert ended == 4
    assert "load.message: mine:make failed on message 3: ZeroDivisionError" in err
    assert "Traceback" in err, "that of their function"
    assert not run.run.exists()
