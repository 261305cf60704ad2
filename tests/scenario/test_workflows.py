"""Workflows in a scenario: the machine is read, its steps are subscriptions, and what does not go together is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import TargetLacks, UsageError
from gameday.scenario import document
from gameday.scenario.model import Scenario, needs_of, topology_of
from gameday.scenario.reading import SCENARIOS, resolve

BASE = """\
name: s
transport: stepfunctions
load: {rate: 5/s, duration: 5s}
claims: [exactly-once-execution]
"""


def read(*overrides: str) -> Scenario:
    return resolve(document.override(document.parse(BASE, name="s.yaml"), overrides))


def test_without_a_word_it_is_our_order() -> None:
    scenario = read()
    assert scenario.subscriptions == ["pay", "reserve", "email", "analytics", "ship"]
    workflow = topology_of(scenario, settle_s=0).workflow
    assert workflow is not None and (workflow.type, workflow.named) == ("standard", True)


def test_what_is_written_back_is_a_scenario_with_its_machine() -> None:
    scenario = read()
    again = resolve(document.Document(name="again", data=dict(scenario.document), places={}))
    assert again.topology == scenario.topology


def test_who_names_steps_alone_has_a_machine_of_them() -> None:
    assert read("topology={subscriptions: [{name: a}, {name: b}]}").subscriptions == ["a", "b"]


def test_a_machine_of_the_user_s_is_a_file(tmp_path: Path) -> None:
    given = (SCENARIOS / "machines" / "pay.json").read_text()
    (tmp_path / "mine.json").write_text(given)
    assert read(f"topology={{workflow: {{machine: {tmp_path / 'mine.json'}}}}}").subscriptions == ["pay"]


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["topology={workflow: {machine: nowhere.json}}"], "no machine can be made of it"),
        (["topology={workflow: {machine: {States: {}}}}"], "no task of it sends"),
        (["topology={workflow: {type: express}}"], "an Express workflow waits for nobody's answer"),
        (["topology={workflow: {type: express-sync}}"], "an Express workflow waits for nobody's answer"),
        (["claims=[at-least-once-execution]"], "speaks of workflows of the type express alone"),
        (["claims=[at-most-once-execution]"], "speaks of workflows of the type express-sync alone"),
        (["claims=[redrive-no-rerun]"], "nothing is redriven"),
        (["topology={workflow: {start_again: true}}"], "sent again in any case"),
        (["topology={workflow: {type: express, machine: NOTIFY, redrive: true}}"], "cannot be redriven"),
        (["chaos=[{at: 1s, fault: throttle-sends}]"], "use throttle-starts"),
        (["transport=sqs"], "sqs never promises exactly-once-execution"),
        (["claims=[no-hung-execution]"], "claims nothing without a bound"),
    ],
)
def test_what_does_not_go_together_is_told(overrides: list[Any], said: str) -> None:
    notify = str(SCENARIOS / "machines" / "notify.json")
    with pytest.raises(UsageError, match=said):
        read(*(override.replace("NOTIFY", notify) for override in overrides))


def test_redrives_ask_for_more_of_a_target() -> None:
    machine = SCENARIOS / "machines" / "fulfil.json"
    assert "redrive-executions" in needs_of(read(f"topology={{workflow: {{machine: {machine}, redrive: true}}}}"))
    assert "redrive-executions" not in needs_of(read())


def test_an_activity_is_refused_as_more_than_there_is() -> None:
    states = "{A: {Type: Task, Resource: 'arn:aws:states:us-east-1:1:activity:pack', Next: B}, B: TASK}"
    task = "{Type: Task, Resource: 'arn:aws:states:::sqs:sendMessage', End: true, Parameters: {QueueUrl: '${queue:a}', "
    task += "MessageBody: {execution.$: '$$.Execution.Id', input.$: $}}}"
    with pytest.raises(TargetLacks, match="no GetActivityTask"):
        read(f"topology={{workflow: {{machine: {{StartAt: A, States: {states.replace('TASK', task)}}}}}}}")


CALLBACKS = {
    "late-callback": "{at: 1s, fault: late-callback, by: BY}",
    "double-callback": "{at: 1s, fault: double-callback}",
}


@pytest.mark.parametrize(
    "machine, fault, said",
    [
        ("impatient", "late-callback", None),
        ("order", "late-callback", "the task of pay waits for 20s, so nothing would come too late"),
        ("notify", "late-callback", "no task waits for an answer there"),
        ("notify", "double-callback", "no task waits for an answer there"),
        ("order", "double-callback", None),
    ],
)
def test_a_callback_that_is_struck_is_waited_for(machine: str, fault: str, said: str | None) -> None:
    entry = CALLBACKS[fault].replace("BY", "3s")
    overrides = [f"chaos=[{entry}]", f"topology={{workflow: {{machine: {SCENARIOS / 'machines' / machine}.json}}}}"]
    if said is None:
        assert read(*overrides).chaos
        return
    with pytest.raises(UsageError, match=said):
        read(*overrides)


@pytest.mark.parametrize("type", ["express", "express-sync"])
def test_nobody_stops_an_express_execution(type: str) -> None:
    machine = SCENARIOS / "machines" / "notify.json"
    with pytest.raises(UsageError, match="nobody can stop an Express execution"):
        read(
            f"topology={{workflow: {{type: {type}, machine: {machine}}}}}",
            "chaos=[{at: 1s, fault: stop-execution}]",
            "claims=[exactly-once-step-effect]",
        )


def test_lost_answers_to_named_starts_ask_for_more_of_a_target() -> None:
    lost = "chaos=[{at: 1s, for: 2s, fault: lose-send-reply, share: 50%}]"
    assert "start-again" in needs_of(read(lost))
    assert "start-again" not in needs_of(read(lost, "topology={workflow: {named: false}}"))


def test_a_start_that_waits_is_sent_again_only_where_it_is_asked_for() -> None:
    machine = SCENARIOS / "machines" / "notify.json"
    claims = "claims=[at-most-once-execution]"
    for again, once in (("", True), (", start_again: true", False)):
        scenario = read(f"topology={{workflow: {{type: express-sync, machine: {machine}{again}}}}}", claims)
        workflow = topology_of(scenario, settle_s=0).workflow
        assert workflow is not None and workflow.starts_once is once
