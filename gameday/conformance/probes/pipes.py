"""What EventBridge Pipes documents for a pipe from one queue to another: it moves what comes, while it runs.

Source: the EventBridge user guide, "Amazon EventBridge Pipes" (docs.aws.amazon.com/eventbridge/latest/userguide). A
pipe that says RUNNING and moves nothing looks healthy to everybody who asks it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gameday.conformance.base import ROLE, Bench, Probe, claim, mostly
from gameday.conformance.queues import ProbeQueue, numbered, texts

_LOOK_S = 3.0


def queue_to_queue(bench: Bench) -> None:
    """A running pipe moves what its source queue holds to its target (guide, "Amazon EventBridge Pipes")."""
    source, target = ProbeQueue(bench), ProbeQueue(bench)
    _pipe(bench, source, target)
    bodies = numbered("m", 3)
    source.send_batch(bodies)
    target.collect(bodies)
    mostly(len(source.receive(wait_s=0)), len(bodies), "messages were moved and are in the source queue, too")


def stopped(bench: Bench) -> None:
    """A pipe that is stopped moves nothing until it is started again (guide, "Starting or stopping a pipe")."""
    source, target = ProbeQueue(bench), ProbeQueue(bench)
    name = _pipe(bench, source, target)
    source.send("before")
    target.collect(["before"], delete=True)
    bench.call("pipes", "StopPipe", Name=name)
    _wait_for(bench, name, "STOPPED")
    source.send("stopped")
    moved = texts(target.watch(_LOOK_S, enough=lambda got: "stopped" in texts(got)))
    claim("stopped" not in moved, "a pipe that says STOPPED moved a message")
    bench.call("pipes", "StartPipe", Name=name)
    target.collect(["stopped"])


def _pipe(bench: Bench, source: ProbeQueue, target: ProbeQueue) -> str:
    name = bench.name("pipe")
    bench.call("pipes", "CreatePipe", Name=name, Source=source.arn, Target=target.arn, RoleArn=ROLE)
    bench.afterwards("pipes", "DeletePipe", Name=name)
    _wait_for(bench, name, "RUNNING")
    return name


def _wait_for(bench: Bench, name: str, state: str) -> None:
    bench.ready(lambda: bench.call("pipes", "DescribePipe", Name=name)["CurrentState"] == state, f"a pipe {state}")


PROBES: Mapping[str, Probe] = {
    "queue-to-queue": queue_to_queue,
    "stopped": stopped,
}
