"""What a queue's policy forbids everybody is refused, by the queue and by what delivers into it; nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gameday.emulator.policies import denied
from gameday.emulator.wire import Refused
from tests.emulator.inside import ARN, Inside

DENY = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": f"{ARN}q"}
SEND = frozenset({"sqs:SendMessage"})
ALL = frozenset({"sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"})


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (DENY, SEND),
        ({**DENY, "Action": ["SQS:sendmessage"]}, SEND),
        ({**DENY, "Action": "sqs:*"}, ALL),
        ({**DENY, "Action": ["sqs:DeleteQueue"]}, frozenset()),
        ({**DENY, "Principal": {"AWS": "*"}}, SEND),
        ({**DENY, "Resource": f"{ARN}*"}, SEND),
        ({**DENY, "Effect": "Allow"}, frozenset()),
        ({**DENY, "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, frozenset()),
        ({**DENY, "Resource": f"{ARN}other"}, frozenset()),
        ({**DENY, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}, frozenset()),
    ],
)
def test_only_a_denial_of_everybody_counts(statement: dict[str, Any], found: frozenset[str]) -> None:
    assert denied(policy(statement), f"{ARN}q") == found
    assert denied(policy({**DENY, "Effect": "Allow"}, statement), f"{ARN}q") == found


def refused(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.code, caught.value.status


def test_what_is_denied_changes_nothing_and_the_rest_goes_on() -> None:
    inside = Inside()
    queue = inside.queue()
    inside.send(queue, "a1")
    receipt = inside.take(queue)["a1"]
    inside.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": policy({**DENY, "Action": "sqs:*"})})
    denial = ("AccessDeniedException", 403)
    entries = [{"Id": "1", "MessageBody": "a2"}]
    assert refused(lambda: inside.send(queue, "a2")) == denial
    assert refused(lambda: inside.sqs("SendMessageBatch", QueueUrl=queue, Entries=entries)) == denial
    assert refused(lambda: inside.delete(queue, receipt)) == denial
    assert refused(lambda: inside.receive(queue)) == denial
    # Whoever owns it looks at it, and takes the policy away again.
    told = inside.sqs("GetQueueAttributes", QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert (told["ApproximateNumberOfMessagesNotVisible"], "Policy" in told) == ("1", True)
    inside.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": ""})
    assert "Policy" not in inside.sqs("GetQueueAttributes", QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    inside.delete(queue, receipt)
    inside.send(queue, "a2")
    assert inside.bodies(queue) == ["a2"]


def test_a_topic_cannot_send_to_it_either() -> None:
    inside = Inside()
    queue = inside.queue()
    topic = inside.sns("CreateTopic", Name="t")["TopicArn"]
    inside.sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=f"{ARN}q")
    inside.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": policy(DENY)})
    inside.sns("Publish", TopicArn=topic, Message="a1")
    assert inside.bodies(queue) == []


@pytest.mark.parametrize("text", ["{", "[]", "deny"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    inside = Inside()
    queue = inside.queue()
    call = lambda: inside.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": text})  # noqa: E731 - short
    assert refused(call) == ("InvalidAttributeValue", 400)
