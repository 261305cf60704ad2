"""Step Functions' operations as data: machines, executions of the Standard and the Express kind, and task tokens.

Names, limits and error codes are those of its API reference (docs.aws.amazon.com/step-functions/latest/apireference).
What an execution does is told by gameday/emulator/asl.py; here is who plays it, on a clock that is passed in. A name is
used once by a Standard machine: the same name and input while it runs are answered with the same execution, and
everything else with ExecutionAlreadyExists (API_StartExecution). Of an Express execution nobody can ask anything
afterwards. A redrive goes on behind what was done (API_RedriveExecution). Tasks go to SQS, SNS and DynamoDB, with and
without a token; there are no activities and no functions.
"""

from __future__ import annotations

import heapq
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Literal

import orjson

from gameday.emulator import asl
from gameday.emulator.asl import HEARTBEAT, TIMEOUT, BadDefinition, StateError, Together, Token, Until, Waits
from gameday.emulator.held import Held
from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S

_ARN = "arn:aws:states:us-east-1:000000000000:"
# What a name may not have in it (API_StartExecution, `name`), and how long it may be.
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
_HISTORY_MAX = 25_000
# How long after its end an execution may be redriven (API_RedriveExecution).
_REDRIVABLE_NS = 14 * 24 * 3600 * NS_PER_S
# What the answer to a start that was waited for tells (API_StartSyncExecution).
_SYNC = (
    *(
        "executionArn",
        "stateMachineArn",
        "name",
        "status",
        "startDate",
        "stopDate",
        "input",
        "output",
        "error",
        "cause",
    ),
)
_PAGE_MAX = 1000
# What a list tells of each execution.
_LISTED = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "redriveCount", "redriveDate")
Json = Any
Played = Literal["standard", "express", "sync"]


class WorkflowConduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def keeps_names(self) -> bool:
        """Whether a Standard machine uses a name but once."""
        return True

    def repeats_answer(self) -> bool:
        """Whether the same name and input are answered with the execution that runs."""
        return True

    def runs(self) -> bool:
        """Whether a start that was answered becomes an execution."""
        return True

    def plays(self, kind: Played) -> int:
        """How often an execution is carried out. One that is `express` may be more than once; `sync` is one that
        somebody waits for."""
        return 1

    def items(self, number: int) -> Sequence[int]:
        """Which items of a map are worked on, of so many."""
        return range(number)

    def closes_tokens(self) -> bool:
        """Whether a token that was answered, or whose time is over, is refused."""
        return True

    def renews_tokens(self) -> bool:
        """Whether each attempt of a task has a token of its own."""
        return True

    def retries(self) -> bool:
        return True

    def heeds_heartbeats(self) -> bool:
        return True

    def heeds_timeout(self) -> bool:
        """Whether a machine's own TimeoutSeconds ends an execution."""
        return True

    def redrives_from_failure(self) -> bool:
        """Whether a redrive leaves alone what was done."""
        return True

    def tells_tokens(self) -> bool:
        """Whether a callback that was sent wakes its execution."""
        return True


@dataclass(slots=True)
class _Machine:
    name: str
    definition: str
    parsed: Mapping[str, Any]
    kind: str
    role: str
    made_ns: int
    tags: list[Params]
    revision: str = "INITIAL"
    executions: dict[str, _Execution] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"{_ARN}stateMachine:{self.name}"

    @property
    def express(self) -> bool:
        return self.kind == "EXPRESS"


@dataclass(slots=True, eq=False)
class _Execution:
    machine: _Machine
    name: str
    arn: str
    input: str
    started_ns: int
    status: str = "RUNNING"
    stopped_ns: int | None = None
    output: str | None = None
    error: str | None = None
    cause: str | None = None
    redrives: int = 0
    redriven_ns: int | None = None
    events: list[Answer] = field(default_factory=list)
    progress: asl.Progress = field(default_factory=asl.Progress)
    root: _Thread | None = None
    waiting: Held | None = None


