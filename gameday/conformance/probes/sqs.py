"""What SQS documents for standard queues: at least once, in any order, hidden while in flight.

Sources: the SQS developer guide and API reference (docs.aws.amazon.com/AWSSimpleQueueService/latest). Because a
standard queue may now and then deliver a message twice or after its delete, such rules are judged on ten messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from gameday.conformance.base import Bench, Probe, Violated, claim, mostly
from gameday.conformance.queues import HIDDEN_S, ProbeQueue, numbered, texts
from gameday.transports.base import Call, CallFailed

_SHORT_S = 3
_LOOK_S = 2.0
# "The change can take up to 60 seconds" (API reference, SetQueueAttributes).
_POLICY_S = 60.0
_BYTES_MAX = 1_048_576
# AWS takes a group for noisy that has about 30 messages in flight, and more than a tenth of all that are.
_NOISY_IN_FLIGHT, _NOISY_WAITING = 60, 60
_ATTRIBUTE = {"x": {"DataType": "String", "StringValue": "y"}}
# The edges of the ranges that a body may have, and characters just outside of them.
_ALLOWED = "\t\n\r \ud7ff\ue000\ufffd\U00010000\U0010ffff"
_REFUSED = "\x00\x08\x0b\x1f\ufffe\uffff"
_ASKED = ("ApproximateReceiveCount", "SentTimestamp")


def at_least_once(bench: Bench) -> None:
    """A message that was accepted is delivered at least once (developer guide, "Standard queues")."""
    queue = ProbeQueue(bench)
    bodies = numbered("m", 20)
    for start in (0, 10):
        claim(not queue.send_batch(bodies[start : start + 10]).get("Failed"), "a valid batch was refused in part")
    queue.collect(bodies, delete=True)


def hidden_while_in_flight(bench: Bench) -> None:
    """A received message is hidden for its visibility timeout (developer guide, "Visibility timeout")."""
    queue = ProbeQueue(bench, hidden_s=_SHORT_S)
    bodies = numbered("m", 10)
    queue.send_batch(bodies)
    # Until when each message is hidden at least: no hold ends before its receive was asked for and the timeout is over.
    held_until: dict[str, float] = {}
    early: set[str] = set()

    def over() -> bool | None:
        began = bench.now
        for body in texts(queue.receive(wait_s=0)):
            if body in held_until and bench.now < held_until[body]:
                early.add(body)
            held_until.setdefault(body, began + _SHORT_S - bench.conditions.tick_s)
        return True if len(held_until) == len(bodies) and bench.now > max(held_until.values()) else None

    bench.until(over, "ten messages that were sent were not all received")
    mostly(len(early), len(bodies), "messages came again before their visibility timeout was over")


def redelivered_after_visibility(bench: Bench) -> None:
    """A message that is not deleted comes back after its visibility timeout (developer guide, "Visibility timeout")."""
    queue = ProbeQueue(bench, hidden_s=1)
    queue.send("m")
    first = queue.collect(["m"])[0]
    again = bench.until(lambda: next(iter(queue.receive()), None), "a message that was not deleted did not come back")
    claim(again.broker_id == first.broker_id, "what came back has another MessageId")


def delete_is_final(bench: Bench) -> None:
    """A deleted message is not delivered again, but for rare exceptions (API reference, DeleteMessage)."""
    queue = ProbeQueue(bench)
    bodies = numbered("m", 10)
    queue.send_batch(bodies)
    held = queue.collect(bodies)
    claim(queue.settle(held) == ["ok"] * len(held), "the delete of a received message was refused")
    # One that is still there is given back by this, and need not be waited for; one that is gone cannot be.
    for delivery in held:
        bench.refusal(queue.hiding(delivery, 0))
    back = queue.watch(_LOOK_S, enough=lambda got: len({d.body for d in got}) * 2 > len(bodies))
    mostly(len(set(texts(back))), len(bodies), "messages were delivered again after their delete")


def stale_receipt(bench: Bench) -> None:
    """A delete with an old receipt handle succeeds, though it may delete nothing (API reference, DeleteMessage)."""
    queue = ProbeQueue(bench, hidden_s=1)
    queue.send("m")
    stale = queue.collect(["m"])[0]
    latest = queue.collect(["m"])[0]
    claim(stale.receipt != latest.receipt, "two receives gave the same receipt handle")
    claim(queue.settle([stale]) == ["ok"], "an old receipt handle was refused, as only a FIFO queue may")


def dead_letter_after_max_receives(bench: Bench) -> None:
    """What was received maxReceiveCount times goes to the dead-letter queue (developer guide, "Dead-letter queues")."""
    dead_letter(bench, fifo=False)


def dead_letter(bench: Bench, *, fifo: bool) -> None:
    """The probe of both kinds of queue."""
    dead = ProbeQueue(bench, fifo=fifo)
    queue = ProbeQueue(bench, fifo=fifo, hidden_s=1, dead_letters=dead, max_receives=2)
    queue.send("m")
    receives = 0

    def look() -> str | None:
        nonlocal receives
        for delivery in queue.receive(wait_s=0):
            receives += 1
            claim((delivery.receives or 0) <= 2, f"with maxReceiveCount 2 it was received {delivery.receives} times")
        return next(iter(texts(dead.receive(wait_s=0))), None)

    body = bench.until(look, "a message that was received twice did not reach the dead-letter queue")
    claim(body == "m", f"the dead-letter queue holds {body!r}, which nobody sent")
    claim(receives >= 2, f"with maxReceiveCount 2 it was dead after {receives} receives")


def batch_partial_failure(bench: Bench) -> None:
    """A batch succeeds or fails entry by entry, and the answer says which (API reference, DeleteMessageBatch)."""
    queue = ProbeQueue(bench)
    queue.send("m")
    held = queue.collect(["m"])[0]
    answer = queue.call(
        "DeleteMessageBatch",
        Entries=[{"Id": "bad", "ReceiptHandle": "bogus"}, {"Id": "good", "ReceiptHandle": held.receipt}],
    )
    failed = [entry["Id"] for entry in answer.get("Failed") or ()]
    successful = [entry["Id"] for entry in answer.get("Successful") or ()]
    claim(failed == ["bad"], f"a receipt handle that is none failed: {failed}")
    claim(successful == ["good"], f"the good entry beside it succeeded: {successful}")


def delay(bench: Bench) -> None:
    """A message sent with DelaySeconds is invisible for that long, then comes (developer guide, "Message timers")."""
    queue = ProbeQueue(bench)
    began = bench.now
    queue.send("late", DelaySeconds=_SHORT_S)
    queue.send("now")
    queue.collect(["now", "late"])
    took = bench.now - began
    claim(took >= _SHORT_S - bench.conditions.tick_s, f"a message delayed by {_SHORT_S} s came after {took:.1f} s")


def delay_queue(bench: Bench) -> None:
    """A queue's DelaySeconds delays each message that has none of its own (guide, "Delay queues", "Message timers")."""
    queue = ProbeQueue(bench, attributes={"DelaySeconds": str(_SHORT_S)})
    began = bench.now
    queue.send("late")
    queue.collect(["late"])
    took = bench.now - began
    claim(took >= _SHORT_S - bench.conditions.tick_s, f"with a delay of {_SHORT_S} s a message came after {took:.1f} s")
    queue.call("SetQueueAttributes", Attributes={"DelaySeconds": "900"})
    queue.send("now", DelaySeconds=0)
    queue.collect(["now"])


