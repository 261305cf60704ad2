"""`make`: a message as Celery itself would send it to `celery_worker`, written by Celery's and kombu's own code.

It promises the body that `handle.delay(order)` gives to SQS, to the byte but for ids: the task is published through
kombu's SQS transport, with a client in place of boto3's that keeps what it is told to send. GAMEDAY_QUEUE_URL, where it
is set, says whether the queue is FIFO: a worker finds its queue by the name in the message, and a FIFO queue's ends so.
"""

import os
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.transport import SQS

QUEUE = "orders.fifo" if os.environ.get("GAMEDAY_QUEUE_URL", "").endswith(".fifo") else "orders"


class _Client:
    """Where the transport expects boto3's client."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []

    def send_message(self, **kwargs: str) -> None:
        self.sent.append(kwargs)

    def get_queue_attributes(self, **_: object) -> dict[str, dict[str, str]]:
        """Asked when the queue is declared, before the first message."""
        return {"Attributes": {"ApproximateNumberOfMessages": "0"}}


_client = _Client()


class _Channel(SQS.Channel):
    def new_sqs_client(self, *_: object, **__: object) -> _Client:
        return _client


class _Transport(SQS.Transport):
    Channel = _Channel


_app = Celery("producer", set_as_current=False)
_connection = Connection(
    transport=_Transport,
    transport_options={"region": "us-east-1", "predefined_queues": {QUEUE: {"url": f"http://localhost/0/{QUEUE}"}}},
)
_producer = _app.amqp.Producer(_connection)


def make(ask: dict[str, Any]) -> dict[str, str]:
    """Message number `n` of a load: {"body": what goes to SQS, "key": what its effect is found under}."""
    key = f"order-{ask['n']}"
    order = {"orderId": key, "group": ask.get("group"), "seq": ask.get("seq")}
    _app.send_task("orders.handle", args=[order], queue=QUEUE, producer=_producer)
    return {"body": _client.sent.pop()["MessageBody"], "key": key}


if __name__ == "__main__":
    import json
    import sys

    for number in range(int(sys.argv[1])):
        print(json.dumps(make({"n": number})))
