"""Step Functions as data: names of executions, the steps of a machine, and what a step's message tells."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gameday.history import envelope
from gameday.history.identity import Identification
from gameday.transports.base import Addresses, Outgoing, SubscriptionSpec, TaskOf, Topology, Workflow
from gameday.transports.machines import Step, definition, plain, steps_of, unwrap
from gameday.transports.stepfunctions import StepFunctions, execution_name

BODY = {"execution.$": "$$.Execution.Id", "input.$": "$"}


def task(queue: str = "pay", *, waits: bool = False, body: Any = BODY, resource: str = "sqs:sendMessage") -> Any:
    suffix = ".waitForTaskToken" if waits else ""
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{resource}{suffix}",
        "Parameters": {"QueueUrl": f"${{queue:{queue}}}", "MessageBody": body},
        "End": True,
    }


def machine(**states: Any) -> Any:
    return {"StartAt": next(iter(states)), "States": states}


def test_what_comes_again_and_what_comes_behind_is_told() -> None:
    both = {"Type": "Parallel", "Branches": [machine(B=task("b")), machine(C=task("c"))]}
    inner = machine(E={**task("e", body={**BODY, "item.$": "$.n"}), "End": False, "Next": "F"},
                    F=task("f", body={**BODY, "item.$": "$.n"}))  # fmt: skip
    states = {
        "A": {**task("a"), "End": False, "Next": "P"},
        "P": {**both, "Next": "M", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "R"}]},
        "M": {"Type": "Map", "ItemProcessor": inner, "Next": "R"},
        "R": {**task("r"), "End": False, "Next": "L", "Retry": [{"ErrorEquals": ["States.ALL"]}]},
        "L": {**task("l"), "End": False, "Next": "Again"},
        "Again": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": True, "Next": "L"}], "Default": "Z"},
        "Z": task("z"),
    }
    found = steps_of({"StartAt": "A", "States": states})
    assert {name for name, step in found.items() if step.retried} == {"r", "l"}
    behind = {name: set(step.followed_by) for name, step in found.items()}
    assert behind["a"] == {*"bcefrlz"}
    # Branches are beside each other, and so are the items of a map, where one may be at its end and another begin.
    assert behind["b"] == behind["c"] == {*"efrlz"}
    assert behind["e"] == behind["f"] == {*"rlz"}
    assert behind["z"] == set()
    # What stands within a state that is tried again comes again with it.
    again = steps_of(machine(P={**both, "Retry": [{"ErrorEquals": ["States.ALL"]}], "End": True}))
    assert all(step.retried and not step.followed_by for step in again.values())


def test_steps_are_found_wherever_they_stand() -> None:
    inner = machine(Each=task("reserve", body={**BODY, "item.$": "$.n"}))
    found = steps_of(
        machine(
            Pay=task("pay", waits=True, body={**BODY, "token.$": "$$.Task.Token"}),
            Both={"Type": "Parallel", "Branches": [machine(Mail=task("mail"))]},
            Map={"Type": "Map", "ItemProcessor": inner},
            Other={"Type": "Task", "Resource": "arn:aws:states:::dynamodb:putItem", "Parameters": {}},
        )
    )
    assert found == {
        "pay": Step(state="Pay", callback=True, per_item=False),
        "mail": Step(state="Mail", callback=False, per_item=False),
        "reserve": Step(state="Each", callback=False, per_item=True),
    }


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({}, "no States"),
        (machine(A={"Type": "Pass", "End": True}), "no task of it sends"),
        (machine(A=task(body="text")), "an object as its MessageBody"),
        (machine(A=task(resource="sns:publish")), "no task of arn:aws:states:::sqs:sendMessage"),
        (machine(A=task(waits=True)), r"lacks token\.\$"),
        (machine(A=task(), B=task()), "send to one queue"),
        (machine(M={"Type": "Map", "ItemProcessor": machine(A=task())}), r"lacks item\.\$"),
    ],
)
def test_a_machine_without_steps_is_named(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        steps_of(wrong)


def test_queues_stand_in_the_machine_that_is_made() -> None:
    text = definition(plain(["a", "b"]), {"a": "http://q/a", "b": "http://q/b"})
    assert "${queue:" not in text and text.count("http://q/") == 2


@pytest.mark.parametrize("id", ["g03-7", "a" * 80, "order 7", "a" * 81, "a:b", "a;b", "a/b"])
def test_names_are_legal_and_differ(id: str) -> None:
    name = execution_name(id)
    assert len(name) <= 80 and not set(name) & set(' :;/?*<>{}[]"#%\\^|~`$&,')
    others = [execution_name(other) for other in ("g03-7", "order 7", "order_7", "a:b", "a;b", "a_b") if other != id]
    assert name not in others


def test_a_step_s_message_tells_the_task_and_the_order() -> None:
    order = envelope.pack(id="m1", run="r", group="g", timestamp_ns=0, payload_bytes=300).decode()
    # As a service writes it anew.
    body = orjson.dumps({"execution": "arn", "item": 2, "token": "t", "input": orjson.loads(order)}).decode()
    found = unwrap(body)
    assert found.task == TaskOf(execution="arn", item=2, token="t")
    read = Identification().identify(found.body, {})
    assert (read.id, read.intact) == ("m1", True)
    assert unwrap(order).task is None


@pytest.mark.parametrize("item", [None, 0, 12])
def test_an_effect_s_key_tells_its_task(item: int | None) -> None:
    of = TaskOf(execution="arn:1", item=item)
    assert TaskOf.of_key(of.key("m1")) == ("m1", of)


def test_what_is_promised_says_what_its_steps_are() -> None:
    waits = machine(Pay=task(waits=True, body={**BODY, "token.$": "$$.Task.Token"}))
    topology = Topology(subscriptions=[SubscriptionSpec(name="pay")], workflow=Workflow(machine=waits))
    promised = StepFunctions().promises(topology)["pay"]
    assert (promised.step, promised.per_item, promised.promises) == ("callback", False, "at-most-once")
    express = Topology(subscriptions=topology.subscriptions, workflow=Workflow(machine=waits, type="express"))
    with pytest.raises(ValueError, match="waits for nobody's answer"):
        StepFunctions().promises(express)
    with pytest.raises(ValueError, match="its steps, pay; named are orders"):
        StepFunctions().promises(Topology(subscriptions=[SubscriptionSpec(name="orders")], workflow=topology.workflow))


@pytest.mark.parametrize("named", ["yes", "no"])
def test_a_start_names_its_execution(named: str) -> None:
    message = Outgoing(id="m 1", body="{}", group=None, dedup_id=None)
    call = StepFunctions().send(Addresses(send_to="arn", extra={"named": named}), [message])
    assert call.params.get("name") == (execution_name("m 1") if named == "yes" else None)
    (sent,) = StepFunctions().sent({"executionArn": "arn:1"}, [message])
    assert (sent.outcome, sent.broker_id) == ("ok", "arn:1")
    assert StepFunctions().sent({}, [message])[0].outcome == "unknown"


def test_a_start_that_waits_tells_how_its_execution_ended() -> None:
    message = Outgoing(id="m1", body="{}", group=None, dedup_id=None)
    call = StepFunctions().send(Addresses(send_to="arn", extra={"named": "yes", "waits": "yes"}), [message])
    assert call.operation == "StartSyncExecution"
    told = {"executionArn": "arn:1", "name": "m1", "status": "TIMED_OUT", "startDate": 1.5e9, "stopDate": 1.6e9}
    (sent,) = StepFunctions().sent(told, [message])
    # It was started, however it went.
    assert (sent.outcome, sent.broker_id) == ("ok", "arn:1") and sent.execution is not None
    record = sent.execution.record("m1")
    assert (record["id"], record["arn"], record["status"]) == ("m1", "arn:1", "timed-out")
    assert (record["started"], record["stopped"]) == (15 * 10**17, 16 * 10**17)
