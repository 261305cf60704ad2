"""Our reading of SNS filter policies, by AWS's own examples and what follows from them.

The examples are those of the developer guide, https://docs.aws.amazon.com/sns/latest/dg/: string-value-matching.html,
numeric-value-matching.html, attribute-key-matching.html, and-or-logic.html, subscription-filter-policy-constraints.html
and example-filter-policies.html; and those of
https://aws.amazon.com/blogs/compute/introducing-payload-based-message-filtering-for-amazon-sns/.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.transports.base import Attribute
from gameday.transports.filters.sns_filter import check, matches_attributes, matches_body

Policy = dict[str, Any]


def string(value: str) -> Attribute:
    return Attribute("String", value)


def number(value: str) -> Attribute:
    return Attribute("Number", value)


def array(*values: Any) -> Attribute:
    return Attribute("String.Array", json.dumps(values))


INTERESTS = "customer_interests"

# (values of the policy's one key, attributes that match, attributes that do not)
ONE_KEY: dict[str, tuple[list[Any], list[Attribute], list[Attribute]]] = {
    "exact": (
        ["rugby", "tennis"],
        [string("rugby"), string("tennis"), array("rugby", "tennis"), array("rugby", "chess")],
        [string("baseball"), array("baseball"), string("Rugby"), string("rugby "), string("")],
    ),
    "anything-but": (
        [{"anything-but": ["rugby", "tennis"]}],
        [string("baseball"), string("football"), array("rugby", "baseball"), string("Rugby"), number("1")],
        [string("rugby"), array("rugby"), array("rugby", "tennis"), array()],
    ),
    "anything-but one": ([{"anything-but": "rugby"}], [string("tennis")], [string("rugby")]),
    "anything-but prefix": (
        [{"anything-but": {"prefix": "order-"}}],
        [string("data-entry"), string("order_number"), string("order"), number("5")],
        [string("order-cancelled"), string("order-")],
    ),
    "equals-ignore-case": (
        [{"equals-ignore-case": "tennis"}],
        [string("TENNIS"), string("Tennis"), string("tennis"), array("TENNIS", "golf")],
        [string("tennis "), string("table tennis"), string("")],
    ),
    "cidr": (
        [{"cidr": "10.0.0.0/24"}],
        [string("10.0.0.0"), string("10.0.0.255")],
        [string("10.1.1.0"), string("10.0.1.0"), string("10.0.0.256"), string("10.0.0"), string("::1")],
    ),
    "cidr of IPv6": (
        [{"cidr": "2001:db8:1234:1a00::/64"}],
        [string("2001:0db8:1234:1a00:0000:0000:0000:0000"), string("2001:db8:1234:1a00::ff")],
        [string("2001:0db8:123f:1a01:0000:0000:0000:0000"), string("10.0.0.1")],
    ),
    "prefix": ([{"prefix": "bas"}], [string("baseball"), string("basketball"), string("bas")], [string("rugby")]),
    "suffix": ([{"suffix": "ball"}], [string("baseball"), string("ball")], [string("rugby"), string("balls")]),
    "prefix is literal": ([{"prefix": "a.*"}], [string("a.*b")], [string("axxb")]),
    "numeric =": (
        [{"numeric": ["=", 301.5]}],
        [number("301.5"), number("3.015e2"), number("+301.50"), array(1, 301.5)],
        [number("301.4"), string("301.5"), array("301.5")],
    ),
    "numeric anything-but": (
        [{"anything-but": [100, 500]}],
        [number("101"), number("100.1"), array(100, 50), string("100")],
        [number("100"), number("100.0"), number("5e2"), array(100), array(100, 500)],
    ),
    "numeric range": (
        [{"numeric": [">", 0, "<=", 150]}],
        [number("0.1"), number("150"), number("1.5e2")],
        [number("0"), number("-1"), number("150.1"), string("100")],
    ),
    "numeric <": ([{"numeric": ["<", 10]}], [number("9.99999"), number("-5")], [number("10"), string("9")]),
    "numeric >=": ([{"numeric": [">=", 10]}], [number("10"), number("1e1")], [number("9.99999")]),
    "exact number": ([300], [number("300"), number("300.0"), number("3.0e2")], [number("301"), string("300")]),
    "exact string of digits": (["300"], [string("300")], [number("300"), string("300.0")]),
    "true": ([True], [array(True)], [string("true"), array(1), array("true"), array(False), number("1")]),
    "null": ([None], [array(None)], [string("null"), array("null"), array(0), array(False), string("")]),
    "exists": ([{"exists": True}], [string("fans"), array("a", "b"), number("0")], [array(), array(None)]),
    "two operators": (
        [{"prefix": "bas"}, "rugby", {"numeric": [">", 5]}],
        [string("baseball"), string("rugby"), number("6")],
        [string("tennis"), number("5")],
    ),
}


@pytest.mark.parametrize("name", ONE_KEY)
def test_one_key(name: str) -> None:
    """Each operator on an attribute, and on a body with the same values."""
    values, good, bad = ONE_KEY[name]
    policy = {INTERESTS: values}
    check(policy)
    check(policy, on="body")
    for attribute in [*good, *bad]:
        matched = attribute in good
        assert matches_attributes(policy, {INTERESTS: attribute}) is matched, attribute
        value = attribute.value if attribute.data_type == "String" else json.loads(str(attribute.value).lstrip("+"))
        assert matches_body(policy, {INTERESTS: value}) is matched, value


def test_and_between_keys_or_within_one() -> None:
    policy = {INTERESTS: ["rugby", "football"], "price_usd": [{"numeric": [">", 100]}]}
    both = {INTERESTS: string("rugby"), "price_usd": number("100.5")}
    assert matches_attributes(policy, both)
    assert matches_attributes(policy, both | {"ignored": string("x")})
    assert not matches_attributes(policy, both | {"price_usd": number("100")})
    assert not matches_attributes(policy, both | {INTERESTS: string("tennis")})
    assert not matches_attributes(policy, {INTERESTS: string("rugby")})


OR: Policy = {
    "source": ["aws.cloudwatch"],
    "$or": [{"metricName": ["CPUUtilization"]}, {"namespace": ["AWS/EC2"]}],
}


@pytest.mark.parametrize(
    ("message", "matched"),
    [
        ({"source": "aws.cloudwatch", "metricName": "CPUUtilization"}, True),
        ({"source": "aws.cloudwatch", "namespace": "AWS/EC2"}, True),
        ({"source": "aws.cloudwatch", "namespace": "AWS/EC2", "metricName": "other"}, True),
        ({"source": "aws.cloudwatch"}, False),
        ({"source": "aws.cloudwatch", "metricName": "other"}, False),
        ({"source": "aws.events", "metricName": "CPUUtilization"}, False),
        ({"metricName": "CPUUtilization"}, False),
    ],
)
def test_or(message: dict[str, str], matched: bool) -> None:
    assert matches_body(OR, message) is matched
    assert matches_attributes(OR, {key: string(value) for key, value in message.items()}) is matched


# `$or` in `$or` with AND inside, and `$or` beside `$or` at another depth.
NESTED_OR: Policy = {
    "source": ["aws.cloudwatch"],
    "$or": [
        {"metricName": ["CPUUtilization", "ReadLatency"]},
        {"metricType": ["MetricType"], "$or": [{"metricId": [1234]}, {"spaceId": [1000, 2000]}]},
    ],
}
PARALLEL_OR: Policy = {
    "$or": [{"metricName": ["CPUUtilization", "ReadLatency"]}, {"namespace": ["AWS/EC2", "AWS/ES"]}],
    "detail": {
        "scope": ["Service"],
        "$or": [{"source": ["aws.cloudwatch"]}, {"type": ["CloudWatch Alarm State Change"]}],
    },
}


@pytest.mark.parametrize(
    ("policy", "body", "matched"),
    [
        (NESTED_OR, {"source": "aws.cloudwatch", "metricName": "ReadLatency"}, True),
        (NESTED_OR, {"source": "aws.cloudwatch", "metricType": "MetricType", "metricId": 1234}, True),
        (NESTED_OR, {"source": "aws.cloudwatch", "metricType": "MetricType", "spaceId": 2000}, True),
        (NESTED_OR, {"source": "aws.cloudwatch", "metricType": "MetricType"}, False),
        (NESTED_OR, {"source": "aws.cloudwatch", "metricId": 1234}, False),
        (PARALLEL_OR, {"metricName": "ReadLatency", "detail": {"scope": "Service", "source": "aws.cloudwatch"}}, True),
        (PARALLEL_OR, {"namespace": "AWS/ES", "detail": {"scope": "Service", "source": "aws.cloudwatch"}}, True),
        (PARALLEL_OR, {"metricName": "ReadLatency", "detail": {"source": "aws.cloudwatch"}}, False),
        (PARALLEL_OR, {"metricName": "ReadLatency", "detail": {"scope": "Service"}}, False),
        (PARALLEL_OR, {"metricName": "AWS/EC2", "detail": {"scope": "Service", "source": "aws.cloudwatch"}}, False),
        (PARALLEL_OR, {"detail": {"scope": "Service", "source": "aws.cloudwatch"}}, False),
        (PARALLEL_OR, {"metricName": "ReadLatency", "scope": "Service", "source": "aws.cloudwatch"}, False),
    ],
)
def test_or_in_and_beside_or(policy: Policy, body: dict[str, Any], matched: bool) -> None:
    check(policy, on="body")
    assert matches_body(policy, body) is matched


def test_exists() -> None:
    there, away = {"store": [{"exists": True}]}, {"store": [{"exists": False}]}
    fans = {"store": string("fans"), INTERESTS: array("baseball", "basketball")}
    others = {INTERESTS: array("baseball", "basketball")}
    assert matches_attributes(there, fans) and not matches_attributes(there, others)
    assert matches_attributes(away, others) and not matches_attributes(away, fans)
    assert matches_body(there, {"store": "fans"}) and not matches_body(there, {INTERESTS: ["baseball"]})
    assert matches_body(away, {INTERESTS: ["baseball"]}) and not matches_body(away, {"store": "fans"})


def test_a_message_without_attributes_matches_no_policy() -> None:
    """The documentation's note on {"exists": false}; an attribute of type Binary is ignored."""
    policy = {"store": [{"exists": False}]}
    assert not matches_attributes(policy, {})
    assert not matches_attributes(policy, {"blob": Attribute("Binary", b"x")})
    assert matches_attributes(policy, {"other": string("x"), "store": Attribute("Binary", b"x")})
    assert not matches_attributes({"attr1": [None, {"anything-but": "whatever"}]}, {})


