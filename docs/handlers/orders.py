"""The example of docs/handlers.md in Python: a plain function, and one of Lambda's for a queue."""

import json
import os
import sys
from pathlib import Path


def handle(message):
    """One message. An exception fails it."""
    place_order(json.loads(message["body"]))


def handle_batch(event, context):
    """What Lambda hands over from a queue, and the answer that fails single messages of it."""
    failed = []
    for record in event["Records"]:
        try:
            place_order(json.loads(record["body"]))
        except ValueError as error:
            print(f"{record['messageId']}: {error}", file=sys.stderr)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def place_order(order):
    """The work: here a line in a file of the run's directory."""
    detail = order["detail"]
    if detail["metadata"]["poison"]:
        raise ValueError("nobody can do this order")
    with Path(os.environ["GAMEDAY_EFFECTS"], "orders.txt").open("a") as file:
        file.write(f"{detail['orderId']}\n")
