"""A Celery application on SQS: `celery --app celery_worker worker`, its queue named beforehand (predefined_queues).

VARIANT: correct (acks_late); delete-first (Celery's default: a message is acknowledged when its task starts, before the
work); no-guard (acks_late, the effect is done again each time that an order comes).
"""

import os

from celery import Celery
from effects import variant, work

VARIANT = variant("correct", "delete-first", "no-guard")
QUEUE_URL = os.environ["QUEUE_URL"]
# The name that its messages carry as their routing key, whatever the queue is called at SQS. kombu wants the ending.
QUEUE = "orders.fifo" if QUEUE_URL.endswith(".fifo") else "orders"

app = Celery("orders", broker="sqs://")
app.conf.update(
    # No credentials here and no address: boto3 finds both in the environment.
    broker_transport_options={
        "predefined_queues": {QUEUE: {"url": QUEUE_URL}},
        "wait_time_seconds": int(os.environ.get("WAIT_S", "5")),
        "polling_interval": 0.1,
    },
    task_default_queue=QUEUE,
    task_acks_late=VARIANT != "delete-first",
    task_reject_on_worker_lost=VARIANT != "delete-first",
    task_ignore_result=True,
    # Both need a fanout of their own, which SQS has none of.
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@app.task(name="orders.handle")
def handle(order: dict[str, object]) -> None:
    work(str(order["orderId"]), guarded=VARIANT != "no-guard")
