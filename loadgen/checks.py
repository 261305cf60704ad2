"""What is wrong with messages of the user's own, told before any of them is sent.

It promises that a message which passes is one that the service takes: its size and that of a call, its characters, its
group and deduplication id, its attributes; and that no two share what must be of one message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gameday.loadgen.config import LoadConfig
from gameday.loadgen.messages import Ask, Made
from gameday.loadgen.sender import own_outgoing
from gameday.transports.base import FIFO_NAME, Outgoing
from gameday.transports.queue import BYTES_MAX as QUEUE_BYTES_MAX
from gameday.transports.registry import TRANSPORTS

# Of one message (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html); SNS
# drops one with more on its way to a queue by raw delivery.
ATTRIBUTES_MAX = 10
# What SQS takes in a body (APIReference/API_SendMessage), as what it does not.
_NO_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ID_CHARACTERS_MAX = 256


@dataclass(kw_only=True)
class Checks:
    """Of one load: what must differ is held against all that was looked at before. `where` tells whoever wrote a
    message which one it is."""

    config: LoadConfig
    where: Callable[[int], str]
    _ids: dict[str, int] = field(default_factory=dict)
    _dedup_ids: dict[str, int] = field(default_factory=dict)

    def wrong(self, made: Made, ask: Ask) -> Iterator[str]:
        """What is wrong with a message; nothing, mostly."""
        outgoing = self.outgoing(made, ask)
        yield from self.wrong_size(outgoing)
        yield from self._wrong_words(outgoing, made)
        yield from self._taken(made, ask)

    def outgoing(self, made: Made, ask: Ask) -> Outgoing:
        return own_outgoing(
            self.config,
            made,
            id=ask.id,
            group=ask.group,
            dedup_id=made.dedup_id or f"{self.config.run}-{ask.number}",
            due=ask.due,
        )

    def wrong_size(self, outgoing: Outgoing) -> Iterator[str]:
        config, transport = self.config, TRANSPORTS[self.config.transport]
        if (why := self._no_event(outgoing.body)) is not None:
            yield why
            return
        limits, size = transport.limits(config.topology), transport.size(config.topology, outgoing)
        batch = config.lane_batch
        what = f"{size.sent} bytes{f' with {size.beside}' if size.beside else ''}"
        raised = f", or raise {limits.raised_by}" if limits.raised_by else ""
        if size.sent > limits.message:
            yield f"it has {what}, and {config.transport} takes {limits.message}; make it smaller{raised}"
        elif batch * size.sent > limits.call:
            yield (
                f"{batch} messages of {what} exceed the {limits.call} bytes that one send call of {config.transport} "
                f"takes; lower load.batch to {limits.call // size.sent}{raised}"
            )
        elif size.arrives > QUEUE_BYTES_MAX:
            yield (
                f"{config.transport} would take {what}, but what it makes of it may have {size.arrives}, and a queue "
                f"takes {QUEUE_BYTES_MAX}, so that it would be lost; make it smaller"
            )

    def _no_event(self, body: str) -> str | None:
        """Why a body is no event, on a bus that carries only events."""
        if self.config.transport != "eventbridge":
            return None if body else "it is empty, and a message has at least one character"
        form = 'on eventbridge a body is an event: {"source": "…", "detail-type": "…", "detail": {…}}, no more'
        try:
            event: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return f"it is not JSON ({error}); {form}"
        if not isinstance(event, dict) or set(event) != {"source", "detail-type", "detail"}:
            return form
        texts = all(isinstance(event[name], str) and event[name] for name in ("source", "detail-type"))
        return None if texts and isinstance(event["detail"], dict) else form

    def _wrong_words(self, outgoing: Outgoing, made: Made) -> Iterator[str]:
        config, transport = self.config, TRANSPORTS[self.config.transport]
        limits = transport.limits(config.topology)
        if limits.text and (found := _NO_TEXT.search(outgoing.body)):
            yield (
                f"it has the character {found[0]!r} at place {found.start() + 1}, which {config.transport} takes in no "
                "body; write such bytes as base64"
            )
        if limits.group is not None and not re.fullmatch(limits.group, outgoing.group or ""):
            yield f"its group is {outgoing.group!r}, and {config.transport} takes {_in_words(limits.group)}"
        if made.dedup_id is not None and not re.fullmatch(FIFO_NAME, made.dedup_id):
            yield f"its dedup_id is {made.dedup_id!r}, and {config.transport} takes {_in_words(FIFO_NAME)}"
        if len(made.attributes) + (outgoing.traceparent is not None) > ATTRIBUTES_MAX:
            yield (
                f"it has {len(made.attributes)} attributes of its own, and with `traceparent` more than the "
                f"{ATTRIBUTES_MAX} of a message; name fewer"
            )
        if empty := [name for name, attribute in made.attributes.items() if not attribute.value]:
            yield f"its attribute {empty[0]} is empty, which {config.transport} does not take"

    def _taken(self, made: Made, ask: Ask) -> Iterator[str]:
        """Two messages of one id are one message to whoever judges, and of one dedup_id to the broker."""
        if len(ask.id) > _ID_CHARACTERS_MAX:
            yield f"its id has {len(ask.id)} characters, and at most {_ID_CHARACTERS_MAX} are taken"
        own = self.config.own
        told = own is not None and (own.id_pointer is not None or own.kind == "made")
        if told and (first := self._ids.setdefault(ask.id, ask.number)) != ask.number:
            yield (
                f"its id {ask.id!r} is that of {self.where(first)} as well, and an id must be of one message: point "
                "`id` at a value that is unique, or leave it out where the broker's own id tells"
            )
        dedup_id = made.dedup_id
        if dedup_id is not None and (first := self._dedup_ids.setdefault(dedup_id, ask.number)) != ask.number:
            yield (
                f"its dedup_id {dedup_id!r} is that of {self.where(first)} as well: the broker would swallow it, and "
                "it would be lost"
            )


def _in_words(pattern: str) -> str:
    if pattern == FIFO_NAME:
        return "1 to 128 letters, digits and punctuation, without spaces"
    return "1 to 256 characters"
