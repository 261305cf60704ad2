"""Every pipeline by the name that a scenario calls it. Adding one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.transports.base import Transport
from gameday.transports.eventbridge import Eventbridge
from gameday.transports.kinesis import Kinesis
from gameday.transports.sns import Sns
from gameday.transports.sqs import Sqs
from gameday.transports.stepfunctions import StepFunctions

TRANSPORTS: Mapping[str, Transport] = {
    "sqs": Sqs(name="sqs", fifo=False),
    "sqs-fifo": Sqs(name="sqs-fifo", fifo=True),
    "sns": Sns(name="sns", fifo=False),
    "sns-fifo": Sns(name="sns-fifo", fifo=True),
    "eventbridge": Eventbridge(),
    "kinesis": Kinesis(name="kinesis"),
    "stepfunctions": StepFunctions(),
}
