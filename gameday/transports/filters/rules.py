"""The language that filter policies of SNS and event patterns of EventBridge share: a document read into rules.

Both services say what they match as a JSON document: fields are AND, the values in a field's array are OR, `$or` is OR
between fields. A value is itself, or an object with one operator (`{"prefix": "order-"}`). What the documentation
leaves open is answered as AWS's own matcher does it (https://github.com/aws/event-ruler), and marked *Ruler* here.
Everything is pure, and a document that a service would refuse raises ValueError: which field, what is wrong, what to
write. Where two readings of a document are possible, it is refused too: a wrong verdict is worse than none.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from operator import ge, gt, le, lt
from typing import Any

Scalar = str | int | float | bool | None
Condition = Callable[[Scalar], bool]
Elements = frozenset[tuple[int, int]]
"""In which element of which arrays a value stands: pairs of an array's number and an index."""

OR = "$or"
# Ruler: fields of these names inside `$or` are refused, so that an operator put in the wrong place is noticed.
RESERVED = frozenset(
    {"exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr"}
    | {"=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case"}
    | {"date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range"}
    | {"ip-address-in-range", "ip-address-not-in-range"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """Where a service departs from the common language, as its documentation has it.

    `operators` it knows; `any_case`: operators whose operand may be {"equals-ignore-case": text}; `anything_but`: what
    may stand inside anything-but, `anything_but_lists` whether with a list; `largest` and `decimals` bound the numbers
    it promises to compare; `exists`: which values that are there count for {"exists": true}.
    """

    service: str
    operators: frozenset[str]
    any_case: frozenset[str]
    anything_but: frozenset[str]
    anything_but_lists: bool
    largest: float
    decimals: int
    exists: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """What one field must be: any of the conditions on a value of it, or, if `absent`, not there at all."""

    conditions: tuple[Condition, ...]
    absent: bool


Rule = Mapping[str, Field]
"""Fields by their path ("detail.state"), all of which must hold."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value of a message that is neither object nor array, and which elements of arrays it stands in."""

    value: Scalar
    elements: Elements = frozenset()


Leaves = Mapping[str, Sequence[Leaf]]


def leaves_of(message: Mapping[str, Any]) -> Leaves:
    """The leaves of a JSON object by path.

    Arrays leave no trace in a path, and an empty one leaves no leaf: `"resources": []` is as absent as no `resources`
    (Ruler; AWS does so, https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns-arrays.html).
    """
    leaves: dict[str, list[Leaf]] = {}
    arrays = 0

    def walk(value: Any, path: str, elements: Elements) -> None:
        nonlocal arrays
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, _joined(path, key), elements)
        elif isinstance(value, list | tuple):
            arrays += 1
            array = arrays
            for index, inner in enumerate(value):
                # Ruler: only elements that hold fields of their own bind what else is matched to the same element.
                inside = isinstance(inner, Mapping | list | tuple)
                walk(inner, path, elements | {(array, index)} if inside else elements)
        else:
            leaves.setdefault(path, []).append(Leaf(value, elements))

    walk(message, "", frozenset())
    return leaves


def matches(rules: Sequence[Rule], leaves: Leaves) -> bool:
    """Whether any of the rules holds."""
    return any(_holds(rule, leaves) for rule in rules)


def _holds(rule: Rule, leaves: Leaves) -> bool:
    """Whether all fields of a rule hold together, none of them in another element of the same array than another.

    Ruler: `{"employees": {"first": ["Anna"], "last": ["Jones"]}}` does not match Anna Smith beside Peter Jones. Fields
    are taken in the order of their paths. That matters where one must be absent: from the element chosen so far.
    """
    ways: set[Elements] = {frozenset()}
    for path, field in sorted(rule.items()):
        onward: set[Elements] = set()
        for way in ways:
            here = [leaf for leaf in leaves.get(path, ()) if _agree(way, leaf.elements)]
            if not here and field.absent:
                onward.add(way)
            onward.update(
                way | leaf.elements for leaf in here if any(condition(leaf.value) for condition in field.conditions)
            )
        ways = onward
    return bool(ways)


def _agree(way: Elements, elements: Elements) -> bool:
    if not way or not elements:
        return True
    chosen = dict(way)
    return all(chosen.get(array, index) == index for array, index in elements)


def _joined(path: str, key: str) -> str:
    # Ruler: a dot in a key and a step into an object are the same.
    return f"{path}.{key}" if path else key


def read(document: Mapping[str, Any], language: Language) -> Sequence[Rule]:
    """The rules of a document, one for each way through its `$or`s; raises ValueError for what is no such document."""
    try:
        text = json.dumps(document)
    except TypeError as error:
        raise ValueError(f"the document is not JSON: {error}") from None
    return _read_text(text, language)


@lru_cache(maxsize=256)
def _read_text(text: str, language: Language) -> Sequence[Rule]:
    # Reading costs more than matching, and one document is asked about every message of a run.
    return tuple(_read_object([{}], json.loads(text), "", language, alternative=False))


def asked(rules: Sequence[Rule]) -> set[str]:
    """The paths of the fields that some rule asks to be there."""
    return {path for rule in rules for path, field in rule.items() if not field.absent}


def alternatives(path: str, value: Any) -> Sequence[Mapping[str, Any]]:
    """What stands in an `$or`, or ValueError."""
    if not isinstance(value, list | tuple) or len(value) < 2 or not all(isinstance(one, Mapping) for one in value):
        raise ValueError(f'{_joined(path, OR)}: needs a list of two objects or more: [{{"a": […]}}, {{"b": […]}}]')
    return value


def _read_object(
    rules: list[dict[str, Field]], document: Mapping[str, Any], path: str, language: Language, *, alternative: bool
) -> list[dict[str, Field]]:
    """Each of the rules with the fields of an object added."""
    if not document:
        raise ValueError(f"{path or 'the document'}: an empty object is refused: name a field, or leave it out")
    for key, value in document.items():
        name = _joined(path, key)
        if key == OR:
            rules = [
                rule
                for one in alternatives(path, value)
                for rule in _read_object(rules, one, path, language, alternative=True)
            ]
        elif alternative and key in RESERVED:
            raise ValueError(f"{name}: {key} is an operator's name and cannot be a field inside {OR}")
        elif isinstance(value, Mapping):
            rules = _read_object(rules, value, name, language, alternative=alternative)
        elif isinstance(value, list):
            field = _read_field(name, value, language)
            # Ruler lets the later one win, silently; nobody means that.
            if any(name in rule for rule in rules):
                raise ValueError(f"{name}: is asked for twice at once; write it once, with all its values in one list")
            rules = [rule | {name: field} for rule in rules]
        else:
            raise ValueError(f"{name}: needs a list of values, not {value!r}: write [{value!r}]")
    return rules


def _read_field(path: str, values: Sequence[Any], language: Language) -> Field:
    if not values:
        raise ValueError(f"{path}: an empty list is refused: name a value, or leave the field out")
    absent = any(isinstance(value, Mapping) and value.get("exists") is False for value in values)
    return Field(conditions=tuple(_read_value(path, value, language) for value in values), absent=absent)


def _read_value(path: str, value: Any, language: Language) -> Condition:
    if not isinstance(value, Mapping):
        if not _is_scalar(value):
            raise ValueError(f"{path}: {value!r} is no value: write a string, a number, true, false or null")
        return lambda found: _same(found, value)
    operator, operand = _only(path, value, language.operators, language.service)
    match operator:
        case "exists":
            if not isinstance(operand, bool):
                raise ValueError(f"{path}: exists needs true or false, not {operand!r}")
            return language.exists if operand else _never
        case "numeric":
            return _numeric(path, operand, language)
        case "cidr":
            return _cidr(path, operand)
        case "anything-but":
            return _anything_but(path, operand, language)
        case _:
            if isinstance(operand, Mapping) and operator in language.any_case:
                _, operand = _only(path, operand, frozenset({"equals-ignore-case"}), f"{language.service}'s {operator}")
                return _text(path, operator, operand, any_case=True)
            return _text(path, operator, operand)


def _only(path: str, expression: Mapping[str, Any], known: frozenset[str], whose: str) -> tuple[str, Any]:
    """The one operator of an expression and its operand."""
    if len(expression) != 1:
        raise ValueError(f"{path}: {dict(expression)!r} needs exactly one operator: write one object for each")
    ((operator, operand),) = expression.items()
    if operator not in known:
        raise ValueError(f"{path}: {whose} knows no {operator!r}; it knows {', '.join(sorted(known))}")
    return operator, operand


def _never(_: Scalar) -> bool:
    return False


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _comparable(value: Scalar) -> float | None:
    """A number as Ruler compares it, a double; None for what is no number or what a double cannot hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isinstance(value, float) or Decimal(repr(number)) == value else None


def _same(found: Scalar, wanted: Scalar) -> bool:
    """Whether a value is another, in JSON's types: "1", 1, true and null are four different things.

    300, 300.0 and 3.0e2 are one number. SNS documents that; EventBridge's documentation says the opposite
    (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html: "not considered equal"), yet
    EventBridge itself matches 300.0 with [300], which LocalStack's tests recorded at AWS, and so does Ruler.
    """
    if _is_number(found) and _is_number(wanted):
        one, other = _comparable(found), _comparable(wanted)
        return found == wanted if one is None and other is None else one == other
    if isinstance(found, str) and isinstance(wanted, str):
        # Ruler: a string that is an IP address matches that address however it is written.
        return found == wanted or ((address := _address(found)) is not None and address == _address(wanted))
    return found is wanted


# ── strings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(path: str, operator: str, operand: Any, *, any_case: bool = False) -> Condition:
    """The condition of an operator that compares with one string. None of them matches anything but a string."""
    if not isinstance(operand, str):
        raise ValueError(f'{path}: {operator} needs a string, not {operand!r}: write {{"{operator}": "text"}}')
    literal = _any_case(operand) if any_case else re.escape(operand)
    match operator:
        case "prefix":
            expression = literal + ".*"
        case "suffix":
            expression = ".*" + literal
        case "equals-ignore-case":
            expression = _any_case(operand)
        case "wildcard":
            expression = _wildcard(path, operand)
        case _:
            raise AssertionError(operator)
    fits = re.compile(expression, re.DOTALL).fullmatch
    return lambda found: isinstance(found, str) and fits(found) is not None


def _any_case(text: str) -> str:
    # Ruler: character by character, each in its lower or its upper case.
    return "".join(f"(?:{re.escape(character.lower())}|{re.escape(character.upper())})" for character in text)


def _wildcard(path: str, text: str) -> str:
    """A regular expression for a wildcard: `*` is any text or none, `\\*` an asterisk, `\\\\` a backslash."""
    if not re.fullmatch(r"(?:[^\\]|\\[*\\])*", text, re.DOTALL):
        raise ValueError(f"{path}: wildcard {text!r}: a backslash stands only before * or another backslash")
    pieces = re.findall(r"\\.|[^\\]", text, re.DOTALL)
    if ("*", "*") in pairwise(pieces):
        raise ValueError(f"{path}: wildcard {text!r} has * after *: write one")
    return "".join(".*" if piece == "*" else re.escape(piece.removeprefix("\\")) for piece in pieces)


# ── anything but ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _anything_but(path: str, operand: Any, language: Language) -> Condition:
    """The complement among values that are there: whatever is not excluded matches, null and numbers among it.

    An absent field never matches (add {"exists": false} for it), and of an array one element not excluded is enough.
    """
    excluded = list(_excluded(path, operand, language))
    return lambda found: not any(condition(found) for condition in excluded)


def _excluded(path: str, operand: Any, language: Language) -> Iterator[Condition]:
    if isinstance(operand, Mapping):
        operator, inner = _only(path, operand, language.anything_but, f"{language.service}'s anything-but")
        lists = language.anything_but_lists and isinstance(inner, list)
        texts = inner if lists else [inner]
        if not texts or (operator in {"prefix", "suffix"} and "" in texts):
            raise ValueError(f"{path}: anything-but {operator} {inner!r} excludes nothing or everything: name a text")
        for text in texts:
            yield _text(path, operator, text)
        return
    values = operand if isinstance(operand, list) else [operand]
    strings = all(isinstance(value, str) for value in values)
    numbers = all(_is_number(value) for value in values)
    if not values or not (strings or numbers):
        raise ValueError(f"{path}: anything-but needs a string, a number, or a list of only one of them: {operand!r}")
    for value in values:
        if numbers:
            _bounded(path, value, language)
        yield _excluding(value)


def _excluding(value: Scalar) -> Condition:
    # Ruler: unlike an exact value, an excluded string that is an IP address excludes only that spelling of it.
    return lambda found: found == value if isinstance(value, str) else _same(found, value)


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

LOWER = {">": gt, ">=": ge}
UPPER = {"<": lt, "<=": le}


def _numeric(path: str, operand: Any, language: Language) -> Condition:
    """["=", 5], one bound ([">", 0]) or a lower and an upper one ([">", 0, "<=", 5]); strings of digits never match."""
    shape = '["=", 5], ["<", 5] or [">", 0, "<=", 5]'
    if not isinstance(operand, list) or len(operand) not in {2, 4}:
        raise ValueError(f"{path}: numeric needs {shape}, not {operand!r}")
    signs, bounds = list(operand[0::2]), [_bounded(path, bound, language) for bound in operand[1::2]]
    if signs == ["="]:
        equal = bounds[0]
        return lambda found: _comparable(found) == equal
    tables = [LOWER | UPPER] if len(signs) == 1 else [LOWER, UPPER]
    if not all(isinstance(sign, str) and sign in table for sign, table in zip(signs, tables, strict=True)):
        raise ValueError(f"{path}: numeric needs {shape}, a lower bound before an upper one, not {operand!r}")
    if len(bounds) == 2 and bounds[0] >= bounds[1]:
        raise ValueError(f"{path}: numeric {operand!r}: the lower bound must be below the upper one")
    tests = [(table[sign], bound) for sign, table, bound in zip(signs, tables, bounds, strict=True)]

    def within(found: Scalar) -> bool:
        number = _comparable(found)
        return number is not None and all(test(number, bound) for test, bound in tests)

    return within


def _bounded(path: str, value: Any, language: Language) -> float:
    """A number that the service promises to compare."""
    if not _is_number(value):
        raise ValueError(f"{path}: {value!r} is no number: write one as JSON has it, without quotation marks")
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    if not (abs(value) <= language.largest and isinstance(exponent, int) and exponent >= -language.decimals):
        raise ValueError(
            f"{path}: {language.service} compares numbers from -{language.largest:g} to {language.largest:g} "
            f"with {language.decimals} digits after the point, not {value!r}"
        )
    return float(value)


# ── IP addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> Address | None:
    # Ruler: an IPv6 address with an IPv4 one written inside, or with a zone, is no address.
    if ("." in text and ":" in text) or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _cidr(path: str, operand: Any) -> Condition:
    """An address within a block, of its own kind. Ruler: bits beyond the mask are ignored, and a block has two or more
    addresses: /32 and /128 are refused."""
    shape = f'{path}: cidr needs a block of addresses such as "10.0.0.0/24", not {operand!r}'
    if not isinstance(operand, str):
        raise ValueError(shape)
    head, slash, mask = operand.partition("/")
    base = _address(head)
    if base is None or not slash or not (mask.isascii() and mask.isdigit()):
        raise ValueError(shape)
    if int(mask) >= base.max_prefixlen:
        raise ValueError(f"{path}: cidr {operand!r}: for one address write it as a value, without cidr")
    block = ipaddress.ip_network((base, int(mask)), strict=False)

    def within(found: Scalar) -> bool:
        address = _address(found) if isinstance(found, str) else None
        return address is not None and address.version == block.version and address in block

    return within
