"""What SQS documents for FIFO queues: order in each group, a locked group while in flight, deduplication.

Sources: the SQS developer guide and API reference (docs.aws.amazon.com/AWSSimpleQueueService/latest), above all its
pages "FIFO delivery logic" and "Exactly-once processing".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameday.conformance.base import Bench, Probe, claim, increasing
from gameday.conformance.probes.sqs import dead_letter
from gameday.conformance.queues import HIDDEN_S, ProbeQueue, numbered, texts
from gameday.transports.base import Answer, Call

_SHORT_S = 3
_LOOK_S = 1.5


def order_in_group(bench: Bench) -> None:
    """Messages of a group are delivered in the order in which they were sent (guide, "FIFO delivery logic")."""
    queue = ProbeQueue(bench, fifo=True)
    bodies = numbered("m", 12)
    for body in bodies:
        queue.send(body)
    _in_order(queue, bodies)


def order_in_batch(bench: Bench) -> None:
    """Messages of a group sent in one batch are delivered in the batch's order (guide, "FIFO delivery logic")."""
    queue = ProbeQueue(bench, fifo=True)
    bodies = numbered("m", 10)
    claim(not queue.send_batch(bodies).get("Failed"), "a valid batch was refused in part")
    _in_order(queue, bodies)


def _in_order(queue: ProbeQueue, bodies: Sequence[str]) -> None:
    got = texts(queue.collect(bodies, delete=True))
    claim(got == list(bodies), f"sent {', '.join(bodies)}; delivered {', '.join(got)}")


def group_locked_while_in_flight(bench: Bench) -> None:
    """While a message of a group is in flight, no later one of it is delivered (guide, "FIFO delivery logic")."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send_batch(numbered("a", 4))
    held = queue.collect(["a1"], most=1)
    came = texts(queue.watch(_LOOK_S))
    claim(not came, f"while a1 was in flight, {', '.join(came)} came")
    queue.settle(held)
    pair = queue.collect(["a2"], most=2)
    if texts(pair) == ["a2", "a3"]:
        # One that is given back does not free the group while the other is held.
        bench.carry(queue.hiding(pair[0], 0))
        came = texts(queue.watch(_LOOK_S, enough=lambda got: "a4" in texts(got)))
        claim("a4" not in came, f"a2 was given back, and {', '.join(came)} came while a3 was in flight")


def other_groups_flow(bench: Bench) -> None:
    """A group in flight does not keep other groups back (guide, "FIFO delivery logic")."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send("a1", group="a")
    queue.collect(["a1"])
    queue.send("b1", group="b")
    queue.collect(["b1"])


def order_after_visibility(bench: Bench) -> None:
    """A message whose visibility timeout ended comes again before the rest of its group (guide, "FIFO queues")."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send("a1")
    queue.send("a2")
    queue.collect(["a1"], most=1, VisibilityTimeout=1)
    got = texts(queue.collect(["a1", "a2"], delete=True))
    claim(got == ["a1", "a2"], f"after a1's visibility timeout the group came as {', '.join(got)}")


def extended_head_blocks_group(bench: Bench) -> None:
    """A message whose visibility was extended keeps its group back until then (API, ChangeMessageVisibility)."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send_batch(["a1", "a2", "a3"])
    # The second may be in flight with it: what ends after two seconds is its hold, not the extended one.
    held, *_ = queue.collect(["a1"], most=2, VisibilityTimeout=_SHORT_S)
    bench.carry(queue.hiding(held, HIDDEN_S))
    came = texts(queue.watch(_SHORT_S + bench.conditions.tick_s))
    claim(not came, f"while a1 was hidden for {HIDDEN_S} s, {', '.join(came)} came")
    claim(queue.settle([held]) == ["ok"], "the receipt of the extended message was refused")
    queue.collect(["a2", "a3"], delete=True)


def dedup_inside_window(bench: Bench) -> None:
    """A message with a repeated deduplication id is accepted and not delivered (guide, "Exactly-once processing")."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send("first", dedup="same")
    queue.send("second", dedup="same")
    _only(queue, ["first"])


def dedup_after_delete(bench: Bench) -> None:
    """A deduplication id counts for its window even when the message was deleted (API, SendMessage)."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send("first", dedup="same")
    queue.collect(["first"], delete=True)
    queue.send("second", dedup="same")
    _only(queue, [])


