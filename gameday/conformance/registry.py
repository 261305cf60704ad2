"""Every probe, by service and name: what `gameday conformance` runs, and where a new one is entered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameday.conformance.base import Probe
from gameday.conformance.probes import sqs, sqs_fifo

PROBES: Mapping[str, Mapping[str, Probe]] = {
    "sqs": sqs.PROBES,
    "sqs-fifo": sqs_fifo.PROBES,
}

# The AWS services, as boto3 names them, that the probes of a service call.
NEEDS: Mapping[str, Sequence[str]] = {
    "sqs": ("sqs",),
    "sqs-fifo": ("sqs",),
}