def test_null_and_empty_values_do_not_exist_and_are_not_absent() -> None:
    """{"exists": true}: "The key must have a non-null and non-empty value"; false: that it is not included."""
    for value in (None, ""):
        assert not matches_body({"store": [{"exists": True}]}, {"store": value})
        assert not matches_body({"store": [{"exists": False}]}, {"store": value})
    assert matches_body({"store": [None]}, {"store": None}) and not matches_body({"store": [None]}, {"store": ""})
    assert matches_body({"store": [""]}, {"store": ""}) and not matches_body({"store": [""]}, {"store": None})
    assert not matches_body({"store": [None]}, {}) and not matches_body({"store": [""]}, {})


def test_anything_but_needs_the_key_unless_joined_with_exists_false() -> None:
    assert not matches_attributes({"store": [{"anything-but": ["a"]}]}, {"other": string("x")})
    assert not matches_body({"store": [{"anything-but": ["a"]}]}, {"other": "x"})
    either = {"store": [{"anything-but": ["a"]}, {"exists": False}]}
    assert matches_attributes(either, {"other": string("x")})
    assert matches_attributes(either, {"store": string("b")})
    assert not matches_attributes(either, {"store": string("a")})


S3_POLICY = {"Records": {"s3": {"object": {"key": [{"prefix": "auto-"}]}}, "eventName": [{"prefix": "ObjectCreated:"}]}}


