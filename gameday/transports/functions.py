"""Lambda functions and their event source mappings, as data: made, throttled, disabled and removed.

Sources: CreateFunction, PutFunctionConcurrency, DeleteFunctionConcurrency, CreateEventSourceMapping,
UpdateEventSourceMapping, ListEventSourceMappings and DeleteEventSourceMapping in docs.aws.amazon.com/lambda/latest/api.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from gameday.transports.base import Answer, Call, CallFailed, Document, Plan, shortened

SERVICE = "lambda"
_NAME_MAX = 64
_LOOK_AGAIN_S = 0.2
_LOOKS = 300
# On an emulator any will do, and on AWS no function is deployed yet.
_ROLE = "arn:aws:iam::000000000000:role/gameday"


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """A function as it is to be deployed, with its mapping. `code` is a zip file; times in seconds.

    `timeout_s` is what AWS is told when the mapping is made; `later_timeout_s` what somebody sets afterwards.
    """

    name: str
    code: bytes = field(repr=False)
    handler: str
    runtime: str
    timeout_s: int
    environment: Mapping[str, str]
    source_arn: str
    batch: int
    window_s: int
    concurrency: int
    reserved: int | None
    partial: bool
    filter: Sequence[Document]
    later_timeout_s: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """Where it is: the function's name, and its mapping's id."""

    name: str
    mapping: str


_call = partial(Call, SERVICE)


def name_of(run: str, subscription: str) -> str:
    """Of a function of a run; a long one is cut, and told apart by a number made of all of it."""
    name = f"gameday-{run}-{subscription}"
    return name if len(name) <= _NAME_MAX else shortened(name, of=name, most=_NAME_MAX)


def deploy(function: Function, *, tags: Mapping[str, str]) -> Plan[Deployed]:
    """Errors: CallFailed, also where it is not ready in a minute."""
    which = {"FunctionName": function.name}
    yield _call(
        "CreateFunction",
        {
            **which,
            "Runtime": function.runtime,
            "Role": _ROLE,
            "Handler": function.handler,
            "Code": {"ZipFile": function.code},
            "Timeout": function.timeout_s,
            "Environment": {"Variables": dict(function.environment)},
            "Tags": dict(tags),
        },
        undo=lambda _: _call("DeleteFunction", which),
    )
    yield from _until(_call("GetFunctionConfiguration", which), lambda told: told.get("State", "Active") == "Active")
    if function.reserved is not None:
        yield throttled(function.name, function.reserved)
    made = yield _call("CreateEventSourceMapping", _mapping(function), undo=lambda made: _unmapped(made["UUID"]))
    mapping = str(made["UUID"])
    yield from _until(_call("GetEventSourceMapping", {"UUID": mapping}), lambda told: told.get("State") == "Enabled")
    if function.later_timeout_s is not None:
        yield _call("UpdateFunctionConfiguration", {**which, "Timeout": function.later_timeout_s})
    return Deployed(name=function.name, mapping=mapping)


def _mapping(function: Function) -> dict[str, Any]:
    params: dict[str, Any] = {
        "EventSourceArn": function.source_arn,
        "FunctionName": function.name,
        "BatchSize": function.batch,
        "ScalingConfig": {"MaximumConcurrency": function.concurrency},
    }
    if function.window_s:
        params["MaximumBatchingWindowInSeconds"] = function.window_s
    if function.partial:
        params["FunctionResponseTypes"] = ["ReportBatchItemFailures"]
    if function.filter:
        patterns = [{"Pattern": orjson.dumps(pattern).decode()} for pattern in function.filter]
        params["FilterCriteria"] = {"Filters": patterns}
    return params


def throttled(name: str, reserved: int) -> Call:
    """With so much concurrency of its own, which may be none."""
    return _call("PutFunctionConcurrency", {"FunctionName": name, "ReservedConcurrentExecutions": reserved})


def unthrottled(name: str) -> Call:
    return _call("DeleteFunctionConcurrency", {"FunctionName": name})


def invoked(name: str, payload: bytes) -> Call:
    """By us, and answered when it is done."""
    return _call("Invoke", {"FunctionName": name, "Payload": payload})


def enabled(mapping: str, on: bool) -> Plan[None]:
    """Until it says so itself."""
    yield _call("UpdateEventSourceMapping", {"UUID": mapping, "Enabled": on})
    wanted = "Enabled" if on else "Disabled"
    yield from _until(_call("GetEventSourceMapping", {"UUID": mapping}), lambda told: told.get("State") == wanted)


def removed(deployed: Deployed) -> Plan[None]:
    yield _unmapped(deployed.mapping)
    yield _call("DeleteFunction", {"FunctionName": deployed.name})


def removed_with_mappings(name: str) -> Plan[None]:
    """Of a function that nobody has in hand."""
    which = {"FunctionName": name}
    for mapped in (yield _call("ListEventSourceMappings", which)).get("EventSourceMappings") or ():
        yield _unmapped(str(mapped["UUID"]))
    yield _call("DeleteFunction", which)


def _unmapped(mapping: str) -> Call:
    return _call("DeleteEventSourceMapping", {"UUID": mapping})


def _until(call: Call, good: Callable[[Answer], bool]) -> Plan[None]:
    """Ask again until it is so. Errors: CallFailed."""
    for _ in range(_LOOKS):
        if good((yield call)):
            return
        call = Call(call.service, call.operation, call.params, after_s=_LOOK_AGAIN_S)
    raise CallFailed("NotReady", f"{call.operation} does not say that it is ready", definite=False)