def message_size(bench: Bench) -> None:
    """A message has at most 1,048,576 bytes, its attributes counted (API, SendMessage; guide, "Message attributes")."""
    queue = ProbeQueue(bench)
    largest = "x" * _BYTES_MAX
    queue.send(largest)
    queue.collect([largest])
    for what, body, more in (
        ("a body of 1,048,577 bytes", largest + "x", {}),
        ("a body of 1,048,576 bytes with an attribute", largest, {"MessageAttributes": _ATTRIBUTE}),
    ):
        sending = Call("sqs", "SendMessage", {"QueueUrl": queue.url, "MessageBody": body, **more})
        claim(bench.refusal(sending) is not None, f"{what} was accepted")


def batch_size(bench: Bench) -> None:
    """The messages of a batch have at most 1,048,576 bytes together (API reference, SendMessageBatch)."""
    queue = ProbeQueue(bench)
    bodies = ["x" * (_BYTES_MAX // 2), "y" * (_BYTES_MAX // 2)]
    claim(not queue.send_batch(bodies).get("Failed"), "a batch of 1,048,576 bytes was refused in part")
    queue.collect(bodies)
    entries = [{"Id": body[0], "MessageBody": f"{body}!"} for body in bodies]
    refused = bench.refusal(Call("sqs", "SendMessageBatch", {"QueueUrl": queue.url, "Entries": entries}))
    claim(refused is not None, "a batch of 1,048,578 bytes was accepted")


def characters(bench: Bench) -> None:
    """A body with characters outside the set that XML allows is refused (API reference, SendMessage)."""
    queue = ProbeQueue(bench)
    queue.send(_ALLOWED)
    queue.collect([_ALLOWED])
    for character in _REFUSED:
        sending = Call("sqs", "SendMessage", {"QueueUrl": queue.url, "MessageBody": f"m{character}"})
        claim(bench.refusal(sending) is not None, f"a body with U+{ord(character):04X} was accepted")


def system_attributes(bench: Bench) -> None:
    """A receive tells the system attributes that it asks for, by either parameter (API reference, ReceiveMessage)."""
    queue = ProbeQueue(bench)
    queue.send("m")

    def told(**asked: Sequence[str]) -> Mapping[str, str]:
        def look() -> Mapping[str, str] | None:
            answer = queue.call("ReceiveMessage", WaitTimeSeconds=1, VisibilityTimeout=0, **asked)
            return next((message.get("Attributes") or {} for message in answer.get("Messages") or ()), None)

        return bench.until(look, "a message that is not hidden was not received")

    for parameter in ("MessageSystemAttributeNames", "AttributeNames"):
        got = told(**{parameter: _ASKED})
        claim(
            set(got) == set(_ASKED), f"asked by {parameter} for {', '.join(_ASKED)}, it told {', '.join(got) or 'none'}"
        )
        everything = told(**{parameter: ["All"]})
        lacking = sorted(set(_ASKED) - set(everything))
        claim(not lacking, f"asked by {parameter} for All, it did not tell {', '.join(lacking)}")
    claim(not told(), "a receive that asked for no system attribute was told some")


def redrive(bench: Bench) -> None:
    """StartMessageMoveTask moves dead letters back to their source (API reference, StartMessageMoveTask)."""
    dead = ProbeQueue(bench)
    queue = ProbeQueue(bench, hidden_s=1, dead_letters=dead, max_receives=1)
    bodies = numbered("m", 3)
    queue.send_batch(bodies)

    def buried() -> bool:
        queue.receive(wait_s=0)
        answer = dead.call("GetQueueAttributes", AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"]) == len(bodies)

    bench.ready(buried, "the dead-letter queue")
    bench.call("sqs", "StartMessageMoveTask", SourceArn=dead.arn)
    # Hidden for long, because a second receive would bury them again.
    queue.collect(bodies, VisibilityTimeout=HIDDEN_S)
    mostly(len(dead.receive(wait_s=0)), len(bodies), "redriven messages are in the dead-letter queue too")


def policy_deny(bench: Bench) -> None:
    """What a queue's policy denies everybody is refused (developer guide, "How access works in Amazon SQS")."""
    queue = ProbeQueue(bench)
    queue.send("before")
    denial = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue.arn}
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": "probe", **denial}]}
    queue.call("SetQueueAttributes", Attributes={"Policy": orjson.dumps(policy).decode()})
    bench.let_apply(_POLICY_S)
    try:
        queue.send("denied")
    except CallFailed as failed:
        if not failed.code.startswith("AccessDenied"):
            raise
    else:
        raise Violated("a send was accepted that the queue's policy denies everybody")
    claim(texts(queue.collect(["before"])) == ["before"], "more came than what was sent before the denial")
    queue.call("SetQueueAttributes", Attributes={"Policy": ""})
    bench.let_apply(_POLICY_S)
    queue.send("after")
    queue.collect(["after"])


def fair_queue(bench: Bench) -> None:
    """While one message group has most in flight, others come before it (guide, "How Amazon SQS fair queues work")."""
    queue = ProbeQueue(bench)
    noisy, quiet = numbered("noisy", _NOISY_IN_FLIGHT + _NOISY_WAITING), numbered("quiet", 10)

    def send(bodies: Sequence[str], group: str) -> None:
        entries = [
            {"Id": str(n), "MessageBody": body, "MessageGroupId": group or body} for n, body in enumerate(bodies)
        ]
        claim(not queue.call("SendMessageBatch", Entries=entries).get("Failed"), "a message group was refused")

    for start in range(0, len(noisy), 10):
        send(noisy[start : start + 10], "noisy")
    held: set[str] = set()

    def enough() -> bool | None:
        held.update(texts(queue.receive()))
        return True if len(held) >= _NOISY_IN_FLIGHT else None

    bench.until(enough, f"{_NOISY_IN_FLIGHT} of {len(noisy)} messages were not received")
    waiting = len(noisy) - len(held)
    send(quiet, "")
    # How many noisy ones came before each quiet one.
    before: dict[str, int] = {}

    def came() -> bool | None:
        for body in texts(queue.receive()):
            if body in quiet:
                before.setdefault(body, len(held) - (len(noisy) - waiting))
            else:
                held.add(body)
        return True if len(before) == len(quiet) else None

    bench.until(came, "messages of quiet groups were not all received")
    late = sum(came_before * 2 > waiting for came_before in before.values())
    mostly(
        late,
        len(quiet),
        "messages of quiet groups came after more than half of what waited of the noisy one",
        allowed="detection is approximate",
    )


PROBES: Mapping[str, Probe] = {
    "at-least-once": at_least_once,
    "hidden-while-in-flight": hidden_while_in_flight,
    "redelivered-after-visibility": redelivered_after_visibility,
    "delete-is-final": delete_is_final,
    "stale-receipt": stale_receipt,
    "dead-letter-after-max-receives": dead_letter_after_max_receives,
    "batch-partial-failure": batch_partial_failure,
    "delay": delay,
    "delay-queue": delay_queue,
    "message-size": message_size,
    "batch-size": batch_size,
    "characters": characters,
    "system-attributes": system_attributes,
    "redrive": redrive,
    "policy-deny": policy_deny,
    "fair-queue": fair_queue,
}
