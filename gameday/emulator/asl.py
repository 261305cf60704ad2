"""Amazon States Language, as far as a workflow of queues, tables and topics needs it: an interpreter without a clock.

An execution is a generator. It yields what it waits for (`Until` a moment, `Token` that somebody sends back, `Together`
for branches) and is sent what came of it, so that whoever plays it alone knows the time. It promises to refuse, when a
machine is made, what it makes nothing of: a definition that it takes means here what it means on AWS. Paths are
JSONPath's plain ones (`$.a.b[0]`, `$$` for the context object); JSONata, distributed maps and the rarer intrinsic
functions are not there.

Source: states-language.net/spec.html; of the context object,
docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from gameday.history.clock import NS_PER_S

Json = Any
_TYPES = ("Task", "Pass", "Choice", "Wait", "Parallel", "Map", "Succeed", "Fail")
_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']+)'\]")
_INTRINSIC = re.compile(r"States\.(Format|JsonToString|StringToJson|Array|ArrayLength)\((.*)\)", re.DOTALL)
TIMEOUT, HEARTBEAT = "States.Timeout", "States.HeartbeatTimeout"
# What no `States.ALL` catches or retries.
_UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")
_RETRY_DEFAULTS = {"IntervalSeconds": 1, "MaxAttempts": 3, "BackoffRate": 2.0}


class BadDefinition(ValueError):
    """A machine that is none, or that is more than is known here."""


class StateError(Exception):
    """A state has failed: the error's name as the language has it, and the cause in words."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Until:
    """Wait for a moment, in ns."""

    ns: int


@dataclass(frozen=True, slots=True)
class Token:
    """Wait until a task token is sent back, or its time is over: `until` in ns, and between two heartbeats."""

    token: str
    until: int | None
    heartbeat_ns: int | None


@dataclass(frozen=True, slots=True)
class Together:
    """Play these beside each other, at most so many at once; the results in their order, or the first error."""

    branches: Sequence[Play]
    at_once: int


Waits = Until | Token | Together
Play = Generator[Waits, Json, Json]


class Host(Protocol):
    """Who plays an execution."""

    @property
    def now(self) -> int: ...
    def token(self) -> str:
        """A new task token."""
        ...

    def task(self, resource: str, params: Json) -> Json:
        """Carry a task out that is no callback, or begin one that is. Errors: StateError."""
        ...

    def tell(self, kind: str, **details: Json) -> None:
        """An event of the execution's history."""
        ...

    def items(self, count: int) -> Sequence[int]:
        """Which items of a map are worked on: all of them, in their order."""
        ...

    def retries(self) -> bool:
        """Whether a `Retry` is heeded."""
        ...

    def heartbeats(self) -> bool:
        """Whether a task is ended that gives no sign of life."""
        ...


@dataclass(slots=True)
class Progress:
    """What of an execution is done, by the place of each state: a redrive begins behind it."""

    done: dict[str, tuple[Json, str | None]] = field(default_factory=dict)


def check(definition: str) -> Mapping[str, Any]:
    """The machine that a text defines. Errors: BadDefinition."""
    try:
        machine = orjson.loads(definition)
    except orjson.JSONDecodeError as error:
        raise BadDefinition(f"it is not JSON: {error}") from None
    if not isinstance(machine, dict) or machine.get("QueryLanguage", "JSONPath") != "JSONPath":
        raise BadDefinition("a machine is an object, and its query language JSONPath")
    _check_states(machine, "")
    return machine


def _check_states(machine: Mapping[str, Any], where: str) -> None:
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        raise BadDefinition(f"{where or 'the machine'} has no States")
    if machine.get("StartAt") not in states:
        raise BadDefinition(f"StartAt of {where or 'the machine'} names no state of it")
    for name, state in states.items():
        kind = state.get("Type")
        if kind not in _TYPES:
            raise BadDefinition(f"{where}{name} has the type {kind!r}; here are {', '.join(_TYPES)}")
        for target in _targets(state):
            if target not in states:
                raise BadDefinition(f"{where}{name} goes to {target!r}, which is no state there")
        if kind not in ("Choice", "Succeed", "Fail") and ("Next" in state) == bool(state.get("End")):
            raise BadDefinition(f"{where}{name} needs exactly one of Next and End")
        for branch in _inner(state):
            _check_states(branch, f"{where}{name}/")


def _targets(state: Mapping[str, Any]) -> Iterator[str]:
    if "Next" in state:
        yield state["Next"]
    for each in (*state.get("Catch", ()), *state.get("Choices", ())):
        yield each.get("Next", "")
    if "Default" in state:
        yield state["Default"]


