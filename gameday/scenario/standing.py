"""A scenario that attaches to what is there already, once that was read: what holds there, and what to say of it.

What stands there is what counts: promises, how long a message is hidden, when it is dead. It promises that a scenario
which says otherwise is told so before the run, and that one which could only harm others, or prove nothing, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.model import DeployedModel, HandlerModel, Scenario, SubscriptionModel, TopologySpec
from gameday.scenario.policy import MANAGED
from gameday.scenario.reading import drain_timeout_s
from gameday.scenario.units import format_duration
from gameday.transports.base import Found, Standing
from gameday.transports.registry import TRANSPORTS

# Six times the time of a function is what AWS asks of a visibility timeout
# (docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html), so that a batch can be tried again in it.
_TIMES_THE_WORK = 6


class CannotAttach(ValueError):
    """What stands there cannot be used by this scenario; the message says why, and what to do."""


def as_found(scenario: Scenario, found: Found) -> Scenario:
    """The scenario with what holds where it attaches, in place of what it says. Errors: CannotAttach."""
    topology = _topology(scenario.topology, found.standing)
    told = scenario.source.data.get("drain_timeout")
    known = replace(
        scenario,
        topology=topology,
        standing=found.standing,
        drain_timeout_s=scenario.drain_timeout_s
        if told is not None
        else drain_timeout_s(topology, scenario.load, scenario.consumers),
    )
    _refuse(known)
    return known


def differences(scenario: Scenario, found: Found) -> Iterator[str]:
    """What holds there and is not as the scenario, as it was written, says."""
    asked = scenario.topology
    for name, holds in found.standing.items():
        said = (
            ("visibility_timeout", _duration(asked.visibility_timeout), _duration(holds.visibility_timeout_s)),
            ("max_receives", _receives(asked.max_receives), _receives(holds.max_receives)),
            ("delay", _duration(asked.delay), _duration(holds.delay_s)),
            ("shards", asked.shards, holds.shards),
        )
        unused = CONSUMPTION[TRANSPORTS[scenario.transport].kind].no_meaning["topology"]
        for key, one, other in said:
            if key in asked.model_fields_set and key not in unused and one != other:
                yield f"{name}: topology.{key} is {one}, and where it attaches {other}; {other} counts"
    yield from found.differs


def warnings(scenario: Scenario) -> Iterator[str]:
    """What is not as it should be where it attaches. `scenario`: as found."""
    for name, holds in scenario.standing.items():
        yield from _about(scenario, name, holds)


def _about(scenario: Scenario, name: str, holds: Standing) -> Iterator[str]:
    hidden_s, work_s = holds.visibility_timeout_s, _work_s(scenario)
    lasts_s = scenario.load.duration + scenario.drain_timeout_s
    if hidden_s is not None and work_s and hidden_s < _TIMES_THE_WORK * work_s:
        yield (
            f"{name}: its visibility timeout of {format_duration(hidden_s)} is less than {_TIMES_THE_WORK} times the "
            f"{format_duration(work_s)} that the work of a message takes: what is slow once comes again while it is "
            "worked on"
        )
    if hidden_s is not None and not holds.dead_letter:
        yield f"{name}: it has no dead-letter queue, so a message that fails each time comes back for ever"
    own_wait_s = None if scenario.consumers.foreign else scenario.consumers.wait
    if hidden_s is not None and (holds.wait_s if own_wait_s is None else own_wait_s) == 0:
        yield (
            f"{name}: a poll that does not say how long it waits does not wait (short polling): it asks some of the "
            "queue's servers only, and each empty one costs a request"
        )
    if holds.retention_s is not None and holds.retention_s < lasts_s:
        yield (
            f"{name}: a message is kept for {format_duration(holds.retention_s)}, and load and drain may take "
            f"{format_duration(lasts_s)}: what expires meanwhile would look lost"
        )
    if own := [key for key in holds.keys if MANAGED not in key]:
        yield (
            f"{name}: it is encrypted with {', '.join(own)}: whoever sends or receives needs "
            "kms:GenerateDataKey and kms:Decrypt on that"
        )


def _refuse(scenario: Scenario) -> None:
    if any(fault.needs_key for fault in scenario.chaos) and not any(each.keys for each in scenario.standing.values()):
        raise CannotAttach(
            "nothing there is encrypted with a key of KMS, so none can be denied; take `reason: kms` out"
        )
    attach, consumers = scenario.topology.attach, scenario.consumers
    for name, holds in scenario.standing.items():
        hidden_s = holds.visibility_timeout_s
        if consumers.heartbeat is not None and hidden_s is not None and consumers.heartbeat >= hidden_s:
            raise CannotAttach(
                f"{name}: consumers.heartbeat, every {format_duration(consumers.heartbeat)}, is too late for the "
                f"visibility timeout of {format_duration(hidden_s)} that holds there; a third of it is usual"
            )
        if attach is not None and attach.shared and holds.max_receives == 1 and consumers.kind == "ours":
            raise CannotAttach(
                f"{name}: others use it, too, and a message that was received once is dead there (maxReceiveCount 1): "
                "each of theirs that a consumer of the run happens to receive would die of it; attach to a queue of "
                "the run's own, or let yours consume (consumers.attach)"
            )


def _topology(asked: TopologySpec, standing: Mapping[str, Standing]) -> TopologySpec:
    """Where subscriptions differ, what takes longest: nothing that waits may end too early."""
    holds = list(standing.values())
    hidden = [each.visibility_timeout_s for each in holds if each.visibility_timeout_s is not None]
    receives = [each.max_receives for each in holds]
    shards = [each.shards for each in holds if each.shards is not None]
    update: dict[str, Any] = {
        "subscriptions": [_as_deployed(model, standing[model.name]) for model in asked.subscriptions],
        "delay": max(each.delay_s for each in holds),
    }
    if hidden:
        update["visibility_timeout"] = max(hidden)
        known = [most for most in receives if most is not None]
        update["max_receives"] = max(known) if len(known) == len(receives) else None
    if shards:
        update["shards"] = max(shards)
    return asked.model_copy(update=update)


def _as_deployed(model: SubscriptionModel, holds: Standing) -> SubscriptionModel:
    deployed = holds.deployed
    if deployed is None:
        return model
    told = DeployedModel(missing=deployed.missing, filter=_dict(deployed.filter), pattern=_dict(deployed.pattern))
    return model.model_copy(update={"deployed": told})


def _dict(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if document is None else dict(document)


def _work_s(scenario: Scenario) -> float:
    """How long the work of one message takes at most, as far as the scenario tells."""
    handler = scenario.consumers.handler
    if isinstance(handler, HandlerModel):
        return handler.timeout or 0.0
    return 0.0 if scenario.consumers.foreign else scenario.consumers.processing_time


def _duration(seconds: float | None) -> str:
    return "unknown" if seconds is None else format_duration(seconds)


def _receives(most: int | None) -> str:
    return "null" if most is None else str(most)
