"""State machines as a scenario knows them: which of their tasks go to queues, and how such a task's message looks.

A task that sends to `${queue:NAME}` is a step, and NAME a subscription. Its message is {"execution": …, "input": …},
with the `item` of a map and the `token` of a callback: `unwrap` reads it. It promises to name what is wrong with a
machine before anything is built, and to say of two steps that one follows the other only where every way through the
machine has them in that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gameday.transports.base import Document, TaskOf
from gameday.transports.queue import Unwrapped

PLACE = re.compile(r"\$\{queue:([A-Za-z0-9-]+)\}")
_SENDS = "arn:aws:states:::sqs:sendMessage"
_WAITS = ".waitForTaskToken"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A task that goes to a queue. `callback`: the execution waits for its answer. `per_item`: it is one of a map.
    `retried`: one execution may ask for it more than once, by a `Retry` or by going there again. `followed_by`: the
    steps of which none is asked for before this one is over. `patience_s`: how long it is waited for, between signs of
    life too, where the machine says it in seconds."""

    state: str
    callback: bool
    per_item: bool
    retried: bool = False
    followed_by: tuple[str, ...] = ()
    patience_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """A state on the way to a step: of which machine (by its place), and what may come after it there."""

    machine: tuple[str, ...]
    state: str
    after: frozenset[str]
    retries: bool
    maps: bool

    @property
    def comes_again(self) -> bool:
        return self.retries or self.state in self.after


def steps_of(machine: Document) -> dict[str, Step]:
    """The steps of a machine by subscription, in their order. Errors: ValueError, with what is wrong."""
    steps: dict[str, Step] = {}
    ways: dict[str, Sequence[_Level]] = {}
    for way, state in _states(machine, ()):
        name, in_map = way[-1].state, any(level.maps for level in way[:-1])
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
        again = any(level.comes_again for level in way)
        limits = [float(state[key]) for key in ("TimeoutSeconds", "HeartbeatSeconds") if key in state]
        steps[place[1]] = Step(
            state=name,
            callback=callback,
            per_item=in_map,
            retried=again,
            patience_s=min(limits, default=None) if callback else None,
        )
        ways[place[1]] = way
    if not steps:
        raise ValueError("no task of it sends to ${queue:NAME}, so nothing could be consumed and judged")
    return {
        name: replace(step, followed_by=tuple(other for other in steps if _follows(ways[name], ways[other])))
        for name, step in steps.items()
    }


def resources_of(machine: Document) -> list[str]:
    """What its tasks ask, by ARN. Errors: ValueError for what is no machine."""
    return [str(state["Resource"]) for _, state in _states(machine, ()) if "Resource" in state]


def _follows(first: Sequence[_Level], second: Sequence[_Level]) -> bool:
    """Whether all that is asked for on the first way is over when something is on the second. Items of a map are worked
    on beside each other, so within one nothing is said."""
    for one, other in zip(first, second, strict=False):
        if one.machine != other.machine:
            return False
        if one.state != other.state:
            return other.state in one.after and not one.comes_again
        if one.maps or one.comes_again:
            return False
    return False


def _states(
    machine: Document, above: tuple[_Level, ...], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[_Level, ...], Mapping[str, Any]]]:
    """Every state, with the way to it: itself last, and before it the states that it stands within."""
    states = machine.get("States")
    if not isinstance(states, dict):
        raise ValueError("it has no States, so it is no machine in Amazon States Language")
    for name, state in states.items():
        if not isinstance(state, dict):
            raise ValueError(f"its state {name} is no object")
        inner = state.get("ItemProcessor") or state.get("Iterator")
        level = _Level(
            machine=place,
            state=name,
            after=_after(states, name),
            retries=bool(state.get("Retry")),
            maps=inner is not None,
        )
        yield (*above, level), state
        for number, branch in enumerate(state.get("Branches") or ()):
            yield from _states(branch, (*above, level), (*place, name, str(number)))
        if inner is not None:
            yield from _states(inner, (*above, level), (*place, name))


def _after(states: Mapping[str, Any], name: str) -> frozenset[str]:
    """The states that an execution may come to from this one, itself among them where it may come back."""
    found: set[str] = set()
    left = [name]
    while left:
        state = states.get(left.pop())
        for target in _targets(state) if isinstance(state, dict) else ():
            if target not in found:
                found.add(target)
                left.append(target)
    return frozenset(found)


def _targets(state: Mapping[str, Any]) -> Iterator[str]:
    for told in (state, *(state.get("Catch") or ()), *(state.get("Choices") or ())):
        yield from (str(told[key]) for key in ("Next", "Default") if key in told)


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
