"""The pipelines `sqs` and `sqs-fifo`: producers send straight to one queue per subscription's name.

Promises, as AWS documents them (SQS developer guide, "Standard queues" and "FIFO queues"): Standard delivers at least
once in any order; FIFO orders by message group and drops a repeated deduplication id for 5 minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import orjson

from history.manifest import Subscription
from transports.base import Addresses, Answer, Call, Outgoing, Plan, QueueSource, SendOutcome, Topology
from transports.queue import BATCH_MAX, SERVICE, SqsQueue, entries_by_id, failure

DEDUP_WINDOW_S = 300.0
_RETENTION_S = 4 * 24 * 3600


class Sqs:
    """One queue with its dead-letter queue. `fifo` is the only difference between the two pipelines."""

    batch_max = BATCH_MAX
    services = (SERVICE,)

    def __init__(self, *, name: str, fifo: bool) -> None:
        self.name = name
        self.ordered = fifo

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """One subscription: a queue has one audience, however many consumers share it. Errors: ValueError for more."""
        if len(topology.subscriptions) != 1:
            raise ValueError(
                f"{self.name} has exactly one subscription, its queue; {len(topology.subscriptions)} are named"
            )
        return {
            topology.subscriptions[0]: Subscription(
                kind="queue",
                ordered_by="group" if self.ordered else None,
                visibility_timeout_s=topology.visibility_timeout_s,
                max_receives=topology.max_receives,
                dead_letter=topology.max_receives is not None,
                dedup_window_s=(topology.dedup_window_s or DEDUP_WINDOW_S) if self.ordered else None,
                settle_s=topology.settle_s,
            )
        }

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]:
        name = topology.subscriptions[0]
        attributes = {
            "VisibilityTimeout": str(math.ceil(topology.visibility_timeout_s)),
            "MessageRetentionPeriod": str(_RETENTION_S),
        }
        dead_letter_queues: dict[str, str] = {}
        if topology.max_receives is not None:
            made = yield self._create(f"gameday-{run}-{name}-dlq", {"MessageRetentionPeriod": str(_RETENTION_S)}, tags)
            dead_letter_queues[name] = made["QueueUrl"]
            answer = yield Call(
                SERVICE, "GetQueueAttributes", {"QueueUrl": made["QueueUrl"], "AttributeNames": ["QueueArn"]}
            )
            redrive = {
                "deadLetterTargetArn": answer["Attributes"]["QueueArn"],
                "maxReceiveCount": topology.max_receives,
            }
            attributes["RedrivePolicy"] = orjson.dumps(redrive).decode()
        made = yield self._create(f"gameday-{run}-{name}", attributes, tags)
        url = made["QueueUrl"]
        return Addresses(send_to=url, queues={name: url}, dead_letter_queues=dead_letter_queues)

    def tear_down(self, addresses: Addresses) -> Plan[None]:
        for queue in (*addresses.queues.values(), *addresses.dead_letter_queues.values()):
            yield Call(SERVICE, "DeleteQueue", {"QueueUrl": queue})

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call:
        entries = []
        for n, message in enumerate(messages):
            entry = {"Id": str(n), "MessageBody": message.body}
            if self.ordered:
                entry["MessageGroupId"] = message.group or message.id
                entry["MessageDeduplicationId"] = message.dedup_id
            entries.append(entry)
        return Call(SERVICE, "SendMessageBatch", {"QueueUrl": addresses.send_to, "Entries": entries})

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        outcomes = []
        for n, (ok, entry) in enumerate(entries_by_id(answer, len(messages))):
            if entry is None:
                outcome = SendOutcome(
                    id=messages[n].id, entry=n, outcome="unknown", error="entry missing from the answer"
                )
            elif ok:
                outcome = SendOutcome(
                    id=messages[n].id,
                    entry=n,
                    outcome="ok",
                    broker_id=entry.get("MessageId"),
                    broker_seq=entry.get("SequenceNumber"),
                )
            else:
                error = f"{entry.get('Code')}: {entry.get('Message', '')}"
                outcome = SendOutcome(id=messages[n].id, entry=n, outcome=failure(entry), error=error)
            outcomes.append(outcome)
        return outcomes

    def expect(self, topology: Topology, body: str) -> list[str]:
        return list(topology.subscriptions)

    def source(self, addresses: Addresses, subscription: str) -> QueueSource:
        return SqsQueue(addresses.queues[subscription])

    def dead_letters(self, addresses: Addresses, subscription: str) -> QueueSource | None:
        queue = addresses.dead_letter_queues.get(subscription)
        return SqsQueue(queue) if queue else None

    def _create(self, name: str, attributes: Mapping[str, str], tags: Mapping[str, str]) -> Call:
        fifo = {"FifoQueue": "true"} if self.ordered else {}
        suffix = ".fifo" if self.ordered else ""
        return Call(
            SERVICE,
            "CreateQueue",
            {"QueueName": name + suffix, "Attributes": {**attributes, **fifo}, "tags": dict(tags)},
        )
