"""Rules about functions and the mappings that invoke them, most of them AWS's own.

Under docs.aws.amazon.com/lambda/latest/dg: services-sqs-configure.html (the function's timeout and the visibility
timeout, batch sizes and windows, maximum concurrency), services-sqs-parameters (their bounds), with-sqs-filtering.html;
of streams services-kinesis-parameters.html (windows, parallel batches) and with-kinesis-filtering.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.scenario import units
from gameday.scenario.document import Route
from gameday.scenario.functions import DIRECT_RETRIES_MAX, LambdaModel
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.transports.filters import function_filter

_LAMBDA: Route = ("consumers", "lambda")
_BATCH_MOST_FIFO = 10
# With a larger batch a mapping must be given time to gather it.
_BATCH_MOST_AT_ONCE = 10
# docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html
_CONCURRENCY_LEAST = 2
_OF_TRIES = ("retries", "max_age", "on_failure")
_OF_BATCHES = ("batch", "window", "partial", "filter")
_OF_STREAMS = ("bisect", "parallel")


def _of(draft: Draft) -> LambdaModel | None:
    return draft.body.consumers.lambda_


@with_transport
def a_key_has_a_meaning_there(draft: Draft) -> Iterator[Complaint]:
    if (model := _of(draft)) is None:
        return
    stream, direct = draft.transport.kind == "stream", model.direct
    for key in sorted(model.model_fields_set):
        if getattr(model, key) == (1 if direct and key == "batch" else LambdaModel.model_fields[key].default):
            continue
        if (key in _OF_TRIES and not (stream or direct)) or (key == "bisect" and not stream):
            yield (*_LAMBDA, key), "what failed of a queue comes again as its redrive policy says; remove it"
        elif key in _OF_STREAMS and not stream:
            yield (*_LAMBDA, key), "it belongs to a stream, whose shards have one invocation at a time; remove it"
        elif key == "retry_wait" and not direct:
            yield (*_LAMBDA, key), "it belongs to `direct`; remove it"
        elif key in _OF_BATCHES and direct:
            yield (*_LAMBDA, key), "a topic or a bus invokes with one message at a time; remove it"


@with_transport
def an_invocation_ends_while_its_messages_are_hidden(draft: Draft) -> Iterator[Complaint]:
    model, hidden_s = _of(draft), draft.body.topology.visibility_timeout
    if model is not None and draft.consumption.hides and model.timeout > hidden_s:
        yield (
            (*_LAMBDA, "timeout"),
            f"{units.format_duration(model.timeout)} is longer than the visibility timeout of "
            f"{units.format_duration(hidden_s)}, which AWS refuses; lower it, or raise topology.visibility_timeout "
            "(AWS advises six times the timeout). Where it is the mistake to be found, write `deployed: {timeout: …}`",
        )


@with_transport
def a_batch_is_as_large_as_it_may_be(draft: Draft) -> Iterator[Complaint]:
    if (model := _of(draft)) is None or model.batch is None:
        return
    if model.window != int(model.window):
        yield (*_LAMBDA, "window"), f"{units.format_duration(model.window)}: AWS takes whole seconds, 0s to 300s"
    if draft.transport.kind == "stream":
        return
    if fifo := [name for name, promise in draft.promises.items() if promise.dedup_window_s is not None]:
        if model.batch > _BATCH_MOST_FIFO:
            yield (*_LAMBDA, "batch"), f"{fifo[0]} is a FIFO queue, of which an invocation takes {_BATCH_MOST_FIFO}"
        if model.window:
            yield (*_LAMBDA, "window"), f"{fifo[0]} is a FIFO queue, and AWS gathers no batch of one; remove it"
    elif model.batch > _BATCH_MOST_AT_ONCE and not model.window:
        yield (
            (*_LAMBDA, "batch"),
            f"more than {_BATCH_MOST_AT_ONCE} messages must be gathered; add `window: 1s`, or a longer one",
        )


@with_transport
def a_topic_or_a_bus_invokes_by_itself(draft: Draft) -> Iterator[Complaint]:
    model, topology = _of(draft), draft.body.topology
    if model is None or not model.direct:
        return
    if draft.body.transport not in ("sns", "eventbridge"):
        yield (*_LAMBDA, "direct"), f"{draft.body.transport} invokes nobody by itself; a mapping does; remove it"
        return
    if model.retries is not None and model.retries > DIRECT_RETRIES_MAX:
        yield (*_LAMBDA, "retries"), f"Lambda tries {DIRECT_RETRIES_MAX} times more at most"
    if topology.max_receives is not None:
        yield (
            ("topology", "max_receives"),
            "what is given up goes to the function's destination (`on_failure`), or nowhere; write max_receives: null",
        )
    if topology.visibility_timeout < model.lasts_s:
        yield (
            ("topology", "visibility_timeout"),
            f"the queue that stands for Lambda's own must hide a message for all its tries, which take up to "
            f"{units.format_duration(model.lasts_s)}; raise it, or lower retries, retry_wait or timeout",
        )


@with_transport
def a_target_can_be_told_so(draft: Draft) -> Iterator[Complaint]:
    model = _of(draft)
    if model is None:
        return
    if model.by == "poller":
        if "shim" in model.model_fields_set and not model.shim:
            yield (*_LAMBDA, "shim"), "our poller records each invocation itself; it belongs to `by: target`"
        return
    if draft.transport.kind == "stream" or model.direct:
        yield (*_LAMBDA, "by"), "the target invokes from queues alone here; write `by: poller`"
    if model.concurrency < _CONCURRENCY_LEAST:
        yield (*_LAMBDA, "concurrency"), f"the least maximum concurrency of a mapping is {_CONCURRENCY_LEAST}"
    if model.timeout != int(model.timeout):
        yield (*_LAMBDA, "timeout"), f"{units.format_duration(model.timeout)}: Lambda takes whole seconds"


def it_has_room_for_one_invocation(draft: Draft) -> Iterator[Complaint]:
    if (model := _of(draft)) is not None and model.reserved == 0:
        yield (
            (*_LAMBDA, "reserved"),
            "with no concurrency nothing is ever invoked; reserve 1, or let the fault throttle-function take all of it "
            "away for a while",
        )


def what_is_deployed_differs(draft: Draft) -> Iterator[Complaint]:
    model = _of(draft)
    if model is not None and model.deployed is not None and model.deployed.timeout in (None, model.timeout):
        yield (*_LAMBDA, "deployed"), "it does not differ from what is meant; remove it"


@with_transport
def a_filter_can_be_read(draft: Draft) -> Iterator[Complaint]:
    if (model := _of(draft)) is None or model.filter is None:
        return
    if len(draft.transport.services) > 1:
        yield (
            (*_LAMBDA, "filter"),
            f"behind {draft.body.transport} a body is in what the service puts around it; filter at the subscription",
        )
        return
    try:
        function_filter.check(model.filter, asks=function_filter.asks_of(draft.transport))
    except ValueError as error:
        yield (*_LAMBDA, "filter"), str(error)


def a_fault_of_functions_has_one(draft: Draft) -> Iterator[Complaint]:
    for number, fault in enumerate(draft.chaos):
        if fault.needs_function and _of(draft) is None:
            yield (
                ("chaos", number, "fault"),
                f"{fault.fault} strikes a function, and nothing is invoked here; write consumers.lambda, or remove it",
            )


RULES: Sequence[Rule] = (
    a_key_has_a_meaning_there,
    an_invocation_ends_while_its_messages_are_hidden,
    a_batch_is_as_large_as_it_may_be,
    a_topic_or_a_bus_invokes_by_itself,
    a_target_can_be_told_so,
    it_has_room_for_one_invocation,
    what_is_deployed_differs,
    a_filter_can_be_read,
    a_fault_of_functions_has_one,
)
