"""What Step Functions documents: one name one execution, tokens that are good once, retries, maps, time-outs and
redrives, of Standard workflows; and of an Express execution that its start waits for, that it is done once at most.

Source: the API reference (docs.aws.amazon.com/step-functions/latest/apireference) and the developer guide
(docs.aws.amazon.com/step-functions/latest/dg). Every machine is one of a few states whose tasks go to a queue of the
probe's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gameday.conformance.base import ROLE, Bench, Probe, Undecided, claim
from gameday.conformance.queues import ProbeQueue
from gameday.transports.base import Call, CallFailed

_SEND = "arn:aws:states:::sqs:sendMessage"
_ITEMS = 5


def _machine(bench: Bench, states: Mapping[str, Any], *, kind: str = "STANDARD", **more: Any) -> str:
    """A machine that begins with the first of these states; its ARN."""
    definition = orjson.dumps({"StartAt": next(iter(states)), "States": states, **more}).decode()
    made = bench.call(
        "stepfunctions",
        "CreateStateMachine",
        name=bench.name("machine"),
        definition=definition,
        roleArn=ROLE,
        type=kind,
    )
    bench.afterwards("stepfunctions", "DeleteStateMachine", stateMachineArn=made["stateMachineArn"])
    return str(made["stateMachineArn"])


def _asks(queue: ProbeQueue, *, waits: bool = False, **more: Any) -> dict[str, Any]:
    """A task that sends what it is given to the queue, with its token where it waits."""
    body: dict[str, Any] = {"given.$": "$"}
    if waits:
        body["token.$"] = "$$.Task.Token"
    resource = f"{_SEND}.waitForTaskToken" if waits else _SEND
    return {
        "Type": "Task",
        "Resource": resource,
        "Parameters": {"QueueUrl": queue.url, "MessageBody": body},
        "ResultPath": None,
        **({} if "Next" in more else {"End": True}),
        **more,
    }


def _waits(seconds: int) -> Mapping[str, Any]:
    return {"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}}


def _start(machine: str, given: object, **more: str) -> Call:
    return Call(
        "stepfunctions",
        "StartExecution",
        {"stateMachineArn": machine, "input": orjson.dumps(given).decode(), **more},
    )


def _started(bench: Bench, machine: str, given: object, **more: str) -> str:
    return str(bench.carry(_start(machine, given, **more))["executionArn"])


def _status(bench: Bench, execution: str) -> str:
    return str(bench.call("stepfunctions", "DescribeExecution", executionArn=execution)["status"])


def _ends(bench: Bench, execution: str) -> str:
    """The status with which it ends. Errors: Violated."""

    def look() -> str | None:
        status = _status(bench, execution)
        return None if status == "RUNNING" else status

    return bench.until(look, "an execution did not end")


def _asked(bench: Bench, queue: ProbeQueue, count: int = 1) -> list[dict[str, Any]]:
    """What so many tasks sent. Errors: Violated."""
    found: list[dict[str, Any]] = []

    def look() -> bool | None:
        for delivery in queue.watch(1):
            queue.settle([delivery])
            found.append(orjson.loads(delivery.body))
        return True if len(found) >= count else None

    bench.until(look, f"{count} tasks were not asked for")
    return found


def _answer(token: str, *, failed: bool = False) -> Call:
    if failed:
        return Call("stepfunctions", "SendTaskFailure", {"taskToken": token, "error": "No"})
    return Call("stepfunctions", "SendTaskSuccess", {"taskToken": token, "output": "{}"})


def one_name(bench: Bench) -> None:
    """A name that was used with another input begins no second execution (API_StartExecution, name)."""
    machine, name = _machine(bench, _waits(30)), bench.name("execution")
    first = _started(bench, machine, {"n": 1}, name=name)
    refused = bench.refusal(_start(machine, {"n": 2}, name=name))
    told = bench.call("stepfunctions", "ListExecutions", stateMachineArn=machine)["executions"]
    claim(len(told) == 1, f"two starts under one name became {len(told)} executions")
    claim(refused is not None, f"the second start under the name of {first} was accepted")


def same_start(bench: Bench) -> None:
    """The same name and input, while the execution runs, is answered with that execution (API_StartExecution)."""
    machine, name = _machine(bench, _waits(30)), bench.name("execution")
    first = _started(bench, machine, {"n": 1}, name=name)
    refused = bench.refusal(_start(machine, {"n": 1}, name=name))
    claim(refused is None, f"a start that was repeated while the first ran was refused: {refused}")
    again = _started(bench, machine, {"n": 1}, name=name)
    claim(again == first, f"a start that was repeated is answered with {again}, and the first with {first}")


def every_start(bench: Bench) -> None:
    """Each start that is accepted becomes an execution (guide, "Starting state machine executions")."""
    machine = _machine(bench, _waits(30))
    started = {_started(bench, machine, {"n": n}, name=bench.name("execution")) for n in range(10)}

    def look() -> bool | None:
        told = bench.call("stepfunctions", "ListExecutions", stateMachineArn=machine, maxResults=100)["executions"]
        return True if started <= {each["executionArn"] for each in told} else None

    bench.until(look, "an execution whose start was accepted is not listed")


def every_item(bench: Bench) -> None:
    """A map works on each item once, and its output keeps their order (guide, "Map state")."""
    queue = ProbeQueue(bench)
    inner = {"StartAt": "Each", "States": {"Each": _asks(queue)}}
    machine = _machine(bench, {"Map": {"Type": "Map", "ItemProcessor": inner, "End": True}})
    for n in range(10):
        items = [f"{n}-{item}" for item in range(_ITEMS)]
        execution = _started(bench, machine, items)
        status = _ends(bench, execution)
        claim(status == "SUCCEEDED", f"a map over {_ITEMS} items ended as {status}")
        got = sorted(each["given"] for each in _asked(bench, queue, 1))
        while len(got) < _ITEMS and (more := queue.watch(1)):
            queue.settle(more)
            got += [orjson.loads(each.body)["given"] for each in more]
        claim(set(got) == set(items), f"a map over {len(items)} items asked for {len(set(got))}")
        output = bench.call("stepfunctions", "DescribeExecution", executionArn=execution).get("output")
        claim(orjson.loads(str(output)) == items, f"the output of the map is {output}")


def token_once(bench: Bench) -> None:
    """A token that was sent back is refused the next time (API_SendTaskSuccess, TaskTimedOut)."""
    queue = ProbeQueue(bench)
    execution = _started(bench, _machine(bench, {"Ask": _asks(queue, waits=True)}), {})
    (task,) = _asked(bench, queue)
    bench.carry(_answer(task["token"]))
    claim(bench.refusal(_answer(task["token"], failed=True)) is not None, "a token was accepted a second time")
    status = _ends(bench, execution)
    claim(status == "SUCCEEDED", f"a task was sent back as done, and its execution ended as {status}")


def callback_wakes(bench: Bench) -> None:
    """A task that waits goes on when its token is sent back (guide, "Wait for a callback with task token")."""
    queue = ProbeQueue(bench)
    machine = _machine(bench, {"Ask": _asks(queue, waits=True)})
    for _ in range(10):
        execution = _started(bench, machine, {})
        (task,) = _asked(bench, queue)
        claim(_status(bench, execution) == "RUNNING", "an execution did not wait for its callback")
        bench.carry(_answer(task["token"]))
        status = _ends(bench, execution)
        claim(status == "SUCCEEDED", f"a task was sent back as done, and its execution ended as {status}")


def retried(bench: Bench) -> None:
    """A task that fails is tried again as its `Retry` says (guide, "Handling errors", Retrying after an error)."""
    queue = ProbeQueue(bench)
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    execution = _started(bench, _machine(bench, {"Ask": _asks(queue, waits=True, Retry=retry)}), {})
    (first,) = _asked(bench, queue)
    bench.carry(_answer(first["token"], failed=True))
    (second,) = _asked(bench, queue)
    bench.carry(_answer(second["token"]))
    status = _ends(bench, execution)
    claim(status == "SUCCEEDED", f"a task was done when it was tried again, and its execution ended as {status}")


def new_token(bench: Bench) -> None:
    """An attempt that is tried again has a token of its own, and the first one's is refused (guide, "Get a token from
    the context object")."""
    queue = ProbeQueue(bench)
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    _started(bench, _machine(bench, {"Ask": _asks(queue, waits=True, Retry=retry)}), {})
    (first,) = _asked(bench, queue)
    bench.carry(_answer(first["token"], failed=True))
    (second,) = _asked(bench, queue)
    claim(first["token"] != second["token"], "a task that is tried again has the token of its first attempt")


