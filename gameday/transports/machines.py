"""State machines as a scenario knows them: which of their tasks go to queues, and how such a task's message looks.

A task that sends to `${queue:NAME}` is a step, and NAME a subscription. Its message is {"execution": …, "input": …},
with the `item` of a map and the `token` of a callback: `unwrap` reads it. It promises to name what is wrong with a
machine before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gameday.transports.base import Document, TaskOf
from gameday.transports.queue import Unwrapped

PLACE = re.compile(r"\$\{queue:([A-Za-z0-9-]+)\}")
_SENDS = "arn:aws:states:::sqs:sendMessage"
_WAITS = ".waitForTaskToken"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A task that goes to a queue. `callback`: the execution waits for its answer. `per_item`: it is one of a map."""

    state: str
    callback: bool
    per_item: bool


def steps_of(machine: Document) -> dict[str, Step]:
    """The steps of a machine by subscription, in their order. Errors: ValueError, with what is wrong."""
    steps: dict[str, Step] = {}
    for name, state, in_map in _states(machine, in_map=False):
        if state.get("Type") != "Task":
            continue
        parameters = state.get("Parameters") or {}
        place = PLACE.fullmatch(str(parameters.get("QueueUrl", "")))
        if place is None:
            continue
        resource = str(state.get("Resource", ""))
        body = parameters.get("MessageBody")
        if not resource.startswith(_SENDS) or not isinstance(body, dict):
            raise ValueError(f"{name} names a queue, and is no task of {_SENDS} with an object as its MessageBody")
        callback = resource == _SENDS + _WAITS
        wanted = ["execution.$", "input.$", *(["token.$"] if callback else []), *(["item.$"] if in_map else [])]
        if missing := [key for key in wanted if key not in body]:
            raise ValueError(f"the MessageBody of {name} lacks {', '.join(missing)}: docs/scenario.md, workflows")
        if place[1] in steps:
            raise ValueError(f"{name} and {steps[place[1]].state} send to one queue; each step needs one of its own")
        steps[place[1]] = Step(state=name, callback=callback, per_item=in_map)
    if not steps:
        raise ValueError("no task of it sends to ${queue:NAME}, so nothing could be consumed and judged")
    return steps


def _states(machine: Document, *, in_map: bool) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    states = machine.get("States")
    if not isinstance(states, dict):
        raise ValueError("it has no States, so it is no machine in Amazon States Language")
    for name, state in states.items():
        if not isinstance(state, dict):
            raise ValueError(f"its state {name} is no object")
        yield name, state, in_map
        for branch in state.get("Branches") or ():
            yield from _states(branch, in_map=in_map)
        inner = state.get("ItemProcessor") or state.get("Iterator")
        if inner is not None:
            yield from _states(inner, in_map=True)


def plain(names: Sequence[str]) -> Document:
    """The machine of whoever names subscriptions and no machine: each is a step, all beside each other."""
    body = {"execution.$": "$$.Execution.Id", "input.$": "$"}
    branches = [
        {
            "StartAt": name,
            "States": {
                name: {
                    "Type": "Task",
                    "Resource": _SENDS,
                    "Parameters": {"QueueUrl": f"${{queue:{name}}}", "MessageBody": body},
                    "End": True,
                }
            },
        }
        for name in names
    ]
    return {"StartAt": "All", "States": {"All": {"Type": "Parallel", "Branches": branches, "End": True}}}


def definition(machine: Document, queues: Mapping[str, str]) -> str:
    """The machine as it is made, with the queues' URLs in it."""
    return PLACE.sub(lambda place: queues[place[1]], orjson.dumps(machine).decode())


def unwrap(body: str) -> Unwrapped:
    """The input of the execution that sent a message; what is none of its messages, as it is."""
    try:
        document = orjson.loads(body)
        execution, given = document["execution"], document["input"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Unwrapped(body=body)
    item, token = document.get("item"), document.get("token")
    task = TaskOf(
        execution=str(execution),
        item=item if isinstance(item, int) else None,
        token=token if isinstance(token, str) else None,
    )
    return Unwrapped(body=orjson.dumps(given).decode(), upstream_id=task.execution, task=task)
