"""The part of DynamoDB that effects and leases need, as pure decisions: every write is one step, and so is a read.

Rules from the API reference and the developer guide (docs.aws.amazon.com/amazondynamodb): a condition that does not
hold stops its write; a transaction writes all or nothing, and its refusal gives a reason for each of its actions;
`ADD` makes the number that is missing; a scan answers up to a megabyte and says where the next one starts. Every read
is consistent, and tables are ACTIVE at once. An expression speaks of top-level attributes only. Not modelled, and
refused where a request asks for it: indexes, projections, parallel scans, the parameters of old; not modelled without
a word: capacity, reserved words, streams, expiry, a transaction repeated under its token. What a defect may change
stands in `TableConduct`.
"""

from __future__ import annotations

import base64
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

import orjson

from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S

ACTIONS_MAX = 100
PAGE_BYTES = 1_048_576
_NAMES_PAGE = 100
_ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/"
_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_UNKNOWN = (
    "AttributesToGet",
    "AttributeUpdates",
    "ConditionalOperator",
    "Expected",
    "IndexName",
    "ProjectionExpression",
    "ScanFilter",
    "Segment",
)

# As the API spells them: a value is {"S": "text"}, an item maps attribute names to values.
Value = Mapping[str, Any]
Item = Mapping[str, Value]
# A key in the order of a scan: the type and the comparable form of each of its attributes.
Key = tuple[tuple[str, Any], ...]
Condition = Callable[[Item], bool]
Operand = Callable[[Item], Value | None]
Change = Callable[[Item, dict[str, Value]], None]


@dataclass(slots=True, eq=False)
class Table:
    """`schema` are the key's attributes and their types, the partition key first."""

    name: str
    created_ns: int
    schema: Mapping[str, str]
    tags: dict[str, str]
    items: dict[Key, Item] = field(default_factory=dict)

    def key_of(self, item: Item) -> Key:
        for name, kind in self.schema.items():
            if item.get(name, {}).keys() != {kind} or not item[name][kind]:
                raise _invalid(f"One or more parameter values were invalid: the key {name} must be there, of {kind}")
        return tuple(_comparable(item[name]) for name in self.schema)

    def key_values(self, item: Item) -> Item:
        return {name: item[name] for name in self.schema}

    def exact_key(self, key: Item) -> Key:
        if key.keys() != self.schema.keys():
            raise _invalid("The provided key element does not match the schema")
        return self.key_of(key)


class Write(NamedTuple):
    """What an action would do: `make` gives the item that follows `old`, None where it goes. Errors of it: Refused."""

    table: Table
    key: Key
    old: Item | None
    upheld: bool
    make: Callable[[Item], Item | None]

    def made(self) -> Item | None:
        return self.make(self.old or {})

    def store(self, new: Item | None) -> None:
        if new is None:
            self.table.items.pop(self.key, None)
        else:
            self.table.items[self.key] = new


class TableConduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def stops(self) -> bool:
        """Whether a condition that does not hold stops its write."""
        return True

    def written_of_cancelled(self, upheld: Sequence[Write]) -> Sequence[Write]:
        """Which writes of a cancelled transaction are done, of those whose own condition holds."""
        return ()


