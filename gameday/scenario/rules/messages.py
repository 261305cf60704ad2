"""Rules about messages of the user's own: what a scenario says of them, and what is in them.

A file is read to its end, of a template the largest body and some dozen others are looked at. What a function makes is
looked at when it has made it, before the run begins (gameday/run/making.py).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from gameday.history.errors import UsageError
from gameday.history.identity import ATTRIBUTE
from gameday.history.trace import ATTRIBUTE as TRACE
from gameday.loadgen.checks import Checks
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.messages import BY_ATTRIBUTE, INTERPRETER, Ask, Lines, Source, Templated
from gameday.loadgen.sender import ask_for
from gameday.scenario.document import Route
from gameday.scenario.model import MessageSpec
from gameday.scenario.rules.draft import Complaint, Draft, Rule
from gameday.scenario.sending import imagined

_MESSAGE: Route = ("load", "message")
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ATTRIBUTE_NAME_MAX = 256
# Of what is drawn at random, so many are looked at before there is a seed.
_SAMPLES = 200


def refused_beside(message: MessageSpec) -> dict[str, str]:
    """The keys of `load` that mean nothing beside messages of the user's own, each with why."""
    refused = {
        "payload": "your messages are as large as they are",
        "poison": "which of your messages no handler can do, only your handler knows",
    }
    if message.group is not None:
        refused["groups"] = "the groups are those that your messages name (load.message.group)"
    return refused


def own_messages(rule: Rule) -> Rule:
    """A rule about them where there are any, and a transport."""

    def checked(draft: Draft) -> Iterator[Complaint]:
        if draft.body.load.message is not None and draft.has_transport:
            yield from rule(draft)

    checked.__doc__ = rule.__doc__
    checked.__name__ = rule.__name__
    return checked


def _spec(draft: Draft) -> MessageSpec:
    assert draft.body.load.message is not None, "see `own_messages`"
    return draft.body.load.message


@own_messages
def what_is_ours_is_not_theirs(draft: Draft) -> Iterator[Complaint]:
    for key, why in refused_beside(_spec(draft)).items():
        if key in draft.body.load.model_fields_set:
            yield ("load", key), f"{why}; remove it"


@own_messages
def pointers_are_pointers(draft: Draft) -> Iterator[Complaint]:
    for key, why in _spec(draft).own.check():
        yield (*_MESSAGE, *key.split(".", 1)), why


@own_messages
def attributes_have_a_place(draft: Draft) -> Iterator[Complaint]:
    message, transport = _spec(draft), draft.transport
    if transport.traced_in == "attribute":
        for name in message.attributes:
            if name in (ATTRIBUTE, TRACE):
                yield (*_MESSAGE, "attributes", name), "gameday adds an attribute of that name itself; choose another"
            elif not _ATTRIBUTE_NAME.fullmatch(name) or len(name) > _ATTRIBUTE_NAME_MAX:
                yield (
                    (*_MESSAGE, "attributes", name),
                    "no attribute is called so: letters, digits, _, - and single dots, and not AWS. or Amazon. first",
                )
        return
    for key, given in (("attributes", bool(message.attributes)), ("id", message.id == BY_ATTRIBUTE)):
        if given:
            yield (
                (*_MESSAGE, key),
                f"a message of {draft.body.transport} has no attributes, those of SQS and SNS do; put it into the body",
            )


@own_messages
def a_receiver_knows_the_message(draft: Draft) -> Iterator[Complaint]:
    if _spec(draft).id is not None:
        return
    if not draft.transport.keeps_ids:
        attribute = ", or `attribute`" if draft.transport.traced_in == "attribute" else ""
        yield (
            _MESSAGE,
            f"{draft.body.transport} gives what it delivers another id than it answers to who sends it, so that nobody "
            f"could tell which message was received; add `id`: a place in the body (/order/id){attribute}",
        )
    elif draft.body.topology.redrive:
        yield (
            ("topology", "redrive"),
            "a message that is moved back gets a new id from the broker, and nothing else tells which one it is; add "
            "load.message.id",
        )


