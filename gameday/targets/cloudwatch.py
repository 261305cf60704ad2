"""What CloudWatch counted of a run's resources, read back to stand in the report beside our own numbers.

Nothing is judged by it: its numbers come late, minute by minute, and are the service's own view. It promises that what
was not there when it was asked is told, and can be asked for once more, from the file in the run directory alone.

Sources: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html,
/streams/latest/dev/monitoring-with-cloudwatch.html, /sns/latest/dg/sns-monitoring-using-cloudwatch.html,
/eventbridge/latest/userguide/eb-monitoring.html; GetMetricData in CloudWatch's API reference.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from gameday.history.errors import HistoryError
from gameday.transports.base import Addresses, Call, Plan
from gameday.transports.endpoint import Endpoint

SERVICE = "cloudwatch"
FILE = "cloudwatch.json"
PERIOD_S = 60
# Of one call (API_GetMetricData.html).
_QUERIES_MAX = 500
Stat = Literal["Sum", "Maximum"]
_QUEUE: Mapping[str, Stat] = {
    "ApproximateAgeOfOldestMessage": "Maximum",
    "ApproximateNumberOfMessagesVisible": "Maximum",
    "ApproximateNumberOfMessagesNotVisible": "Maximum",
    "NumberOfMessagesSent": "Sum",
    "NumberOfMessagesReceived": "Sum",
    "NumberOfMessagesDeleted": "Sum",
}
_STREAM: Mapping[str, Stat] = {
    "IncomingRecords": "Sum",
    "GetRecords.IteratorAgeMilliseconds": "Maximum",
    "WriteProvisionedThroughputExceeded": "Sum",
    "ReadProvisionedThroughputExceeded": "Sum",
}
_TOPIC: Mapping[str, Stat] = {"NumberOfMessagesPublished": "Sum", "NumberOfNotificationsFailed": "Sum"}
_RULE: Mapping[str, Stat] = {"FailedInvocations": "Sum"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric of one resource. `subscription`: whose queue it is of, if it is of one. `points`: the start of each
    minute, in seconds since 1970, with its value."""

    namespace: str
    resource: str
    name: str
    stat: Stat
    dimensions: Mapping[str, str]
    subscription: str | None = None
    points: Sequence[tuple[int, float]] = ()

    @property
    def value(self) -> float | None:
        """Over all of the run; None where there is none."""
        values = [value for _, value in self.points]
        if not values:
            return None
        return sum(values) if self.stat == "Sum" else max(values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What was asked, and what there was. Times are seconds since 1970; `end_s` None: the run has not come to its end;
    `asked_s` None: nobody has asked yet. `endpoint`: where, without credentials."""

    region: str
    urls: Mapping[str, str]
    begin_s: float
    end_s: float | None = None
    asked_s: float | None = None
    failed: str | None = None
    metrics: Sequence[Metric] = field(default_factory=tuple)

    @property
    def late(self) -> list[str]:
        """The resources of which CloudWatch does not have the last minute of the run yet."""
        last = _minute((self.end_s or self.begin_s) - 1)
        newest: dict[str, int] = {}
        for metric in self.metrics:
            seen = max((at for at, _ in metric.points), default=0)
            newest[metric.resource] = max(newest.get(metric.resource, 0), seen)
        return [resource for resource, at in newest.items() if at < last]

    def line(self) -> str:
        """In one line, for a person."""
        if self.failed is not None:
            return f"CloudWatch could not be read: {self.failed}"
        there = sum(1 for metric in self.metrics if metric.points)
        told = f"CloudWatch: {there} of {len(self.metrics)} metrics have numbers for this run"
        if self.late:
            told += f"; of {', '.join(self.late)} the last minute is not there yet, for they come minutes late"
        return told

    def save(self, directory: Path) -> None:
        """Errors: HistoryError."""
        path = directory / FILE
        draft = path.with_name(FILE + ".new")
        try:
            draft.write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))
            draft.replace(path)
        except OSError as error:
            raise HistoryError(f"cannot write {path}: {error.strerror}") from error


def load(directory: Path) -> Reading | None:
    """None where a run has none. Errors: HistoryError for a file that is none."""
    path = directory / FILE
    try:
        document = orjson.loads(path.read_bytes())
        metrics = tuple(
            Metric(**{**metric, "points": [(int(at), float(value)) for at, value in metric["points"]]})
            for metric in document["metrics"]
        )
        return Reading(**{**document, "metrics": metrics})
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HistoryError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise HistoryError(f"{path} is not as a run writes it: {error}; remove it") from error


def metrics_of(services: Sequence[str], addresses: Addresses) -> list[Metric]:
    """Those of what a run has built, or found. `services`: those that carry its messages."""
    found: list[Metric] = []
    if services[0] == "kinesis":
        stream = addresses.send_to
        found += _of("AWS/Kinesis", stream, _STREAM, {"StreamName": stream})
    elif services[0] == "sns":
        topic = addresses.send_to.rpartition(":")[2]
        found += _of("AWS/SNS", topic, _TOPIC, {"TopicName": topic})
    elif services[0] == "events":
        bus = addresses.send_to.rpartition("/")[2]
        for rule in addresses.queues:
            found += _of("AWS/Events", f"{bus}/{rule}", _RULE, {"EventBusName": bus, "RuleName": rule})
    for subscription, url in addresses.queues.items():
        name = url.rpartition("/")[2]
        found += _of("AWS/SQS", name, _QUEUE, {"QueueName": name}, subscription)
    for url in addresses.dead_letter_queues.values():
        name = url.rpartition("/")[2]
        found += _of("AWS/SQS", name, _QUEUE, {"QueueName": name})
    return found


def _of(
    namespace: str,
    resource: str,
    names: Mapping[str, Stat],
    dimensions: Mapping[str, str],
    subscription: str | None = None,
) -> list[Metric]:
    return [
        Metric(
            namespace=namespace,
            resource=resource,
            name=name,
            stat=stat,
            dimensions=dimensions,
            subscription=subscription,
        )
        for name, stat in names.items()
    ]


def ask(reading: Reading, *, now_s: float | None = None) -> Plan[Reading]:
    """Read every metric over the run's minutes. Errors: CallFailed."""
    now_s = time.time() if now_s is None else now_s
    end_s = reading.end_s or now_s
    points: list[dict[int, float]] = [{} for _ in reading.metrics]
    for first in range(0, len(reading.metrics), _QUERIES_MAX):
        some = reading.metrics[first : first + _QUERIES_MAX]
        queries = [_query(first + n, metric) for n, metric in enumerate(some)]
        token: Mapping[str, str] = {}
        while True:
            params = {
                "MetricDataQueries": queries,
                "StartTime": datetime.fromtimestamp(_minute(reading.begin_s), tz=UTC),
                "EndTime": datetime.fromtimestamp(_minute(end_s) + PERIOD_S, tz=UTC),
                **token,
            }
            answer = yield Call(SERVICE, "GetMetricData", params)
            for result in answer.get("MetricDataResults") or ():
                there = points[int(result["Id"][1:])]
                for at, value in zip(result.get("Timestamps") or (), result.get("Values") or (), strict=True):
                    there[round(at.timestamp())] = float(value)
            if not answer.get("NextToken"):
                break
            token = {"NextToken": answer["NextToken"]}
    metrics = [
        replace(metric, points=sorted(there.items())) for metric, there in zip(reading.metrics, points, strict=True)
    ]
    return replace(reading, metrics=metrics, asked_s=now_s, end_s=end_s, failed=None)


def endpoint_of(reading: Reading, environ: Mapping[str, str]) -> Endpoint:
    """Where it was, with the credentials of whoever asks now."""
    if reading.urls:
        return Endpoint.emulated(reading.urls, region=reading.region, environ=environ)
    return Endpoint(region=reading.region)


def _query(number: int, metric: Metric) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions.items()]
    of = {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}
    return {"Id": f"m{number}", "MetricStat": {"Metric": of, "Period": PERIOD_S, "Stat": metric.stat}}


def _minute(at_s: float) -> int:
    return math.floor(at_s / PERIOD_S) * PERIOD_S
