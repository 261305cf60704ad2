"""Lambda's operations as data: functions in Python and Node, their concurrency, and event source mappings of queues.

Names, limits and error codes are those of its API reference (docs.aws.amazon.com/lambda/latest/api). What runs the code
is handed in (gameday/emulator/environments.py); here is who is invoked with what, on a clock that is passed in. A
function and a mapping are there at once, and so is whatever is changed of them.

A mapping is held to what AWS documents (lambda/latest/dg/services-sqs-configure.html, services-sqs-parameters.html): a
batch has at most 10 messages on FIFO, where there is no window, and above 10 on Standard only with one; and when it is
made, not afterwards, the function's timeout is at most the queue's visibility timeout. There are no versions, aliases,
layers, streams and asynchronous invocations.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import orjson

from gameday.emulator.broker import ACCOUNT, Broker
from gameday.emulator.held import Held
from gameday.emulator.mappings import MappingConduct, MappingSettings, QueueMapping, Ran
from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S
from gameday.transports.filters import function_filter
from gameday.transports.lambda_events import Origin

_REGION = "us-east-1"
_ARN = f"arn:aws:lambda:{_REGION}:{ACCOUNT}:"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RUNTIME = re.compile(r"python3\.\d+|nodejs\d+\.x")
_ROLE = re.compile(r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
# Those that a function has anyway, and nobody may set (configuration-envvars.html).
_RESERVED = re.compile(r"_HANDLER|AWS_(LAMBDA_.*|(DEFAULT_)?REGION|ACCESS_KEY(_ID)?|SECRET_ACCESS_KEY|SESSION_TOKEN)")
# What an account has at once (gettingstarted-limits.html).
_ACCOUNT_CONCURRENCY = 1000
# Batches at once of a mapping that says nothing of it (services-sqs-scaling.html: where it begins).
_POLLERS = 5
_BATCH_MOST, _BATCH_MOST_FIFO, _WINDOW_S_MAX = 10_000, 10, 300
_PARTIAL = "ReportBatchItemFailures"


class BadCode(ValueError):
    """The code cannot be deployed; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """What is deployed of a function. `archive` is a zip file."""

    name: str
    archive: bytes = field(repr=False)
    handler: str
    runtime: str
    timeout_s: int
    memory_mb: int
    variables: Mapping[str, str]


class Environments(Protocol):
    """The execution environments of one state of a function."""

    def invoke(self, event: object, tell: Callable[[Ran], None]) -> None:
        """Begin an invocation; `tell` hears its end, later and never from within this call."""

    def retire(self) -> None:
        """No more invocations come; those that run may end."""


# Errors: BadCode.
Deploy = Callable[[Code], Environments]


def nowhere(code: Code) -> Environments:
    """Errors: BadCode."""
    raise BadCode(f"Nothing here runs the code of {code.name}.")


@dataclass(slots=True, eq=False)
class _Function:
    code: Code
    role: str
    description: str
    environments: Environments
    made: str
    tags: dict[str, str]
    reserved: int | None = None
    running: int = 0

    @property
    def arn(self) -> str:
        return f"{_ARN}function:{self.code.name}"


@dataclass(slots=True, eq=False)
class _Mapped:
    """A mapping with what the API knows about it."""

    id: str
    function_arn: str
    source_arn: str
    fifo: bool
    params: dict[str, Any]
    mapping: QueueMapping
    modified_s: int


