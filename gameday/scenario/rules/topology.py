"""Rules about the transport and what is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.history.errors import TargetLacks
from gameday.scenario import units
from gameday.scenario.document import Route
from gameday.scenario.model import NAMES_MAX, DeployedModel, KeyModel, SubscriptionModel, promises_of
from gameday.scenario.problems import no_such
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.transports.machines import resources_of
from gameday.transports.registry import TRANSPORTS

# What AWS has as sources, and why no run goes through them.
_GO_THROUGH_NOTHING = {
    "scheduler": (
        "no run goes through EventBridge Scheduler: a schedule is made for each message, and none tells when its "
        "message was sent, so that nothing could be judged. `gameday conformance --services scheduler` asks an endpoint"
    ),
    "pipes": (
        "no run goes through EventBridge Pipes: MiniStack and LocalStack move nothing from a queue through a pipe, so "
        "that only gameday's own broker would be judged. `gameday conformance --services pipes` asks an endpoint"
    ),
}
VISIBILITY_MAX_S = 12 * 3600


def the_transport_exists(draft: Draft) -> Iterator[Complaint]:
    """Errors: TargetLacks for what is known, and no target can show."""
    if (why := _GO_THROUGH_NOTHING.get(draft.body.transport)) is not None:
        raise TargetLacks(f"transport {draft.body.transport}: {why}.")
    if not draft.has_transport:
        yield ("transport",), no_such("transport", draft.body.transport, TRANSPORTS)


@with_transport
def subscriptions_differ_in_name(draft: Draft) -> Iterator[Complaint]:
    names = [subscription.name for subscription in draft.body.topology.subscriptions]
    if len(set(names)) < len(names):
        yield ("topology", "subscriptions"), "two subscriptions have the same name"


@with_transport
def the_transport_can_be_built_so(draft: Draft) -> Iterator[Complaint]:
    names = [subscription.name for subscription in draft.body.topology.subscriptions]
    if len(set(names)) < len(names):
        return
    try:
        promises_of(draft.body, settle_s=0)
    except ValueError as error:
        yield ("topology", "subscriptions"), str(error)


@with_transport
def more_is_asked_for_than_is_promised(draft: Draft) -> Iterator[Complaint]:
    for path, subscription in _subscriptions(draft):
        promise = draft.promises.get(subscription.name)
        if promise is not None and subscription.promises is not None and promise.promised_by is None:
            yield (
                (*path, "promises"),
                f"{subscription.promises} is already promised by {draft.body.transport} there; remove it",
            )


@with_transport
def every_key_means_something(draft: Draft) -> Iterator[Complaint]:
    for part, keys in draft.consumption.no_meaning.items():
        for key, why in keys.items():
            if key in getattr(draft.body, part).model_fields_set:
                yield (part, key), f"{draft.body.transport} makes nothing of it: {why}; remove it"


def what_is_moved_back_has_died(draft: Draft) -> Iterator[Complaint]:
    if draft.body.topology.redrive and draft.body.topology.max_receives is None:
        yield (
            ("topology", "redrive"),
            "nothing could be moved back: without max_receives there is no dead-letter queue; write it, or remove this",
        )


def no_worker_polls_for_tasks(draft: Draft) -> Iterator[Complaint]:
    """Errors: TargetLacks for a machine with an activity, whose tasks no target of ours gives out."""
    workflow = draft.body.topology.workflow
    if workflow is not None and isinstance(workflow.machine, dict):
        activity = next((name for name in resources_of(workflow.machine) if ":activity:" in name), None)
        if activity is not None:
            raise TargetLacks(
                f"topology.workflow.machine asks an activity ({activity}), and consumers here take tasks from queues "
                "alone (no GetActivityTask); send the task to ${queue:NAME} with .waitForTaskToken, which waits for "
                "its worker as well"
            )
    yield from ()


def only_what_is_waited_for_is_started_again(draft: Draft) -> Iterator[Complaint]:
    workflow = draft.body.topology.workflow
    if workflow is not None and workflow.start_again and workflow.type != "express-sync":
        yield (
            ("topology", "workflow", "start_again"),
            "a start that nobody waits for is sent again in any case; remove it, or write type: express-sync",
        )


def only_what_can_be_asked_about_is_redriven(draft: Draft) -> Iterator[Complaint]:
    workflow = draft.body.topology.workflow
    if workflow is not None and workflow.redrive and workflow.type != "standard":
        yield (
            ("topology", "workflow", "redrive"),
            "an Express execution cannot be redriven; remove it, or write type: standard",
        )


def names_of_queues_are_short(draft: Draft) -> Iterator[Complaint]:
    for path, subscription in _subscriptions(draft):
        if len(draft.body.name) + len(subscription.name) > NAMES_MAX:
            yield (
                (*path, "name"),
                f"with the name of the scenario it has more than {NAMES_MAX} characters, and the names of queues "
                "would be longer than SQS allows; shorten one of the two",
            )


def filter_on_has_a_filter(draft: Draft) -> Iterator[Complaint]:
    for path, subscription in _subscriptions(draft):
        deployed = subscription.deployed
        filtered = subscription.filter is not None or bool(deployed and deployed.filter)
        if subscription.filter_on != "attributes" and not filtered:
            yield (*path, "filter_on"), "there is no filter that it could speak of; add `filter`, or remove it"


@with_transport
def what_is_attached_fits_the_transport(draft: Draft) -> Iterator[Complaint]:
    attach, path = draft.body.topology.attach, ("topology", "attach")
    if attach is None:
        return
    wanted = draft.transport.attaches_to
    if attach.kind != wanted:
        yield (*path, attach.kind), f"{draft.body.transport} sends to a {wanted}; name one, by `{wanted}`"
    if attach.subscriptions:
        there = [subscription.name for subscription in draft.body.topology.subscriptions]
        for name in sorted(set(there) ^ set(attach.subscriptions)):
            where = "topology.subscriptions" if name in attach.subscriptions else "here"
            yield (*path, "subscriptions"), f"{name} is missing {where}; each is named in both"


# What is there already is read there; of these keys a run would make nothing.
_OF_WHAT_IS_MADE = ("replay", "max_message", "encryption", "dedup_window")


def what_is_attached_is_not_made(draft: Draft) -> Iterator[Complaint]:
    topology = draft.body.topology
    if topology.attach is None:
        return
    for key in _OF_WHAT_IS_MADE:
        if getattr(topology, key):
            yield ("topology", key), "the run makes nothing where topology.attach says what is there; remove it"
    for path, subscription in _subscriptions(draft):
        if subscription.deployed is not None:
            yield (*path, "deployed"), "what is deployed is what is there (topology.attach); remove it"
        if subscription.queue is not None:
            yield (*path, "queue"), "the queue that topology.attach names tells; remove it"
    if topology.redrive and topology.attach.shared:
        yield (
            ("topology", "redrive"),
            "it would move the dead letters of others back, too (topology.attach.shared); remove it",
        )


@with_transport
def who_encrypts_can(draft: Draft) -> Iterator[Complaint]:
    encryption, path = draft.body.topology.encryption, ("topology", "encryption")
    if encryption is None:
        return
    if encryption == "sqs" and draft.transport.kind != "queue":
        yield path, f"{draft.body.transport} has no queue that SQS could encrypt; write {{kms: KEY}}, or remove it"
    if not isinstance(encryption, KeyModel):
        return
    if encryption.reuse is not None and draft.transport.kind != "queue":
        yield (*path, "reuse"), "only a queue says how long it uses a data key; remove it"
    if encryption.reuse is not None and encryption.reuse != int(encryption.reuse):
        yield (*path, "reuse"), f"{units.format_duration(encryption.reuse)}: SQS takes whole seconds"
    if "alias/aws/" in encryption.kms and len(draft.transport.services) > 1:
        yield (
            (*path, "kms"),
            f"{encryption.kms} is managed by AWS for one service alone, and lets no other service send to the queues; "
            "name a key of your own",
        )


def messages_are_told_from_those_of_others(draft: Draft) -> Iterator[Complaint]:
    """A mark of the run stands in our own messages, and beside the user's where they have attributes."""
    topology, message = draft.body.topology, draft.body.load.message
    if topology.attach is None or message is None or message.identification.by == "attribute":
        return
    if topology.attach.shared or topology.attach.stream is not None:
        yield (
            ("load", "message", "id"),
            "others may write there, too, and nothing would tell the run's messages from theirs; write id: attribute "
            "(SQS and SNS), or send gameday's own",
        )