def record(name: str, key: Any) -> dict[str, Any]:
    return {"eventName": name, "s3": {"bucket": {"name": "insurance-bucket-demo"}, "object": key}}


@pytest.mark.parametrize(
    ("records", "matched"),
    [
        ([record("ObjectCreated:Put", {"key": "auto-1.xml"})], True),
        ([record("ObjectRemoved:Delete", {"key": "auto-1.xml"})], False),
        ([record("ObjectCreated:Put", {"key": "home-1.xml"})], False),
        (
            [record("ObjectCreated:Put", [[{"key": "auto-1.xml"}]]), record("ObjectRemoved:Delete", {"key": "home-1"})],
            True,
        ),
        # Each condition holds in one of the records, and both in none.
        (
            [record("ObjectCreated:Put", {"key": "home-1.xml"}), record("ObjectRemoved:Delete", {"key": "auto-1"})],
            False,
        ),
        ([], False),
    ],
)
def test_nested_keys_and_arrays_of_objects(records: list[Any], matched: bool) -> None:
    check(S3_POLICY, on="body")
    assert matches_body(S3_POLICY, {"Records": records}) is matched


@pytest.mark.parametrize(
    ("body", "matched"),
    [
        ({"object": {"key": "auto-test"}}, True),
        ({"object": {"key": "hardcodedvalue"}}, True),
        ({"object": {"key": "test-auto"}}, False),
        ({"object": {"key": "auto-test"}, "test": "just-exists"}, False),
        ({"object": {"key": "auto-test", "nested_key": "just-exists"}}, False),
        ({"object": {"key": "auto-test", "nested_key": {"deeper": 1}}}, True),
        ({"object": {"test": "auto-test"}}, False),
        ({"object": "auto-test"}, False),
        ({"test": "auto-test"}, False),
        ({}, False),
    ],
)
def test_nested_keys_that_must_be_absent(body: dict[str, Any], matched: bool) -> None:
    """`exists` works on leaves only: an object under the key leaves it absent."""
    policy = {
        "object": {"key": [{"prefix": "auto-"}, "hardcodedvalue"], "nested_key": [{"exists": False}]},
        "test": [{"exists": False}],
    }
    assert matches_body(policy, body) is matched


