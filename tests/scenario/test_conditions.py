"""What a fault waits for and what ends chaos, as a scenario writes it: read, and refused with what to write instead."""

from __future__ import annotations

from functools import cache
from typing import Any

import fastjsonschema
import pytest

from gameday.chaos.conditions import Condition, Trigger
from gameday.history.errors import UsageError
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.scenario.conditions import read_condition, read_trigger
from gameday.scenario.estimate import estimate
from gameday.scenario.model import Scenario
from gameday.scenario.policy import Where, policies
from gameday.scenario.schema import schema

BASE = """\
name: base
transport: sqs-fifo
topology: {visibility_timeout: 5s, subscriptions: [{name: orders}]}
load: {rate: 20/s, duration: 40s, groups: 10}
chaos: [{at: 10s, fault: kill-consumer}]
claims: [no-loss, exactly-once-delivery, {claim: lag, p99: 2s}]
"""


@cache
def checked() -> Any:
    """A function that holds a scenario to the schema; to compile it takes seconds."""
    return fastjsonschema.compile(schema())


def read(*overrides: str) -> Scenario:
    return scenario.resolve(document.override(document.parse(BASE, name="s.yaml"), overrides))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"backlog": ">500"}, "backlog > 500"),
        ({"backlog": "< 5", "subscription": "orders"}, "backlog of orders < 5"),
        ({"oldest": ">2m"}, "oldest > 120s"),
        ({"lag": ">150ms"}, "lag > 0.15s"),
        ({"rate": "<90/min"}, "rate < 1.5/s"),
        ({"errors": ">5%"}, "errors > 5%"),
        ({"dead_letters": ">0"}, "dead_letters > 0"),
        ({"point": "after-effect", "nth": 500}, "500 messages after-effect"),
        ({"fault": "deploy-1", "phase": "stop", "after": "2s"}, "2 s after the stop of deploy-1"),
        ({"fault": "deploy"}, "the start of deploy"),
        ({"call": "ReceiveMessage", "nth": 100}, "call 100 of ReceiveMessage"),
    ],
)
def test_it_is_read_with_its_units(written: dict[str, Any], told: str) -> None:
    assert str(Trigger.model_validate(read_trigger(written))) == told
    entry = {"when": written, "fault": "kill-consumer"}
    checked()({**document.parse(BASE, name="s.yaml").data, "chaos": [entry]})


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("backlog", "is nothing to wait for"),
        ({"backlog": 500}, '500 is no bound; write it like backlog: ">500"'),
        ({"backlog": "500"}, 'write it like backlog: ">500"'),
        ({"backlog": ">1.5"}, "is not a whole number"),
        ({"oldest": ">5"}, "has no unit"),
        ({"baklog": ">5"}, "did you mean `backlog`?"),
        ({"backlog": ">5", "lag": ">1s"}, "one number"),
        ({"point": "after-lunch", "nth": 1}, "no point is called 'after-lunch'"),
        ({"point": "after-effect"}, "at which message?"),
        ({"point": "after-effect", "nth": 0}, "at which message?"),
        ({"fault": "deploy", "nth": 2}, "there is no such key"),
        ({"call": "ReceiveMessage", "phase": "stop"}, "there is no such key"),
    ],
)
def test_what_cannot_be_waited_for_says_what_to_write(written: object, says: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        read_trigger(written)
    assert says in str(caught.value)


def test_a_number_is_met_beyond_its_bound_and_not_where_nobody_knows_it() -> None:
    above = Condition.model_validate(read_condition({"backlog": ">500"}))
    below = Condition.model_validate(read_condition({"rate": "<50/s"}))
    nth = Condition.model_validate(read_condition({"point": "after-delete", "nth": 3}))
    assert [above.met(value) for value in (None, 500.0, 501.0)] == [False, False, True]
    assert [below.met(value) for value in (None, 50.0, 49.0)] == [False, False, True]
    assert [nth.met(value) for value in (2.0, 3.0)] == [False, True]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["chaos.0={at: 1s, when: {backlog: '>5'}, fault: kill-consumer}"], "`when` and `at`: one of them"),
        (["chaos.0={when: {backlog: '>5', subscription: bills}, fault: kill-consumer}"], "no subscription is called"),
        (["chaos.0={when: {iterator_age: '>5s'}, fault: kill-consumer}"], "has no iterator; ask for `oldest`"),
        (["chaos.0={when: {fault: kill-consumer-1}, fault: kill-consumer}"], "no other fault of this scenario"),
        (["chaos.0={when: {foo: '>5'}, fault: kill-consumer}"], "chaos.0.when: there is no such key"),
        (["chaos.0={when: {backlog: '>5'}, fault: kill-consumer, until: 50s}"], "goes on until 50 s, but"),
        (
            ["transport=kinesis", "claims=[no-loss]", "chaos=[{when: {dead_letters: '>5'}, fault: kill-consumer}]"],
            "kinesis has no dead-letter queue",
        ),
        (["steady.for=40s"], "it is looked at when the load is over"),
        (["steady.for=11s"], "chaos.0.at: strikes at 10 s, before the steady state is seen to hold, at 11 s"),
        (["steady={for: 5s, claims: [no-loss]}"], "told by the verdict alone; while the run goes on: exactly"),
        (["steady={for: 5s, claims: [ordered-per-group]}"], "no claim of this scenario is called 'ordered-per-group'"),
        (["chaos=[]", "steady.for=5s"], "no fault in `chaos` that it could hold back"),
        (["brakes.stop_when=[{backlog: 5}]"], "brakes.stop_when.0: 5 is no bound"),
        (["brakes.stop_when=[{anomaly: lost}]"], "no anomaly that is counted while a run goes on is called 'lost'"),
        (["brakes.stop_when=[{claim: no-loss}]"], "told by the verdict alone"),
        (["brakes.each=0s"], "greater than 0"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(overrides: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*overrides)
    assert says in str(caught.value)


def test_a_program_of_the_users_hides_when_its_effects_are_there() -> None:
    program = "consumers={command: [sh]}"
    with pytest.raises(UsageError, match="write after-receive or after-delete"):
        read(program, "claims=[no-loss]", "chaos.0={when: {point: after-effect, nth: 5}, fault: kill-consumer}")
    read(program, "claims=[no-loss]", "chaos.0={when: {point: after-delete, nth: 5}, fault: kill-consumer}")


def test_what_is_read_is_written_back_and_read_again() -> None:
    brakes = 'brakes={stop_when: [{backlog: ">500"}, {anomaly: redelivery}, {claim: lag}, {alarm: late}], each: 2s}'
    once = read("chaos.0={when: {backlog: '>5'}, fault: kill-consumer}", "steady={for: 5s, claims: [lag]}", brakes)
    again = scenario.resolve(document.Document(name="again", data=dict(once.document), places={}))
    assert again.document == once.document
    assert [str(stop) for stop in again.brakes.stop_when] == [
        "backlog > 500", "anomaly redelivery", "claim lag", "alarm late",
    ]  # fmt: skip
    assert once.measured and not read().measured


def test_a_wire_stands_before_consumers_whose_calls_are_waited_for() -> None:
    assert read("chaos.0={when: {call: ReceiveMessage}, fault: kill-consumer}").behind_wire
    assert not read().behind_wire


def test_alarms_are_planned_and_allowed() -> None:
    asks, where = (
        read("brakes.stop_when=[{alarm: late}]", "load.duration=50s"),
        Where(account="123456789012", region="eu-west-1"),
    )
    assert estimate(asks, region="eu-west-1").calls["cloudwatch", "DescribeAlarms"].likely == 11
    assert "cloudwatch:DescribeAlarms" in str(policies(asks, where))
    assert "DescribeAlarms" not in str(policies(read(), where))