@own_messages
def deduplication_is_meant(draft: Draft) -> Iterator[Complaint]:
    message = _spec(draft)
    by_content = draft.body.load.dedup == "content"
    if message.dedup_id is not None and not draft.transport.deduplicates:
        yield (*_MESSAGE, "dedup_id"), f"{draft.body.transport} deduplicates nothing; remove it"
    elif message.dedup_id is not None and by_content:
        yield (*_MESSAGE, "dedup_id"), "with `dedup: content` the body alone decides; remove one of the two"
    elif by_content and draft.transport.deduplicates and message.own.id_pointer is None:
        yield (
            ("load", "dedup"),
            "two messages with one body would be one to the broker, and the second be lost; add load.message.id, a "
            "place in the body with a value that is unique, or remove it",
        )


@own_messages
def a_bus_knows_no_group(draft: Draft) -> Iterator[Complaint]:
    if draft.body.transport != "eventbridge":
        return
    for number, subscription in enumerate(draft.body.topology.subscriptions):
        if subscription.queue == "fifo":
            yield (
                ("topology", "subscriptions", number, "queue"),
                "EventBridge keeps no order, and takes the group of a FIFO queue from a place in our own orders; "
                "remove it",
            )


@own_messages
def the_function_can_be_called(draft: Draft) -> Iterator[Complaint]:
    message = _spec(draft)
    if message.python is None:
        return
    if not _FUNCTION.fullmatch(message.python):
        yield (*_MESSAGE, "python"), f"{message.python!r} names no function; write it like orders.messages:make"
    if message.cwd is not None and not Path(message.cwd).is_dir():
        yield (*_MESSAGE, "cwd"), f"there is no directory {message.cwd}"
    interpreter = message.interpreter or INTERPRETER
    if shutil.which(interpreter) is None:
        yield (*_MESSAGE, "interpreter"), f"there is no program {interpreter}; name the Python that your code runs in"


@own_messages
def every_message_can_be_sent(draft: Draft) -> Iterator[Complaint]:
    """Of a file each that is sent; of a template the largest, and some."""
    message = _spec(draft)
    # What is wrong with a pointer or with the topology other rules say.
    if message.python is not None or any(True for _ in message.own.check()) or not draft.promises:
        return
    config = imagined(draft.body, draft.shape, seed=draft.body.seed or 0)
    path = (*_MESSAGE, "template" if message.file is None else "file")
    try:
        source = message.own.open(seed=config.seed, run=config.run)
        found = _in_file(source, config) if isinstance(source, Lines) else _in_template(source, config)
        if (told := next(found, None)) is not None:
            yield path, told
    except UsageError as error:
        yield path, str(error)


def _in_file(source: Lines, config: LoadConfig) -> Iterator[str]:
    own, total, lines = config.own, _total(config), len(source)
    assert own is not None
    if lines < total:
        fewer = f"{own.path} has {lines} messages, and {total} are scheduled"
        remedy = "give a longer file, or lower load.rate or load.duration"
        if not own.repeat:
            yield f"{fewer}; {remedy}, or let it begin again (`repeat: true`)"
        for key, given in (("id", own.id_pointer), ("dedup_id", own.dedup_id)):
            if given is not None:
                yield (
                    f"{fewer}, so that some would come again, with what must be of one message alone (`{key}`: "
                    f"{given}); {remedy}, or remove `{key}`"
                )
    yield from _wrong(source, config, most=lines)


def _in_template(source: Source, config: LoadConfig) -> Iterator[str]:
    if isinstance(source, Templated):
        widest = f"g{config.groups - 1}"
        ask = Ask(_total(config), source.widest_group(_total(config), widest), 1, "m1", 0)
        checks = Checks(config=config, where=source.where)
        for why in checks.wrong_size(checks.outgoing(source.largest(ask), ask)):
            yield f"at its largest {why}"
    yield from _wrong(source, config, most=_SAMPLES)


def _wrong(source: Source, config: LoadConfig, *, most: int) -> Iterator[str]:
    checks = Checks(config=config, where=source.where)
    for planned in islice(config.schedule(source).messages(0), most):
        ask = ask_for(planned)
        yield from (f"{source.where(ask.number)}: {why}" for why in checks.wrong(source.make(ask), ask))


def _total(config: LoadConfig) -> int:
    """How many messages are scheduled."""
    return config.schedule().total


RULES: Sequence[Rule] = (
    what_is_ours_is_not_theirs,
    pointers_are_pointers,
    attributes_have_a_place,
    a_receiver_knows_the_message,
    deduplication_is_meant,
    a_bus_knows_no_group,
    the_function_can_be_called,
    every_message_can_be_sent,
)
