"""What a scenario sends and to whom, as AsyncAPI 3.0: channels with their bindings, operations, and the message.

Bindings are those of SQS (0.3.0) and SNS (1.0.0), github.com/asyncapi/bindings; EventBridge and Kinesis have none,
so theirs stand under `x-eventbridge` and `x-kinesis`. It promises a document that names each subscription once, and
nothing of a run: addresses are those that a run would make, with {run} for its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gameday.history import envelope
from gameday.loadgen.payloads import SchemaVersion
from gameday.scenario.model import Scenario, promises_of
from gameday.transports.registry import TRANSPORTS

Document = dict[str, Any]
_SQS, _SNS = {"bindingVersion": "0.3.0"}, {"bindingVersion": "1.0.0"}
# Where each form of an event has what every event tells.
_CORRELATION = {"ours": "$message.payload#/detail/correlationId", "cloudevents": "$message.payload#/correlationid"}
_TEXT: Document = {"type": "string"}


def asyncapi(scenario: Scenario) -> Document:
    """Errors: ValueError for a topology that the transport cannot have."""
    transport = TRANSPORTS[scenario.transport]
    service = next(each for each in transport.services if each != "sqs" or len(transport.services) == 1)
    messages = _messages(scenario)
    queues = {name: _queue(scenario, name) for name in scenario.subscriptions} if transport.kind == "queue" else {}
    named = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    channels: Document = {}
    operations: Document = {}
    if service != "sqs":
        channels[service] = {
            "address": "gameday-{run}",
            "messages": named,
            **_sent_through(scenario, service, ordered=transport.ordered),
        }
        operations["send"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{service}"},
            **_handed_on(scenario, service),
        }
    for name, queue in queues.items():
        channels[name] = {"address": queue["queue"]["name"], "messages": named, "bindings": {"sqs": {**queue, **_SQS}}}
        operations[f"receive-{name}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{name}"}}
        if service == "sqs":
            operations["send"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
    if not queues:
        for name in scenario.subscriptions:
            operations[f"receive-{name}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{service}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": scenario.name,
            "version": "1.0.0",
            "description": f"What the scenario {scenario.name} sends.",
        },
        "defaultContentType": "application/json",
        "channels": {
            name: {**channel, **({"parameters": {"run": {"description": "the name of a run"}}})}
            for name, channel in channels.items()
        },
        "operations": operations,
        "components": {"messages": messages},
    }


def _queue(scenario: Scenario, name: str) -> Document:
    promised = promises_of(scenario, settle_s=0.0)[name]
    fifo = promised.ordered_by == "group"
    ends = ".fifo" if fifo else ""
    topology = scenario.topology
    queue: Document = {
        "name": f"gameday-{{run}}-{name}{ends}",
        "fifoQueue": fifo,
        "visibilityTimeout": round(topology.visibility_timeout),
        "deliveryDelay": round(topology.delay),
    }
    if not promised.dead_letter:
        return {"queue": queue}
    dead = {"name": f"gameday-{{run}}-{name}-dlq{ends}", "fifoQueue": fifo}
    queue["redrivePolicy"] = {"deadLetterQueue": {"name": dead["name"]}, "maxReceiveCount": promised.max_receives}
    return {"queue": queue, "deadLetterQueue": dead}


def _sent_through(scenario: Scenario, service: str, *, ordered: bool) -> Document:
    if service == "sns":
        ordering = {"type": "FIFO" if ordered else "standard"}
        return {"bindings": {"sns": {"name": "gameday-{run}", "ordering": ordering, **_SNS}}}
    if service == "kinesis":
        return {"x-kinesis": {"shards": scenario.topology.shards}}
    return {"x-eventbridge": {"source": envelope.SOURCE, "detailType": envelope.DETAIL_TYPE}}


def _handed_on(scenario: Scenario, service: str) -> Document:
    """To whom a topic or a bus hands on what it is sent."""
    subscriptions = scenario.topology.subscriptions
    if service == "sns":
        consumers = [
            {
                "protocol": "sqs",
                "endpoint": {"name": _queue(scenario, each.name)["queue"]["name"]},
                "rawMessageDelivery": each.raw,
                **(
                    {}
                    if each.filter is None
                    else {
                        "filterPolicy": each.filter,
                        "filterPolicyScope": "MessageBody" if each.filter_on == "body" else "MessageAttributes",
                    }
                ),
            }
            for each in subscriptions
        ]
        return {"bindings": {"sns": {"consumers": consumers, **_SNS}}}
    if service == "events":
        patterns = {each.name: each.pattern or {"source": [envelope.SOURCE]} for each in subscriptions}
        return {"x-eventbridge": {"rules": patterns}}
    return {}


def _messages(scenario: Scenario) -> Document:
    """One for each version that payloads are made from, one where they are made from none."""
    if scenario.load.message is not None:
        return {"message": {"name": "message", "summary": "a message of the scenario's author"}}
    versions: list[SchemaVersion | None] = [*scenario.versions] or [None]
    form = scenario.load.envelope
    made: Document = {}
    for version in versions:
        name = envelope.DETAIL_TYPE if version is None else version.name
        key = name.replace("@", "-")
        payload = {} if version is None else dict(version.document)
        made[key] = {
            "name": name,
            "title": str(payload.get("title", envelope.DETAIL_TYPE)),
            "contentType": "application/cloudevents+json" if form == "cloudevents" else "application/json",
            "correlationId": {"location": _CORRELATION[form]},
            "payload": _cloud_event(payload) if form == "cloudevents" else _event(payload),
        }
    return made


def _event(payload: Mapping[str, Any]) -> Document:
    metadata = {"id": _TEXT, "run": _TEXT, "group": {"type": ["string", "null"]}, "domain": _TEXT, "checksum": _TEXT}
    detail: Document = {
        "type": "object",
        "required": ["timestamp", "correlationId", "metadata", *(["payload"] if payload else [])],
        "properties": {
            "timestamp": {"type": "integer", "description": "nanoseconds since 1970"},
            "correlationId": _TEXT,
            "metadata": {"type": "object", "required": ["id", "domain"], "properties": metadata},
            **({"payload": dict(payload)} if payload else {}),
        },
    }
    properties = {
        "source": {"const": envelope.SOURCE},
        "detail-type": {"const": envelope.DETAIL_TYPE},
        "detail": detail,
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _cloud_event(payload: Mapping[str, Any]) -> Document:
    properties: Document = {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {"const": envelope.SOURCE},
        "type": {"const": envelope.DETAIL_TYPE},
        "time": {"type": "string", "format": "date-time"},
        "correlationid": _TEXT,
        "domain": _TEXT,
        "data": dict(payload) or {"type": "object"},
    }
    return {"type": "object", "required": list(properties), "properties": properties}