@dataclass(slots=True)
class _Waiting:
    """A token that is waited for."""

    thread: _Thread
    until: int | None
    heartbeat_ns: int | None
    beat_ns: int


class StepFunctions:
    """All machines of one account. `call`: what tasks ask of other services, by service, operation and parameters."""

    def __init__(self, *, call: Callable[[int, str, str, Params], Answer], conduct: WorkflowConduct) -> None:
        self.now = 0
        self.conduct = conduct
        self._call = call
        self._machines: dict[str, _Machine] = {}
        self._executions: dict[str, _Execution] = {}
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._tokens: dict[str, _Waiting | None] = {}
        self._operations: dict[str, Callable[[Params], Answer | Held]] = {
            "CreateStateMachine": self._create,
            "DescribeStateMachine": self._describe_machine,
            "UpdateStateMachine": self._update,
            "DeleteStateMachine": self._delete,
            "ListStateMachines": self._list_machines,
            "ListTagsForResource": self._list_tags,
            "StartExecution": self._start,
            "StartSyncExecution": self._start_sync,
            "StopExecution": self._stop,
            "DescribeExecution": self._describe,
            "ListExecutions": self._list,
            "GetExecutionHistory": self._history,
            "RedriveExecution": self._redrive,
            "SendTaskSuccess": self._succeed,
            "SendTaskFailure": self._fail,
            "SendTaskHeartbeat": self._heartbeat,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer | Held:
        """Errors: Refused."""
        self.advance(now)
        answer = known(self._operations, operation)(params)
        # What it set off at once.
        self.advance(now)
        return answer

    # Time

    def advance(self, now: int) -> None:
        """Play what has come due by now."""
        while self._timers and self._timers[0][0] <= now:
            at, _, ring = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            ring()
        self.now = max(self.now, now)

    def next_change_ns(self) -> int | None:
        """When something comes due by itself."""
        return self._timers[0][0] if self._timers else None

    def at(self, ns: int, ring: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (ns, next(self._order), ring))

    # Machines

    def _create(self, params: Params) -> Answer:
        name, definition = str(params.get("name", "")), str(params.get("definition", ""))
        if not _NAME.fullmatch(name):
            raise Refused("InvalidName", f"Invalid Name: {name!r}")
        try:
            parsed = asl.check(definition)
        except BadDefinition as error:
            raise Refused("InvalidDefinition", f"Invalid State Machine Definition: {error}") from None
        kind, there = str(params.get("type") or "STANDARD"), self._machines.get(name)
        if there is not None and (there.definition, there.kind) != (definition, kind):
            raise Refused("StateMachineAlreadyExists", f"State Machine Already Exists: '{there.arn}'")
        if there is None:
            there = self._machines[name] = _Machine(
                name=name,
                definition=definition,
                parsed=parsed,
                kind=kind,
                role=str(params.get("roleArn", "")),
                made_ns=self.now,
                tags=list(params.get("tags") or ()),
            )
        return {"stateMachineArn": there.arn, "creationDate": _s(there.made_ns)}

    def _update(self, params: Params) -> Answer:
        """What runs already goes on as it began."""
        machine = self._machine(params)
        if "definition" in params:
            try:
                machine.parsed = asl.check(str(params["definition"]))
            except BadDefinition as error:
                raise Refused("InvalidDefinition", f"Invalid State Machine Definition: {error}") from None
            machine.definition = str(params["definition"])
            machine.revision = str(uuid.uuid4())
        return {"updateDate": _s(self.now), "revisionId": machine.revision}

    def _describe_machine(self, params: Params) -> Answer:
        machine = self._machine(params)
        return {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "status": "ACTIVE",
            "definition": machine.definition,
            "roleArn": machine.role,
            "type": machine.kind,
            "creationDate": _s(machine.made_ns),
            "revisionId": machine.revision,
        }

    def _delete(self, params: Params) -> Answer:
        machine = self._machines.pop(str(params.get("stateMachineArn", "")).rpartition(":")[2], None)
        for execution in () if machine is None else machine.executions.values():
            if execution.status == "RUNNING":
                self._end(execution, "ABORTED")
            self._executions.pop(execution.arn, None)
        return {}

    def _list_machines(self, params: Params) -> Answer:
        told = [
            {"stateMachineArn": m.arn, "name": m.name, "type": m.kind, "creationDate": _s(m.made_ns)}
            for m in self._machines.values()
        ]
        return _page(told, "stateMachines", params)

    def _list_tags(self, params: Params) -> Answer:
        name = str(params.get("resourceArn", "")).rpartition(":")[2]
        if name not in self._machines:
            raise Refused("ResourceNotFound", f"Resource not found: '{params.get('resourceArn')}'")
        return {"tags": self._machines[name].tags}

    def _machine(self, params: Params) -> _Machine:
        arn = str(params.get("stateMachineArn", ""))
        if arn.rpartition(":")[2] not in self._machines:
            raise Refused("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        return self._machines[arn.rpartition(":")[2]]

    # Executions

    def _start(self, params: Params) -> Answer:
        machine = self._machine(params)
        execution = self._begun(machine, params)
        return {"executionArn": execution.arn, "startDate": _s(execution.started_ns)}

    def _start_sync(self, params: Params) -> Answer | Held:
        machine = self._machine(params)
        if not machine.express:
            raise Refused("StateMachineTypeNotSupported", "Only an Express machine is started so that one waits.")
        held = Held()
        self._begun(machine, params, waiting=held)
        return held

    def _begun(self, machine: _Machine, params: Params, *, waiting: Held | None = None) -> _Execution:
        name = str(params.get("name") or uuid.uuid4())
        given = str(params.get("input") or "{}")
        if not _NAME.fullmatch(name):
            raise Refused("InvalidName", f"Invalid Name: {name!r}")
        try:
            orjson.loads(given)
        except orjson.JSONDecodeError:
            raise Refused("InvalidExecutionInput", "Invalid State Machine Execution Input: it is not JSON") from None
        if len(given.encode()) > 256 * 1024:
            raise Refused("ValidationException", "Value at 'input' failed to satisfy constraint: at most 262144 bytes")
        kind = "express" if machine.express else "execution"
        arn = f"{_ARN}{kind}:{machine.name}:{name}"
        if machine.express:
            arn = f"{arn}:{uuid.uuid4()}"
        elif (there := machine.executions.get(name)) is not None:
            if there.status == "RUNNING" and there.input == given and self.conduct.repeats_answer():
                return there
            if self.conduct.keeps_names():
                raise Refused("ExecutionAlreadyExists", f"Execution Already Exists: '{there.arn}'")
            arn = f"{arn}-{next(self._order)}"
        execution = _Execution(machine, name, arn, given, self.now, waiting=waiting)
        if not self.conduct.runs():
            return execution
        self._executions[arn] = execution
        if not machine.express:
            machine.executions[name if name not in machine.executions else arn] = execution
        played: Played = "standard" if not machine.express else "express" if waiting is None else "sync"
        for again in range(self.conduct.plays(played)):
            self._play(execution if again == 0 else _Execution(machine, name, arn, given, self.now))
        return execution

    def _play(self, execution: _Execution) -> None:
        machine = execution.machine
        context = {
            "Execution": {
                "Id": execution.arn,
                "Name": execution.name,
                "Input": orjson.loads(execution.input),
                "RedriveCount": execution.redrives,
            },
            "StateMachine": {"Id": machine.arn, "Name": machine.name},
        }
        host = _Playing(self, execution)
        host.tell("ExecutionStarted" if not execution.redrives else "ExecutionRedriven")
        playing = asl.play(
            machine.parsed, orjson.loads(execution.input), host=host, context=context, progress=execution.progress
        )
        timeout_s = machine.parsed.get("TimeoutSeconds")
        if timeout_s is not None and self.conduct.heeds_timeout():
            redrives = execution.redrives

            def over() -> None:
                if execution.status == "RUNNING" and execution.redrives == redrives:
                    self._end(execution, "TIMED_OUT", error=TIMEOUT)

            self.at(self.now + round(timeout_s * NS_PER_S), over)

        def done(result: Json, failed: StateError | None) -> None:
            if failed is None:
                self._end(execution, "SUCCEEDED", output=orjson.dumps(result).decode())
            else:
                self._end(execution, "FAILED", error=failed.error, cause=failed.cause)

        execution.root = _Thread(self, playing, done)
        execution.root.step()

    def _end(
        self,
        execution: _Execution,
        status: str,
        *,
        output: str | None = None,
        error: str | None = None,
        cause: str | None = None,
    ) -> None:
        if execution.root is not None:
            execution.root.cancel()
        execution.status, execution.stopped_ns, execution.output = status, self.now, output
        execution.error, execution.cause = error, cause
        kinds = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "TIMED_OUT": "TimedOut", "ABORTED": "Aborted"}
        _Playing(self, execution).tell(f"Execution{kinds[status]}")
        if execution.waiting is not None:
            told = self._told(execution)
            execution.waiting.end({name: told[name] for name in _SYNC if name in told})

    def _stop(self, params: Params) -> Answer:
        execution = self._execution(params)
        if execution.status == "RUNNING":
            self._end(execution, "ABORTED", error=params.get("error"), cause=params.get("cause"))
        return {"stopDate": _s(execution.stopped_ns or self.now)}

    def _redrive(self, params: Params) -> Answer:
        execution = self._execution(params)
        if (why := self._not_redrivable(execution)) is not None:
            raise Refused("ExecutionNotRedrivable", why)
        execution.redrives += 1
        execution.redriven_ns = self.now
        execution.status, execution.stopped_ns, execution.error, execution.cause = "RUNNING", None, None, None
        if not self.conduct.redrives_from_failure():
            execution.progress = asl.Progress()
        self._play(execution)
        return {"redriveDate": _s(self.now)}

    def _not_redrivable(self, execution: _Execution) -> str | None:
        """Why an execution cannot be redriven, if it cannot."""
        if execution.status in ("RUNNING", "SUCCEEDED"):
            return f"Execution is {execution.status} and cannot be redriven"
        if execution.stopped_ns is not None and self.now - execution.stopped_ns > _REDRIVABLE_NS:
            return "Execution is outside its redrivable period of 14 days and cannot be redriven"
        if len(execution.events) >= _HISTORY_MAX - 1:
            return "Execution history event limit exceeded and cannot be redriven"
        return None

    def _describe(self, params: Params) -> Answer:
        execution = self._execution(params)
        why = self._not_redrivable(execution)
        can = {"redriveStatus": "REDRIVABLE" if why is None else "NOT_REDRIVABLE"}
        return {**self._told(execution), **can, **({} if why is None else {"redriveStatusReason": why})}

    def _told(self, execution: _Execution) -> Answer:
        more = {
            "stopDate": None if execution.stopped_ns is None else _s(execution.stopped_ns),
            "output": execution.output,
            "error": execution.error,
            "cause": execution.cause,
            "redriveDate": None if execution.redriven_ns is None else _s(execution.redriven_ns),
        }
        return {
            "executionArn": execution.arn,
            "stateMachineArn": execution.machine.arn,
            "name": execution.name,
            "status": execution.status,
            "startDate": _s(execution.started_ns),
            "input": execution.input,
            "redriveCount": execution.redrives,
            **{name: value for name, value in more.items() if value is not None},
        }

    def _list(self, params: Params) -> Answer:
        machine = self._machine(params)
        if machine.express:
            raise Refused("StateMachineTypeNotSupported", "This operation is not supported by this type of machine.")
        wanted = params.get("statusFilter")
        told = [self._told(each) for each in machine.executions.values() if wanted in (None, each.status)]
        told.sort(key=lambda each: -each["startDate"])
        shown = [{k: v for k, v in each.items() if k in _LISTED} for each in told]
        return _page(shown, "executions", params)

    def _history(self, params: Params) -> Answer:
        events = self._execution(params).events
        return _page(events[::-1] if params.get("reverseOrder") else events, "events", params)

    def _execution(self, params: Params) -> _Execution:
        arn = str(params.get("executionArn", ""))
        if ":express:" in arn:
            raise Refused("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: express', {arn}")
        if arn not in self._executions:
            raise Refused("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return self._executions[arn]

    # Tokens

    def wait_for(self, thread: _Thread, token: Token) -> None:
        if self._tokens.get(token.token) is None:
            self._tokens[token.token] = _Waiting(thread, token.until, token.heartbeat_ns, self.now)
            self._watch(token.token)

    def _watch(self, token: str) -> None:
        waiting = self._tokens[token]
        assert waiting is not None
        due = [] if waiting.until is None else [waiting.until]
        due += [] if waiting.heartbeat_ns is None else [waiting.beat_ns + waiting.heartbeat_ns]
        if due:
            self.at(min(due), lambda: self._ring(token))

    def _ring(self, token: str) -> None:
        waiting = self._tokens.get(token)
        if waiting is None or waiting.thread.over:
            return
        if waiting.until is not None and waiting.until <= self.now:
            self._tokens[token] = None
            waiting.thread.step(error=StateError(TIMEOUT))
        elif waiting.heartbeat_ns is not None and waiting.beat_ns + waiting.heartbeat_ns <= self.now:
            self._tokens[token] = None
            waiting.thread.step(error=StateError(HEARTBEAT))
        else:
            self._watch(token)

    def _answered(self, params: Params) -> _Waiting | None:
        token = str(params.get("taskToken", ""))
        if token not in self._tokens:
            raise Refused("InvalidToken", f"Invalid Token: '{token}'")
        waiting = self._tokens[token]
        if waiting is None or waiting.thread.over:
            if self.conduct.closes_tokens():
                raise Refused("TaskTimedOut", "Task Timed Out: the token has expired, or its task is closed")
            return None
        return waiting

    def _succeed(self, params: Params) -> Answer:
        try:
            result = orjson.loads(str(params.get("output", "")))
        except orjson.JSONDecodeError:
            raise Refused("InvalidOutput", "Invalid Output: it is not JSON") from None
        waiting = self._answered(params)
        if waiting is not None and self.conduct.tells_tokens():
            self._tokens[str(params["taskToken"])] = None
            waiting.thread.step(result)
        return {}

    def _fail(self, params: Params) -> Answer:
        waiting = self._answered(params)
        if waiting is not None:
            self._tokens[str(params["taskToken"])] = None
            waiting.thread.step(error=StateError(str(params.get("error") or ""), str(params.get("cause") or "")))
        return {}

    def _heartbeat(self, params: Params) -> Answer:
        waiting = self._answered(params)
        if waiting is not None:
            waiting.beat_ns = self.now
        return {}

    def carry_out(self, resource: str, params: Json) -> Answer:
        """A task. Errors: StateError."""
        service, _, action = resource.removeprefix("arn:aws:states:::").partition(":")
        operations = {
            "sqs": {"sendMessage": "SendMessage"},
            "sns": {"publish": "Publish"},
            "dynamodb": {f"{verb}Item": f"{verb.title()}Item" for verb in ("get", "put", "update", "delete")},
        }
        operation = operations.get(service, {}).get(action)
        if operation is None:
            raise StateError("States.Runtime", f"the resource {resource} is not known here")
        given = dict(params)
        for key in ("MessageBody", "Message"):
            if key in given and not isinstance(given[key], str):
                given[key] = orjson.dumps(given[key]).decode()
        try:
            return self._call(self.now, service, operation, given)
        except Refused as refused:
            called = {"sqs": "SQS", "sns": "SNS", "dynamodb": "DynamoDB"}[service]
            raise StateError(f"{called}.{refused.code}", refused.message) from None


class _Playing:
    """An execution's `asl.Host`."""

    def __init__(self, service: StepFunctions, execution: _Execution) -> None:
        self._service = service
        self._execution = execution

    @property
    def now(self) -> int:
        return self._service.now

    def token(self, place: str) -> str:
        if self._service.conduct.renews_tokens():
            return f"AQCE{uuid.uuid4().hex}{uuid.uuid4().hex}"
        return f"AQCE{uuid.uuid5(uuid.NAMESPACE_URL, self._execution.arn + place).hex}"

    def task(self, resource: str, params: Json) -> Json:
        return self._service.carry_out(resource, params)

    def tell(self, kind: str, **details: Json) -> None:
        events = self._execution.events
        if len(events) < _HISTORY_MAX:
            told = {"timestamp": _s(self.now), "type": kind, "id": len(events) + 1, "previousEventId": len(events)}
            events.append({**told, **details})

    def items(self, count: int) -> Sequence[int]:
        return self._service.conduct.items(count)

    def retries(self) -> bool:
        return self._service.conduct.retries()

    def heartbeats(self) -> bool:
        return self._service.conduct.heeds_heartbeats()


class _Thread:
    """One line of an execution: it is sent what it waited for, until it is done or cancelled."""

    def __init__(
        self, service: StepFunctions, playing: asl.Play, done: Callable[[Json, StateError | None], None]
    ) -> None:
        self._service = service
        self._playing = playing
        self._done = done
        self._children: list[_Thread] = []
        self.over = False

    def step(self, value: Json = None, error: StateError | None = None) -> None:
        if self.over:
            return
        try:
            waits = self._playing.send(value) if error is None else self._playing.throw(error)
        except StopIteration as ended:
            self.over = True
            self._done(ended.value, None)
        except StateError as failed:
            self.over = True
            self._done(None, failed)
        else:
            self._wait(waits)

    def _wait(self, waits: Waits) -> None:
        if isinstance(waits, Until):
            self._service.at(waits.ns, self.step)
        elif isinstance(waits, Token):
            self._service.wait_for(self, waits)
        else:
            self._together(waits)

    def _together(self, waits: Together) -> None:
        results: list[Json] = [None] * len(waits.branches)
        left = len(results)
        rest = iter(enumerate(waits.branches))
        begun = self._children = []

        def begin() -> None:
            for number, branch in rest:
                thread = _Thread(self._service, branch, partial(ended, number))
                begun.append(thread)
                thread.step()
                return

        def ended(number: int, value: Json, failed: StateError | None) -> None:
            nonlocal left
            if self.over or self._children is not begun:
                return
            if failed is not None:
                self._children = []
                for other in begun:
                    other.cancel()
                # The others are not begun any more.
                for _, branch in rest:
                    branch.close()
                self._service.at(self._service.now, lambda: self.step(error=failed))
                return
            results[number] = value
            left -= 1
            if left == 0:
                self._service.at(self._service.now, lambda: self.step(results))
            else:
                begin()

        if not results:
            self._service.at(self._service.now, lambda: self.step(results))
        for _ in range(waits.at_once):
            begin()

    def cancel(self) -> None:
        """Nothing comes of it any more."""
        self.over = True
        for child in self._children:
            child.cancel()


def _page(told: Sequence[Answer], key: str, params: Params) -> Answer:
    begin = int(params.get("nextToken") or 0)
    end = begin + (int(params.get("maxResults") or 0) or 100)
    end = min(end, begin + _PAGE_MAX)
    return {key: list(told[begin:end]), **({"nextToken": str(end)} if end < len(told) else {})}


def _s(ns: int) -> float:
    return ns / NS_PER_S
