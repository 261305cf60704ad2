"""The AWS services that pipelines and consumers use, each with a call that changes nothing: is it there?"""

from __future__ import annotations

from collections.abc import Mapping

from gameday.transports.base import Call

LOOKS: Mapping[str, Call] = {
    "sqs": Call("sqs", "ListQueues", {}),
    "sns": Call("sns", "ListTopics", {}),
    "events": Call("events", "ListEventBuses", {}),
    "kinesis": Call("kinesis", "ListStreams", {}),
    "dynamodb": Call("dynamodb", "ListTables", {}),
}
