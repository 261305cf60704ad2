"""The pipelines `sqs` and `sqs-fifo`: producers send straight to one queue per subscription's name.

Promises, as AWS documents them (SQS developer guide, "Standard queues" and "FIFO queues"): Standard delivers at least
once in any order; FIFO orders by message group and drops a repeated deduplication id for 5 minutes. On Standard a
message group is a tenant, and what it means is no order (guide, "Amazon SQS fair queues").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gameday.history.manifest import Subscription
from gameday.history.trace import ATTRIBUTE
from gameday.transports.base import (
    FIFO_NAME,
    Addresses,
    Answer,
    Attribute,
    Call,
    CallFailed,
    Found,
    Limits,
    Outgoing,
    Plan,
    SendOutcome,
    Size,
    Topology,
    refuse_unknown,
)
from gameday.transports.queue import (
    BATCH_MAX,
    BYTES_MAX,
    SERVICE,
    EndsInQueues,
    batch_outcomes,
    bytes_of,
    create_queues,
    delete_queues,
    find_queues,
    is_fifo,
    promise,
)


class Sqs(EndsInQueues):
    """One queue with its dead-letter queue. `fifo` is the only difference between the two pipelines."""

    batch_max = BATCH_MAX
    services = (SERVICE,)
    attaches_to: Literal["queue"] = "queue"
    keeps_ids = True
    takes_aws_trace_header = True

    def __init__(self, *, name: str, fifo: bool) -> None:
        self.name = name
        self.ordered = self.deduplicates = fifo
        # A FIFO queue takes no delay but its own (APIReference/API_SendMessageBatchRequestEntry).
        self.delays_messages = not fifo
        self.takes_tenants = not fifo

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """One subscription: a queue has one audience, however many consumers share it. Errors: ValueError for more."""
        refuse_unknown(self.name, topology, takes=())
        if len(topology.subscriptions) != 1:
            raise ValueError(
                f"{self.name} has exactly one subscription, its queue; {len(topology.subscriptions)} are named"
            )
        (spec,) = topology.subscriptions
        if is_fifo(topology, spec, ordered=self.ordered) != self.ordered:
            other = "sqs" if self.ordered else "sqs-fifo"
            raise ValueError(
                f"what topology.attach names is {'no' if self.ordered else 'a'} FIFO queue by its name; use the "
                f"transport {other}"
            )
        return {spec.name: promise(topology, spec, fifo=self.ordered)}

    def look(self, topology: Topology) -> Plan[Found]:
        found = yield from find_queues(topology)
        (name,) = topology.names
        if self.ordered and topology.dedup == "content" and name not in found.by_content:
            raise CallFailed(
                "QueueDiffers",
                f"{name}: its queue does not deduplicate by content, and load.dedup says so; write dedup: id",
                definite=True,
            )
        addresses = Addresses(
            send_to=found.urls[name], queues=found.urls, dead_letter_queues=found.dead_letter_urls, attached=True
        )
        return Found(addresses=addresses, standing=found.standing)

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]:
        if topology.attached is not None:
            return (yield from self.look(topology)).addresses
        made = yield from create_queues(topology, ordered=self.ordered, run=run, tags=tags)
        return Addresses(
            send_to=made.urls[topology.names[0]],
            queues=made.urls,
            dead_letter_queues=made.dead_letter_urls,
        )

    def tear_down(self, addresses: Addresses) -> Plan[None]:
        if not addresses.attached:
            yield from delete_queues(addresses)

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call:
        entries = []
        for n, message in enumerate(messages):
            entry: dict[str, Any] = {"Id": str(n), "MessageBody": message.body}
            if message.delay_s is not None:
                entry["DelaySeconds"] = message.delay_s
            if beside := _beside(message):
                entry["MessageAttributes"] = {
                    name: {"DataType": attribute.data_type, "StringValue": attribute.value}
                    for name, attribute in beside.items()
                }
            if message.aws_trace_header is not None:
                header = {"DataType": "String", "StringValue": message.aws_trace_header}
                entry["MessageSystemAttributes"] = {"AWSTraceHeader": header}
            if self.ordered:
                entry["MessageGroupId"] = message.group or message.id
                if message.dedup_id is not None:
                    entry["MessageDeduplicationId"] = message.dedup_id
            elif message.tenant is not None:
                entry["MessageGroupId"] = message.tenant
            entries.append(entry)
        return Call(SERVICE, "SendMessageBatch", {"QueueUrl": addresses.send_to, "Entries": entries})

    def limits(self, topology: Topology) -> Limits:
        return Limits(message=BYTES_MAX, call=BYTES_MAX, group=FIFO_NAME if self.ordered else None)

    def size(self, topology: Topology, message: Outgoing) -> Size:
        """An attribute counts with its name and type; X-Ray's header does not count (APIReference/API_SendMessage)."""
        beside = _beside(message)
        length = len(message.body.encode()) + bytes_of(beside)
        told = f"the attribute{'s' if len(beside) > 1 else ''} {', '.join(beside)}" if beside else ""
        return Size(sent=length, arrives=length, beside=told)

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        return batch_outcomes(answer, messages)

    def expect(self, topology: Topology, message: Outgoing) -> list[str]:
        return topology.names


def _beside(message: Outgoing) -> dict[str, Attribute]:
    """All attributes of a message; an order of ours has none of its own."""
    traced = {} if message.traceparent is None else {ATTRIBUTE: Attribute("String", message.traceparent)}
    return {**(message.attributes or {}), **traced}
