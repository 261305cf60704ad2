"""A Deny that stands in a queue's policy for a while, as data: put there, and taken out again.

It promises that whatever else stands in the policy stays as it is; that taking it out gives back the text that was
there before, letter by letter, where nobody else has changed the policy meanwhile; and that the owner can always take
it out, for only what works on messages can be denied.

Sources: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html (which
action an operation needs); SetQueueAttributes in the API reference: a change may take 60 s to be everywhere, and an
empty text is no policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import orjson

from gameday.transports.base import Call, CallFailed, Plan

SERVICE = "sqs"
Action = Literal["SendMessage", "ReceiveMessage", "DeleteMessage"]
ACTIONS: Sequence[Action] = get_args(Action)
_VERSION = "2012-10-17"
_NAME, _ARN = "Policy", "QueueArn"


def statement_id(run: str, instance: str) -> str:
    """The Sid of a strike's statement: letters and digits are what every service takes."""
    return "gameday" + re.sub(r"[^A-Za-z0-9]", "", f"{run}{instance}")


def deny(queue: str, *, sid: str, actions: Sequence[Action]) -> Plan[str]:
    """Deny everybody these actions on the queue of that URL. Gives the policy that was there before; "" for none.

    Errors: CallFailed, definite where the policy is none that could be added to.
    """
    before, arn = yield from _policy(queue)
    yield _set(queue, with_denial(before, sid=sid, actions=actions, arn=arn))
    return before


def allow(queue: str, *, sid: str, before: str) -> Plan[None]:
    """Take the statement of that Sid out again. Errors: CallFailed."""
    now, _ = yield from _policy(queue)
    if (left := without(now, sid=sid, before=before)) != now:
        yield _set(queue, left)


def with_denial(policy: str, *, sid: str, actions: Sequence[Action], arn: str) -> str:
    """Errors: CallFailed for a policy that is none."""
    document = _read(policy) if policy else {"Version": _VERSION, "Statement": []}
    denial = {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": [f"sqs:{action}" for action in actions],
        "Resource": arn,
    }
    return _written({**document, "Statement": [*_statements(document), denial]})


def without(policy: str, *, sid: str, before: str) -> str:
    """What is left of a policy without the statement; `before`, where that says the same. "" where nothing is left."""
    if not policy:
        return policy
    document = _read(policy)
    left = [each for each in _statements(document) if not (isinstance(each, dict) and each.get("Sid") == sid)]
    if len(left) == len(_statements(document)):
        return policy
    if before:
        old = _read(before)
        if {**document, "Statement": left} == {**old, "Statement": _statements(old)}:
            return before
    return _written({**document, "Statement": left}) if left else ""


def _policy(queue: str) -> Plan[tuple[str, str]]:
    answer = yield Call(SERVICE, "GetQueueAttributes", {"QueueUrl": queue, "AttributeNames": [_NAME, _ARN]})
    told = answer["Attributes"]
    return told.get(_NAME) or "", told[_ARN]


def _set(queue: str, policy: str) -> Call:
    return Call(SERVICE, "SetQueueAttributes", {"QueueUrl": queue, "Attributes": {_NAME: policy}})


def _read(policy: str) -> dict[str, Any]:
    try:
        document = orjson.loads(policy)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise CallFailed("PolicyUnreadable", f"the queue's policy is no JSON object: {policy[:80]!r}", definite=True)
    return document


def _statements(document: dict[str, Any]) -> list[Any]:
    """A policy with one statement may have it without a list."""
    found = document.get("Statement", [])
    return found if isinstance(found, list) else [found]


def _written(document: dict[str, Any]) -> str:
    return orjson.dumps(document).decode()