def what_is_deployed_differs(draft: Draft) -> Iterator[Complaint]:
    for path, subscription in _subscriptions(draft):
        deployed = subscription.deployed
        if deployed is not None and deployed == DeployedModel():
            yield (*path, "deployed"), "says no difference to what is meant; name one, or remove it"
        if deployed is not None and deployed.missing and (deployed.filter or deployed.pattern):
            yield (*path, "deployed"), "a subscription that is missing has no filter and no pattern; keep one"


def the_visibility_timeout_is_one_of_sqs(draft: Draft) -> Iterator[Complaint]:
    hidden_s = draft.body.topology.visibility_timeout
    if hidden_s != int(hidden_s) or hidden_s > VISIBILITY_MAX_S:
        yield (
            ("topology", "visibility_timeout"),
            f"{units.format_duration(hidden_s)}: SQS takes whole seconds, 1s to 12h",
        )


def delays_are_whole_seconds(draft: Draft) -> Iterator[Complaint]:
    for part, delay_s in (("topology", draft.body.topology.delay), ("load", draft.body.load.delay or 0.0)):
        if delay_s != int(delay_s):
            yield (part, "delay"), f"{units.format_duration(delay_s)}: SQS takes whole seconds, 0s to 15min"


def _subscriptions(draft: Draft) -> Iterator[tuple[Route, SubscriptionModel]]:
    for number, subscription in enumerate(draft.body.topology.subscriptions):
        yield ("topology", "subscriptions", number), subscription


RULES: Sequence[Rule] = (
    the_transport_exists,
    subscriptions_differ_in_name,
    the_transport_can_be_built_so,
    more_is_asked_for_than_is_promised,
    every_key_means_something,
    what_is_moved_back_has_died,
    no_worker_polls_for_tasks,
    only_what_is_waited_for_is_started_again,
    only_what_can_be_asked_about_is_redriven,
    names_of_queues_are_short,
    filter_on_has_a_filter,
    what_is_attached_fits_the_transport,
    what_is_attached_is_not_made,
    who_encrypts_can,
    messages_are_told_from_those_of_others,
    what_is_deployed_differs,
    the_visibility_timeout_is_one_of_sqs,
    delays_are_whole_seconds,
)