def heartbeat(bench: Bench) -> None:
    """A task without a sign of life for `HeartbeatSeconds` fails (guide, "Task state", HeartbeatSeconds)."""
    queue = ProbeQueue(bench)
    execution = _started(bench, _machine(bench, {"Ask": _asks(queue, waits=True, HeartbeatSeconds=3)}), {})
    (task,) = _asked(bench, queue)
    for _ in range(3):
        bench.wait(1.5)
        try:
            bench.call("stepfunctions", "SendTaskHeartbeat", taskToken=task["token"])
        except CallFailed as failed:
            # Somebody was slow: nobody promised that this came in time.
            raise Undecided(f"a sign of life came too late: {failed}") from failed
    status = _ends(bench, execution)
    claim(status == "FAILED", f"a task gave no sign of life, and its execution ended as {status}")


def machine_timeout(bench: Bench) -> None:
    """An execution that outlasts its machine's `TimeoutSeconds` is ended (guide, "State machine structure")."""
    execution = _started(bench, _machine(bench, _waits(60), TimeoutSeconds=2), {})
    status = _ends(bench, execution)
    claim(status == "TIMED_OUT", f"an execution that outlasted its machine's TimeoutSeconds ended as {status}")


def sync_once(bench: Bench) -> None:
    """An Express execution whose start waits for it is carried out at most once, and is over when the start is answered
    (guide, "Choosing workflow type", Execution guarantees; API_StartSyncExecution)."""
    queue = ProbeQueue(bench)
    machine = _machine(bench, {"Ask": _asks(queue)}, kind="EXPRESS")
    for n in range(10):
        given = {"n": n}
        answer = bench.call(
            "stepfunctions", "StartSyncExecution", stateMachineArn=machine, input=orjson.dumps(given).decode()
        )
        claim(answer["status"] == "SUCCEEDED", f"an execution that was waited for ended as {answer['status']}")
        output = orjson.loads(str(answer.get("output")))
        claim(output == given, f"an execution that was waited for was given {given}, and its output is {output}")
    # By the message that asked: the queue may deliver one twice.
    asked: dict[str | None, int] = {}

    def more() -> bool:
        got = queue.watch(1)
        queue.settle(got)
        asked.update({each.broker_id: orjson.loads(each.body)["given"]["n"] for each in got})
        return bool(got)

    def all_asked() -> bool | None:
        more()
        return True if {*asked.values()} == {*range(10)} else None

    bench.until(all_asked, "a start that was waited for asked for nothing")
    while more():
        pass
    claim(len(asked) == 10, f"ten starts that were waited for asked {len(asked)} times")