@dataclass(kw_only=True)
class DynamoDB:
    """All tables of one account."""

    conduct: TableConduct = field(default_factory=TableConduct)

    def __post_init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self._operations: dict[str, Callable[[int, Params], Answer]] = {
            "CreateTable": self._create_table,
            "DescribeTable": self._describe_table,
            "ListTables": self._list_tables,
            "DeleteTable": self._delete_table,
            "ListTagsOfResource": self._list_tags,
            "GetItem": self._get_item,
            "PutItem": self._put_item,
            "UpdateItem": self._update_item,
            "DeleteItem": self._delete_item,
            "TransactWriteItems": self._transact_write_items,
            "Scan": self._scan,
        }
        self._actions: dict[str, Callable[[Params], Write]] = {
            "Put": self._put,
            "Update": self._update,
            "Delete": self._delete,
            "ConditionCheck": self._check,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer:
        """`now` is in ns since the epoch. Errors: Refused."""
        carry_out = known(self._operations, operation)
        if unknown := [name for name in _UNKNOWN if name in params]:
            raise _invalid(f"Not known here: {', '.join(unknown)}")
        return carry_out(now, params)

    # Tables.

    def _create_table(self, now: int, params: Params) -> Answer:
        name = str(params.get("TableName", ""))
        if not _NAME.fullmatch(name):
            raise _invalid(f"The name of a table has 3 to 255 letters, digits, _, . and -: {name!r}")
        if name in self._tables:
            raise Refused("ResourceInUseException", f"Table already exists: {name}")
        kinds = {each["AttributeName"]: each["AttributeType"] for each in params.get("AttributeDefinitions") or ()}
        schema = sorted(params.get("KeySchema") or (), key=lambda each: each["KeyType"] != "HASH")
        if [each["KeyType"] for each in schema] not in (["HASH"], ["HASH", "RANGE"]):
            raise _invalid("A key schema has one HASH attribute and at most one RANGE attribute")
        if {each["AttributeName"] for each in schema} != kinds.keys():
            raise _invalid("Attribute definitions are those of the key schema, all of them and no more")
        tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}
        key = {each["AttributeName"]: kinds[each["AttributeName"]] for each in schema}
        table = self._tables[name] = Table(name, now, key, tags)
        return {"TableDescription": _described(table)}

    def _describe_table(self, now: int, params: Params) -> Answer:
        return {"Table": _described(self._of(params))}

    def _list_tables(self, now: int, params: Params) -> Answer:
        after, most = params.get("ExclusiveStartTableName") or "", _most(params, _NAMES_PAGE)
        names = [name for name in sorted(self._tables) if name > after]
        answer: Answer = {"TableNames": names[:most]}
        return {**answer, "LastEvaluatedTableName": names[most - 1]} if len(names) > most else answer

    def _delete_table(self, now: int, params: Params) -> Answer:
        table = self._of(params)
        del self._tables[table.name]
        return {"TableDescription": {**_described(table), "TableStatus": "DELETING"}}

    def _list_tags(self, now: int, params: Params) -> Answer:
        table = self._of({"TableName": params.get("ResourceArn", "")})
        return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(table.tags.items())]}

    # Items.

    def _get_item(self, now: int, params: Params) -> Answer:
        table = self._of(params)
        item = table.items.get(table.exact_key(params.get("Key") or {}))
        return {} if item is None else {"Item": item}

    def _put_item(self, now: int, params: Params) -> Answer:
        return self._write_one(params, self._put(params))

    def _update_item(self, now: int, params: Params) -> Answer:
        return self._write_one(params, self._update(params), ("NONE", "ALL_OLD", "ALL_NEW"))

    def _delete_item(self, now: int, params: Params) -> Answer:
        return self._write_one(params, self._delete(params))

    def _write_one(self, params: Params, write: Write, known: Sequence[str] = ("NONE", "ALL_OLD")) -> Answer:
        shown = params.get("ReturnValues", "NONE")
        if shown not in known:
            raise _invalid(f"Not known here: ReturnValues {shown}")
        if not write.upheld and self.conduct.stops():
            message = "The conditional request failed"
            raise Refused("ConditionalCheckFailedException", message, more=_item_on_failure(params, write))
        new = write.made()
        write.store(new)
        item = {"ALL_OLD": write.old, "ALL_NEW": new}.get(shown)
        return {"Attributes": item} if item else {}

    def _transact_write_items(self, now: int, params: Params) -> Answer:
        actions = [each for entry in params.get("TransactItems") or () for each in entry.items()]
        if not 1 <= len(actions) <= ACTIONS_MAX:
            raise _invalid(f"A transaction has 1 to {ACTIONS_MAX} actions, not {len(actions)}")
        writes = [self._actions[kind](action) for kind, action in actions]
        if len({(write.table.name, write.key) for write in writes}) < len(writes):
            raise _invalid("Transaction request cannot include multiple operations on one item")
        if not all(write.upheld for write in writes):
            for write in self.conduct.written_of_cancelled([write for write in writes if write.upheld]):
                write.store(write.made())
            reasons = [_reason(action, write) for (_, action), write in zip(actions, writes, strict=True)]
            codes = ", ".join(reason["Code"] for reason in reasons)
            raise Refused(
                "TransactionCanceledException",
                f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
                more={"CancellationReasons": reasons},
            )
        # Nothing is stored before each action is known to work.
        made = [write.made() for write in writes]
        for write, new in zip(writes, made, strict=True):
            write.store(new)
        return {}

    def _scan(self, now: int, params: Params) -> Answer:
        table, parser = self._of(params), _Parser(params)
        kept = parser.condition("FilterExpression")
        parser.done()
        most = _most(params, len(table.items) + 1)
        start = params.get("ExclusiveStartKey")
        after = None if start is None else table.exact_key(start)
        keys = [key for key in sorted(table.items) if after is None or key > after]
        size = scanned = 0
        while scanned < min(most, len(keys)) and size < PAGE_BYTES:
            size += len(orjson.dumps(table.items[keys[scanned]]))
            scanned += 1
        found = [item for key in keys[:scanned] if kept(item := table.items[key])]
        answer: Answer = {"Items": found, "Count": len(found), "ScannedCount": scanned}
        if scanned < len(keys):
            answer["LastEvaluatedKey"] = table.key_values(table.items[keys[scanned - 1]])
        return answer

    # Actions: what would be written.

    def _put(self, params: Params) -> Write:
        table, item = self._of(params), params.get("Item") or {}
        return self._planned(params, table, table.key_of(item), lambda old: item)

    def _update(self, params: Params) -> Write:
        table, given = self._of(params), params.get("Key") or {}
        parser = _Parser(params)
        changes = parser.changes("UpdateExpression")

        def updated(old: Item) -> Item:
            # The key as it stands: an equal number may be written in another way.
            start = {**given, **old}
            new = dict(start)
            for change in changes:
                change(old, new)
            if any(new.get(name) != start[name] for name in given):
                raise _invalid("Cannot update attribute. This attribute is part of the key")
            return new

        return self._planned(params, table, table.exact_key(given), updated, parser)

    def _delete(self, params: Params) -> Write:
        table = self._of(params)
        return self._planned(params, table, table.exact_key(params.get("Key") or {}), lambda old: None)

    def _check(self, params: Params) -> Write:
        table = self._of(params)
        return self._planned(params, table, table.exact_key(params.get("Key") or {}), lambda old: old or None)

    def _planned(
        self,
        params: Params,
        table: Table,
        key: Key,
        make: Callable[[Item], Item | None],
        parser: _Parser | None = None,
    ) -> Write:
        parser = parser or _Parser(params)
        condition = parser.condition("ConditionExpression")
        parser.done()
        old = table.items.get(key)
        return Write(table, key, old, condition(old or {}), make)

    def _of(self, params: Params) -> Table:
        table = self._tables.get(str(params.get("TableName", "")).removeprefix(_ARN))
        if table is None:
            raise Refused("ResourceNotFoundException", "Requested resource not found")
        return table


