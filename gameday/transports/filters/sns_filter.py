"""Filter policies of SNS: whether a subscription with a policy must get a message, decided here and not by SNS.

By https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html and the pages below it; what those
leave open is marked where it is decided. `check` refuses what SNS would refuse, and whatever SNS does not document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

from gameday.transports.base import Attribute
from gameday.transports.filters import rules
from gameday.transports.filters.rules import OR, Language, Leaf, Rule, Scalar

Scope = Literal["attributes", "body"]

# https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
MAX_KEYS = 5
MAX_COMBINATIONS = 150
MAX_BYTES = 256 * 1024

SNS = Language(
    service="SNS",
    operators=frozenset({"prefix", "suffix", "anything-but", "equals-ignore-case", "numeric", "exists", "cidr"}),
    any_case=frozenset(),
    anything_but=frozenset({"prefix"}),
    anything_but_lists=False,
    largest=1e9,
    decimals=5,
    # "The key must have a non-null and non-empty value",
    # https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html
    exists=lambda value: value is not None and value != "",
)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def matches_attributes(policy: Mapping[str, Any], attributes: Mapping[str, Attribute]) -> bool:
    """Whether a message with these attributes is for a subscription with this policy.

    Attributes of type Binary are ignored (policy constraints). A message without attributes is never for it, not even
    for {"exists": false}: "An empty set of attributes results in the filter not matching"
    (https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html). Raises ValueError for a policy that cannot
    be read, and for an attribute that is not what its type says.
    """
    read = _read(policy, "attributes")
    leaves = {
        name: [Leaf(value) for value in _values(name, attribute)]
        for name, attribute in attributes.items()
        if attribute[0] != "Binary"
    }
    return bool(leaves) and rules.matches(read, leaves)


def matches_body(policy: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether a message whose body is this JSON object is for a subscription with this policy.

    A body that is no JSON object is for none (https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html):
    the caller says so. Raises ValueError for a policy that cannot be read.
    """
    return rules.matches(_read(policy, "body"), rules.leaves_of(body))


def fields(policy: Mapping[str, Any], on: Scope = "attributes") -> set[str]:
    """What a policy asks to be there: attributes by their names, or paths into the body.

    Raises ValueError for a policy that cannot be read.
    """
    return rules.asked(_read(policy, on))


def check(policy: Mapping[str, Any], on: Scope = "attributes") -> None:
    """Raise ValueError for a policy that SNS would refuse: which key, what is wrong, what to write."""
    read = _read(policy, on)
    # "All keys are counted" where attributes are filtered, "only top-level keys" for the body. `$or` is no key itself.
    keys = {path for rule in read for path in rule} if on == "attributes" else _top_level(policy)
    if len(keys) > MAX_KEYS:
        raise ValueError(f"{', '.join(sorted(keys))}: SNS takes {MAX_KEYS} keys at most, not {len(keys)}")
    combinations = _combinations(policy, 1)
    if combinations > MAX_COMBINATIONS:
        raise ValueError(
            f"{', '.join(policy)}: {combinations} combinations of values, and SNS takes {MAX_COMBINATIONS}: "
            "the lengths of the lists multiply, each times how deep it is nested; ask for fewer values"
        )
    size = len(json.dumps(policy, ensure_ascii=False).encode())
    if size > MAX_BYTES:
        raise ValueError(f"the policy has {size} bytes, and SNS takes {MAX_BYTES}")


def _read(policy: Mapping[str, Any], on: Scope) -> Sequence[Rule]:
    if on == "attributes":
        _refuse_nesting(policy)
    return rules.read(policy, SNS)


def _refuse_nesting(policy: Mapping[str, Any]) -> None:
    for key, value in policy.items():
        if key == OR:
            for one in rules.alternatives("", value):
                _refuse_nesting(one)
        elif isinstance(value, Mapping):
            raise ValueError(f"{key}: attributes have no keys inside: write a list of values, or filter on the body")


def _top_level(policy: Mapping[str, Any]) -> set[str]:
    plain = {key for key in policy if key != OR}
    return plain.union(*(_top_level(one) for one in policy.get(OR, ())))


def _combinations(policy: Mapping[str, Any], depth: int) -> int:
    """How many combinations a policy has: lists multiply, each times its depth; the alternatives of an `$or` add up."""

    def of(key: str, value: Any) -> int:
        if key == OR:
            return sum(_combinations(one, depth) for one in value)
        return _combinations(value, depth + 1) if isinstance(value, Mapping) else len(value) * depth

    return prod(of(key, value) for key, value in policy.items())


def _values(name: str, attribute: Attribute) -> list[Scalar]:
    """The values of an attribute: every element of an array counts by itself."""
    data_type, value = attribute
    if not isinstance(value, str):
        raise ValueError(f"{name}: an attribute of type {data_type} holds text, not {value!r}")
    match data_type:
        case "String":
            return [value]
        case "Number":
            if not NUMBER.fullmatch(value):
                raise ValueError(f"{name}: an attribute of type Number holds a number, not {value!r}")
            return [float(value) if set(value) & set(".eE") else int(value)]
        case "String.Array":
            return _elements(name, value)
        case _:
            raise ValueError(f"{name}: SNS filters String, Number and String.Array, and knows no {data_type!r}")


def _elements(name: str, text: str) -> list[Scalar]:
    """What is in a String.Array: "strings, numbers, or the keywords true, false, and null".

    https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
    """
    refusal = f"{name}: an attribute of type String.Array holds a JSON array of plain values, not {text!r}"
    try:
        elements = json.loads(text)
    except ValueError:
        raise ValueError(refusal) from None
    if not isinstance(elements, list) or any(isinstance(element, list | dict) for element in elements):
        raise ValueError(refusal)
    return elements
