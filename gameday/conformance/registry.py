"""Every probe, by service and name: what `gameday conformance` runs, and where a new one is entered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameday.conformance.base import Probe
from gameday.conformance.probes import (
    dynamodb,
    eventbridge,
    kinesis,
    lambda_,
    pipes,
    s3,
    scheduler,
    sns,
    sns_fifo,
    sqs,
    sqs_fifo,
    stepfunctions,
)

PROBES: Mapping[str, Mapping[str, Probe]] = {
    "sqs": sqs.PROBES,
    "sqs-fifo": sqs_fifo.PROBES,
    "sns": sns.PROBES,
    "sns-fifo": sns_fifo.PROBES,
    "eventbridge": eventbridge.PROBES,
    "kinesis": kinesis.PROBES,
    "dynamodb": dynamodb.PROBES,
    "scheduler": scheduler.PROBES,
    "pipes": pipes.PROBES,
    "s3": s3.PROBES,
    "stepfunctions": stepfunctions.PROBES,
    "lambda": lambda_.PROBES,
}

# Of these a few probes are asked at a time: each starts processes at the endpoint.
HEAVY = frozenset({"lambda"})

# The AWS services, as boto3 names them, that the probes of a service call.
NEEDS: Mapping[str, Sequence[str]] = {
    "sqs": ("sqs",),
    "sqs-fifo": ("sqs",),
    "sns": ("sns", "sqs"),
    "sns-fifo": ("sns", "sqs"),
    "eventbridge": ("events", "sqs"),
    "kinesis": ("kinesis",),
    "dynamodb": ("dynamodb",),
    "scheduler": ("scheduler", "sqs"),
    "pipes": ("pipes", "sqs"),
    "s3": ("s3",),
    "stepfunctions": ("stepfunctions", "sqs"),
    "lambda": ("lambda", "sqs"),
}
