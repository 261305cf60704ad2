"""Rules about a handler that the scenario's author wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.scenario import units
from gameday.scenario.document import Route
from gameday.scenario.model import HandlerModel
from gameday.scenario.own_handler import NoProgram, no_meaning, program_of
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.transports import words
from gameday.transports.lambda_events import EVENTS

_HANDLER: Route = ("consumers", "handler")
_FUNCTION: Route = ("consumers", "lambda", "function")
# What of a function says what a handler's key does, which is made of it (gameday/scenario/invoking.py).
_OF_FUNCTIONS = {"command": "interpreter", "interpreter": "interpreter", "python": "handler", "cwd": "path"}


def _own(draft: Draft) -> HandlerModel | None:
    handler = draft.body.consumers.handler
    return handler if isinstance(handler, HandlerModel) else None


def a_handler_is_one_of_two(draft: Draft) -> Iterator[Complaint]:
    if (handler := _own(draft)) is None:
        return
    if handler.python is not None and handler.command is not None:
        yield (*_HANDLER, "command"), "`python` says already who handles; keep one of the two"
    elif handler.interpreter is not None and handler.python is None:
        yield (*_HANDLER, "interpreter"), "a command is started as it is written; put the interpreter in front of it"
    elif handler.protocol is not None and handler.command is None:
        yield (*_HANDLER, "protocol"), "a function of Python's is spoken to by our own file; remove it"


@with_transport
def a_handler_can_be_started(draft: Draft) -> Iterator[Complaint]:
    if (handler := _own(draft)) is None:
        return
    function = draft.body.consumers.lambda_ is not None
    where = _FUNCTION if function else _HANDLER
    try:
        program_of(handler, base=draft.directory, visibility_timeout_s=None)
    except NoProgram as error:
        yield (*where, _OF_FUNCTIONS[error.key] if function else error.key), str(error)
    known = words.names(draft.transport, dead_letters=draft.body.topology.max_receives is not None, consumer=True)
    written: dict[Route, str] = {("command", n): word for n, word in enumerate(handler.command or ())}
    written |= {("env", name): value for name, value in handler.env.items()}
    for path, word in written.items():
        try:
            words.check(word, known)
        except words.UnknownWord as error:
            yield (*where, *path), str(error)


@with_transport
def an_event_is_there_on_the_transport(draft: Draft) -> Iterator[Complaint]:
    handler = _own(draft)
    if handler is None or handler.event is None:
        return
    if why := EVENTS[handler.event].missing(draft.transport):
        yield (*_HANDLER, "event"), why
    elif handler.event == "sns" and (raw := [s.name for s in draft.body.topology.subscriptions if s.raw]):
        yield (
            (*_HANDLER, "event"),
            f"{', '.join(raw)} gets messages raw, without what a topic tells of them; remove `raw`, or ask for sqs",
        )


@with_transport
def a_key_means_something_to_it(draft: Draft) -> Iterator[Complaint]:
    if (handler := _own(draft)) is None:
        return
    for key, why in no_meaning(handler, draft.transport.kind).items():
        if key in draft.body.consumers.model_fields_set:
            yield ("consumers", key), f"{why}; remove it"


@with_transport
def a_batch_of_a_stream_comes_again(draft: Draft) -> Iterator[Complaint]:
    handler = _own(draft)
    if handler is not None and handler.event == "kinesis" and draft.body.consumers.checkpoint == "before":
        yield (
            ("consumers", "checkpoint"),
            "a batch that was checkpointed before it was handled does not come again, whatever the answer says fails; "
            "remove it",
        )


@with_transport
def an_answer_comes_while_it_is_hidden(draft: Draft) -> Iterator[Complaint]:
    """Lambda refuses a queue whose visibility timeout is shorter than the function's timeout, too
    (docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html)."""
    handler, hidden_s = _own(draft), draft.body.topology.visibility_timeout
    if handler is None or handler.timeout is None or not draft.consumption.hides:
        return
    if draft.body.consumers.lambda_ is not None:
        # What is deployed may be wrong, and what is meant has a rule of its own.
        return
    if handler.timeout > hidden_s and draft.body.consumers.heartbeat is None:
        yield (
            (*_HANDLER, "timeout"),
            f"it is longer than the visibility timeout of {units.format_duration(hidden_s)}, so a message would come "
            "again while it is worked on; lower it, raise topology.visibility_timeout, or set consumers.heartbeat",
        )


RULES: Sequence[Rule] = (
    a_handler_is_one_of_two,
    a_handler_can_be_started,
    an_event_is_there_on_the_transport,
    a_key_means_something_to_it,
    a_batch_of_a_stream_comes_again,
    an_answer_comes_while_it_is_hidden,
)
