"""Rules about what is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.history import envelope, trace
from gameday.scenario.model import Body, topology_of
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.transports.base import Outgoing
from gameday.transports.queue import BYTES_MAX as QUEUE_BYTES_MAX
from gameday.transports.registry import TRANSPORTS

_SAMPLES = 50


@with_transport
def a_call_takes_the_batch(draft: Draft) -> Iterator[Complaint]:
    batch, most = _batch(draft), draft.transport.batch_max
    if batch > most:
        yield (
            ("load", "batch"),
            f"{batch} is more than the {most} messages that one send call of {draft.body.transport} takes",
        )


@with_transport
def no_message_is_too_large(draft: Draft) -> Iterator[Complaint]:
    """What a service would refuse each time, and what it would accept and could put into no queue."""
    body, transport = draft.body, draft.transport
    load, topology, batch = body.load, topology_of(body, settle_s=0), _batch(draft)
    if batch > transport.batch_max or load.message is not None:
        # Of so many nobody knows the size that a call may have; of the user's own each is looked at.
        return
    limits = transport.limits(topology)
    # More than any call takes: a body of a terabyte is not made to see that it is too large.
    # Of larger bodies references are sent, which are as small as the least of orders.
    largest = load.payload if load.claim_check is None or load.payload <= load.claim_check.above else 0
    size = transport.size(topology, _longest(body, min(largest, 2 * limits.call)))
    what = f"{max(size.sent, largest)} bytes{f' with {size.beside}' if size.beside else ''}"
    raised = f", or raise {limits.raised_by}" if limits.raised_by else ""
    if size.sent > limits.message:
        yield (
            ("load", "payload"),
            f"a message would have {what}, and {body.transport} takes {limits.message}; lower load.payload{raised}",
        )
    elif batch * size.sent > limits.call:
        yield (
            ("load", "payload"),
            f"{batch} messages of {what} exceed the {limits.call} bytes that one send call of {body.transport} "
            f"takes; lower load.batch or load.payload{raised}",
        )
    elif size.arrives > QUEUE_BYTES_MAX:
        yield (
            ("load", "payload"),
            f"{body.transport} would take a message of {what}, but what it makes of it may have {size.arrives}, and a "
            f"queue takes {QUEUE_BYTES_MAX}, so that it would be lost; lower load.payload",
        )


def _batch(draft: Draft) -> int:
    """As it is written; the default is no more than a call takes, as the load has it (gameday/loadgen/config.py)."""
    load = draft.body.load
    return load.batch if "batch" in load.model_fields_set else min(load.batch, draft.transport.batch_max)


def _longest(body: Body, payload_bytes: int) -> Outgoing:
    """A message as large as this load's are at most: the largest of some dozen, whose contents differ."""
    groups = body.load.groups
    id = f"g{groups - 1}-{10**9}"

    run = f"{body.name}-YYYYmmdd-HHMMSS-0123"
    parent, in_body = trace.traceparent(run, id), TRANSPORTS[body.transport].traced_in == "body"

    def packed(seed: int, least: int) -> bytes:
        return envelope.pack(
            id=id,
            run=run,
            group=f"g{groups - 1}",
            timestamp_ns=10**18,
            payload_bytes=least,
            seed=seed,
            traceparent=parent if in_body else None,
        )

    largest = max(range(_SAMPLES), key=lambda seed: len(packed(seed, 0)))
    return Outgoing(
        id=id,
        body=packed(largest, payload_bytes).decode(),
        group=f"g{groups - 1}",
        dedup_id=None,
        traceparent=None if in_body else parent,
        due=10**18,
    )


@with_transport
def deduplication_is_there(draft: Draft) -> Iterator[Complaint]:
    if draft.transport.deduplicates:
        return
    load, instead = draft.body.load, f", or use {draft.sibling}" if draft.sibling else ""
    for key, given in (("dedup", load.dedup != "id"), ("dedup_reuse", load.dedup_reuse > 0)):
        if given:
            yield ("load", key), f"{draft.body.transport} deduplicates nothing; remove it{instead}"
    if draft.body.topology.dedup_window is not None:
        yield ("topology", "dedup_window"), f"{draft.body.transport} deduplicates nothing; remove it{instead}"


@with_transport
def a_hot_group_is_one_to_the_broker(draft: Draft) -> Iterator[Complaint]:
    load, path = draft.body.load, ("load", "hot")
    if load.hot is None:
        return
    if not draft.transport.ordered:
        yield path, f"{draft.body.transport} keeps no order within a group, so none can be hot; remove it"
    if load.message is not None and load.message.group is not None:
        yield path, "which group a message is of is told by load.message.group; remove one of the two"
    if load.hot.at + load.hot.for_ > load.duration:
        yield path, f"it lasts until {load.hot.at + load.hot.for_:g} s, and the load ends at {load.duration:g} s"


@with_transport
def a_message_may_bring_a_delay(draft: Draft) -> Iterator[Complaint]:
    if draft.body.load.delay is not None and not draft.transport.delays_messages:
        yield (
            ("load", "delay"),
            f"a message of {draft.body.transport} brings no delay of its own: that takes a Standard queue which it is "
            "sent to. Remove it, or delay the whole queue with topology.delay",
        )


@with_transport
def a_trace_header_has_a_place(draft: Draft) -> Iterator[Complaint]:
    if draft.body.load.aws_trace_header and not draft.transport.takes_aws_trace_header:
        yield (
            ("load", "aws_trace_header"),
            f"a call to {draft.body.transport} brings no header of X-Ray's; remove it: `traceparent` is sent anyway",
        )


@with_transport
def a_retry_has_an_order_to_break(draft: Draft) -> Iterator[Complaint]:
    if draft.body.load.retry == "unordered" and not draft.transport.ordered:
        yield ("load", "retry"), f"{draft.body.transport} keeps no order that a retry could break; remove it"


@with_transport
def a_call_has_groups_to_take_several_of(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    if load.in_call == "many" and not (draft.transport.ordered and load.retry != "unordered"):
        yield (
            ("load", "in_call"),
            "a call takes several messages of a group anyhow where nobody keeps their order; remove it",
        )


def every_user_has_a_group(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    # How many groups messages of the user's own have they say themselves.
    if load.users > load.groups and (load.message is None or load.message.group is None):
        yield (
            ("load", "users"),
            f"{load.users} users for {load.groups} groups: a group belongs to one user, so some would send nothing; "
            "raise load.groups or lower load.users",
        )


def every_process_has_a_user(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    if load.processes > load.users:
        yield ("load", "processes"), f"{load.processes} processes for {load.users} users: some would be empty"


def what_is_given_up_was_retried(draft: Draft) -> Iterator[Complaint]:
    load = draft.body.load
    if load.retry == "none" and "give_up" in load.model_fields_set:
        yield ("load", "give_up"), "nothing is sent again where load.retry is none; remove one of the two"


RULES: Sequence[Rule] = (
    a_call_takes_the_batch,
    no_message_is_too_large,
    deduplication_is_there,
    a_hot_group_is_one_to_the_broker,
    a_message_may_bring_a_delay,
    a_trace_header_has_a_place,
    a_retry_has_an_order_to_break,
    a_call_has_groups_to_take_several_of,
    every_user_has_a_group,
    every_process_has_a_user,
    what_is_given_up_was_retried,
)