class _Parser:
    """Reads the expressions of one request, by descent, into functions of an item.

    The grammar is that of the developer guide's "Comparison operator and function reference" and "Update expressions",
    as far as the methods below say; everything else is refused.
    """

    def __init__(self, params: Params) -> None:
        if empty := [
            name for name in ("ExpressionAttributeNames", "ExpressionAttributeValues") if params.get(name) == {}
        ]:
            raise _invalid(f"{empty[0]} must not be empty")
        self._params = params
        self._names: Mapping[str, str] = params.get("ExpressionAttributeNames") or {}
        self._values: Mapping[str, Value] = params.get("ExpressionAttributeValues") or {}
        self._unused = {*self._names, *self._values}
        self._parameter = ""
        self._tokens: list[str] = []

    def condition(self, parameter: str) -> Condition:
        """What a parameter's expression says of an item; without one, each is right."""
        if not self._open(parameter):
            return lambda item: True
        condition = self._alternatives()
        if self._tokens:
            raise self._wrong()
        return condition

    def changes(self, parameter: str) -> Sequence[Change]:
        """What an update expression does, in its order; without one, nothing."""
        changes: list[Change] = []
        self._open(parameter)
        clauses = {"SET": self._assignment, "ADD": self._addition, "REMOVE": self._removal}
        while self._tokens:
            clause = clauses.get(self._tokens[0].upper())
            if clause is None:
                raise self._wrong()
            self._tokens.pop(0)
            changes.append(clause())
            while self._skip(","):
                changes.append(clause())
        return changes

    def done(self) -> None:
        """Every expression was read. Errors: Refused, when a name or a value was given that none of them has."""
        if self._unused:
            raise _invalid(f"Given and unused in expressions: keys: {{{', '.join(sorted(self._unused))}}}")

    # Conditions, from the loosest binding to the tightest.

    def _alternatives(self) -> Condition:
        parts = [self._conjunction()]
        while self._skip("OR"):
            parts.append(self._conjunction())
        return lambda item: any(part(item) for part in parts)

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self._skip("AND"):
            parts.append(self._negation())
        return lambda item: all(part(item) for part in parts)

    def _negation(self) -> Condition:
        if self._skip("NOT"):
            denied = self._negation()
            return lambda item: not denied(item)
        if self._skip("("):
            inner = self._alternatives()
            self._expect(")")
            return inner
        return self._function() if self._tokens[1:2] == ["("] else self._comparison()

    def _function(self) -> Condition:
        name = self._tokens.pop(0)
        self._expect("(")
        match name:
            case "attribute_exists" | "attribute_not_exists":
                attribute = self._attribute()
                self._expect(")")
                return lambda item: (attribute in item) is (name == "attribute_exists")
            case "begins_with":
                whole = self._operand()
                self._expect(",")
                start = self._operand()
                self._expect(")")
                return lambda item: _begins(whole(item), start(item))
        raise _invalid(f"Invalid {self._parameter}: Invalid function name; function: {name}")

    def _comparison(self) -> Condition:
        left = self._operand()
        if not self._tokens or self._tokens[0] not in _SIGNS:
            raise self._wrong()
        sign = self._tokens.pop(0)
        right = self._operand()
        return lambda item: _compare(sign, left(item), right(item))

    # Updates.

    def _assignment(self) -> Change:
        attribute = self._attribute()
        self._expect("=")
        value = self._sum()

        def assign(old: Item, new: dict[str, Value]) -> None:
            made = value(old)
            if made is None:
                raise _invalid("The provided expression refers to an attribute that does not exist in the item")
            new[attribute] = made

        return assign

    def _sum(self) -> Operand:
        left = self._operand()
        for sign in ("+", "-"):
            if self._skip(sign):
                right, factor = self._operand(), 1 if sign == "+" else -1
                return lambda item: _added(left(item), right(item), factor)
        return left

    def _addition(self) -> Change:
        attribute, more = self._attribute(), self._operand()

        def add(old: Item, new: dict[str, Value]) -> None:
            new[attribute] = _added(old.get(attribute, {"N": "0"}), more(old))

        return add

    def _removal(self) -> Change:
        attribute = self._attribute()

        def remove(old: Item, new: dict[str, Value]) -> None:
            new.pop(attribute, None)

        return remove

    # Words.

    def _attribute(self) -> str:
        word = self._word()
        if word.startswith("#"):
            if word not in self._names:
                raise _invalid(f"An expression attribute name is not defined; attribute name: {word}")
            self._unused.discard(word)
            return self._names[word]
        if word.startswith(":"):
            raise _invalid(f"Invalid {self._parameter}: {word} is a value and no attribute")
        return word

    def _operand(self) -> Operand:
        if not self._tokens or not self._tokens[0].startswith(":"):
            attribute = self._attribute()
            return lambda item: item.get(attribute)
        word = self._word()
        if word not in self._values:
            raise _invalid(f"An expression attribute value is not defined; attribute value: {word}")
        self._unused.discard(word)
        value = self._values[word]
        return lambda item: value

    def _word(self) -> str:
        if not self._tokens or not _WORD.fullmatch(self._tokens[0]):
            raise self._wrong()
        return self._tokens.pop(0)

    def _skip(self, token: str) -> bool:
        """Step over this token, if it is the next one."""
        if self._tokens and self._tokens[0].upper() == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._skip(token):
            raise self._wrong()

    def _open(self, parameter: str) -> bool:
        """Take up the expression of a parameter, if the request has it."""
        self._parameter = parameter
        self._tokens = _TOKEN.findall(self._params.get(parameter) or "")
        if parameter in self._params and not self._tokens:
            raise _invalid(f"Invalid {parameter}: The expression can not be empty;")
        return bool(self._tokens)

    def _wrong(self) -> Refused:
        token = self._tokens[0] if self._tokens else "<EOF>"
        return _invalid(f"Invalid {self._parameter}: Syntax error; token: {token!r}")


