"""`effects` of a scenario: where others' effects stand is read strictly, and what makes no sense says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.consumers.read_back.registry import READERS
from gameday.history.errors import UsageError
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.scenario.effects import ReadingSpec, schema
from gameday.scenario.model import Scenario, needs_of
from gameday.scenario.problems import keys

ONE = """\
name: one
transport: sqs
load: {rate: 10/s, duration: 5s}
claims: [no-loss, exactly-once-effect]
"""
TWO = """\
name: two
transport: sns
topology: {subscriptions: [{name: orders}, {name: audit}]}
load: {rate: 10/s, duration: 5s}
claims: [no-loss, exactly-once-effect]
"""
STREAM = ONE.replace("sqs", "kinesis")


def read(text: str, effects: str, *more: str) -> Scenario:
    return scenario.resolve(document.override(document.parse(f"{text}effects: {effects}\n", name="s.yaml"), more))


def complaint(text: str, effects: str, *more: str) -> str:
    with pytest.raises(UsageError) as error:
        read(text, effects, *more)
    return str(error.value)


@pytest.mark.parametrize(
    ("written", "kind", "settings"),
    [
        ("{dynamodb: {table: orders, key: orderId}}", "dynamodb", {"table": "orders", "key": "orderId", "times": None}),
        ("{dynamodb: {table: t, key: k, times: n}}", "dynamodb", {"table": "t", "key": "k", "times": "n"}),
        (
            "{sql: {dsn: 'sqlite:///orders.db', query: SELECT id FROM orders}}",
            "sql",
            {"dsn": "sqlite:///orders.db", "query": "SELECT id FROM orders"},
        ),
        ("{queue: {url: 'http://q/0/done'}}", "queue", {"url": "http://q/0/done", "name": None, "key": None}),
        ("{queue: 'http://q/0/done'}", "queue", {"url": "http://q/0/done", "name": None, "key": None}),
        (
            "{s3: {bucket: b, prefix: orders/, key: /id}}",
            "s3",
            {"bucket": "b", "prefix": "orders/", "suffix": "", "key": "/id"},
        ),
        ("{command: [python3, count.py, '{effects}']}", "command", {"argv": ["python3", "count.py", "{effects}"]}),
    ],
)
def test_a_place_is_read_and_written_back(written: str, kind: str, settings: dict[str, Any]) -> None:
    got = read(ONE, written)
    (entry,) = got.effects
    assert (entry.subscription, entry.kind, entry.settle_s, entry.timeout_s) == ("orders", kind, 1.0, 60.0)
    assert dict(entry.settings) == settings
    again = scenario.resolve(document.parse(yaml.safe_dump(dict(got.document)), name="again"))
    assert [(e.subscription, e.settings, e.settle_s, e.timeout_s) for e in again.effects] == [
        (entry.subscription, entry.settings, entry.settle_s, entry.timeout_s)
    ]
    assert again.document == got.document


def test_a_scenario_without_it_says_nothing_of_it() -> None:
    got = scenario.resolve(document.parse(ONE, name="s.yaml"))
    assert got.effects == [] and "effects" not in got.document


def test_each_subscription_may_have_its_own() -> None:
    got = read(
        TWO,
        "[{subscription: orders, command: [a]}, {subscription: audit, queue: {name: q}, settle: 5s, timeout: 2m}]",
    )
    assert [(e.subscription, e.kind, e.settle_s, e.timeout_s) for e in got.effects] == [
        ("orders", "command", 1.0, 60.0),
        ("audit", "queue", 5.0, 120.0),
    ]


def test_what_it_needs_of_a_target_is_known() -> None:
    assert "s3" in needs_of(read(ONE, "{s3: {bucket: b, key: name}}"))
    assert "s3" not in needs_of(read(ONE, "{command: [a]}"))


@pytest.mark.parametrize(
    ("text", "written", "told"),
    [
        (ONE, "orders", "s.yaml:5: effects: 'orders' does not say where effects stand; write it like {dynamodb: {"),
        (ONE, "{}", "s.yaml:5: effects: it does not say where effects stand; write one of dynamodb, sql, queue, s3, "),
        (ONE, "{sqlite: x}", "effects.sqlite: there is no such key; did you mean `sql`? Known here: dynamodb, sql"),
        (ONE, "{command: [a], queue: q}", "effects: command and queue are two places; write one of"),
        (ONE, "{dynamodb: orders}", "effects.dynamodb: 'orders': its keys belong here: table, key, times"),
        (ONE, "{dynamodb: {table: orders}}", "effects.dynamodb.key: is missing"),
        (ONE, "{dynamodb: {table: o, key: k, time: n}}", "effects.dynamodb.time: there is no such key; did you mean"),
        (ONE, "{command: [a, 5]}", "effects.command.argv.1: ['a', 5]: input should be a valid string"),
        (ONE, "{command: count}", "effects.command.argv: 'count': input should be a valid list"),
        (ONE, "{queue: {url: u, name: n}}", "effects.queue: write either its url or its name"),
        (ONE, "{queue: {url: u, key: id}}", "effects.queue.key: 'id' is no JSON pointer; write it like /orderId"),
        (ONE, "{sql: {dsn: 'mysql://h/d', query: q}}", "effects.sql.dsn: no database is called so"),
        (ONE, "{command: [a], settle: 5}", "effects.settle: 5 has no unit"),
        (
            ONE,
            "{command: [a], subscription: order}",
            "effects.subscription: no subscription is called 'order'; did you",
        ),
        (TWO, "{command: [a]}", "effects: whose effects are these? With several subscriptions each entry has its"),
        (
            ONE,
            "[{command: [a]}, {queue: q}]",
            "effects.1: the effects of orders are read in two places, and nobody could tell which is right",
        ),
        (ONE, "{command: [a, '{queue}']}", "effects.command.argv.1: {queue} stands for nothing here; there are {run}"),
        (ONE, "{command: [a, '{consumer}']}", "{consumer} stands for nothing here"),
        (STREAM, "{command: [a, '{queue_url}']}", "{queue_url} stands for nothing here; there are .*{stream_name}"),
    ],
)
def test_what_makes_no_sense_says_what_to_do(text: str, written: str, told: str) -> None:
    said = complaint(text, written)
    start, _, end = told.partition(".*")
    assert start in said and end in said


def test_where_the_rest_is_wrong_nobody_is_asked_whose_they_are() -> None:
    said = complaint(ONE, "{command: [a]}", "consumers.processes=none")
    assert "consumers.processes" in said and "whose effects" not in said


def test_a_handler_without_effects_has_none_to_read() -> None:
    claims = "claims=[no-loss]"
    said = complaint(ONE, "{command: [a]}", claims, "consumers.handler=no-op")
    assert said == (
        "s.yaml:5: effects: the handler no-op has no effects, so none stand anywhere; remove `effects`, or use another "
        "handler"
    )


def test_dead_letters_are_there_only_where_a_message_may_die() -> None:
    written = "{command: [a, '{dead_letter_queue_url}']}"
    assert read(ONE, written).effects
    assert "{dead_letter_queue_url} stands for nothing" in complaint(ONE, written, "topology.max_receives=null")


def test_every_key_of_every_reader_is_described() -> None:
    def undescribed(schema: dict[str, Any], path: str = "") -> list[str]:
        found = []
        for name, part in schema.get("properties", {}).items():
            if not part.get("description"):
                found.append(f"{path}{name}")
            for inner in part.get("anyOf", ()):
                found += undescribed(inner, f"{path}{name}.")
        return found

    entries = [entry for entry in schema()["oneOf"] if entry["type"] == "object"]
    assert len(entries) == 5
    assert [name for entry in entries for name in undescribed(entry)] == []


def test_every_key_of_every_reader_stands_on_its_page() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "effects.md").read_text(encoding="utf-8")
    table = page[page.index("| place |") : page.index("**SQL.**")]
    for kind, model in READERS.items():
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{kind}` |")]
        written = [name for name in keys(model) if name != "argv"]
        assert [name for name in written if f"`{name}`" not in row] == [], kind
    assert [name for name in keys(ReadingSpec) if f"`{name}`" not in page and f"{name}: " not in page] == []


def test_the_examples_of_the_page_are_scenarios() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "effects.md").read_text(encoding="utf-8")
    one, several = page.split("```yaml\n")[1:3]
    shown = one.partition("```")[0].splitlines()
    assert [read(ONE, line.removeprefix("effects: ")).effects[0].kind for line in shown] == list(READERS)
    assert len(read(TWO, several.partition("```")[0].removeprefix("effects:")).effects) == 2