def dedup_after_window(bench: Bench) -> None:
    """Once the window of 5 minutes is over, a deduplication id is free again (guide, "Exactly-once processing")."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send("first", dedup="same")
    queue.collect(["first"], delete=True)
    bench.wait(bench.conditions.dedup_window_s + bench.conditions.tick_s)
    queue.send("second", dedup="same")
    queue.collect(["second"])


def dedup_by_content(bench: Bench) -> None:
    """With ContentBasedDeduplication the body's SHA-256 is the deduplication id (guide, "Exactly-once processing")."""
    queue = ProbeQueue(bench, fifo=True, attributes={"ContentBasedDeduplication": "true"})
    for body in ("same", "same", "other"):
        queue.send(body, dedup="")
    _only(queue, ["same", "other"])


def dedup_scope_group(bench: Bench) -> None:
    """With DeduplicationScope messageGroup an id counts within its group only (guide, "High throughput for FIFO")."""
    scope = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    queue = ProbeQueue(bench, fifo=True, attributes=scope)
    for body, group in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        queue.send(body, group=group, dedup="same")
    _only(queue, ["a1", "b1"])


def dedup_scope_queue(bench: Bench) -> None:
    """A deduplication id counts in all groups, unless DeduplicationScope says otherwise (API, CreateQueue)."""
    queue = ProbeQueue(bench, fifo=True)
    for body, group in (("a1", "a"), ("b1", "b")):
        queue.send(body, group=group, dedup="same")
    _only(queue, ["a1"])


def _only(queue: ProbeQueue, bodies: Sequence[str]) -> None:
    """Exactly these arrive, and nothing that was sent before the mark that is sent now."""
    queue.send("mark", group="mark")
    wanted = [*bodies, "mark"]
    got = texts(queue.collect(wanted, delete=True))
    got += texts(queue.watch(_LOOK_S))
    claim(sorted(got) == sorted(wanted), f"expected {', '.join(wanted)}; delivered {', '.join(got)}")


def delay_queue(bench: Bench) -> None:
    """With DelaySeconds the messages of a queue are hidden for so long, then come in order (guide, "Delay queues")."""
    queue = ProbeQueue(bench, fifo=True, attributes={"DelaySeconds": str(_SHORT_S)})
    began = bench.now
    queue.send_batch(["a1", "a2"])
    got = texts(queue.collect(["a1", "a2"], delete=True))
    took = bench.now - began
    claim(took >= _SHORT_S - bench.conditions.tick_s, f"with a delay of {_SHORT_S} s both came after {took:.1f} s")
    claim(got == ["a1", "a2"], f"after their delay a1 and a2 came as {', '.join(got)}")


def delayed_head_keeps_order(bench: Bench) -> None:
    """A message without a delay does not overtake a delayed one of its group (guide, "FIFO delivery logic")."""
    queue = ProbeQueue(bench, fifo=True, attributes={"DelaySeconds": str(_SHORT_S)})
    queue.send("a1")
    queue.call("SetQueueAttributes", Attributes={"DelaySeconds": "0"})
    queue.send("a2")
    # Whether a1 is still delayed or not: a2 stands behind it.
    got = texts(queue.collect(["a1", "a2"], delete=True))
    claim(got == ["a1", "a2"], f"a1 was delayed, a2 was not, and they came as {', '.join(got)}")


def delay_is_retroactive(bench: Bench) -> None:
    """A new DelaySeconds of a FIFO queue counts for the messages that are in it already (guide, "Delay queues")."""
    queue = ProbeQueue(bench, fifo=True, attributes={"DelaySeconds": "900"})
    queue.send("m")
    queue.call("SetQueueAttributes", Attributes={"DelaySeconds": "0"})
    queue.collect(["m"])


def message_timer_refused(bench: Bench) -> None:
    """A message of a FIFO queue has no DelaySeconds of its own (API, SendMessage; guide, "Message timers")."""
    queue = ProbeQueue(bench, fifo=True)
    sending = {"QueueUrl": queue.url, **queue.draft("m"), "DelaySeconds": _SHORT_S}
    refused = bench.refusal(Call("sqs", "SendMessage", sending))
    claim(refused is not None, "a message with DelaySeconds was accepted by a FIFO queue")
    _only(queue, [])


