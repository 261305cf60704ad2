"""Rules about what is broken: whether a timeline can be carried out, and whether each fault has something to strike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gameday.chaos.base import ConsumerFault, TimelineError, TimesVisibilityTimeout
from gameday.chaos.conditions import Condition
from gameday.chaos.timeline import plan
from gameday.history.manifest import Claim
from gameday.scenario import units
from gameday.scenario.brakes import can_be_told_live
from gameday.scenario.document import Route
from gameday.scenario.model import HandlerModel, KeyModel
from gameday.scenario.problems import no_such
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.transports.machines import steps_of


def the_timeline_can_be_carried_out(draft: Draft) -> Iterator[Complaint]:
    processes = draft.body.consumers.count
    consumers = {subscription.name: processes for subscription in draft.body.topology.subscriptions}
    try:
        plan(draft.chaos, duration_s=draft.body.load.duration, consumers=consumers, seed=0)
    except TimelineError as error:
        yield ("chaos", error.entry, error.key), str(error)


@with_transport
def it_is_there_on_the_transport(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if missing := fault.missing_on.get(draft.transport.kind):
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} has nothing to strike: {draft.body.transport} has no {missing}",
            )


@with_transport
def it_goes_with_what_carries_the_messages(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if why := fault.wrong_before(draft.transport.services):
            yield ("chaos", number), f"{fault.fault} is refused on {draft.body.transport}: {why}"


def its_subscription_is_there(draft: Draft) -> Iterator[Complaint]:
    """Of a fault that strikes no consumer; those that do are planned with their subscription."""
    known = [subscription.name for subscription in draft.body.topology.subscriptions]
    for number, fault in enumerate(draft.chaos):
        named = getattr(fault, "subscription", None)
        if named is not None and named not in known and not isinstance(fault, ConsumerFault):
            yield (
                ("chaos", number, "subscription"),
                f"{fault.fault} strikes {named!r}, and there is only {', '.join(known)}",
            )


def somebody_sees_it_strike(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if fault.wires == {"wire"} and draft.body.consumers.kind == "unseen" and not isinstance(fault, ConsumerFault):
            yield (
                ("chaos", number),
                f"{fault.fault} is seen to strike before consumers alone, and with `attach: none` nobody sees one",
            )


@with_transport
def somebody_waits_for_the_callback(draft: Draft) -> Iterator[Complaint]:
    workflow = draft.body.topology.workflow
    if workflow is None or not isinstance(workflow.machine, dict):
        return
    try:
        steps = steps_of(workflow.machine)
    except ValueError:
        return
    for number, fault in enumerate(draft.chaos):
        named = getattr(fault, "subscription", None)
        struck = {name: step for name, step in steps.items() if step.callback and named in (None, name)}
        if fault.strikes_callbacks and not struck:
            yield ("chaos", number, "fault"), f"{fault.fault} has nothing to strike: no task waits for an answer there"
        if (late_s := fault.outlasts_tasks_s) is None:
            continue
        for name, step in struck.items():
            if step.patience_s is None or step.patience_s >= late_s:
                waits = "for ever" if step.patience_s is None else f"for {units.format_duration(step.patience_s)}"
                yield (
                    ("chaos", number, "by"),
                    f"the task of {name} waits {waits}, so nothing would come too late there; write a longer one, give "
                    "the task a shorter TimeoutSeconds, or name another `subscription`",
                )


@with_transport
def executions_can_be_steered(draft: Draft) -> Iterator[Complaint]:
    workflow = draft.body.topology.workflow
    for number, fault in enumerate(draft.chaos):
        if fault.steers_executions and workflow is not None and workflow.type != "standard":
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} has nothing to strike: nobody can stop an Express execution",
            )


@with_transport
def a_fifo_queue_allows_it(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if fault.wrong_on_fifo is None:
            continue
        struck = getattr(fault, "subscription", None)
        for name, promise in draft.promises.items():
            if struck in (None, name) and promise.dedup_window_s is not None:
                yield (
                    ("chaos", number, "fault"),
                    f"{fault.fault} is no fault that AWS allows on {name}: {fault.wrong_on_fifo}",
                )


@with_transport
def a_multiple_has_its_measure(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        multiplied = any(isinstance(value, TimesVisibilityTimeout) for _, value in fault)
        if multiplied and not draft.consumption.hides:
            yield (
                ("chaos", number),
                f"{draft.body.transport} has no visibility timeout to be multiplied; write a duration",
            )


def there_is_a_key_to_deny(draft: Draft) -> Iterator[Complaint]:
    """What is there already may have one; that is looked at before the run (gameday/scenario/standing.py)."""
    topology = draft.body.topology
    for number, fault in enumerate(draft.chaos):
        if fault.needs_key and topology.attach is None and not isinstance(topology.encryption, KeyModel):
            yield (
                ("chaos", number, "reason"),
                "nothing is encrypted with a key of KMS, so none can be denied; write topology.encryption: {kms: KEY}",
            )


def it_meets_its_kind_of_consumer(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if draft.body.consumers.kind == "unseen" and isinstance(fault, ConsumerFault):
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} strikes a consumer, and with `attach: none` nobody sees one",
            )
        elif draft.body.consumers.kind == "deployed" and fault.on_target:
            continue
        elif draft.body.consumers.kind == "deployed" and isinstance(fault, ConsumerFault):
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} strikes a process of ours, and with `by: target` none of them invokes the function",
            )
        elif fault.struck_at == "ours" and draft.body.consumers.foreign:
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} strikes within a consumer of ours, and nobody can reach into a program of yours; "
                "crash-at at after-receive, before-delete or after-delete, and the faults on the wire "
                "(lose-request, latency, …) strike it from outside",
            )


def the_handler_does_the_work(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if fault.needs_work and draft.handler is not None and not draft.handler.has_effects:
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} has nothing to strike: the handler {draft.body.consumers.handler} does no work",
            )


@with_transport
def somebody_reckons_with_a_clock(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    if consumers.guard == "in-progress" or consumers.heartbeat is not None or draft.transport.kind == "stream":
        return
    for number, fault in enumerate(draft.chaos):
        if fault.needs_clock:
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} has nothing to strike: these consumers reckon with no clock; give them a heartbeat "
                "(consumers.heartbeat) or the guard in-progress, or read a stream, whose leases expire",
            )


def it_finds_its_place_in_the_handler(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if isinstance(draft.body.consumers.handler, HandlerModel) and (why := fault.only_in_ours):
            yield ("chaos", number), why


def what_it_waits_for_is_there(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if fault.when is None:
            continue
        path: Route = ("chaos", number, "when")
        if fault.when.condition is not None:
            yield from _cannot_be_measured(draft, fault.when.condition, path)
        elif fault.when.fault is not None:
            others = [*_strikes_of_others(draft, number)]
            if fault.when.fault not in others:
                yield (*path, "fault"), no_such("other fault of this scenario", fault.when.fault, others)
        elif draft.body.consumers.kind in ("unseen", "deployed"):
            yield (*path, "call"), "nobody sees the calls of consumers that are not run here"


def _strikes_of_others(draft: Draft, number: int) -> Iterator[str]:
    """Their names, and those of the faults that they are of."""
    counts: Counter[str] = Counter()
    consumers = {subscription.name: draft.body.consumers.count for subscription in draft.body.topology.subscriptions}
    try:
        planned = plan(draft.chaos, duration_s=draft.body.load.duration, consumers=consumers, seed=0)
    except TimelineError:
        return
    for strike in planned:
        if strike.entry != number:
            counts[strike.fault.fault] += 1
            yield strike.instance
    yield from counts


def _cannot_be_measured(draft: Draft, condition: Condition, path: Route) -> Iterator[Complaint]:
    """Why nobody will ever know that number, if it is so."""
    known = [subscription.name for subscription in draft.body.topology.subscriptions]
    if condition.subscription is not None and condition.subscription not in known:
        yield (*path, "subscription"), no_such("subscription", condition.subscription, known)
    if not draft.has_transport:
        return
    kind = draft.transport.kind
    if condition.measure == "iterator_age" and kind != "stream":
        yield (*path, "iterator_age"), f"{draft.body.transport} has no iterator; ask for `oldest`"
    if condition.measure == "dead_letters" and kind != "queue":
        yield (*path, "dead_letters"), f"{draft.body.transport} has no dead-letter queue"
    if condition.point is not None and draft.body.consumers.kind in ("unseen", "deployed"):
        yield (*path, "point"), "nobody sees the work of consumers that are not run here while the load goes on"
    elif condition.point == "after-effect" and draft.body.consumers.foreign:
        yield (
            (*path, "point"),
            "nobody sees from outside when a program of yours has its effect; write after-receive or after-delete",
        )


def brakes_have_their_measures(draft: Draft) -> Iterator[Complaint]:
    claims = {claim.key: claim for claim in draft.claims}
    for number, stop in enumerate(draft.body.brakes.stop_when if draft.body.brakes else ()):
        path: Route = ("brakes", "stop_when", number)
        if stop.condition is not None:
            yield from _cannot_be_measured(draft, stop.condition, path)
        elif stop.claim is not None and (why := _not_told_live(stop.claim, claims)):
            yield (*path, "claim"), why


def a_steady_state_comes_before_chaos(draft: Draft) -> Iterator[Complaint]:
    steady = draft.body.steady
    if steady is None:
        return
    if not draft.chaos:
        yield ("steady",), "there is no fault in `chaos` that it could hold back"
    if steady.for_ >= draft.body.load.duration:
        yield ("steady", "for"), f"it is looked at when the load is over, which ends at {draft.body.load.duration:g} s"
    for number, fault in enumerate(draft.chaos):
        first_s = fault.at if fault.at is not None else fault.every
        if first_s is not None and first_s < steady.for_:
            yield (
                ("chaos", number, "at" if fault.at is not None else "every"),
                f"strikes at {first_s:g} s, before the steady state is seen to hold, at {steady.for_:g} s",
            )
    claims = {claim.key: claim for claim in draft.claims}
    for number, name in enumerate(steady.claims or ()):
        if why := _not_told_live(name, claims):
            yield ("steady", "claims", number), why


def _not_told_live(name: str, claims: Mapping[str, Claim]) -> str | None:
    """Why nobody can tell of a claim, while the run goes on, that it is broken."""
    if name not in claims:
        return no_such("claim of this scenario", name, claims)
    if can_be_told_live(claims[name]):
        return None
    told = [key for key, claim in claims.items() if can_be_told_live(claim)]
    return f"whether {name} is broken is told by the verdict alone; while the run goes on: {', '.join(told) or 'none'}"


RULES: Sequence[Rule] = (
    the_timeline_can_be_carried_out,
    it_is_there_on_the_transport,
    it_goes_with_what_carries_the_messages,
    its_subscription_is_there,
    somebody_sees_it_strike,
    somebody_waits_for_the_callback,
    executions_can_be_steered,
    a_fifo_queue_allows_it,
    a_multiple_has_its_measure,
    there_is_a_key_to_deny,
    it_meets_its_kind_of_consumer,
    the_handler_does_the_work,
    it_finds_its_place_in_the_handler,
    somebody_reckons_with_a_clock,
    what_it_waits_for_is_there,
    brakes_have_their_measures,
    a_steady_state_comes_before_chaos,
)
