"""What SNS documents for FIFO topics that deliver to FIFO queues: all that a topic does, and order and deduplication.

Sources: the SNS developer guide, "FIFO topics" (docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps

from gameday.conformance.base import Bench, Probe, claim
from gameday.conformance.probes import sns
from gameday.conformance.queues import numbered, texts

_LOOK_S = 2.0


def _on_fifo(probe: sns.TopicProbe) -> Probe:
    @wraps(probe)
    def ask(bench: Bench) -> None:
        probe(bench, fifo=True)

    return ask


def order_per_group(bench: Bench) -> None:
    """Messages of a group reach a FIFO queue in the order of publishing, in a batch too (API, PublishBatch)."""
    topic = sns.Topic(bench, fifo=True)
    queue = topic.queue()
    groups = {"a": numbered("a", 6), "b": numbered("b", 6)}
    pairs = [body for pair in zip(*groups.values(), strict=True) for body in pair]
    single, batch = pairs[:6], pairs[6:]
    for body in single:
        topic.publish(body, group=body[0])
    entries = [{"Id": body, **topic.draft(body, group=body[0])} for body in batch]
    answer = bench.call("sns", "PublishBatch", TopicArn=topic.arn, PublishBatchRequestEntries=entries)
    claim(not answer.get("Failed"), "a valid batch was refused in part")
    got = texts(queue.collect(pairs, delete=True))
    for group, bodies in groups.items():
        came = [body for body in got if body in bodies]
        claim(came == bodies, f"group {group} was published as {', '.join(bodies)} and came as {', '.join(came)}")


def dedup(bench: Bench) -> None:
    """A message with a repeated deduplication id is accepted, not delivered (guide, "Message deduplication")."""
    topic = sns.Topic(bench, fifo=True)
    queue = topic.queue()
    topic.publish("first", dedup="same")
    queue.collect(["first"], delete=True)
    topic.publish("second", dedup="same")
    topic.publish("mark")
    got = texts(queue.collect(["mark"], delete=True)) + texts(queue.watch(_LOOK_S))
    claim(got == ["mark"], f"after the first, {', '.join(got)} came")


def dedup_scope_topic(bench: Bench) -> None:
    """Unless FifoThroughputScope says otherwise, an id counts in all groups of a topic (API reference, CreateTopic)."""
    topic = sns.Topic(bench, fifo=True)
    # A Standard queue, because a FIFO one would drop the second by itself.
    queue = topic.queue(fifo=False)
    topic.publish("a1", group="a", dedup="same")
    topic.publish("b1", group="b", dedup="same")
    topic.publish("mark")
    got = set(texts(queue.collect(["a1", "mark"], delete=True)) + texts(queue.watch(_LOOK_S)))
    claim("b1" not in got, "an id that was used in group a was delivered in group b")


PROBES: Mapping[str, Probe] = {
    **{name: _on_fifo(probe) for name, probe in sns.TOPICS.items()},
    "order-per-group": order_per_group,
    "dedup": dedup,
    "dedup-scope-topic": dedup_scope_topic,
}
