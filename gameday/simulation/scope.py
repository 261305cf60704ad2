"""What of a scenario can be simulated: transports, consumers of ours, and faults that strike these and the network."""

from __future__ import annotations

from collections.abc import Iterator

from gameday.chaos.base import Fault
from gameday.chaos.wire_fault import WireFault
from gameday.scenario.model import Scenario

TRANSPORTS = ("sqs", "sqs-fifo", "sns", "sns-fifo", "eventbridge", "kinesis")
FAULTS = (
    *("kill-consumer", "rolling-restart", "scale", "pause-consumer", "stretch-processing", "fail-handler", "crash-at"),
    *("hold-in-flight", "clock-step", "slow-store", "store-down", "reshard"),
    *("lose-send-reply", "throttle-sends", "lose-delete", "throttle", "lose-request", "lose-answer"),
)


def unsimulated(scenario: Scenario) -> Iterator[str]:
    """What cannot, each with its key and why; nothing where all can."""
    load, topology, consumers = scenario.load, scenario.topology, scenario.consumers
    if scenario.transport not in TRANSPORTS:
        yield f"transport: {scenario.transport} cannot be simulated, only {', '.join(TRANSPORTS)}"
    if consumers.foreign or consumers.lambda_ is not None or not isinstance(consumers.handler, str):
        yield "consumers: code of yours cannot be simulated, only consumers and handlers of gameday's own"
    if consumers.store == "dynamodb":
        yield "consumers.store: dynamodb cannot be simulated, for calls to it go over the wire; sqlite can"
    for key, given in (
        ("topology.attach", topology.attach),
        ("topology.encryption", topology.encryption),
        ("load.message", load.message),
        ("load.schema", load.schema_),
        ("load.claim_check", load.claim_check),
        ("effects", scenario.effects),
        ("steady", scenario.steady),
        ("brakes.stop_when", scenario.brakes.stop_when),
        ("cloudwatch", scenario.cloudwatch),
    ):
        if given:
            yield f"{key}: cannot be simulated"
    for number, fault in enumerate(scenario.chaos):
        if (why := unsimulated_fault(fault)) is not None:
            yield f"chaos[{number}]: {why}"


def unsimulated_fault(fault: Fault) -> str | None:
    """Why it cannot be simulated, if it cannot."""
    if fault.fault not in FAULTS:
        return f"the fault {fault.fault} cannot be simulated, only {', '.join(FAULTS)}"
    if fault.watches_calls or (fault.when is not None and fault.when.condition is not None):
        return "a simulated fault cannot wait for a number of the run or a call on the wire"
    if isinstance(fault, WireFault) and fault.fault == "lose-delete" and fault.nth is not None:
        return "a simulated lose-delete strikes a `share`, not the `nth`"
    return None
