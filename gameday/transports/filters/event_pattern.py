"""Event patterns of EventBridge: whether a rule with a pattern must get an event, decided here and not by EventBridge.

By https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html and the pages beside it;
what those leave open is answered as AWS's matcher does it (see `rules`). Not judged: how complex a wildcard may be,
which EventBridge decides by a measure that it does not document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

from gameday.transports.filters import rules
from gameday.transports.filters.rules import OR, Language

# The section on `$or` of eb-create-pattern-operators.html: PutRule refuses more.
MAX_COMBINATIONS = 1000
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
MAX_CHARACTERS = 4096

EVENTBRIDGE = Language(
    service="EventBridge",
    operators=frozenset(
        {"prefix", "suffix", "anything-but", "equals-ignore-case", "numeric", "exists", "cidr", "wildcard"}
    ),
    any_case=frozenset({"prefix", "suffix"}),
    anything_but=frozenset({"prefix", "suffix", "equals-ignore-case", "wildcard"}),
    anything_but_lists=True,
    # The section on numeric matching: 15 digits of precision, or six after the point.
    largest=5e9,
    decimals=6,
    # null and "" are there: "Null values and empty strings are not interchangeable", and neither is an absent field.
    exists=lambda value: True,
)


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether an event, the whole of it with `source` and `detail`, is for a rule with this pattern.

    Raises ValueError for a pattern that cannot be read.
    """
    return rules.matches(rules.read(pattern, EVENTBRIDGE), rules.leaves_of(event))


def fields(pattern: Mapping[str, Any]) -> set[str]:
    """The paths into an event that a pattern asks to be there. Raises ValueError for one that cannot be read."""
    return rules.asked(rules.read(pattern, EVENTBRIDGE))


def check(pattern: Mapping[str, Any]) -> None:
    """Raise ValueError for a pattern that EventBridge would refuse: which field, what is wrong, what to write."""
    rules.read(pattern, EVENTBRIDGE)
    combinations = _combinations(pattern)
    if combinations > MAX_COMBINATIONS:
        raise ValueError(
            f"{OR}: {combinations} combinations, and EventBridge takes {MAX_COMBINATIONS}: "
            f"the lengths of all {OR} multiply; write more than one rule"
        )
    characters = len(json.dumps(pattern, ensure_ascii=False, separators=(",", ":")))
    if characters > MAX_CHARACTERS:
        raise ValueError(f"the pattern has {characters} characters, and EventBridge takes {MAX_CHARACTERS}")


def _combinations(pattern: Mapping[str, Any]) -> int:
    """How many rules a pattern amounts to: the numbers of alternatives of all its `$or`s, multiplied."""

    def of(key: str, value: Any) -> int:
        if key == OR:
            return len(value) * prod(_combinations(one) for one in value)
        return _combinations(value) if isinstance(value, Mapping) else 1

    return prod(of(key, value) for key, value in pattern.items())
