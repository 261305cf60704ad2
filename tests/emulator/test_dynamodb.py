"""DynamoDB in the in-memory broker: conditions, updates, transactions, scans; one test speaks to the process."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from gameday.emulator.defects import DEFECTS, ConditionalWriteRace, defect
from gameday.emulator.dynamodb import DynamoDB, TableConduct
from gameday.emulator.wire import Refused
from tests.transports.asked import Asked, code_of, served

KEY = {"pk": {"S": "a"}}
NUMBERS = st.integers(-1_000, 1_000).map(str)


def made(**names_and_kinds: str) -> dict[str, Any]:
    roles = ("HASH", "RANGE")
    return {
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": kind} for n, kind in names_and_kinds.items()],
        "KeySchema": [{"AttributeName": n, "KeyType": role} for n, role in zip(names_and_kinds, roles, strict=False)],
        "BillingMode": "PAY_PER_REQUEST",
    }


def dynamodb(conduct: TableConduct | None = None) -> Asked:
    """An account with the table `tab`, whose key is the text `pk`."""
    ask = Asked("dynamodb", DynamoDB(conduct=conduct or TableConduct()))
    ask("CreateTable", TableName="tab", **made(pk="S"))
    return ask


def put(ask: Asked, pk: str = "a", condition: str | None = None, **attributes: dict[str, Any]) -> dict[str, Any]:
    more = {} if condition is None else {"ConditionExpression": condition}
    return ask("PutItem", TableName="tab", Item={"pk": {"S": pk}, **attributes}, **more)


def get(ask: Asked, pk: str = "a") -> dict[str, Any] | None:
    return ask("GetItem", TableName="tab", Key={"pk": {"S": pk}}, ConsistentRead=True).get("Item")


def update(ask: Asked, expression: str, pk: str = "a", **more: Any) -> dict[str, Any]:
    return ask("UpdateItem", TableName="tab", Key={"pk": {"S": pk}}, UpdateExpression=expression, **more)


def refused(call: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as error:
        call()
    return error.value


class TestTables:
    def test_a_table_from_its_making_to_its_end(self) -> None:
        ask = Asked("dynamodb", DynamoDB())
        tags = [{"Key": "run", "Value": "r7"}]
        told = ask("CreateTable", TableName="two", **made(pk="S", sk="N"), Tags=tags)["TableDescription"]
        ask("CreateTable", TableName="one", **made(pk="S"))
        assert ask("DescribeTable", TableName="two")["Table"] == told
        assert told["TableStatus"] == "ACTIVE"
        assert [(each["AttributeName"], each["KeyType"]) for each in told["KeySchema"]] == [
            ("pk", "HASH"),
            ("sk", "RANGE"),
        ]
        assert ask("ListTagsOfResource", ResourceArn=told["TableArn"])["Tags"] == tags
        assert ask("ListTables", Limit=1) == {"TableNames": ["one"], "LastEvaluatedTableName": "one"}
        assert ask("ListTables", ExclusiveStartTableName="one") == {"TableNames": ["two"]}
        assert ask.refusal("CreateTable", TableName="one", **made(pk="S")) == "ResourceInUseException"
        ask("DeleteTable", TableName="one")
        for operation in ("DescribeTable", "DeleteTable", "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Scan"):
            assert ask.refusal(operation, TableName="one") == "ResourceNotFoundException"
        assert ask.refusal("Nonsense") == "UnknownOperationException"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"TableName": "ab", **made(pk="S")},
            {"TableName": "abc", **made()},
            {"TableName": "abc", **made(pk="S"), "AttributeDefinitions": []},
            {"TableName": "abc", **made(pk="S"), "KeySchema": [{"AttributeName": "pk", "KeyType": "RANGE"}]},
        ],
    )
    def test_a_table_that_cannot_be_is_refused(self, wrong: dict[str, Any]) -> None:
        assert dynamodb().refusal("CreateTable", **wrong) == "ValidationException"


class TestItems:
    def test_put_get_and_delete(self) -> None:
        ask = dynamodb()
        assert get(ask) is None
        assert put(ask, n={"N": "1"}) == {}
        assert get(ask) == {**KEY, "n": {"N": "1"}}
        replaced = ask("PutItem", TableName="tab", Item=KEY, ReturnValues="ALL_OLD")
        assert replaced == {"Attributes": {**KEY, "n": {"N": "1"}}}
        assert ask("DeleteItem", TableName="tab", Key=KEY, ReturnValues="ALL_OLD") == {"Attributes": KEY}
        assert ask("DeleteItem", TableName="tab", Key=KEY, ReturnValues="ALL_OLD") == {}
        assert get(ask) is None

    @pytest.mark.parametrize("key", [{}, {"pk": {"N": "1"}}, {"pk": {"S": ""}}, {"pk": {"S": "a"}, "x": {"S": "a"}}])
    def test_a_key_that_does_not_match_is_refused(self, key: dict[str, Any]) -> None:
        ask = dynamodb()
        assert ask.refusal("GetItem", TableName="tab", Key=key) == "ValidationException"
        assert ask.refusal("UpdateItem", TableName="tab", Key=key) == "ValidationException"
        assert ask.refusal("DeleteItem", TableName="tab", Key=key) == "ValidationException"

    def test_a_range_key_tells_items_apart_and_equal_numbers_are_one(self) -> None:
        ask = Asked("dynamodb", DynamoDB())
        ask("CreateTable", TableName="tab", **made(pk="S", n="N"))
        for number in ("1", "1.0", "2"):
            ask("PutItem", TableName="tab", Item={**KEY, "n": {"N": number}, "given": {"S": number}})
        assert [item["given"]["S"] for item in ask("Scan", TableName="tab")["Items"]] == ["1.0", "2"]
        ask("UpdateItem", TableName="tab", Key={**KEY, "n": {"N": "1"}}, UpdateExpression="REMOVE given")
        assert ["given" in item for item in ask("Scan", TableName="tab")["Items"]] == [False, True]

    def test_what_is_not_known_here_is_said(self) -> None:
        ask = dynamodb()
        assert ask.refusal("Scan", TableName="tab", IndexName="i") == "ValidationException"
        assert ask.refusal("PutItem", TableName="tab", Item=KEY, Expected={}) == "ValidationException"
        assert ask.refusal("PutItem", TableName="tab", Item=KEY, ReturnValues="ALL_NEW") == "ValidationException"
        odd = {"UpdateExpression": "SET x = pk", "ReturnValues": "UPDATED_NEW"}
        assert ask.refusal("UpdateItem", TableName="tab", Key=KEY, **odd) == "ValidationException"
        assert get(ask) is None


ITEM = {**KEY, "n": {"N": "10"}, "s": {"S": "m"}, "t": {"BOOL": True}, "b": {"B": "bQ=="}, "set": {"SS": ["x", "y"]}}
VALUES = {
    ":nine": {"N": "9"},
    ":ten": {"N": "10.0"},
    ":m": {"S": "m"},
    ":nn": {"S": "nn"},
    ":true": {"BOOL": True},
    ":high": {"B": "bg=="},
    ":set": {"SS": ["y", "x"]},
}


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "holds"),
        [
            ("attribute_exists(n)", True),
            ("attribute_exists(missing)", False),
            ("attribute_not_exists(n)", False),
            ("attribute_not_exists(missing)", True),
            ("attribute_not_exists(#odd)", True),
            ("begins_with(pk, pk)", True),
            ("begins_with(:nn, s)", False),
            ("begins_with(:nn, missing)", False),
            ("n = :ten", True),
            ("n <> :ten", False),
            ("n > :nine", True),
            ("n >= :ten", True),
            ("n < :ten", False),
            ("n <= :ten", True),
            ("s < :nn", True),
            ("b < :high", True),
            ("t = :true", True),
            ("set = :set", True),
            ("s = :ten", False),
            ("s < :ten", False),
            ("s > :ten", False),
            ("s <> :ten", True),
            ("t <= :true", False),
            ("missing = :ten", False),
            ("missing < :ten", False),
            ("missing <> :ten", True),
            ("missing = gone", False),
            ("missing <> gone", True),
            (":nine < n", True),
            ("NOT n = :ten", False),
            ("not attribute_exists(missing) and n = :ten", True),
            ("n = :nine AND s = :m OR t = :true", True),
            ("n = :nine AND (s = :m OR t = :true)", False),
            ("t = :true OR s = :m AND n = :nine", True),
            ("(t = :true OR s = :m) AND n = :nine", False),
            ("NOT n = :nine AND s = :m", True),
            ("NOT (n = :nine AND s = :m)", True),
            ("NOT (n = :nine OR s = :m)", False),
            ("NOT NOT n = :ten", True),
            ("NOT n = :ten AND s = :nn", False),
            ("n = :ten AND s = :m AND t = :true", True),
            ("n = :ten AND s = :m AND s = :nn", False),
            ("n = :nine OR s = :nn OR t = :true", True),
        ],
    )
    def test_what_a_condition_says(self, condition: str, holds: bool) -> None:
        ask = dynamodb()
        ask("PutItem", TableName="tab", Item=ITEM)
        more: dict[str, Any] = {}
        if values := {name: VALUES[name] for name in re.findall(r":\w+", condition)}:
            more["ExpressionAttributeValues"] = values
        if "#odd" in condition:
            more["ExpressionAttributeNames"] = {"#odd": "odd name"}
        delete = {"TableName": "tab", "Key": KEY, "ConditionExpression": condition, **more}
        if holds:
            ask("DeleteItem", **delete)
        else:
            assert ask.refusal("DeleteItem", **delete) == "ConditionalCheckFailedException"
        assert (get(ask) is None) is holds

    @pytest.mark.parametrize("value", [{"N": "x"}, {"N": "NaN"}, {"B": "?"}, {"SS": None}, {}, {"N": "1", "S": "1"}])
    def test_what_is_no_value_is_refused(self, value: dict[str, Any]) -> None:
        ask = dynamodb()
        put(ask, n={"N": "1"})
        asked = {"FilterExpression": "n < :v", "ExpressionAttributeValues": {":v": value}}
        assert ask.refusal("Scan", TableName="tab", **asked) == "ValidationException"

    @given(a=NUMBERS, b=NUMBERS, sign=st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    def test_numbers_compare_as_numbers(self, a: str, b: str, sign: str) -> None:
        ask = dynamodb()
        put(ask, n={"N": a})
        python = {"=": "==", "<>": "!="}.get(sign, sign)
        expected = {"==": a == b, "!=": a != b, "<": int(a) < int(b), ">": int(a) > int(b)}
        expected |= {"<=": not expected[">"], ">=": not expected["<"]}
        answer = ask(
            "Scan", TableName="tab", FilterExpression=f"n {sign} :b", ExpressionAttributeValues={":b": {"N": b}}
        )
        assert answer["Count"] == expected[python]

    @pytest.mark.parametrize(
        "condition",
        [
            "",
            "n",
            "n =",
            "n = :ten n",
            "n == :ten",
            "(n = :ten",
            "n = :ten)",
            "AND n = :ten",
            "n = :ten AND",
            "n = :ten OR OR n = :ten",
            "size(n) = :ten",
            "begins_with(s)",
            "attribute_exists(:ten)",
            "n = :missing",
            "#missing = :ten",
            "n.m = :ten",
            "n BETWEEN :ten AND :ten",
        ],
    )
    def test_what_is_no_condition_is_refused(self, condition: str) -> None:
        ask = dynamodb()
        asked = {"ConditionExpression": condition, "ExpressionAttributeValues": {":ten": {"N": "10"}}}
        assert ask.refusal("PutItem", TableName="tab", Item=KEY, **asked) == "ValidationException"
        assert get(ask) is None

    def test_a_name_or_a_value_that_no_expression_uses_is_refused(self) -> None:
        refusal = dynamodb().refusal
        unused = {"ConditionExpression": "attribute_not_exists(pk)", "ExpressionAttributeValues": {":x": {"S": "x"}}}
        assert refusal("PutItem", TableName="tab", Item=KEY, **unused) == "ValidationException"
        assert refusal("Scan", TableName="tab", ExpressionAttributeNames={"#x": "x"}) == "ValidationException"
        assert refusal("Scan", TableName="tab", ExpressionAttributeValues={}) == "ValidationException"

    def test_a_refusal_tells_the_item_that_stands_there_when_asked(self) -> None:
        ask = dynamodb()
        put(ask, owner={"S": "x"})
        told = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        condition = {"ConditionExpression": "attribute_not_exists(pk)", **told}
        error = refused(lambda: ask("PutItem", TableName="tab", Item=KEY, **condition))
        assert (error.code, error.message) == ("ConditionalCheckFailedException", "The conditional request failed")
        assert error.more == {"Item": {**KEY, "owner": {"S": "x"}}}
        assert refused(lambda: put(ask, condition="attribute_not_exists(pk)")).more == {}


class TestUpdates:
    def test_add_makes_the_item_and_the_number_that_are_missing(self) -> None:
        ask = dynamodb()
        more = {"ExpressionAttributeValues": {":by": {"N": "1.50"}}}
        update(ask, "ADD applied :by", **more)
        assert get(ask) == {**KEY, "applied": {"N": "1.5"}}
        answer = update(ask, "add applied :by, other :by", ReturnValues="ALL_NEW", **more)
        assert answer == {"Attributes": {**KEY, "applied": {"N": "3"}, "other": {"N": "1.5"}}}

    def test_set_and_remove_see_the_item_as_it_was(self) -> None:
        ask = dynamodb()
        put(ask, a={"N": "1"}, b={"N": "2"}, c={"S": "c"})
        values = {":ten": {"N": "10"}, ":x": {"S": "x"}}
        answer = update(
            ask,
            "SET a = b + :ten, b = a - :ten, #d = :x REMOVE c, missing",
            ExpressionAttributeNames={"#d": "an odd name"},
            ExpressionAttributeValues=values,
            ReturnValues="ALL_OLD",
        )
        assert answer == {"Attributes": {**KEY, "a": {"N": "1"}, "b": {"N": "2"}, "c": {"S": "c"}}}
        assert get(ask) == {**KEY, "a": {"N": "12"}, "b": {"N": "-9"}, "an odd name": {"S": "x"}}

    def test_numbers_have_38_digits(self) -> None:
        ask = dynamodb()
        large = "1" + "0" * 36
        put(ask, n={"N": large})
        update(ask, "ADD n :one", ExpressionAttributeValues={":one": {"N": "1"}})
        assert get(ask) == {**KEY, "n": {"N": large[:-1] + "1"}}

    @pytest.mark.parametrize(
        "expression",
        [
            "ADD s :one",
            "ADD n :s",
            "SET n = s + :one",
            "SET n = missing",
            "SET n = missing + :one",
            "SET pk = :s",
            "SET :one = n",
            "DELETE n :one",
            "SET n :one",
            "n = :one",
            "",
        ],
    )
    def test_an_update_that_cannot_be_is_refused_and_changes_nothing(self, expression: str) -> None:
        ask = dynamodb()
        put(ask, n={"N": "1"}, s={"S": "x"})
        before = get(ask)
        values = {":one": {"N": "1"}, ":s": {"S": "x"}}
        used = {name: value for name, value in values.items() if name in expression}
        more = {"UpdateExpression": expression, **({"ExpressionAttributeValues": used} if used else {})}
        assert ask.refusal("UpdateItem", TableName="tab", Key=KEY, **more) == "ValidationException"
        assert get(ask) == before

    def test_a_lease_is_taken_by_one_and_fences_the_one_before(self) -> None:
        ask = dynamodb()

        def take(who: str, now: int) -> bool:
            try:
                update(
                    ask,
                    "SET holder = :who, until = :until ADD counter :one",
                    ConditionExpression="attribute_not_exists(pk) OR until < :now",
                    ExpressionAttributeValues={
                        ":who": {"S": who},
                        ":now": {"N": str(now)},
                        ":until": {"N": str(now + 10)},
                        ":one": {"N": "1"},
                    },
                )
            except Refused as error:
                assert error.code == "ConditionalCheckFailedException"
                return False
            return True

        def checkpoint(who: str, place: str) -> bool:
            values = {":who": {"S": who}, ":place": {"S": place}}
            condition = {"ConditionExpression": "holder = :who", "ExpressionAttributeValues": values}
            try:
                update(ask, "SET place = :place", **condition)
            except Refused:
                return False
            return True

        assert [take("x", 0), take("y", 5), checkpoint("x", "1"), checkpoint("y", "2")] == [True, False, True, False]
        assert [take("y", 11), checkpoint("x", "3"), checkpoint("y", "4")] == [True, False, True]
        item = get(ask)
        assert item and (item["holder"], item["counter"], item["place"]) == ({"S": "y"}, {"N": "2"}, {"S": "4"})


def claim(pk: str = "guard") -> dict[str, Any]:
    item = {"pk": {"S": pk}}
    return {"Put": {"TableName": "tab", "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}


def add_one(pk: str = "effect", by: str = "1") -> dict[str, Any]:
    return {
        "Update": {
            "TableName": "tab",
            "Key": {"pk": {"S": pk}},
            "UpdateExpression": "ADD applied :by",
            "ExpressionAttributeValues": {":by": {"N": by}},
        }
    }


class TestTransactions:
    def test_all_or_nothing_with_a_reason_for_each_action(self) -> None:
        ask = dynamodb()
        ask("TransactWriteItems", TransactItems=[claim(), add_one()])
        error = refused(lambda: ask("TransactWriteItems", TransactItems=[claim(), add_one()]))
        assert error.code == "TransactionCanceledException"
        assert error.message == (
            "Transaction cancelled, please refer cancellation reasons for specific reasons "
            "[ConditionalCheckFailed, None]"
        )
        assert error.more["CancellationReasons"] == [
            {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"},
            {"Code": "None"},
        ]
        assert get(ask, "effect") == {"pk": {"S": "effect"}, "applied": {"N": "1"}}

    def test_deletes_and_checks_take_part(self) -> None:
        ask = dynamodb()
        put(ask, "here")
        condition = "attribute_exists(pk)"
        check = {"ConditionCheck": {"TableName": "tab", "Key": {"pk": {"S": "here"}}, "ConditionExpression": condition}}
        delete = {"Delete": {"TableName": "tab", "Key": {"pk": {"S": "gone"}}, "ConditionExpression": condition}}
        error = refused(lambda: ask("TransactWriteItems", TransactItems=[check, add_one(), delete]))
        assert "[None, None, ConditionalCheckFailed]" in error.message
        assert get(ask, "effect") is None
        put(ask, "gone")
        ask("TransactWriteItems", TransactItems=[check, add_one(), delete])
        assert (get(ask, "gone"), get(ask, "here")) == (None, {"pk": {"S": "here"}})
        assert get(ask, "effect") is not None

    def test_a_transaction_that_cannot_be_is_refused_and_writes_nothing(self) -> None:
        ask = dynamodb()
        put(ask, "text", applied={"S": "x"})
        for items in ([claim(), claim()], [claim(), add_one("text")], [claim(f"g{n}") for n in range(101)], []):
            assert ask.refusal("TransactWriteItems", TransactItems=items) == "ValidationException"
        elsewhere = {"Put": {"TableName": "nowhere", "Item": KEY}}
        assert ask.refusal("TransactWriteItems", TransactItems=[claim(), elsewhere]) == "ResourceNotFoundException"
        assert ask("Scan", TableName="tab")["Count"] == 1

    def test_transfers_keep_the_sum(self) -> None:
        """Random transactions between accounts, each guarded by a mark of its own; half of them come twice."""
        ask, choice = dynamodb(), random.Random(4)
        for n in range(200):
            one, other = choice.sample("abcde", 2)
            by = choice.randrange(100)
            transfer = [claim(f"mark{n}"), add_one(one, str(by)), add_one(other, str(-by))]
            ask("TransactWriteItems", TransactItems=transfer)
            if choice.random() < 0.5:
                assert ask.refusal("TransactWriteItems", TransactItems=transfer) == "TransactionCanceledException"
        items = ask("Scan", TableName="tab")["Items"]
        assert sum(int(item["applied"]["N"]) for item in items if "applied" in item) == 0
        assert len(items) == 205


class TestScans:
    def scan(self, ask: Asked, **params: Any) -> list[dict[str, Any]]:
        pages = [ask("Scan", TableName="tab", **params)]
        while start := pages[-1].get("LastEvaluatedKey"):
            pages.append(ask("Scan", TableName="tab", ExclusiveStartKey=start, **params))
        return pages

    def test_a_filter_looks_at_all_and_answers_some(self) -> None:
        ask = dynamodb()
        for n in range(10):
            put(ask, f"effect#{n}" if n % 2 else f"guard#{n}")
        effects = {
            "FilterExpression": "begins_with(pk, :effects)",
            "ExpressionAttributeValues": {":effects": {"S": "effect#"}},
        }
        (page,) = self.scan(ask, **effects)
        assert (page["Count"], page["ScannedCount"]) == (5, 10)
        pages = self.scan(ask, Limit=3, **effects)
        assert [page["ScannedCount"] for page in pages] == [3, 3, 3, 1]
        assert [item["pk"]["S"] for page in pages for item in page["Items"]] == [f"effect#{n}" for n in (1, 3, 5, 7, 9)]

    def test_a_page_ends_after_a_megabyte_and_the_next_goes_on_after_it_though_its_last_item_is_gone(self) -> None:
        ask = dynamodb()
        for n in range(5):
            put(ask, str(n), text={"S": "x" * 400_000})
        first = ask("Scan", TableName="tab")
        assert [item["pk"]["S"] for item in first["Items"]] == ["0", "1", "2"]
        ask("DeleteItem", TableName="tab", Key=first["LastEvaluatedKey"])
        second = ask("Scan", TableName="tab", ExclusiveStartKey=first["LastEvaluatedKey"])
        assert [item["pk"]["S"] for item in second["Items"]] == ["3", "4"]
        assert "LastEvaluatedKey" not in second


def both_claimed(ask: Asked) -> bool:
    put(ask)
    try:
        put(ask, condition="attribute_not_exists(pk)", second={"BOOL": True})
    except Refused:
        return False
    return "second" in (get(ask) or {})


def written_in_part(ask: Asked) -> bool:
    put(ask, "guard")
    assert ask.refusal("TransactWriteItems", TransactItems=[claim(), add_one()]) == "TransactionCanceledException"
    return get(ask, "effect") is not None


HARM: dict[str, Callable[[Asked], bool]] = {
    "conditional-write-race": both_claimed,
    "transaction-writes-part": written_in_part,
}


@pytest.mark.parametrize("name", [name for name, kind in DEFECTS.items() if issubclass(kind, TableConduct)])
def test_a_defect_does_its_harm_and_a_correct_broker_does_not(name: str) -> None:
    broken = defect(name)
    assert isinstance(broken, TableConduct)
    assert HARM[name](dynamodb(broken))
    assert not HARM[name](dynamodb())


def test_a_race_may_be_lost_now_and_then() -> None:
    ask = dynamodb(ConditionalWriteRace(3))
    put(ask)
    second = {"ConditionExpression": "attribute_not_exists(pk)"}
    assert ask.refusal("PutItem", TableName="tab", Item=KEY, **second) == "ConditionalCheckFailedException"
    assert ask.refusal("PutItem", TableName="tab", Item=KEY, **second) == "ConditionalCheckFailedException"
    put(ask, condition="attribute_not_exists(pk)")


@pytest.mark.live
def test_an_sdk_sees_items_pages_and_errors() -> None:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=15)
    credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    with served() as url:
        client = boto3.client("dynamodb", endpoint_url=url, config=config, **credentials)
        client.create_table(TableName="tab", **made(pk="S"))
        client.get_waiter("table_exists").wait(TableName="tab", WaiterConfig={"Delay": 0, "MaxAttempts": 1})
        client.put_item(TableName="tab", Item={**KEY, "data": {"B": b"\x00\xff"}})
        assert client.get_item(TableName="tab", Key=KEY)["Item"] == {**KEY, "data": {"B": b"\x00\xff"}}
        client.put_item(TableName="tab", Item={"pk": {"S": "b"}})
        pages = client.get_paginator("scan").paginate(TableName="tab", PaginationConfig={"PageSize": 1})
        assert [item["pk"]["S"] for page in pages for item in page["Items"]] == ["a", "b"]
        second = {"TableName": "tab", "Item": KEY, "ConditionExpression": "attribute_not_exists(pk)"}
        assert code_of(client.put_item, **second) == "ConditionalCheckFailedException"
        assert code_of(client.describe_table, TableName="nowhere") == "ResourceNotFoundException"
        with pytest.raises(ClientError, match=r"specific reasons \[ConditionalCheckFailed, None\]") as error:
            client.transact_write_items(TransactItems=[claim("a"), add_one()])
        reasons = error.value.response["CancellationReasons"]
        assert [reason["Code"] for reason in reasons] == ["ConditionalCheckFailed", "None"]
