"""A Lambda function on an SQS queue, with Powertools' batch processing and its idempotency, records in DynamoDB.

The effect itself is unguarded (a line more in a file): what keeps it to one is Powertools. It promises that for a
delivery that comes again after the first was done, or while it is under way. It cannot for a function that is killed
between its effect and the update of its record: it is done again once the record's in-progress time is over.

VARIANT: correct (the key is the order's own id); no-key (no key is named, so the whole record is it, with its receipt
handle and receive count, which are others on redelivery); expires (a record is forgotten after a second);
ignores-failures (of a failed record nothing is reported, so it is deleted).
"""

import contextlib
import os
from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from effects import key_of, variant, work

VARIANT = variant("correct", "no-key", "expires", "ignores-failures")
TABLE = os.environ.get("IDEMPOTENCY_TABLE", "idempotency")


def make_table() -> None:
    """What a team's infrastructure code does; an emulator that was just started has no table."""
    dynamodb = boto3.client("dynamodb")
    with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})


make_table()
config = IdempotencyConfig(
    event_key_jmespath=""
    if VARIANT == "no-key"
    else "powertools_json(body).orderId || powertools_json(body).detail.metadata.id",
    raise_on_no_idempotency_key=VARIANT != "no-key",
    expires_after_seconds=1 if VARIANT == "expires" else 3600,
)


@idempotent_function(
    data_keyword_argument="record", config=config, persistence_store=DynamoDBPersistenceLayer(table_name=TABLE)
)
def handle_record(record: SQSRecord) -> None:
    if record.json_body.get("detail", {}).get("metadata", {}).get("poison"):
        raise ValueError("an order that nobody can carry out")
    work(key_of(record.body), guarded=False)


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    config.register_lambda_context(context)
    fifo = event["Records"][0]["eventSourceARN"].endswith(".fifo")
    processor = SqsFifoPartialProcessor() if fifo else BatchProcessor(event_type=EventType.SQS)
    processor.raise_on_entire_batch_failure = False
    answer = process_partial_response(
        event=event,
        record_handler=lambda record: handle_record(record=record),
        processor=processor,
        context=context,
    )
    return {"batchItemFailures": []} if VARIANT == "ignores-failures" else dict(answer)
