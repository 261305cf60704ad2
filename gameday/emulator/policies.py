"""What a queue's policy forbids everybody.

Of a policy only this is looked at: a statement with `Effect: Deny`, `Principal: "*"`, no condition, and the queue as
its resource. All others are as if they were not there: whoever asks here owns the queue, and needs no permission.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import orjson

# The action that an operation on a queue's messages needs; what is denied everybody else's is never refused here.
ACTIONS: Mapping[str, str] = {
    "SendMessage": "sqs:SendMessage",
    "SendMessageBatch": "sqs:SendMessage",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "DeleteMessage": "sqs:DeleteMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "ChangeMessageVisibility": "sqs:ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}


def denied(policy: str, arn: str) -> frozenset[str]:
    """The actions of `ACTIONS` that the policy denies everybody on the queue of that ARN. Errors: ValueError."""
    if not policy:
        return frozenset()
    document = orjson.loads(policy)
    if not isinstance(document, dict):
        raise ValueError("a policy is a JSON object")
    patterns = [
        action.lower()
        for statement in _listed(document.get("Statement"))
        if isinstance(statement, dict) and _denies_everybody(statement, arn)
        for action in _listed(statement.get("Action"))
        if isinstance(action, str)
    ]
    wanted = set(ACTIONS.values())
    return frozenset(each for each in wanted if any(fnmatchcase(each.lower(), pattern) for pattern in patterns))


def _denies_everybody(statement: Mapping[str, Any], arn: str) -> bool:
    return (
        statement.get("Effect") == "Deny"
        and "Condition" not in statement
        and (statement.get("Principal") == "*" or _is_star(statement.get("Principal")))
        and any(isinstance(each, str) and fnmatchcase(arn, each) for each in _listed(statement.get("Resource")))
    )


def _is_star(principal: Any) -> bool:
    return isinstance(principal, dict) and "*" in _listed(principal.get("AWS"))


def _listed(value: Any) -> Iterator[Any]:
    """Where a policy may have one or several."""
    yield from value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