def test_a_dot_in_a_key_is_a_step() -> None:
    """Undocumented; seen at AWS by LocalStack's tests, and Ruler's README says it."""
    policy = {"object.nested.test": ["x"]}
    for body in (
        {"object": {"nested": {"test": "x"}}},
        {"object.nested.test": "x"},
        {"object.nested": {"test": "x"}},
        {"object": {"nested.test": "x"}},
    ):
        assert matches_body(policy, body)
    assert not matches_body(policy, {"object": {"nested": {"test": "y"}}})


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({}, "the document: an empty object"),
        ({"key": "value"}, r"key: needs a list of values, not 'value': write \['value'\]"),
        ({"key": []}, "key: an empty list"),
        ({"key": [["value"]]}, "key: .* is no value"),
        ({"key": [{}]}, "key: .*exactly one operator"),
        ({"key": [{"suffix": "a", "prefix": "b"}]}, "key: .*exactly one operator"),
        ({"key": [{"wrong-operator": True}]}, "key: SNS knows no 'wrong-operator'"),
        ({"key": [{"Prefix": "a"}]}, "key: SNS knows no 'Prefix'"),
        ({"key": [{"wildcard": "a*"}]}, "key: SNS knows no 'wildcard'"),
        ({"key": [{"prefix": {"equals-ignore-case": "a"}}]}, "key: prefix needs a string"),
        ({"key": [{"suffix": 100}]}, "key: suffix needs a string"),
        ({"key": [{"suffix": None}]}, "key: suffix needs a string"),
        ({"key": [{"suffix": ["a", "b"]}]}, "key: suffix needs a string"),
        ({"key": [{"equals-ignore-case": 1}]}, "key: equals-ignore-case needs a string"),
        ({"key": [{"exists": None}]}, "key: exists needs true or false"),
        ({"key": [{"exists": "no"}]}, "key: exists needs true or false"),
        ({"key": [{"anything-but": {"suffix": "a"}}]}, "key: SNS's anything-but knows no 'suffix'; it knows prefix"),
        ({"key": [{"anything-but": {"exists": False}}]}, "key: SNS's anything-but knows no 'exists'"),
        ({"key": [{"anything-but": {"prefix": False}}]}, "key: prefix needs a string"),
        ({"key": [{"anything-but": {"prefix": ""}}]}, "key: anything-but prefix"),
        ({"key": [{"anything-but": {"prefix": ["a", "b"]}}]}, "key: prefix needs a string"),
        ({"key": [{"anything-but": []}]}, "key: anything-but needs"),
        ({"key": [{"anything-but": ["a", 1]}]}, "key: anything-but needs"),
        ({"key": [{"anything-but": [None]}]}, "key: anything-but needs"),
        ({"key": [{"anything-but": True}]}, "key: anything-but needs"),
        ({"key": [{"cidr": "bad-filter"}]}, "key: cidr needs"),
        ({"key": [{"cidr": "bad-filter/64"}]}, "key: cidr needs"),
        ({"key": [{"cidr": "10.0.0.0/x"}]}, "key: cidr needs"),
        ({"key": [{"cidr": ["10.0.0.0/8"]}]}, "key: cidr needs"),
        ({"key": [{"cidr": "10.0.0.0/33"}]}, "key: cidr"),
        ({"key": [{"cidr": "10.0.0.0"}]}, "key: cidr needs"),
        ({"key": [{"numeric": []}]}, "key: numeric needs"),
        ({"key": [{"numeric": 5}]}, "key: numeric needs"),
        ({"key": [{"numeric": ["operator"]}]}, "key: numeric needs"),
        ({"key": [{"numeric": ["operator", 5]}]}, "key: numeric needs"),
        ({"key": [{"numeric": [1, "<="]}]}, "key: '<=' is no number"),
        ({"key": [{"numeric": ["=", "000"]}]}, "key: '000' is no number"),
        ({"key": [{"numeric": ["=", True]}]}, "key: True is no number"),
        ({"key": [{"numeric": [">="]}]}, "key: numeric needs"),
        ({"key": [{"numeric": ["<", 100, ">", 10]}]}, "key: numeric needs"),
        ({"key": [{"numeric": [">=", 1, ">", 2]}]}, "key: numeric needs"),
        ({"key": [{"numeric": ["=", 1, "<", 2]}]}, "key: numeric needs"),
        ({"key": [{"numeric": [">", 3, "<", 1]}]}, "key: .*the lower bound must be below"),
        ({"key": [{"numeric": [">=", 3, "<=", 3]}]}, "key: .*the lower bound must be below"),
        ({"key": [{"numeric": [">", 20, "<="]}]}, "key: numeric needs"),
        ({"key": [{"numeric": [">", 20, "<", "30"]}]}, "key: '30' is no number"),
        ({"key": [{"numeric": [">", 20, "<", 30, "<", 50]}]}, "key: numeric needs"),
        ({"key": [{"numeric": ["=", 1_000_000_001]}]}, "key: SNS compares numbers"),
        ({"key": [{"numeric": ["=", 0.000001]}]}, "key: SNS compares numbers .* 5 digits"),
        ({"$or": [{"a": ["x"]}]}, "or: needs a list of two objects"),
        ({"$or": {"a": ["x"]}}, "or: needs a list of two objects"),
        ({"$or": ["x", "y"]}, "or: needs a list of two objects"),
        ({"$or": [{"numeric": [1]}, {"prefix": ["a"]}]}, "numeric: numeric is an operator's name"),
        ({"a": ["x"], "$or": [{"a": ["y"]}, {"b": ["z"]}]}, "a: is asked for twice"),
        ({"key": [f"value{n}" for n in range(151)]}, "key: 151 combinations"),
        ({"key1": [str(n) for n in range(100)], "key2": [str(n) for n in range(51)]}, "5100 combinations"),
        ({f"key{n}": ["value"] for n in range(6)}, "5 keys at most, not 6"),
        ({"object": {"key": [{"prefix": "auto-"}]}}, "object: attributes have no keys inside"),
        ({"$or": [{"object": {"key": ["x"]}}, {"a": ["y"]}]}, "object: attributes have no keys inside"),
    ],
)
def test_refused(policy: Policy, says: str) -> None:
    """What SNS refuses (most of it as LocalStack's tests recorded it at AWS), and what it does not document."""
    with pytest.raises(ValueError, match=says):
        check(policy)


