"""A small evaluator of IAM policies: what is allowed by a statement and denied by none.

It knows what our documents use: actions and resources with * and ?, StringLike and StringNotLike. A key that is not
there satisfies the negated condition, and no other
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def allows(document: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    effects = {
        statement["Effect"] for statement in document["Statement"] if _applies(statement, action, resource, context)
    }
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    assert statement.keys() <= {"Effect", "Action", "Resource", "Condition"}
    return (
        any(_like(pattern, action) for pattern in _list(statement["Action"]))
        and any(_like(pattern, resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, context.get(key), pattern)
            for operator, keys in statement.get("Condition", {}).items()
            for key, pattern in keys.items()
        )
    )


def _holds(operator: str, value: str | None, pattern: str) -> bool:
    if operator == "StringLike":
        return value is not None and _like(pattern, value)
    assert operator == "StringNotLike", operator
    return value is None or not _like(pattern, value)


def _like(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def _list(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
