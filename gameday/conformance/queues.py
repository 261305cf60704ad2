"""A queue of a probe's own and the moves that probes are made of: send, receive, collect, settle.

Shared by every service that ends in a queue. Each queue hides a message for longer than any probe takes unless it is
asked for less, so that only a probe about visibility ever meets its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from gameday.conformance.base import Bench, claim, missing
from gameday.transports.base import Answer, Call, Delivery
from gameday.transports.queue import BATCH_MAX, SERVICE, SqsQueue, sending_policy

HIDDEN_S = 120
_LONG_POLL_S = 1
_PAUSE_S = 0.1
_TOLD_MAX = 80


class ProbeQueue:
    """A queue made for one probe; Standard unless `fifo`. `attributes` are added to those of CreateQueue."""

    def __init__(
        self,
        bench: Bench,
        *,
        fifo: bool = False,
        hidden_s: int = HIDDEN_S,
        dead_letters: ProbeQueue | None = None,
        max_receives: int = 2,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        given = {"VisibilityTimeout": str(hidden_s), **(attributes or {})}
        if fifo:
            given["FifoQueue"] = "true"
        if dead_letters is not None:
            policy = {"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": max_receives}
            given["RedrivePolicy"] = orjson.dumps(policy).decode()
        self.bench = bench
        self.fifo = fifo
        name = bench.name("queue") + (".fifo" if fifo else "")
        self.url: str = bench.call(SERVICE, "CreateQueue", QueueName=name, Attributes=given)["QueueUrl"]
        bench.afterwards(SERVICE, "DeleteQueue", QueueUrl=self.url)
        self._source = SqsQueue(self.url)

    @property
    def arn(self) -> str:
        answer = self.call("GetQueueAttributes", AttributeNames=["QueueArn"])
        arn: str = answer["Attributes"]["QueueArn"]
        return arn

    def open_to(self, sender: str) -> str:
        """Let a service (sns.amazonaws.com) send here; the queue's ARN."""
        arn = self.arn
        self.call("SetQueueAttributes", Attributes={"Policy": sending_policy(sender, arn)})
        return arn

    def call(self, operation: str, **params: Any) -> Answer:
        return self.bench.call(SERVICE, operation, QueueUrl=self.url, **params)

    def send(self, body: str, *, group: str = "a", dedup: str | None = None, **params: Any) -> Answer:
        """Send one message; on FIFO its deduplication id is `dedup` ("" sends none), else made from the body."""
        return self.call("SendMessage", **self.draft(body, group=group, dedup=dedup), **params)

    def send_batch(self, bodies: Sequence[str], *, group: str = "a") -> Answer:
        """Up to ten messages in one call, with entry ids "0", "1", …"""
        entries = [{"Id": str(n), **self.draft(body, group=group)} for n, body in enumerate(bodies)]
        return self.call("SendMessageBatch", Entries=entries)

    def draft(self, body: str, *, group: str = "a", dedup: str | None = None) -> dict[str, str]:
        draft = {"MessageBody": body}
        if self.fifo:
            draft["MessageGroupId"] = group
            if dedup != "":
                draft["MessageDeduplicationId"] = dedup_id(body) if dedup is None else dedup
        return draft

    def receive(self, *, most: int = BATCH_MAX, wait_s: int = _LONG_POLL_S, **params: Any) -> list[Delivery]:
        """One receive, a long poll unless `wait_s` is 0. `params` are added to the call."""
        call = self._source.receive(most=most, wait_s=wait_s)
        return self._source.received(self.bench.carry(Call(SERVICE, call.operation, {**call.params, **params})))

    def gather(self, bodies: Sequence[str], *, delete: bool = False, **params: Any) -> list[Delivery]:
        """Receive until each of `bodies` came or the patience is over; all that was received, in that order.

        `delete` settles each as it comes, as a FIFO queue wants before it goes on with the group. `params`: of receive.
        """
        got: list[Delivery] = []
        deadline = self.bench.now + self.bench.conditions.patience_s
        while missing(bodies, texts(got)) and self.bench.now < deadline:
            batch = self.receive(**params)
            got += batch
            if delete and batch:
                self.settle(batch)
            if not batch:
                self.bench.wait(_PAUSE_S)
        return got

    def collect(self, bodies: Sequence[str], *, delete: bool = False, **params: Any) -> list[Delivery]:
        """As `gather`. Errors: Violated if one of `bodies` does not come."""
        got = self.gather(bodies, delete=delete, **params)
        lost = [shortened(body) for body in missing(bodies, texts(got))]
        claim(not lost, f"not received within {self.bench.conditions.patience_s:g} s: {', '.join(lost)}")
        return got

    def watch(self, seconds: float, *, enough: Callable[[list[Delivery]], bool] = bool) -> list[Delivery]:
        """All that is received for so long, or until that is enough (any): to see that something does not come."""
        end = self.bench.now + seconds
        got: list[Delivery] = []
        while not enough(got) and (left := end - self.bench.now) > 0:
            wait_s = min(_LONG_POLL_S, int(left))
            got += self.receive(wait_s=wait_s)
            if not wait_s:
                self.bench.wait(min(_PAUSE_S, left))
        return got

    def settle(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Delete; the outcome of each."""
        outcomes: list[str] = []
        for start in range(0, len(deliveries), BATCH_MAX):
            batch = deliveries[start : start + BATCH_MAX]
            answer = self.bench.carry(self._source.delete(batch))
            outcomes += [outcome for outcome, _ in self._source.settled(answer, batch)]
        return outcomes

    def hiding(self, delivery: Delivery, seconds: int) -> Call:
        """The change of one message's visibility; 0 gives it back."""
        given = {"QueueUrl": self.url, "ReceiptHandle": delivery.receipt, "VisibilityTimeout": seconds}
        return Call(SERVICE, "ChangeMessageVisibility", given)


def dedup_id(body: str) -> str:
    """One for each body: a body itself may hold characters that an id must not have."""
    return hashlib.sha256(body.encode()).hexdigest()


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.body for delivery in deliveries]


def shortened(body: str) -> str:
    """A body as a sentence may have it."""
    return body if len(body) <= _TOLD_MAX else f"{body[:8]}… ({len(body)} characters)"


def numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(1, count + 1)]
