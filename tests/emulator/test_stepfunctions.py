"""Step Functions of the in-memory broker: what executions do, and that each planted defect breaks what it names.

Questions and answers are held to botocore's models. The promises are small machines; the clock is the test's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import orjson
import pytest
from botocore.config import Config

from gameday.emulator.asl import choose, filled
from gameday.emulator.defects import DEFECTS
from gameday.emulator.stepfunctions import WorkflowConduct
from gameday.emulator.wire import Refused
from tests.emulator.inside import Inside
from tests.transports.asked import served

ROLE = "arn:aws:iam::000000000000:role/states"


def machine(inside: Inside, states: dict[str, Any], *, name: str = "m", kind: str = "STANDARD", **more: Any) -> str:
    definition = orjson.dumps({"StartAt": next(iter(states)), "States": states, **more}).decode()
    return str(
        inside.states("CreateStateMachine", name=name, definition=definition, roleArn=ROLE, type=kind)[
            "stateMachineArn"
        ]
    )


def start(inside: Inside, arn: str, given: Any = None, **more: Any) -> str:
    text = orjson.dumps({} if given is None else given).decode()
    return str(inside.states("StartExecution", stateMachineArn=arn, input=text, **more)["executionArn"])


def told(inside: Inside, execution: str) -> tuple[str, Any]:
    """Its status, and its output or error."""
    answer = inside.states("DescribeExecution", executionArn=execution)
    output = answer.get("output")
    return answer["status"], answer.get("error") if output is None else orjson.loads(output)


def asks(queue: str, *, waits: bool = False, **more: Any) -> dict[str, Any]:
    """A task that sends its input to a queue, with its token."""
    body: dict[str, Any] = {"input.$": "$", "execution.$": "$$.Execution.Id", "state.$": "$$.State.Name"}
    if waits:
        body["token.$"] = "$$.Task.Token"
    resource = "arn:aws:states:::sqs:sendMessage" + (".waitForTaskToken" if waits else "")
    return {"Type": "Task", "Resource": resource, "Parameters": {"QueueUrl": queue, "MessageBody": body}, **more}


def bodies(inside: Inside, queue: str) -> list[dict[str, Any]]:
    return [orjson.loads(message["Body"]) for message in inside.drain(queue)]


def test_a_task_sends_and_its_result_has_its_place() -> None:
    inside = Inside()
    queue = inside.queue()
    arn = machine(inside, {"Ask": asks(queue, ResultPath="$.sent", End=True)})
    execution = start(inside, arn, {"order": 7}, name="one")
    status, output = told(inside, execution)
    assert status == "SUCCEEDED" and output["order"] == 7 and "MessageId" in output["sent"]
    assert bodies(inside, queue) == [{"input": {"order": 7}, "execution": execution, "state": "Ask"}]
    events = inside.states("GetExecutionHistory", executionArn=execution)["events"]
    assert [event["type"] for event in events] == [
        *("ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskSucceeded", "TaskStateExited"),
        "ExecutionSucceeded",
    ]
    assert inside.states("GetExecutionHistory", executionArn=execution, maxResults=4)["nextToken"]


def test_parallel_and_map_keep_the_order_of_results() -> None:
    inside = Inside()
    slow: dict[str, Any] = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "Next": "A"}}}
    slow["States"]["A"] = {"Type": "Pass", "Result": "slow", "End": True}
    quick = {"StartAt": "B", "States": {"B": {"Type": "Pass", "Result": "quick", "End": True}}}
    each = {"StartAt": "E", "States": {"E": {"Type": "Pass", "End": True}}}
    arn = machine(
        inside,
        {
            "Both": {"Type": "Parallel", "Branches": [slow, quick], "ResultPath": "$.both", "Next": "Each"},
            "Each": {
                "Type": "Map",
                "ItemsPath": "$.items",
                "ItemSelector": {"n.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value"},
                "ItemProcessor": each,
                "MaxConcurrency": 1,
                "ResultPath": "$.each",
                "End": True,
            },
        },
    )
    execution = start(inside, arn, {"items": ["a", "b"]})
    assert told(inside, execution)[0] == "RUNNING"
    inside.later(5)
    status, output = told(inside, execution)
    assert status == "SUCCEEDED" and output["both"] == ["slow", "quick"]
    assert output["each"] == [{"n": 0, "v": "a"}, {"n": 1, "v": "b"}]


def test_what_a_branch_fails_of_ends_the_others() -> None:
    inside = Inside()
    queue = inside.queue()
    failing = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "No", "Cause": "why"}}}
    waiting = {"StartAt": "T", "States": {"T": asks(queue, waits=True, End=True)}}
    caught = {"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Done"}]}
    arn = machine(
        inside,
        {"P": {"Type": "Parallel", "Branches": [waiting, failing], "End": True, **caught}, "Done": {"Type": "Succeed"}},
    )
    execution = start(inside, arn)
    assert told(inside, execution) == ("SUCCEEDED", {"error": {"Error": "No", "Cause": "why"}})
    (body,) = bodies(inside, queue)
    assert inside.states.refusal("SendTaskSuccess", taskToken=body["token"], output="{}") == "TaskTimedOut"


def test_choices_paths_and_templates() -> None:
    rules = [
        {"And": [{"Variable": "$.n", "NumericGreaterThan": 3}, {"Variable": "$.s", "IsPresent": False}], "Next": "A"},
        {"Not": {"Variable": "$.b", "BooleanEquals": True}, "Next": "B"},
    ]
    state = {"Choices": rules, "Default": "C"}
    assert [choose(state, given, {}) for given in ({"n": 4}, {"n": 1, "b": False}, {"n": 1, "b": True})] == [*"ABC"]
    template = {"a.$": "States.Format('{}-{}', $.x[1], $$.Execution.Name)", "b.$": "States.JsonToString($.x)", "c": 1}
    assert filled(template, {"x": [1, "two"]}, {"Execution": {"Name": "e"}}) == {
        "a": "two-e",
        "b": '[1,"two"]',
        "c": 1,
    }


def test_a_callback_is_answered_once_and_a_failure_is_retried_with_a_new_token() -> None:
    inside = Inside()
    queue = inside.queue()
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "MaxAttempts": 1}]
    execution = start(inside, machine(inside, {"T": asks(queue, waits=True, Retry=retry, End=True)}))
    (first,) = bodies(inside, queue)
    inside.states("SendTaskFailure", taskToken=first["token"], error="Busy")
    assert inside.states.refusal("SendTaskSuccess", taskToken=first["token"], output="{}") == "TaskTimedOut"
    assert bodies(inside, queue) == []
    inside.later(2)
    (second,) = bodies(inside, queue)
    assert second["token"] != first["token"]
    inside.states("SendTaskHeartbeat", taskToken=second["token"])
    inside.states("SendTaskSuccess", taskToken=second["token"], output='{"done": true}')
    assert told(inside, execution) == ("SUCCEEDED", {"done": True})
    assert inside.states.refusal("SendTaskSuccess", taskToken="none", output="{}") == "InvalidToken"
    assert inside.states.refusal("SendTaskSuccess", taskToken=second["token"], output="{") == "InvalidOutput"


def test_a_task_whose_time_is_over_fails_and_its_worker_is_told() -> None:
    inside = Inside()
    queue = inside.queue()
    execution = start(inside, machine(inside, {"T": asks(queue, waits=True, TimeoutSeconds=3, End=True)}))
    (body,) = bodies(inside, queue)
    inside.later(3)
    assert told(inside, execution) == ("FAILED", "States.Timeout")
    assert inside.states.refusal("SendTaskHeartbeat", taskToken=body["token"]) == "TaskTimedOut"


def test_what_cannot_be_sent_is_a_named_error() -> None:
    inside = Inside()
    caught = [{"ErrorEquals": ["SQS.QueueDoesNotExist"], "Next": "Done"}]
    states = {"T": asks("http://x/000000000000/none", Catch=caught, End=True), "Done": {"Type": "Pass", "End": True}}
    assert told(inside, start(inside, machine(inside, states)))[0] == "SUCCEEDED"


def test_a_table_and_a_topic_are_tasks_too() -> None:
    inside = Inside()
    inside.dynamodb(
        "CreateTable",
        TableName="orders",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    topic, queue = inside.topic(), inside.queue()
    inside.subscribe(topic, queue)
    put: dict[str, Any] = {"Type": "Task", "Resource": "arn:aws:states:::dynamodb:putItem", "ResultPath": None}
    put |= {"Parameters": {"TableName": "orders", "Item": {"k": {"S.$": "$.k"}}}, "Next": "Tell"}
    tell: dict[str, Any] = {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "ResultPath": None}
    tell |= {"Parameters": {"TopicArn": topic, "Message.$": "$.k"}, "End": True}
    assert told(inside, start(inside, machine(inside, {"Put": put, "Tell": tell}), {"k": "a"}))[0] == "SUCCEEDED"
    assert inside.bodies(queue) == ["a"]
    assert "Item" in inside.dynamodb("GetItem", TableName="orders", Key={"k": {"S": "a"}})


def test_what_runs_can_be_stopped_and_is_listed_in_pages() -> None:
    inside = Inside()
    arn = machine(inside, {"W": {"Type": "Wait", "Seconds": 9, "End": True}})
    executions = [start(inside, arn, name=f"e{n}") for n in range(3)]
    inside.states("StopExecution", executionArn=executions[0], error="Asked")
    assert told(inside, executions[0]) == ("ABORTED", "Asked")
    page = inside.states("ListExecutions", stateMachineArn=arn, maxResults=2)
    rest = inside.states("ListExecutions", stateMachineArn=arn, nextToken=page["nextToken"])
    assert {each["name"] for each in (*page["executions"], *rest["executions"])} == {"e0", "e1", "e2"}
    assert len(inside.states("ListExecutions", stateMachineArn=arn, statusFilter="RUNNING")["executions"]) == 2
    inside.states("DeleteStateMachine", stateMachineArn=arn)
    assert inside.states.refusal("DescribeExecution", executionArn=executions[1]) == "ExecutionDoesNotExist"
    assert inside.states("ListStateMachines")["stateMachines"] == []


def test_of_an_express_execution_nobody_can_ask() -> None:
    inside = Inside()
    queue = inside.queue()
    arn = machine(inside, {"T": asks(queue, End=True)}, kind="EXPRESS")
    first, second = start(inside, arn, name="same"), start(inside, arn, name="same")
    assert first != second and len(bodies(inside, queue)) == 2
    assert inside.states.refusal("DescribeExecution", executionArn=first) == "InvalidArn"
    assert inside.states.refusal("ListExecutions", stateMachineArn=arn) == "StateMachineTypeNotSupported"


def test_an_execution_is_redriven_where_it_failed_and_not_long_ago() -> None:
    inside = Inside()
    queue = inside.queue()
    states = {"T": asks(queue, waits=True, End=True)}
    arn = machine(inside, states)

    def can(execution: str) -> str:
        return str(inside.states("DescribeExecution", executionArn=execution)["redriveStatus"])

    stopped, failing = start(inside, arn, name="a"), start(inside, arn, name="b")
    assert can(stopped) == "NOT_REDRIVABLE"
    assert inside.states.refusal("RedriveExecution", executionArn=stopped) == "ExecutionNotRedrivable"
    inside.states("StopExecution", executionArn=stopped)
    inside.states("SendTaskFailure", taskToken=bodies(inside, queue)[1]["token"])
    assert (can(stopped), can(failing)) == ("REDRIVABLE", "REDRIVABLE")
    inside.states("RedriveExecution", executionArn=stopped)
    told = inside.states("DescribeExecution", executionArn=stopped)
    assert (told["status"], told["redriveCount"]) == ("RUNNING", 1) and "redriveDate" in told
    assert len(bodies(inside, queue)) == 1
    inside.later(14 * 24 * 3600 + 1)
    assert can(failing) == "NOT_REDRIVABLE"
    assert inside.states.refusal("RedriveExecution", executionArn=failing) == "ExecutionNotRedrivable"


@pytest.mark.parametrize(
    "states",
    [
        {},
        {"A": {"Type": "Nap", "End": True}},
        {"A": {"Type": "Pass", "Next": "B"}},
        {"A": {"Type": "Pass"}},
        {"A": {"Type": "Map", "End": True}},
    ],
)
def test_a_machine_that_is_none_is_refused(states: dict[str, Any]) -> None:
    definition = orjson.dumps({"StartAt": "A", "States": states}).decode()
    asked = {"name": "m", "definition": definition, "roleArn": ROLE}
    assert Inside().states.refusal("CreateStateMachine", **asked) == "InvalidDefinition"


def test_a_wait_ends_by_itself_and_a_synchronous_start_waits_for_it() -> None:
    """Through boto3: nobody calls anything while the second goes by."""
    with served() as url:
        client = boto3.client(
            "stepfunctions",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(inject_host_prefix=False),
        )
        definition = orjson.dumps({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "End": True}}})
        made = client.create_state_machine(name="m", definition=definition.decode(), roleArn=ROLE, type="EXPRESS")
        answer = client.start_sync_execution(stateMachineArn=made["stateMachineArn"], input='{"a": 1}')
    assert answer["status"] == "SUCCEEDED" and orjson.loads(answer["output"]) == {"a": 1}


# What each defect breaks


def waits(inside: Inside) -> str:
    return machine(inside, {"W": {"Type": "Wait", "Seconds": 9, "End": True}})


def one_name_one_execution(inside: Inside) -> bool:
    arn = waits(inside)
    first = start(inside, arn, {"a": 1}, name="one")
    try:
        return start(inside, arn, {"a": 2}, name="one") == first
    except Refused as refused:
        return refused.code == "ExecutionAlreadyExists"


def same_input_same_answer(inside: Inside) -> bool:
    arn = waits(inside)
    first = start(inside, arn, {"a": 1}, name="one")
    try:
        return start(inside, arn, {"a": 1}, name="one") == first
    except Refused:
        return False


def each_start_runs(inside: Inside) -> bool:
    arn = waits(inside)
    for n in range(10):
        start(inside, arn, name=f"e{n}")
    return len(inside.states("ListExecutions", stateMachineArn=arn)["executions"]) == 10


def express_once(inside: Inside) -> bool:
    queue = inside.queue()
    arn = machine(inside, {"T": asks(queue, End=True)}, kind="EXPRESS")
    for _ in range(10):
        start(inside, arn)
    return len(bodies(inside, queue)) == 10


def sync_once(inside: Inside) -> bool:
    queue = inside.queue()
    arn = machine(inside, {"T": asks(queue, End=True)}, kind="EXPRESS")
    for _ in range(10):
        inside.states.service.call(inside.sqs.now, "StartSyncExecution", {"stateMachineArn": arn})
    return len(bodies(inside, queue)) == 10


def every_item(inside: Inside) -> bool:
    queue = inside.queue()
    each = {"StartAt": "T", "States": {"T": asks(queue, End=True)}}
    arn = machine(inside, {"M": {"Type": "Map", "ItemProcessor": each, "End": True}})
    for _ in range(10):
        start(inside, arn, [1, 2])
    return len(bodies(inside, queue)) == 20


def token_once(inside: Inside) -> bool:
    queue = inside.queue()
    start(inside, machine(inside, {"T": asks(queue, waits=True, End=True)}))
    (body,) = bodies(inside, queue)
    inside.states("SendTaskSuccess", taskToken=body["token"], output="1")
    try:
        inside.states("SendTaskSuccess", taskToken=body["token"], output="2")
    except Refused:
        return True
    return False


def callback_heard(inside: Inside) -> bool:
    queue = inside.queue()
    arn = machine(inside, {"T": asks(queue, waits=True, End=True)})
    for n in range(10):
        start(inside, arn, name=f"e{n}")
    for body in bodies(inside, queue):
        inside.states("SendTaskSuccess", taskToken=body["token"], output="1")
    return not inside.states("ListExecutions", stateMachineArn=arn, statusFilter="RUNNING")["executions"]


def tried_again(inside: Inside) -> bool:
    queue = inside.queue()
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1}]
    start(inside, machine(inside, {"T": asks(queue, waits=True, Retry=retry, End=True)}))
    (body,) = bodies(inside, queue)
    inside.states("SendTaskFailure", taskToken=body["token"], error="No")
    inside.later(1)
    return len(bodies(inside, queue)) == 1


def token_renewed(inside: Inside) -> bool:
    queue = inside.queue()
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1}, {"ErrorEquals": ["States.TaskFailed"]}]
    start(inside, machine(inside, {"T": asks(queue, waits=True, Retry=retry, TimeoutSeconds=2, End=True)}))
    (first,) = bodies(inside, queue)
    inside.later(4)
    return all(again["token"] != first["token"] for again in bodies(inside, queue))


def heartbeat_heeded(inside: Inside) -> bool:
    queue = inside.queue()
    execution = start(inside, machine(inside, {"T": asks(queue, waits=True, HeartbeatSeconds=2, End=True)}))
    (body,) = bodies(inside, queue)
    inside.later(1)
    inside.states("SendTaskHeartbeat", taskToken=body["token"])
    inside.later(1.5)
    running = told(inside, execution)[0] == "RUNNING"
    inside.later(1)
    return running and told(inside, execution) == ("FAILED", "States.HeartbeatTimeout")


def timeout_heeded(inside: Inside) -> bool:
    arn = machine(inside, {"W": {"Type": "Wait", "Seconds": 9, "End": True}}, TimeoutSeconds=2)
    execution = start(inside, arn)
    inside.later(2)
    return told(inside, execution) == ("TIMED_OUT", "States.Timeout")


def redriven_from_failure(inside: Inside) -> bool:
    first, second = inside.queue("first"), inside.queue("second")
    states = {"A": asks(first, ResultPath=None, Next="B"), "B": asks(second, waits=True, End=True)}
    execution = start(inside, machine(inside, states))
    inside.states("SendTaskFailure", taskToken=bodies(inside, second)[0]["token"])
    inside.states("RedriveExecution", executionArn=execution)
    (again,) = bodies(inside, second)
    inside.states("SendTaskSuccess", taskToken=again["token"], output="1")
    done = inside.states("DescribeExecution", executionArn=execution)
    return (done["status"], done["redriveCount"], len(bodies(inside, first))) == ("SUCCEEDED", 1, 1)


PROMISES: dict[str, Callable[[Inside], bool]] = {
    "one name, one execution": one_name_one_execution,
    "same input, same answer": same_input_same_answer,
    "each start runs": each_start_runs,
    "express once": express_once,
    "sync once": sync_once,
    "every item": every_item,
    "token once": token_once,
    "callback heard": callback_heard,
    "tried again": tried_again,
    "token renewed": token_renewed,
    "heartbeat heeded": heartbeat_heeded,
    "timeout heeded": timeout_heeded,
    "redriven from failure": redriven_from_failure,
}
BREAKS: dict[str, set[str]] = {
    "name-used-twice": {"one name, one execution", "same input, same answer"},
    "same-input-refused": {"same input, same answer"},
    # One that does not run does nothing else either.
    "start-lost:10": {"each start runs", "express once", "sync once", "every item"},
    "express-twice:10": {"express once"},
    "sync-twice:10": {"sync once"},
    "map-item-dropped:10": {"every item"},
    "token-twice": {"token once"},
    "callback-lost:10": {"callback heard"},
    "token-reused": {"token renewed"},
    "retry-ignored": {"tried again"},
    "heartbeat-ignored": {"heartbeat heeded"},
    "machine-timeout-ignored": {"timeout heeded"},
    "redrive-reruns": {"redriven from failure"},
}


def test_correct_machines_keep_every_promise() -> None:
    assert {name for name, kept in PROMISES.items() if not kept(Inside())} == set()


@pytest.mark.parametrize("planted", BREAKS)
def test_a_defect_breaks_its_promises_and_no_other(planted: str) -> None:
    assert {name for name, kept in PROMISES.items() if not kept(Inside(planted))} == BREAKS[planted]


def test_every_defect_of_machines_is_here() -> None:
    names = {name for name, kind in DEFECTS.items() if issubclass(kind, WorkflowConduct)}
    assert names == {planted.partition(":")[0] for planted in BREAKS}
