"""Answers the calls of a plan as AWS would, without any AWS: what a run would create is known before it creates it.

It promises an answer to every call with which a transport builds and removes its pipeline, and to no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from gameday.transports.attached import FIFO, name_of
from gameday.transports.base import Addresses, Answer, Call, Topology, Transport
from gameday.transports.carriers.boto import run_plan

_ARN = "arn:aws:{service}:REGION:ACCOUNT:{name}"
_URL = "https://sqs.REGION.amazonaws.com/ACCOUNT/"


def built_and_removed(transport: Transport, topology: Topology, run: str) -> tuple[Addresses, Sequence[Call]]:
    """Where a run's pipeline would be, and the calls that build it and remove it, in their order."""
    imagined = Imagined(topology)
    addresses = run_plan(transport.provision(topology, run=run, tags={}), imagined)
    run_plan(transport.tear_down(addresses), imagined)
    return addresses, imagined.calls


class Imagined:
    """A carrier; `calls` are those that it was asked for. A queue that is there already is as the topology says."""

    def __init__(self, topology: Topology) -> None:
        self.calls: list[Call] = []
        self._topology = topology
        self._queues: dict[str, Mapping[str, Any]] = {}
        self._rules: list[str] = []

    def __call__(self, call: Call) -> Answer:
        self.calls.append(call)
        return _ANSWERS[call.operation](self, call.params)

    def _queue(self, params: Mapping[str, Any]) -> Answer:
        name = str(params["QueueName"])
        self._queues[name] = params.get("Attributes") or {}
        return {"QueueUrl": _URL + name}

    def _attributes(self, params: Mapping[str, Any]) -> Answer:
        name = str(params["QueueUrl"]).rpartition("/")[2]
        told: dict[str, Any] = {
            "VisibilityTimeout": str(math.ceil(self._topology.visibility_timeout_s)),
            "ContentBasedDeduplication": "true",
        }
        if (most := self._topology.max_receives) is not None:
            dead = name.removesuffix(".fifo") + "-dlq" + (".fifo" if name.endswith(".fifo") else "")
            redrive = {"deadLetterTargetArn": _arn("sqs", dead), "maxReceiveCount": most}
            told["RedrivePolicy"] = orjson.dumps(redrive).decode()
        return {"Attributes": {**told, **self._queues.get(name, {}), "QueueArn": _arn("sqs", name)}}

    def _subscribed(self, params: Mapping[str, Any]) -> Answer:
        """To a topic that is there already: each queue that the topology names."""
        assert self._topology.attached is not None
        queues = [_arn("sqs", name_of(each.queue)) for each in self._topology.attached.queues.values()]
        return {
            "Subscriptions": [
                {"Protocol": "sqs", "Endpoint": arn, "SubscriptionArn": _arn("sns", f"topic:{number}")}
                for number, arn in enumerate(queues)
            ]
        }

    def _topic(self, params: Mapping[str, Any]) -> Answer:
        fifo = "true" if str(params["TopicArn"]).endswith(FIFO) else "false"
        return {"Attributes": {"FifoTopic": fifo, "ContentBasedDeduplication": "true"}}

    def _targets(self, params: Mapping[str, Any]) -> Answer:
        assert self._topology.attached is not None
        queues = [each.queue for each in self._topology.attached.queues.values() if each.rule == params["Rule"]]
        return {"Targets": [{"Id": "queue", "Arn": _arn("sqs", name_of(queue))} for queue in queues]}

    def _rule(self, params: Mapping[str, Any]) -> Answer:
        self._rules.append(str(params["Name"]))
        return {"RuleArn": _arn("events", f"rule/{params['EventBusName']}/{params['Name']}")}

    def _listed(self, params: Mapping[str, Any]) -> Answer:
        return {"Rules": [{"Name": name} for name in self._rules]}


def _arn(service: str, name: object) -> str:
    return _ARN.format(service=service, name=name)


def _nothing(imagined: Imagined, params: Mapping[str, Any]) -> Answer:
    return {}


_ANSWERS: Mapping[str, Callable[[Imagined, Mapping[str, Any]], Answer]] = {
    "CreateQueue": Imagined._queue,
    "GetQueueUrl": Imagined._queue,
    "GetQueueAttributes": Imagined._attributes,
    "SetQueueAttributes": _nothing,
    "DeleteQueue": _nothing,
    "CreateTopic": lambda _, params: {"TopicArn": _arn("sns", params["Name"])},
    "Subscribe": lambda _, params: {"SubscriptionArn": f"{params['TopicArn']}:subscription"},
    "DeleteTopic": _nothing,
    "GetTopicAttributes": Imagined._topic,
    "ListSubscriptionsByTopic": Imagined._subscribed,
    "GetSubscriptionAttributes": lambda _, params: {"Attributes": {}},
    "DescribeEventBus": lambda _, params: {"Arn": _arn("events", f"event-bus/{params['Name']}")},
    "DescribeRule": lambda _, params: {"State": "ENABLED", "EventPattern": "{}"},
    "ListTargetsByRule": Imagined._targets,
    "CreateEventBus": lambda _, params: {"EventBusArn": _arn("events", f"event-bus/{params['Name']}")},
    "DeleteEventBus": _nothing,
    "CreateArchive": lambda _, params: {"ArchiveArn": _arn("events", f"archive/{params['ArchiveName']}")},
    "DeleteArchive": _nothing,
    "PutRule": Imagined._rule,
    "PutTargets": lambda _, params: {"FailedEntryCount": 0, "FailedEntries": []},
    "ListRules": Imagined._listed,
    "RemoveTargets": _nothing,
    "DeleteRule": _nothing,
    "CreateStream": _nothing,
    "StartStreamEncryption": _nothing,
    "DescribeStreamSummary": lambda _, params: {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE"}},
    "DeleteStream": _nothing,
}