def redriven(bench: Bench) -> None:
    """A redrive goes on at what failed, and runs nothing again that was done (guide, "Restarting state machine
    executions with redrive")."""
    done, failing = ProbeQueue(bench), ProbeQueue(bench)
    states = {"Done": _asks(done, Next="Failing"), "Failing": _asks(failing, waits=True)}
    execution = _started(bench, _machine(bench, states), {})
    (first,) = _asked(bench, failing)
    bench.carry(_answer(first["token"], failed=True))
    status = _ends(bench, execution)
    claim(status == "FAILED", f"a task failed, and its execution ended as {status}")
    bench.call("stepfunctions", "RedriveExecution", executionArn=execution)
    (again,) = _asked(bench, failing)
    bench.carry(_answer(again["token"]))
    status = _ends(bench, execution)
    claim(status == "SUCCEEDED", f"what had failed was done after a redrive, and the execution ended as {status}")
    claim(len(_asked(bench, done)) == 1 and not done.watch(1), "a redrive ran a state again that was done")


PROBES: Mapping[str, Probe] = {
    "one-name": one_name,
    "same-start": same_start,
    "every-start": every_start,
    "every-item": every_item,
    "token-once": token_once,
    "callback-wakes": callback_wakes,
    "retried": retried,
    "new-token": new_token,
    "heartbeat": heartbeat,
    "machine-timeout": machine_timeout,
    "sync-once": sync_once,
    "redriven": redriven,
}