def test_combinations_of_nested_keys_count_their_depth() -> None:
    """The example of the policy constraints: 3 x 4 x 2 x 3 x 1 x 3 = 216."""
    values = ["one", "two", "three", "four"]
    policy: Policy = {"key_a": {"key_b": {"key_c": values}}, "key_d": {"key_e": values[:3]}, "key_f": values[:3]}
    with pytest.raises(ValueError, match="216 combinations"):
        check(policy, on="body")
    check(policy | {"key_f": ["one"]}, on="body")


def test_combinations_of_alternatives_add_up() -> None:
    source, names, types = list("abc"), [f"n{n}" for n in range(6)], list("wxyz")
    policy: Policy = {
        "source": source,
        "$or": [
            {"metricName": names},
            {"metricType": types, "$or": [{"metricId": [1, 2, 3, 4]}, {"spaceId": [1, 2, 3, 4, 5, 6, 7]}]},
        ],
    }
    check(policy)  # 3 x 6 + 3 x 4 x 4 + 3 x 4 x 7 = 150
    policy["$or"][0]["metricName"].append("n6")
    with pytest.raises(ValueError, match="153 combinations"):
        check(policy)


def test_only_top_level_keys_count_on_the_body() -> None:
    policy: Policy = {
        "state": ["SUCCESS"],
        "severity": [{"exists": True}],
        "message": [{"exists": True}],
        "finding": {key: [{"exists": True}] for key in ("standard_control", "region", "account")},
    }
    check(policy, on="body")
    policy |= {"a": ["x"], "b": ["y"]}
    with pytest.raises(ValueError, match="5 keys at most, not 6"):
        check(policy, on="body")


