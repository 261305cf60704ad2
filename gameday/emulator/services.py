"""The services that the broker speaks. Adding one is a module and a line in `SERVICES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from gameday.emulator.broker import DEDUP_WINDOW_S, Broker, LongPoll
from gameday.emulator.capacity import UNBOUNDED, Capacity
from gameday.emulator.dynamodb import DynamoDB, TableConduct
from gameday.emulator.eventbridge import BusConduct, EventBridge
from gameday.emulator.functions import Deploy, Lambda, nowhere
from gameday.emulator.held import Held
from gameday.emulator.kinesis import ITERATOR_LIFE_S, Kinesis, StreamConduct
from gameday.emulator.mappings import MappingConduct
from gameday.emulator.pipes import PipeConduct, Pipes
from gameday.emulator.queues import Conduct
from gameday.emulator.s3 import S3, ObjectConduct
from gameday.emulator.scheduler import Scheduler, SchedulerConduct
from gameday.emulator.sns import Sns, TopicConduct
from gameday.emulator.stepfunctions import StepFunctions, WorkflowConduct
from gameday.emulator.wire import Answer, Json, Params, Query, Rest

C = TypeVar("C")


class Service(Protocol):
    """Operations as data, the time passed in, nothing read or written."""

    def call(self, now: int, operation: str, params: Params) -> Answer | LongPoll | Held:
        """`now` is in ns since the epoch. Errors: Refused."""


@runtime_checkable
class Timed(Protocol):
    """A service in which something comes due by itself."""

    def advance(self, now: int) -> None: ...
    def next_change_ns(self) -> int | None: ...


@dataclass(kw_only=True)
class World:
    """What services are made of: the queues that they deliver into, the defect that was asked for, if any, what sends
    and receives of queues are held to, and what runs the code of functions. `wake`: called when something has happened
    that no call brought about; whoever tells the time then lets the world advance."""

    defect: object = None
    capacity: Capacity = UNBOUNDED
    dedup_window_s: float = DEDUP_WINDOW_S
    iterator_life_s: float = ITERATOR_LIFE_S
    deploy: Deploy = nowhere
    wake: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.sqs = Broker(
            url="", conduct=self.conduct(Conduct), dedup_window_s=self.dedup_window_s, capacity=self.capacity
        )
        self._services: dict[str, Service] = {}
        self._timed: list[Timed] = []

    def stir(self) -> None:
        """Something has happened."""
        self.wake()

    def conduct(self, kind: type[C]) -> C:
        """The conduct of one kind of service: the defect, if it is of that kind, else the right one."""
        return self.defect if isinstance(self.defect, kind) else kind()

    def service(self, name: str) -> Service:
        """One of this world, which is made when it is first asked for."""
        if name not in self._services:
            service = self._services[name] = SERVICES[name].make(self)
            if isinstance(service, Timed):
                self._timed.append(service)
        return self._services[name]

    def call(self, now: int, service: str, operation: str, params: Params) -> Answer:
        """What one service asks of another. Errors: Refused."""
        answer = self.service(service).call(now, operation, params)
        assert isinstance(answer, dict), f"nobody waits for {operation} here"
        return answer

    def advance(self, now: int) -> int | None:
        """Let everything happen that has come due by `now`; gives when the next thing does."""
        for service in self._timed:
            service.advance(now)
        return min((at for service in self._timed if (at := service.next_change_ns()) is not None), default=None)


class Spoken(NamedTuple):
    """A service, by the protocol that it is spoken in; S3 has one of its own, gameday/emulator/s3_wire.py."""

    wire: Json | Query | Rest | None
    make: Callable[[World], Service]


SERVICES: Mapping[str, Spoken] = {
    "sqs": Spoken(
        Json(
            target="AmazonSQS",
            version="1.0",
            namespace="com.amazonaws.sqs",
            query_codes={
                "AccessDeniedException": "AccessDenied",
                "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
                "QueueNameExists": "QueueAlreadyExists",
                "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
                "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
                "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
                "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
            },
        ),
        lambda world: world.sqs,
    ),
    "sns": Spoken(
        Query(version="2010-03-31", namespace="http://sns.amazonaws.com/doc/2010-03-31/"),
        lambda world: Sns(sqs=world.sqs, conduct=world.conduct(TopicConduct), dedup_window_s=world.dedup_window_s),
    ),
    "events": Spoken(
        Json(target="AWSEvents", version="1.1", namespace="com.amazonaws.events"),
        lambda world: EventBridge(sqs=world.sqs, conduct=world.conduct(BusConduct)),
    ),
    "kinesis": Spoken(
        Json(target="Kinesis_20131202", version="1.1", namespace="com.amazonaws.kinesis.v20131202"),
        lambda world: Kinesis(conduct=world.conduct(StreamConduct), iterator_life_s=world.iterator_life_s),
    ),
    "dynamodb": Spoken(
        Json(target="DynamoDB_20120810", version="1.0", namespace="com.amazonaws.dynamodb.v20120810"),
        lambda world: DynamoDB(conduct=world.conduct(TableConduct)),
    ),
    "scheduler": Spoken(
        Rest(
            routes={
                "CreateSchedule": ("POST", "/schedules/(?P<Name>[^/]+)"),
                "GetSchedule": ("GET", "/schedules/(?P<Name>[^/]+)"),
                "DeleteSchedule": ("DELETE", "/schedules/(?P<Name>[^/]+)"),
                "ListSchedules": ("GET", "/schedules"),
            }
        ),
        lambda world: Scheduler(sqs=world.sqs, conduct=world.conduct(SchedulerConduct)),
    ),
    "pipes": Spoken(
        Rest(
            routes={
                "CreatePipe": ("POST", "/v1/pipes/(?P<Name>[^/]+)"),
                "DescribePipe": ("GET", "/v1/pipes/(?P<Name>[^/]+)"),
                "DeletePipe": ("DELETE", "/v1/pipes/(?P<Name>[^/]+)"),
                "StartPipe": ("POST", "/v1/pipes/(?P<Name>[^/]+)/start"),
                "StopPipe": ("POST", "/v1/pipes/(?P<Name>[^/]+)/stop"),
                "ListPipes": ("GET", "/v1/pipes"),
            }
        ),
        lambda world: Pipes(sqs=world.sqs, conduct=world.conduct(PipeConduct)),
    ),
    "s3": Spoken(None, lambda world: S3(conduct=world.conduct(ObjectConduct))),
    "stepfunctions": Spoken(
        Json(target="AWSStepFunctions", version="1.0", namespace="com.amazonaws.swf.service.v2.model"),
        lambda world: StepFunctions(call=world.call, conduct=world.conduct(WorkflowConduct)),
    ),
    # The last, so that its mappings see what the others have sent in the same moment.
    "lambda": Spoken(
        Rest(
            routes={
                "CreateFunction": ("POST", "/2015-03-31/functions/?"),
                "ListFunctions": ("GET", "/2015-03-31/functions/?"),
                "GetFunction": ("GET", "/2015-03-31/functions/(?P<FunctionName>[^/]+)"),
                "DeleteFunction": ("DELETE", "/2015-03-31/functions/(?P<FunctionName>[^/]+)"),
                "GetFunctionConfiguration": ("GET", "/2015-03-31/functions/(?P<FunctionName>[^/]+)/configuration"),
                "UpdateFunctionConfiguration": ("PUT", "/2015-03-31/functions/(?P<FunctionName>[^/]+)/configuration"),
                "UpdateFunctionCode": ("PUT", "/2015-03-31/functions/(?P<FunctionName>[^/]+)/code"),
                "Invoke": ("POST", "/2015-03-31/functions/(?P<FunctionName>[^/]+)/invocations"),
                "PutFunctionConcurrency": ("PUT", "/2017-10-31/functions/(?P<FunctionName>[^/]+)/concurrency"),
                "DeleteFunctionConcurrency": ("DELETE", "/2017-10-31/functions/(?P<FunctionName>[^/]+)/concurrency"),
                "GetFunctionConcurrency": ("GET", "/2019-09-30/functions/(?P<FunctionName>[^/]+)/concurrency"),
                "ListTags": ("GET", "/2017-03-31/tags/(?P<Resource>[^/]+)"),
                "CreateEventSourceMapping": ("POST", "/2015-03-31/event-source-mappings/?"),
                "ListEventSourceMappings": ("GET", "/2015-03-31/event-source-mappings/?"),
                "GetEventSourceMapping": ("GET", "/2015-03-31/event-source-mappings/(?P<UUID>[^/]+)"),
                "UpdateEventSourceMapping": ("PUT", "/2015-03-31/event-source-mappings/(?P<UUID>[^/]+)"),
                "DeleteEventSourceMapping": ("DELETE", "/2015-03-31/event-source-mappings/(?P<UUID>[^/]+)"),
            },
            payloads={
                "Invoke": {
                    "InvocationType": "x-amz-invocation-type",
                    "FunctionError": "x-amz-function-error",
                    "ExecutedVersion": "x-amz-executed-version",
                }
            },
        ),
        lambda world: Lambda(
            sqs=world.sqs, deploy=world.deploy, conduct=world.conduct(MappingConduct), wake=world.stir
        ),
    ),
}