_TOKEN = re.compile(r"<=|>=|<>|[#:]?\w+|\S")
_WORD = re.compile(r"[#:]\w+|[A-Za-z]\w*")
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = ("S", "N", "B")
# As many digits as a number has here.
_ARITHMETIC = Context(prec=38)


def _compare(sign: str, left: Value | None, right: Value | None) -> bool:
    """What is missing differs from everything; only two of one type have an order."""
    if left is None or right is None:
        return sign == "<>"
    a, b = _comparable(left), _comparable(right)
    if sign not in ("=", "<>") and (a[0] != b[0] or a[0] not in _ORDERED):
        return False
    return _SIGNS[sign](a, b)


def _begins(whole: Value | None, start: Value | None) -> bool:
    if whole is None or start is None:
        return False
    (kind, content), (other, prefix) = _comparable(whole), _comparable(start)
    return kind == other and kind in ("S", "B") and content.startswith(prefix)


def _added(left: Value | None, right: Value | None, factor: int = 1) -> Value:
    if left is None or right is None:
        raise _invalid("The provided expression refers to an attribute that does not exist in the item")
    (kind, a), (other, b) = _comparable(left), _comparable(right)
    if kind != "N" or other != "N":
        raise _invalid("An operand in the update expression has an incorrect data type: only numbers are added here")
    return {"N": format(_ARITHMETIC.add(a, factor * b).normalize(_ARITHMETIC), "f")}


