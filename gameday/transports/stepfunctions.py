"""The pipeline `stepfunctions`: each message starts an execution, whose tasks go to queues that consumers work off.

An execution is named after its message, so that a start which is repeated finds the first one. Promises, as AWS
documents them: a Standard execution is carried out exactly once, an Express one at least once, and one that its start
waits for at most once (docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html); so who has no answer
to such a start sends it again only where the scenario says so. A name is taken for 90 days, and the same
name and input while it runs are answered with the same execution (apireference/API_StartExecution.html). What gets to a
step is the workflow's to say: an execution may fail before it, so a step's queue is promised each message at most once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, cast

from gameday.history.clock import NS_PER_S
from gameday.history.events import ExecutionStatus
from gameday.history.identity import Identification
from gameday.history.manifest import Subscription
from gameday.transports import machines
from gameday.transports.base import (
    Addresses,
    Answer,
    Call,
    CallFailed,
    Capability,
    Document,
    ExecutionSeen,
    Found,
    Limits,
    Outgoing,
    Plan,
    SendOutcome,
    Size,
    Topology,
    refuse_unknown,
    shortened,
)
from gameday.transports.queue import SERVICE as SQS
from gameday.transports.queue import EndsInQueues, create_queues, delete_queues, promise

SERVICE = "stepfunctions"
# Of an execution's input (docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
BYTES_MAX = 256 * 1024
_NAME_MAX = 80
_ILLEGAL = re.compile(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]")
# Emulators look at no role; where one is needed, this pipeline is refused.
_ROLE = "arn:aws:iam::000000000000:role/gameday"
# What stands around the input in a step's message: an ARN, a token, an item.
_AROUND_BYTES = 4096


class StepFunctions(EndsInQueues):
    """One machine, and a queue with its dead-letter queue for each of its steps."""

    name = "stepfunctions"
    ordered = False
    batch_max = 1
    services = (SERVICE, SQS)
    attaches_to: Literal["machine"] = "machine"
    traced_in: Literal["attribute", "body"] = "body"
    unwrap = staticmethod(machines.unwrap)

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """Errors: ValueError for a machine whose steps are not the subscriptions."""
        refuse_unknown(self.name, topology, takes=())
        steps = machines.steps_of(_machine(topology))
        if set(steps) != set(topology.names):
            raise ValueError(
                f"the subscriptions of a workflow are its steps, {', '.join(steps)}; named are "
                f"{', '.join(topology.names)}. Leave `subscriptions` out, and they are"
            )
        waits = [name for name, step in steps.items() if step.callback]
        if topology.workflow is not None and topology.workflow.express and waits:
            raise ValueError(
                f"an Express workflow waits for nobody's answer, and {', '.join(waits)} would; leave .waitForTaskToken "
                "out, or make it a Standard one"
            )
        return {
            spec.name: replace(
                promise(topology, spec, fifo=False),
                promises="at-most-once",
                step="callback" if steps[spec.name].callback else "task",
                per_item=steps[spec.name].per_item,
                retried=steps[spec.name].retried,
                followed_by=steps[spec.name].followed_by,
            )
            for spec in topology.subscriptions
        }

    def look(self, topology: Topology) -> Plan[Found]:
        """A scenario that asks for it is refused."""
        yield Call(SERVICE, "ListStateMachines", {})
        why = "a machine that is there already cannot be used; let the run make it"
        raise CallFailed("NotAttached", why, definite=True)

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]:
        made = yield from create_queues(topology, ordered=False, run=run, tags=tags)
        workflow = topology.workflow
        answer = yield Call(
            SERVICE,
            "CreateStateMachine",
            {
                "name": f"gameday-{run}",
                "definition": machines.definition(_machine(topology), made.urls),
                "roleArn": _ROLE,
                "type": "EXPRESS" if workflow is not None and workflow.express else "STANDARD",
                "tags": [{"key": key, "value": value} for key, value in tags.items()],
            },
            undo=lambda made: _removed(made["stateMachineArn"]),
        )
        return Addresses(
            send_to=answer["stateMachineArn"],
            queues=made.urls,
            dead_letter_queues=made.dead_letter_urls,
            extra={
                "named": "yes" if workflow is None or workflow.named else "no",
                "waits": "yes" if workflow is not None and workflow.type == "express-sync" else "no",
            },
        )

    def tear_down(self, addresses: Addresses) -> Plan[None]:
        yield _removed(addresses.send_to)
        yield from delete_queues(addresses)

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call:
        (message,) = messages
        named = {"name": execution_name(message.id)} if addresses.extra.get("named") == "yes" else {}
        params = {"stateMachineArn": addresses.send_to, **named, "input": message.body}
        return Call(
            SERVICE, "StartSyncExecution" if addresses.extra.get("waits") == "yes" else "StartExecution", params
        )

    def limits(self, topology: Topology) -> Limits:
        return Limits(message=BYTES_MAX, call=BYTES_MAX)

    def size(self, topology: Topology, message: Outgoing) -> Size:
        length = len(message.body.encode())
        return Size(sent=length, arrives=length + _AROUND_BYTES)

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        arn = answer.get("executionArn")
        (message,) = messages
        if arn is None:
            return [SendOutcome(id=message.id, entry=0, outcome="unknown", error="the answer names no execution")]
        # What was waited for is over, and the answer tells how it went: failed or not, it was started.
        over = _seen(answer) if "status" in answer else None
        return [SendOutcome(id=message.id, entry=0, outcome="ok", broker_id=arn, execution=over)]

    def expect(self, topology: Topology, message: Outgoing) -> list[str]:
        """Of an execution that succeeds; whether it does, nobody knows beforehand."""
        return topology.names

    def needs(self, topology: Topology) -> Collection[Capability]:
        asked: tuple[Capability, ...] = ("workflows",)
        return asked

    # Executions

    def executions(
        self, addresses: Addresses, *, status: ExecutionStatus | None = None, page: str | None = None
    ) -> Call:
        more = {} if page is None else {"nextToken": page}
        if status is not None:
            more["statusFilter"] = status.upper().replace("-", "_")
        return Call(SERVICE, "ListExecutions", {"stateMachineArn": addresses.send_to, "maxResults": 1000, **more})

    def executions_of(self, answer: Answer) -> tuple[list[ExecutionSeen], str | None]:
        return [_seen(each) for each in answer.get("executions") or ()], answer.get("nextToken")

    def execution(self, arn: str) -> Call:
        return Call(SERVICE, "DescribeExecution", {"executionArn": arn})

    def execution_of(self, answer: Answer, identification: Identification) -> ExecutionSeen:
        return replace(_seen(answer), id=identification.identify(str(answer.get("input") or ""), {}).id)

    def redrive(self, arn: str) -> Call:
        return Call(SERVICE, "RedriveExecution", {"executionArn": arn})

    def stop_execution(self, arn: str) -> Call:
        return Call(SERVICE, "StopExecution", {"executionArn": arn, "error": "Stopped", "cause": "gameday"})

    def answer_task(self, token: str, *, failed: str | None = None) -> Call:
        if failed is None:
            return Call(SERVICE, "SendTaskSuccess", {"taskToken": token, "output": "{}"})
        return Call(SERVICE, "SendTaskFailure", {"taskToken": token, "error": "HandlerFailed", "cause": failed})


def execution_name(id: str) -> str:
    """A message's id as a name that an execution may have: as it is, where it may, and never that of another one."""
    legal = _ILLEGAL.sub("_", id)
    if legal == id and len(id) <= _NAME_MAX:
        return id
    return shortened(legal, of=id, most=_NAME_MAX)


def _machine(topology: Topology) -> Document:
    return machines.plain(topology.names) if topology.workflow is None else topology.workflow.machine


def _removed(machine: str) -> Call:
    return Call(SERVICE, "DeleteStateMachine", {"stateMachineArn": machine})


def _seen(told: Mapping[str, Any]) -> ExecutionSeen:
    return ExecutionSeen(
        arn=told["executionArn"],
        name=str(told.get("name") or ""),
        status=cast(ExecutionStatus, str(told["status"]).lower().replace("_", "-")),
        started=_ns(told.get("startDate")),
        stopped=_ns(told.get("stopDate")),
        redrives=int(told.get("redriveCount") or 0),
        version=told.get("stateMachineVersionArn"),
    )


def _ns(time: object) -> int | None:
    if isinstance(time, datetime):
        return round(time.timestamp() * NS_PER_S)
    return round(time * NS_PER_S) if isinstance(time, int | float) else None
