"""A worker as many are: it polls, books the order, deletes the message. It knows nothing of gameday."""

import json
import os
import sqlite3

import boto3

database = sqlite3.connect(os.environ["DATABASE"], timeout=30)
database.execute("CREATE TABLE IF NOT EXISTS bookings (order_id TEXT)")
sqs, queue = boto3.client("sqs"), os.environ["QUEUE_URL"]
while True:
    for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2).get("Messages", []):
        order = json.loads(message["Body"])
        with database:
            database.execute("INSERT INTO bookings VALUES (?)", (order["orderId"],))
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