class Lambda:
    """All functions of one account. `wake` is called when an invocation has ended, so that `advance` is called soon."""

    def __init__(self, *, sqs: Broker, deploy: Deploy, conduct: MappingConduct, wake: Callable[[], None]) -> None:
        self._sqs = sqs
        self._deploy = deploy
        self._conduct = conduct
        self._wake = wake
        self._functions: dict[str, _Function] = {}
        self._mapped: dict[str, _Mapped] = {}
        self._ended: deque[tuple[_Function, Callable[[int, Ran], None], Ran]] = deque()
        self._operations: dict[str, Callable[[int, Params], Answer | Held]] = {
            "CreateFunction": self._create,
            "GetFunction": self._get,
            "GetFunctionConfiguration": self._get_configuration,
            "UpdateFunctionCode": self._update_code,
            "UpdateFunctionConfiguration": self._update_configuration,
            "DeleteFunction": self._delete,
            "ListFunctions": self._list,
            "ListTags": self._list_tags,
            "PutFunctionConcurrency": self._reserve,
            "GetFunctionConcurrency": self._get_reserved,
            "DeleteFunctionConcurrency": self._unreserve,
            "Invoke": self._invoke,
            "CreateEventSourceMapping": self._map,
            "GetEventSourceMapping": self._get_mapping,
            "UpdateEventSourceMapping": self._update_mapping,
            "DeleteEventSourceMapping": self._unmap,
            "ListEventSourceMappings": self._list_mappings,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer | Held:
        """Errors: Refused."""
        return known(self._operations, operation)(now, params)

    # Time

    def advance(self, now: int) -> None:
        while self._ended:
            function, tell, ran = self._ended.popleft()
            function.running -= 1
            tell(now, ran)
        for each in list(self._mapped.values()):
            each.mapping.advance(now)

    def next_change_ns(self) -> int | None:
        changes = (each.mapping.next_change_ns() for each in self._mapped.values())
        return min((change for change in changes if change is not None), default=None)

    # Functions

    def _create(self, now: int, params: Params) -> Answer:
        name = _name_of(params)
        if not _NAME.fullmatch(name):
            raise _invalid(f"A function's name has 1 to 64 letters, digits, hyphens and underscores: {name!r}")
        if not _ROLE.fullmatch(str(params.get("Role", ""))):
            raise _invalid(f"The role is no role's ARN: {params.get('Role')!r}")
        if name in self._functions:
            raise Refused("ResourceConflictException", f"Function already exist: {name}", status=409)
        code = _configured(
            Code(
                name=name,
                archive=_archive(params.get("Code") or {}),
                handler="",
                runtime="",
                timeout_s=3,
                memory_mb=128,
                variables={},
            ),
            params,
        )
        self._functions[name] = function = _Function(
            code=code,
            role=str(params["Role"]),
            description=str(params.get("Description") or ""),
            environments=self._deployed(code),
            made=_iso(now),
            tags=dict(params.get("Tags") or {}),
        )
        return _told(function)

    def _get(self, now: int, params: Params) -> Answer:
        function = self._named(params)
        told: Answer = {"Configuration": _told(function), "Code": {"RepositoryType": "S3"}}
        if function.tags:
            told["Tags"] = dict(function.tags)
        if function.reserved is not None:
            told["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
        return told

    def _get_configuration(self, now: int, params: Params) -> Answer:
        return _told(self._named(params))

    def _update_code(self, now: int, params: Params) -> Answer:
        function = self._named(params)
        return self._changed(now, function, replace(function.code, archive=_archive(params)))

    def _update_configuration(self, now: int, params: Params) -> Answer:
        """What a mapping was held to when it was made is asked for no more."""
        function = self._named(params)
        answer = self._changed(now, function, _configured(function.code, params))
        function.role = str(params.get("Role") or function.role)
        function.description = str(params.get("Description") or function.description)
        return {**answer, "Role": function.role, "Description": function.description}

    def _changed(self, now: int, function: _Function, code: Code) -> Answer:
        old, function.environments = function.environments, self._deployed(code)
        old.retire()
        function.code, function.made = code, _iso(now)
        return _told(function)

    def _delete(self, now: int, params: Params) -> Answer:
        function = self._named(params)
        function.environments.retire()
        del self._functions[function.code.name]
        return {}

    def _list(self, now: int, params: Params) -> Answer:
        return {"Functions": [_told(function) for _, function in sorted(self._functions.items())]}

    def _list_tags(self, now: int, params: Params) -> Answer:
        return {"Tags": dict(self._named({"FunctionName": params.get("Resource")}).tags)}

    def _reserve(self, now: int, params: Params) -> Answer:
        function = self._named(params)
        function.reserved = _whole(params, "ReservedConcurrentExecutions", 0, _ACCOUNT_CONCURRENCY)
        return {"ReservedConcurrentExecutions": function.reserved}

    def _get_reserved(self, now: int, params: Params) -> Answer:
        reserved = self._named(params).reserved
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def _unreserve(self, now: int, params: Params) -> Answer:
        self._named(params).reserved = None
        return {}

    def _deployed(self, code: Code) -> Environments:
        try:
            return self._deploy(code)
        except BadCode as error:
            raise _invalid(str(error)) from error

    # Invocations

    def _invoke(self, now: int, params: Params) -> Held:
        function = self._named(params)
        if (kind := params.get("InvocationType") or "RequestResponse") != "RequestResponse":
            raise _invalid(f"Only invocations that are waited for are taken here, and no {kind}.")
        try:
            event = orjson.loads(params.get("Payload") or b"{}")
        except orjson.JSONDecodeError as error:
            raise Refused(
                "InvalidRequestContentException", f"Could not parse request body into json: {error}"
            ) from None
        held = Held()
        if not self._begin(function.code.name, event, lambda _, ran: held.end(_answered(ran))):
            raise Refused(
                "TooManyRequestsException",
                "Rate Exceeded.",
                status=429,
                more={"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"},
            )
        return held

    def _begin(self, name: str, event: object, tell: Callable[[int, Ran], None]) -> bool:
        """Whether the function may be invoked; one that is gone is not."""
        function = self._functions.get(name)
        if function is None:
            return False
        limit = _ACCOUNT_CONCURRENCY if function.reserved is None else function.reserved
        if function.running >= limit and self._conduct.throttles():
            return False
        function.running += 1

        def ended(ran: Ran) -> None:
            self._ended.append((function, tell, ran))
            self._wake()

        function.environments.invoke(event, ended)
        return True

    # Mappings

    def _map(self, now: int, params: Params) -> Answer:
        function = self._named(params)
        source_arn = str(params.get("EventSourceArn", ""))
        hosted = self._sqs.find(source_arn)
        if hosted is None:
            raise _invalid(f"There is no queue {source_arn!r}, and nothing else is a source here.")
        if any((each.function_arn, each.source_arn) == (function.arn, source_arn) for each in self._mapped.values()):
            raise Refused(
                "ResourceConflictException",
                f'An event source mapping with event source arn ("{source_arn}") and function already exists.',
                status=409,
            )
        queue = hosted.queue
        settings = self._settings(params, fifo=queue.fifo)
        hidden_s = queue.settings.visibility_ns // NS_PER_S
        if function.code.timeout_s > hidden_s and self._conduct.refuses_timeout():
            raise _invalid(
                f"Queue visibility timeout: {hidden_s} seconds is less than Function timeout: "
                f"{function.code.timeout_s} seconds"
            )
        mapping = QueueMapping(
            queue=queue,
            origin=Origin(region=_REGION, arn=source_arn),
            settings=settings,
            begin=partial(self._begin, function.code.name),
            denied=partial(self._sqs.denies, hosted),
            conduct=self._conduct,
        )
        mapped = _Mapped(
            id=str(uuid.uuid4()),
            function_arn=function.arn,
            source_arn=source_arn,
            fifo=queue.fifo,
            params=_kept(params),
            mapping=mapping,
            modified_s=now // NS_PER_S,
        )
        self._mapped[mapped.id] = mapped
        return _told_of(mapped)

    def _settings(self, params: Params, *, fifo: bool) -> MappingSettings:
        """Errors: Refused, for what AWS refuses."""
        batch = _whole(params, "BatchSize", 1, _BATCH_MOST, default=10)
        window_s = _whole(params, "MaximumBatchingWindowInSeconds", 0, _WINDOW_S_MAX, default=0)
        if fifo and window_s and self._conduct.refuses_window():
            raise _invalid("Batching window is not supported for FIFO queues.")
        if self._conduct.refuses_batch():
            if fifo and batch > _BATCH_MOST_FIFO:
                raise _invalid(f"Batch size must be between 1 and {_BATCH_MOST_FIFO} for FIFO queues.")
            if batch > _BATCH_MOST_FIFO and not window_s:
                raise _invalid(
                    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
                )
        types = list(params.get("FunctionResponseTypes") or ())
        if any(kind != _PARTIAL for kind in types):
            raise _invalid(f"The only function response type is {_PARTIAL}: {types}")
        scaling = params.get("ScalingConfig") or {}
        return MappingSettings(
            batch=batch,
            window_ns=window_s * NS_PER_S,
            concurrency=_whole(scaling, "MaximumConcurrency", 2, 1000, default=_POLLERS),
            partial=bool(types),
            filters=_filters((params.get("FilterCriteria") or {}).get("Filters") or ()),
            enabled=bool(params.get("Enabled", True)),
        )

    def _get_mapping(self, now: int, params: Params) -> Answer:
        return _told_of(self._with_id(params))

    def _update_mapping(self, now: int, params: Params) -> Answer:
        mapped = self._with_id(params)
        changed = {**mapped.params, **_kept(params)}
        mapped.mapping.settings = self._settings(changed, fifo=mapped.fifo)
        mapped.params, mapped.modified_s = changed, now // NS_PER_S
        return _told_of(mapped)

    def _unmap(self, now: int, params: Params) -> Answer:
        mapped = self._with_id(params)
        del self._mapped[mapped.id]
        return {**_told_of(mapped), "State": "Deleting"}

    def _list_mappings(self, now: int, params: Params) -> Answer:
        source, function = params.get("EventSourceArn"), params.get("FunctionName")
        return {
            "EventSourceMappings": [
                _told_of(each)
                for each in self._mapped.values()
                if (source is None or each.source_arn == source)
                and (function is None or each.function_arn == f"{_ARN}function:{_short(str(function))}")
            ]
        }

    def _named(self, params: Params) -> _Function:
        name = _name_of(params)
        if name not in self._functions:
            raise Refused("ResourceNotFoundException", f"Function not found: {_ARN}function:{name}", status=404)
        return self._functions[name]

    def _with_id(self, params: Params) -> _Mapped:
        id = str(params.get("UUID", ""))
        if id not in self._mapped:
            raise Refused("ResourceNotFoundException", "The resource you requested does not exist.", status=404)
        return self._mapped[id]


# What of a mapping's parameters may be changed later.
_OF_MAPPINGS = (
    *("BatchSize", "MaximumBatchingWindowInSeconds", "FilterCriteria", "FunctionResponseTypes"),
    *("ScalingConfig", "Enabled"),
)


def _kept(params: Params) -> dict[str, Any]:
    return {name: params[name] for name in _OF_MAPPINGS if params.get(name) is not None}


def _configured(code: Code, params: Params) -> Code:
    """The code with what is configured of it otherwise. Errors: Refused."""
    variables = code.variables
    if (environment := params.get("Environment")) is not None:
        variables = {str(name): str(value) for name, value in (environment.get("Variables") or {}).items()}
    if taken := sorted(name for name in variables if _RESERVED.fullmatch(name)):
        raise _invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided contains reserved keys that are currently not supported for modification: {', '.join(taken)}"
        )
    runtime = str(params.get("Runtime") or code.runtime)
    if not _RUNTIME.fullmatch(runtime):
        raise _invalid(f"The runtimes here are python3.… and nodejs….x: {runtime!r}")
    handler = str(params.get("Handler") or code.handler)
    if not handler.rpartition(".")[0]:
        raise _invalid(f"A handler is FILE.FUNCTION: {handler!r}")
    return replace(
        code,
        handler=handler,
        runtime=runtime,
        timeout_s=_whole(params, "Timeout", 1, 900, default=code.timeout_s),
        memory_mb=_whole(params, "MemorySize", 128, 10_240, default=code.memory_mb),
        variables=variables,
    )


def _archive(code: Params) -> bytes:
    archive = code.get("ZipFile")
    if not archive:
        raise _invalid("Please provide a source for function code: a ZipFile.")
    return archive if isinstance(archive, bytes) else base64.b64decode(archive)


def _filters(given: Sequence[Params]) -> Sequence[Mapping[str, Any]]:
    """Errors: Refused."""
    if not given:
        return ()
    try:
        patterns = [orjson.loads(each.get("Pattern") or "") for each in given]
        function_filter.check(patterns)
    except (ValueError, AttributeError, TypeError) as error:
        raise _invalid(f"Invalid filter pattern definition: {error}") from error
    return patterns


def _told(function: _Function) -> Answer:
    code = function.code
    return {
        "FunctionName": code.name,
        "FunctionArn": function.arn,
        "Runtime": code.runtime,
        "Role": function.role,
        "Handler": code.handler,
        "CodeSize": len(code.archive),
        "CodeSha256": base64.b64encode(hashlib.sha256(code.archive).digest()).decode(),
        "Description": function.description,
        "Timeout": code.timeout_s,
        "MemorySize": code.memory_mb,
        "LastModified": function.made,
        "Version": "$LATEST",
        "Environment": {"Variables": dict(code.variables)},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
    }


def _told_of(mapped: _Mapped) -> Answer:
    settings = mapped.mapping.settings
    return {
        **{name: value for name, value in mapped.params.items() if name != "Enabled"},
        "UUID": mapped.id,
        "BatchSize": settings.batch,
        "MaximumBatchingWindowInSeconds": settings.window_ns // NS_PER_S,
        "EventSourceArn": mapped.source_arn,
        "FunctionArn": mapped.function_arn,
        "LastModified": mapped.modified_s,
        "State": "Enabled" if settings.enabled else "Disabled",
        "StateTransitionReason": "USER_INITIATED",
    }


def _answered(ran: Ran) -> Answer:
    if ran.error is None:
        return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": orjson.dumps(ran.result)}
    told = {"errorMessage": ran.error, "errorType": ran.kind}
    return {
        "StatusCode": 200,
        "ExecutedVersion": "$LATEST",
        "FunctionError": "Unhandled",
        "Payload": orjson.dumps(told),
    }


def _name_of(params: Params) -> str:
    return _short(str(params.get("FunctionName") or ""))


def _short(name: str) -> str:
    """A function's name, from that or its ARN."""
    return name.rpartition(":function:")[2]


def _iso(now: int) -> str:
    return datetime.fromtimestamp(now / NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _whole(params: Params, name: str, least: int, most: int, *, default: int | None = None) -> int:
    value = params.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or not least <= value <= most:
        raise _invalid(f"{name} is a whole number from {least} to {most}: {value!r}")
    return value


def _invalid(why: str) -> Refused:
    return Refused("InvalidParameterValueException", why)