def _comparable(value: Value) -> tuple[str, Any]:
    """The type of a value, and what of it is equal and ordered as DynamoDB has it."""
    try:
        ((kind, content),) = value.items()
        match kind:
            case "N":
                number = Decimal(content)
                if number.is_finite():
                    return kind, number
                raise ValueError(content)
            case "B":
                return kind, base64.b64decode(content, validate=True)
            case "SS" | "NS" | "BS":
                return kind, frozenset(_comparable({kind[0]: each}) for each in content)
        return kind, content
    except (AttributeError, InvalidOperation, TypeError, ValueError):
        raise _invalid(f"Supplied AttributeValue is not one value of a type: {value!r}") from None


def _reason(params: Params, write: Write) -> Answer:
    if write.upheld:
        return {"Code": "None"}
    message = "The conditional request failed"
    return {"Code": "ConditionalCheckFailed", "Message": message, **_item_on_failure(params, write)}


def _item_on_failure(params: Params, write: Write) -> Answer:
    wanted = params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    return {"Item": write.old} if wanted and write.old is not None else {}


def _described(table: Table) -> Answer:
    return {
        "TableName": table.name,
        "TableArn": _ARN + table.name,
        "TableStatus": "ACTIVE",
        "CreationDateTime": table.created_ns // NS_PER_S,
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": kind} for n, kind in table.schema.items()],
        "KeySchema": [
            {"AttributeName": n, "KeyType": role} for n, role in zip(table.schema, ("HASH", "RANGE"), strict=False)
        ],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "ItemCount": len(table.items),
    }


def _most(params: Params, default: int) -> int:
    most = params.get("Limit", default)
    if not isinstance(most, int) or most < 1:
        raise _invalid(f"Limit is a whole number from 1, not {most!r}")
    return most


def _invalid(message: str) -> Refused:
    return Refused("ValidationException", message)