def test_a_policy_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="bytes, and SNS takes 262144"):
        check({"key": ["ü" * 131_072]})
    check({"key": ["ü" * 131_000]})


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        (Attribute("Number", "many"), "key: an attribute of type Number"),
        (Attribute("Number", "1_0"), "key: an attribute of type Number"),
        (Attribute("Number", "nan"), "key: an attribute of type Number"),
        (Attribute("String.Array", "rugby"), "key: an attribute of type String.Array"),
        (Attribute("String.Array", '{"a": 1}'), "key: an attribute of type String.Array"),
        (Attribute("String.Array", '[["a"]]'), "key: an attribute of type String.Array"),
        (Attribute("Integer", "1"), "key: SNS filters .* knows no 'Integer'"),
        (Attribute("String", b"x"), "key: an attribute of type String holds text"),
    ],
)
def test_an_attribute_that_is_not_what_its_type_says(attribute: Attribute, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        matches_attributes({"key": ["x"]}, {"key": attribute})


# Without colons: two spellings of one IPv6 address are equal for exact matching, and differ for anything-but.
words = st.text("abAB.*\\ é", max_size=3)
scalars = st.one_of(words, st.integers(-20, 20), st.floats(-20, 20), st.booleans(), st.none())
bounds = st.decimals(-100, 100, places=3).map(float)


@given(value=scalars, excluded=st.lists(words, min_size=1, max_size=3))
def test_anything_but_is_the_complement_of_exact_for_what_is_there(value: Any, excluded: list[str]) -> None:
    body = {"key": value}
    assert matches_body({"key": [{"anything-but": excluded}]}, body) is not matches_body({"key": excluded}, body)


@given(value=bounds, low=bounds, width=st.integers(1, 50))
def test_a_range_is_the_comparison(value: float, low: float, width: int) -> None:
    high = low + width
    attributes = {"key": number(repr(value))}
    for policy, expected in (
        ([">", low, "<=", round(high, 3)], low < value <= round(high, 3)),
        ([">=", low, "<", round(high, 3)], low <= value < round(high, 3)),
        (["<", low], value < low),
        (["<=", low], value <= low),
        ([">", low], value > low),
        ([">=", low], value >= low),
        (["=", low], value == low),
    ):
        assert matches_attributes({"key": [{"numeric": policy}]}, attributes) is expected


@given(
    a=st.sampled_from(["x", "y"]),
    b=st.sampled_from(["x", "y"]),
    c=st.sampled_from(["x", "y"]),
)
def test_or_is_any_of_its_alternatives(a: str, b: str, c: str) -> None:
    attributes = {"a": string(a), "b": string(b), "c": string(c)}
    alternatives = [{"a": ["x"]}, {"b": ["y"]}]
    each = [matches_attributes(one | {"c": ["x"]}, attributes) for one in alternatives]
    assert matches_attributes({"$or": alternatives, "c": ["x"]}, attributes) is any(each)


@given(values=st.lists(st.text(max_size=2), max_size=4), prefix=st.text(max_size=2))
def test_of_an_array_one_element_is_enough(values: list[str], prefix: str) -> None:
    policy = {"key": [{"prefix": prefix}]}
    expected = any(value.startswith(prefix) for value in values)
    assert matches_attributes(policy, {"key": array(*values)}) is expected
    assert matches_body(policy, {"key": values}) is expected