def receive_attempt_id(bench: Bench) -> None:
    """A receive repeated with its ReceiveRequestAttemptId gives the same messages again (API, ReceiveMessage)."""
    queue = ProbeQueue(bench, fifo=True)
    bodies = numbered("m", 3)
    queue.send_batch(bodies)
    first = bench.until(lambda: queue.receive(ReceiveRequestAttemptId="again") or None, "nothing was received")
    second = queue.receive(ReceiveRequestAttemptId="again")
    claim(texts(first) == texts(second), f"the receive gave {texts(first)}, repeated it gave {texts(second)}")
    held = queue.watch(_LOOK_S)
    claim(not held, f"a receive of another attempt gave {texts(held)}, which are in flight")


def stale_receipt_refused(bench: Bench) -> None:
    """A delete with a receipt handle that has expired fails on FIFO (API reference, ReceiveMessage)."""
    queue = ProbeQueue(bench, fifo=True)
    queue.send("m")
    (stale,) = queue.collect(["m"], VisibilityTimeout=1)
    queue.collect(["m"], VisibilityTimeout=_SHORT_S)
    refused = bench.refusal(Call("sqs", "DeleteMessage", {"QueueUrl": queue.url, "ReceiptHandle": stale.receipt}))
    bench.until(lambda: queue.receive() or None, "after a delete with an old receipt handle the message did not come")
    claim(refused is not None, "a delete with an old receipt handle was answered with success")


def sequence_numbers_increase(bench: Bench) -> None:
    """The SequenceNumber of a group's messages increases from send to send (API reference, SendMessage)."""
    queue = ProbeQueue(bench, fifo=True)
    numbers = [_number(queue.send(body)) for body in numbered("m", 6)]
    numbers += [_number(entry) for entry in queue.send_batch(numbered("n", 6))["Successful"]]
    increasing(numbers)


def sequence_number_at_receive(bench: Bench) -> None:
    """A message is received with the SequenceNumber that its send was answered (API reference, ReceiveMessage)."""
    queue = ProbeQueue(bench, fifo=True)
    sent = {body: _number(queue.send(body)) for body in numbered("m", 3)}
    got = {delivery.body: int(delivery.broker_seq or -1) for delivery in queue.collect(list(sent), delete=True)}
    claim(sent == got, f"answered {sent}, received {got}")


def _number(answer: Answer) -> int:
    claim("SequenceNumber" in answer, "a send to a FIFO queue was answered without a SequenceNumber")
    return int(answer["SequenceNumber"])


def dead_letter_after_max_receives(bench: Bench) -> None:
    """What was received maxReceiveCount times goes to the dead-letter queue (guide, "Dead-letter queues")."""
    dead_letter(bench, fifo=True)


PROBES: Mapping[str, Probe] = {
    "order-in-group": order_in_group,
    "order-in-batch": order_in_batch,
    "group-locked-while-in-flight": group_locked_while_in_flight,
    "other-groups-flow": other_groups_flow,
    "order-after-visibility": order_after_visibility,
    "extended-head-blocks-group": extended_head_blocks_group,
    "dedup-inside-window": dedup_inside_window,
    "dedup-after-delete": dedup_after_delete,
    "dedup-after-window": dedup_after_window,
    "dedup-by-content": dedup_by_content,
    "dedup-scope-group": dedup_scope_group,
    "dedup-scope-queue": dedup_scope_queue,
    "delay-queue": delay_queue,
    "delayed-head-keeps-order": delayed_head_keeps_order,
    "delay-is-retroactive": delay_is_retroactive,
    "message-timer-refused": message_timer_refused,
    "receive-attempt-id": receive_attempt_id,
    "stale-receipt-refused": stale_receipt_refused,
    "sequence-numbers-increase": sequence_numbers_increase,
    "sequence-number-at-receive": sequence_number_at_receive,
    "dead-letter-after-max-receives": dead_letter_after_max_receives,
}
