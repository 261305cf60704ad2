"""The function of the shipped scenarios: it books each order once more in a table, as a Lambda function would.

`handler` does what a function should. The others are the mistakes that the scenarios broken-lambda-… are about, each
one line away from it. An order that is poison can never be booked; with FLAKY set, so many of a hundred fail the first
time that they are tried. With ONCE set it finds out what it has booked already, as a function should that may be given
a message twice; without, each booking counts.

It needs nothing but Python: on an emulator nobody looks at signatures.
"""

import base64
import http.client
import json
import os
import time
import urllib.parse
import zlib

TABLE = os.environ.get("TABLE", "orders")
FLAKY = int(os.environ.get("FLAKY", "0"))
ONCE = bool(os.environ.get("ONCE"))
TAKES_S = float(os.environ.get("TAKES_S", "0"))


class Failed(Exception):
    """This order cannot be booked now."""


def handler(event, context):
    """Books what it can, and says which messages failed. On a FIFO queue it stops there: order matters."""
    return _handled(event, stops=_is_fifo(event))


def of_a_stream(event, context):
    """The same of records of Kinesis: from the first that failed on everything comes again, so it ends there."""
    told = {"applied": [], "skipped": [], "failed": []}
    for record in event["Records"]:
        name = record["kinesis"]["sequenceNumber"]
        try:
            booked = _book_event(json.loads(base64.b64decode(record["kinesis"]["data"])))
        except Failed as error:
            print(f"{name}: {error}")
            told["failed"].append(name)
            return {"batchItemFailures": [{"itemIdentifier": name}], "gameday": told}
        told["applied" if booked else "skipped"].append(name)
    return {"batchItemFailures": [], "gameday": told}


def of_a_topic(event, context):
    """Of SNS itself: one order, which is booked or fails as an exception."""
    (record,) = event["Records"]
    return _of_one(json.loads(record["Sns"]["Message"]), record["Sns"]["MessageId"])


def of_a_bus(event, context):
    """Of EventBridge itself: the event is the order."""
    return _of_one(event, event["id"])


def _of_one(event, name):
    return {"gameday": {"applied" if _book_event(event) else "skipped": [name]}}


def goes_on(event, context):
    """A mistake on a FIFO queue: what stands behind a failed message of its group is booked before it."""
    return _handled(event, stops=False)


def swallows(event, context):
    """A mistake: failures are logged, and never reported."""
    return {**_handled(event, stops=False), "batchItemFailures": []}


def miskeys(event, context):
    """A mistake: failures are reported under a key that AWS does not know, so that every batch with one fails."""
    answer = _handled(event, stops=False)
    failures = [{"messageId": item["itemIdentifier"]} for item in answer["batchItemFailures"]]
    return {**answer, "batchItemFailures": failures}


def _handled(event, stops):
    failed, told = [], {"applied": [], "skipped": [], "failed": []}
    for record in event["Records"]:
        name = record["messageId"]
        if stops and failed:
            failed.append(name)
            told["failed"].append(name)
            continue
        try:
            told["applied" if _book(record) else "skipped"].append(name)
        except Failed as error:
            print(f"{name}: {error}")
            failed.append(name)
            told["failed"].append(name)
    # AWS reads the list alone. What this did to each message gameday can use to judge the order of effects.
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed], "gameday": told}


def _book(record):
    return _book_event(json.loads(record["body"]), receives=int(record["attributes"]["ApproximateReceiveCount"]))


def _book_event(event, receives=None):
    """Whether it was booked now. `receives`: how often it was tried, this time included, where anybody counts."""
    order = event["detail"]
    if order["metadata"]["poison"]:
        raise Failed("nobody can do this order")
    name = order["correlationId"]
    if zlib.crc32(name.encode()) % 100 < FLAKY and (_is_new(name) if receives is None else receives == 1):
        raise Failed("not this time")
    time.sleep(TAKES_S)
    return _count(name)


def _is_fifo(event):
    return event["Records"][0]["eventSourceARN"].endswith(".fifo")


# The table


class _Dynamo:
    """DynamoDB by its HTTP protocol, over one connection."""

    def __init__(self):
        url = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ["AWS_ENDPOINT_URL"]
        self._host = urllib.parse.urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=5)
        region = os.environ.get("AWS_REGION", "us-east-1")
        self._signature = (
            f"AWS4-HMAC-SHA256 Credential=test/20260101/{region}/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
        )

    def call(self, operation, **params):
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Authorization": self._signature,
        }
        try:
            self._connection.request("POST", "/", json.dumps(params), headers)
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if response.status != 200:
            raise Failed(str(answer.get("__type") or answer))
        return answer


def _opened():
    dynamo = _Dynamo()
    for name in (TABLE, f"{TABLE}-tries"):
        try:
            dynamo.call(
                "CreateTable",
                TableName=name,
                KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        except Failed as error:
            if "ResourceInUse" not in str(error):
                raise
    return dynamo


# Once in each environment, before its first invocation.
_DYNAMO = _opened()


def _count(name):
    """One more booking of this order: a second one of the same is seen there."""
    once = {"ConditionExpression": "attribute_not_exists(times)"} if ONCE else {}
    try:
        _DYNAMO.call(
            "UpdateItem",
            TableName=TABLE,
            Key={"order": {"S": name}},
            UpdateExpression="ADD times :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            **once,
        )
    except Failed as error:
        if not ONCE or "ConditionalCheckFailed" not in str(error):
            raise
        return False
    return True


def _is_new(name):
    """Whether nobody has tried this order before."""
    try:
        _DYNAMO.call(
            "PutItem",
            TableName=f"{TABLE}-tries",
            Item={"order": {"S": name}},
            ConditionExpression="attribute_not_exists(#order)",
            ExpressionAttributeNames={"#order": "order"},
        )
    except Failed as error:
        if "ConditionalCheckFailed" not in str(error):
            raise
        return False
    return True