def _inner(state: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The machines within a state."""
    if state["Type"] == "Parallel":
        return list(state.get("Branches", ()))
    if state["Type"] == "Map":
        processor = state.get("ItemProcessor") or state.get("Iterator")
        if processor is None or processor.get("ProcessorConfig", {}).get("Mode", "INLINE") != "INLINE":
            raise BadDefinition("a Map has an inline ItemProcessor here")
        return [processor]
    return []


def play(
    machine: Mapping[str, Any], data: Json, *, host: Host, context: Mapping[str, Any], progress: Progress, at: str = ""
) -> Play:
    """One pass through a machine from its beginning, or from where `progress` has come. Errors: StateError."""
    name: str | None = machine["StartAt"]
    visits: dict[str, int] = {}
    while name is not None:
        state = machine["States"][name]
        visits[name] = visits.get(name, 0) + 1
        place = f"{at}{name}#{visits[name]}"
        if place in progress.done:
            data, name = progress.done[place]
            continue
        kind = state["Type"]
        host.tell(f"{kind}StateEntered", stateEnteredEventDetails={"name": name, "input": _text(data)})
        here = {**context, "State": {"Name": name, "EnteredTime": _time(host.now), "RetryCount": 0}}
        data, following = yield from _tried(state, data, host=host, context=here, progress=progress, place=place)
        host.tell(f"{kind}StateExited", stateExitedEventDetails={"name": name, "output": _text(data)})
        progress.done[place] = data, following
        name = following
    return data


def _tried(
    state: Mapping[str, Any], data: Json, *, host: Host, context: dict[str, Any], progress: Progress, place: str
) -> Generator[Waits, Json, tuple[Json, str | None]]:
    """A state with its retries and what catches its errors: its output, and what comes next."""
    used: dict[int, int] = {}
    while True:
        try:
            return (yield from _state(state, data, host=host, context=context, progress=progress, place=place))
        except StateError as failed:
            number, retrier = _first(state.get("Retry", ()), failed.error)
            rule = {**_RETRY_DEFAULTS, **(retrier or {})}
            if retrier is not None and used.get(number, 0) < rule["MaxAttempts"] and host.retries():
                wait_s = rule["IntervalSeconds"] * rule["BackoffRate"] ** used.get(number, 0)
                used[number] = used.get(number, 0) + 1
                context["State"] = {**context["State"], "RetryCount": sum(used.values())}
                yield Until(host.now + round(min(wait_s, rule.get("MaxDelaySeconds", wait_s)) * NS_PER_S))
                continue
            _, catcher = _first(state.get("Catch", ()), failed.error)
            if catcher is None:
                raise
            told = {"Error": failed.error, "Cause": failed.cause}
            return _placed(data, told, catcher.get("ResultPath", "$")), catcher["Next"]


def _first(rules: Sequence[Mapping[str, Any]], error: str) -> tuple[int, Mapping[str, Any] | None]:
    for number, rule in enumerate(rules):
        if any(_names(name, error) for name in rule["ErrorEquals"]):
            return number, rule
    return -1, None


def _names(name: str, error: str) -> bool:
    if error in _UNCATCHABLE:
        return name == error
    if name == "States.TaskFailed":
        # Any error of a task but that its time is over.
        return (error != TIMEOUT and not error.startswith("States.")) or error == name
    return name in ("States.ALL", error) or (name == TIMEOUT and error == HEARTBEAT)


def _state(
    state: Mapping[str, Any], raw: Json, *, host: Host, context: Mapping[str, Any], progress: Progress, place: str
) -> Generator[Waits, Json, tuple[Json, str | None]]:
    kind, following = state["Type"], state.get("Next")
    data = _at(raw, state.get("InputPath", "$"), context) if state.get("InputPath", "$") is not None else {}
    if kind == "Choice":
        out = _out(state, data, context)
        return out, choose(state, data, context)
    if kind == "Succeed":
        return _out(state, data, context), None
    if kind == "Fail":
        error = _at(data, state["ErrorPath"], context) if "ErrorPath" in state else state.get("Error", "")
        cause = _at(data, state["CausePath"], context) if "CausePath" in state else state.get("Cause", "")
        raise StateError(str(error), str(cause))
    if kind == "Wait":
        yield Until(_wake(state, data, context, host.now))
        return _out(state, data, context), following
    if kind in ("Pass", "Parallel") and "Parameters" in state:
        data = filled(state["Parameters"], data, context)
    if kind == "Pass":
        result = state.get("Result", data)
    elif kind == "Task":
        result = yield from _task(state, data, raw, host=host, context=context)
    elif kind == "Parallel":
        branches = [
            play(each, deepcopy(data), host=host, context=context, progress=progress, at=f"{place}[{n}]/")
            for n, each in enumerate(state["Branches"])
        ]
        result = yield Together(branches, len(branches))
    else:
        result = yield from _map(state, data, host=host, context=context, progress=progress, place=place)
    if "ResultSelector" in state:
        result = filled(state["ResultSelector"], result, context)
    return _out(state, _placed(raw, result, state.get("ResultPath", "$")), context), following


def _out(state: Mapping[str, Any], data: Json, context: Mapping[str, Any]) -> Json:
    path = state.get("OutputPath", "$")
    return {} if path is None else _at(data, path, context)


def _task(state: Mapping[str, Any], data: Json, raw: Json, *, host: Host, context: Mapping[str, Any]) -> Play:
    resource = str(state["Resource"])
    bare, waits, _ = resource.partition(".waitForTaskToken")
    token = host.token() if waits else ""
    here = {**context, "Task": {"Token": token}} if waits else context
    params = filled(state["Parameters"], data, here) if "Parameters" in state else data
    began = host.now
    kind, _, action = resource.removeprefix("arn:aws:states:::").partition(":")
    which = {"resourceType": kind, "resource": action or resource}
    scheduled = {**which, "region": "us-east-1", "parameters": _text(params)}
    host.tell("TaskScheduled", taskScheduledEventDetails=scheduled)
    try:
        result = host.task(bare, params)
        if waits:
            timeout_s = _seconds(state, "TimeoutSeconds", raw, context)
            heartbeat_s = _seconds(state, "HeartbeatSeconds", raw, context) if host.heartbeats() else None
            result = yield Token(
                token,
                None if timeout_s is None else began + round(timeout_s * NS_PER_S),
                None if heartbeat_s is None else round(heartbeat_s * NS_PER_S),
            )
    except StateError as failed:
        ended = "TaskTimedOut" if failed.error in (TIMEOUT, HEARTBEAT) else "TaskFailed"
        told = {**which, "error": failed.error, "cause": failed.cause}
        host.tell(ended, **{f"t{ended[1:]}EventDetails": told})
        raise
    host.tell("TaskSucceeded", taskSucceededEventDetails={**which, "output": _text(result)})
    return result


def _seconds(state: Mapping[str, Any], key: str, data: Json, context: Mapping[str, Any]) -> float | None:
    if f"{key}Path" in state:
        return float(_at(data, state[f"{key}Path"], context))
    return None if key not in state else float(state[key])


def _map(
    state: Mapping[str, Any], data: Json, *, host: Host, context: Mapping[str, Any], progress: Progress, place: str
) -> Play:
    items = _at(data, state.get("ItemsPath", "$"), context)
    if not isinstance(items, list):
        raise StateError("States.Runtime", f"ItemsPath of {place} leads to no array")
    (machine,) = _inner(state)
    selector = state.get("ItemSelector", state.get("Parameters"))
    host.tell("MapStateStarted", mapStateStartedEventDetails={"length": len(items)})

    def one(index: int) -> Play:
        name = context["State"]["Name"]
        here = {**context, "Map": {"Item": {"Index": index, "Value": items[index]}}}
        given = deepcopy(items[index]) if selector is None else filled(selector, data, here)
        host.tell("MapIterationStarted", mapIterationStartedEventDetails={"name": name, "index": index})
        result = yield from play(machine, given, host=host, context=here, progress=progress, at=f"{place}[{index}]/")
        host.tell("MapIterationSucceeded", mapIterationSucceededEventDetails={"name": name, "index": index})
        return result

    worked = [one(index) for index in host.items(len(items))]
    return (yield Together(worked, int(state.get("MaxConcurrency", 0)) or len(worked)))


def _wake(state: Mapping[str, Any], data: Json, context: Mapping[str, Any], now: int) -> int:
    seconds = _at(data, state["SecondsPath"], context) if "SecondsPath" in state else state.get("Seconds")
    if seconds is None:
        raise StateError("States.Runtime", "a Wait has Seconds or a SecondsPath here")
    return now + round(float(seconds) * NS_PER_S)


# Choices


def choose(state: Mapping[str, Any], data: Json, context: Mapping[str, Any]) -> str:
    """The state that a Choice goes to. Errors: StateError."""
    for rule in state.get("Choices", ()):
        if _holds(rule, data, context):
            return str(rule["Next"])
    if "Default" not in state:
        raise StateError("States.NoChoiceMatched", "no rule of the choice holds, and it has no Default")
    return str(state["Default"])


_COMPARED: Mapping[str, Callable[[Any, Any], object]] = {
    "Equals": lambda a, b: a == b,
    "LessThan": lambda a, b: a < b,
    "GreaterThan": lambda a, b: a > b,
    "LessThanEquals": lambda a, b: a <= b,
    "GreaterThanEquals": lambda a, b: a >= b,
}
_KINDS: Mapping[str, type | tuple[type, ...]] = {"String": str, "Numeric": (int, float), "Boolean": bool}


def _holds(rule: Mapping[str, Any], data: Json, context: Mapping[str, Any]) -> bool:
    if "And" in rule:
        return all(_holds(each, data, context) for each in rule["And"])
    if "Or" in rule:
        return any(_holds(each, data, context) for each in rule["Or"])
    if "Not" in rule:
        return not _holds(rule["Not"], data, context)
    if "IsPresent" in rule:
        try:
            _at(data, rule["Variable"], context)
        except StateError:
            return not rule["IsPresent"]
        return bool(rule["IsPresent"])
    value = _at(data, rule["Variable"], context)
    if "IsNull" in rule:
        return bool((value is None) == rule["IsNull"])
    for kind, types in _KINDS.items():
        for comparison, holds in _COMPARED.items():
            key = f"{kind}{comparison}"
            if key in rule or f"{key}Path" in rule:
                other = rule[key] if key in rule else _at(data, rule[f"{key}Path"], context)
                right = isinstance(value, types) and isinstance(value, bool) == (kind == "Boolean")
                return right and bool(holds(value, other))
    raise StateError("States.Runtime", f"nothing here compares {', '.join(rule)}")


# Paths and templates


def filled(template: Json, data: Json, context: Mapping[str, Any]) -> Json:
    """A payload template with its paths and intrinsic functions carried out. Errors: StateError."""
    if isinstance(template, list):
        return [filled(each, data, context) for each in template]
    if not isinstance(template, dict):
        return template
    return {
        key.removesuffix(".$"): _value(value, data, context) if key.endswith(".$") else filled(value, data, context)
        for key, value in template.items()
    }


def _value(text: str, data: Json, context: Mapping[str, Any]) -> Json:
    text = text.strip()
    if text.startswith("$"):
        return _at(data, text, context)
    if text.startswith("'") and text.endswith("'"):
        return text[1:-1].replace("\\'", "'")
    if (found := _INTRINSIC.fullmatch(text)) is None:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise StateError("States.ParameterPathFailure", f"{text} is neither a path nor known here") from None
    function, args = found[1], [_value(each, data, context) for each in _arguments(found[2])]
    match function:
        case "Format":
            given = iter(args[1:])
            return re.sub(r"\{\}", lambda _: _plain(next(given)), args[0])
        case "JsonToString":
            return _text(args[0])
        case "StringToJson":
            return orjson.loads(args[0])
        case "Array":
            return args
        case _:
            return len(args[0])


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else _text(value)


def _arguments(text: str) -> Iterator[str]:
    """What stands between the commas of a call, those of inner calls and quotes apart."""
    depth, quoted, begun = 0, False, 0
    for n, letter in enumerate(text):
        if letter == "'" and text[n - 1 : n] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (letter == "(") - (letter == ")")
            if letter == "," and depth == 0:
                yield text[begun:n]
                begun = n + 1
    if text[begun:].strip():
        yield text[begun:]


def _at(data: Json, path: str, context: Mapping[str, Any]) -> Json:
    """What stands at a path. Errors: StateError."""
    here: Json = context if path.startswith("$$") else data
    rest = path.removeprefix("$$") if path.startswith("$$") else path.removeprefix("$")
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise StateError("States.Runtime", f"the path {path} is more than is known here")
        rest = rest[step.end() :]
        try:
            here = here[int(step[2])] if step[2] is not None else here[step[1] or step[3]]
        except (KeyError, IndexError, TypeError):
            raise StateError("States.ParameterPathFailure", f"nothing stands at {path}") from None
    return here


def _placed(data: Json, result: Json, path: str | None) -> Json:
    """The input with a result at its place in it. Errors: StateError."""
    if path is None:
        return data
    steps = [step[1] or step[3] for step in _STEP.finditer(path.removeprefix("$"))]
    if not steps:
        return result
    out = deepcopy(data)
    here = out
    for step in steps[:-1]:
        if not isinstance(here, dict):
            raise StateError("States.ResultPathMatchFailure", f"{path} has no place in the input")
        here = here.setdefault(step, {})
    if not isinstance(here, dict):
        raise StateError("States.ResultPathMatchFailure", f"{path} has no place in the input")
    here[steps[-1]] = result
    return out


def _text(value: Json) -> str:
    return orjson.dumps(value).decode()


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
