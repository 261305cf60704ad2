"""Every pipeline by the name that a scenario calls it. Adding one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from transports.base import Transport
from transports.eventbridge import Eventbridge
from transports.kinesis import Kinesis
from transports.sns import Sns
from transports.sqs import Sqs

TRANSPORTS: Mapping[str, Transport] = {
    "sqs": Sqs(name="sqs", fifo=False),
    "sqs-fifo": Sqs(name="sqs-fifo", fifo=True),
    "sns": Sns(name="sns", fifo=False),
    "sns-fifo": Sns(name="sns-fifo", fifo=True),
    "eventbridge": Eventbridge(),
    "kinesis": Kinesis(name="kinesis"),
    # The same on a broker of our own (transports/memory): for tests and for measuring ourselves.
    "memory": Sqs(name="memory", fifo=False),
    "memory-fifo": Sqs(name="memory-fifo", fifo=True),
    "memory-kinesis": Kinesis(name="memory-kinesis"),
}
