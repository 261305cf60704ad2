"""One user at work: it carries out what its lane decides, and records it.

It promises that `intended` is with the kernel before a call begins and `sent` before anything else happens; that every
attempt which may have reached the wire is recorded with its own number; and that nothing is retried below it.
Nothing here knows Locust: how to wait, how to carry a call and who counts calls is given to it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gameday.history import claim_check, envelope, events, trace
from gameday.history.claim_check import Reference
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.writer import Writer
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Attempt, Feed, Lane
from gameday.loadgen.messages import Ask, Made, Source
from gameday.loadgen.payloads import Store, Stored, payload_of, version_at
from gameday.loadgen.schedule import Message, producer
from gameday.transports.aws_errors import is_permanent
from gameday.transports.base import Answer, Attribute, Call, CallFailed, Outgoing, SendOutcome
from gameday.transports.filters.function_filter import expected
from gameday.transports.registry import TRANSPORTS

LOOK_AHEAD_NS = NS_PER_S
_PULLED_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One call for the statistics: times in ns, `outcomes` in the order of `attempts`, `bytes` of the bodies."""

    call: Call
    started: int
    ended: int
    bytes: int
    attempts: Sequence[Attempt]
    outcomes: Sequence[SendOutcome]


class Packed(NamedTuple):
    """A message to send, what its effects are read back under where that is not its id, and the body that stands in
    an object where it is a reference."""

    message: Outgoing
    key: str | None
    stored: Stored | None = None


class Sender:
    """`carry` makes a call or raises CallFailed; `number` is the lane's; `source` has the user's own messages; `store`
    puts large bodies into objects; `start_ns` is when the load began."""

    def __init__(
        self,
        *,
        config: LoadConfig,
        number: int,
        lane: Lane,
        writer: Writer,
        clock: Clock,
        carry: Callable[[Call], Answer],
        count: Callable[[Sample], None],
        source: Source | None = None,
        store: Store | None = None,
        start_ns: int = 0,
    ) -> None:
        self.lane = lane
        self._source = source
        self._store = store
        self._start_ns = start_ns
        self._config = config
        self._producer = producer(number)
        self._transport = TRANSPORTS[config.transport]
        self._writer = writer
        self._clock = clock
        self._carry = carry
        self._count = count
        self._calls = 0
        # The latest message of each group that went out under its own name, and those that went out under another's.
        self._latest: dict[str, Message] = {}
        self._reused: dict[str, Message] = {}

    def run(self, feed: Feed, wait: Callable[[float], bool]) -> None:
        """Send until the lane is over or `wait(seconds)` says True: stop. Errors: HistoryError."""
        while not self.lane.over:
            now = self._clock.now_ns()
            # Who is behind its schedule takes from it what it can send, and leaves the rest where it takes no room.
            while not self.lane.has_a_call(now) and feed.pull(now + LOOK_AHEAD_NS, most=_PULLED_AT_ONCE):
                pass
            attempts = self.lane.take(now)
            pause_ns = 0
            if attempts:
                self._send(attempts)
            elif not self.lane.over:
                # Another lane may pull what is ours, so look again before the look-ahead is used up.
                latest = now + LOOK_AHEAD_NS // 2
                pause_ns = min(self.lane.wake_at or latest, latest) - now
            if wait(max(pause_ns, 0) / NS_PER_S):
                return

    def _send(self, attempts: list[Attempt]) -> None:
        packed = [self._packed(attempt) for attempt in attempts]
        messages = [each.message for each in packed]
        self._calls += 1
        name = f"{self._producer}-call-{self._calls}"
        self._writer.write(*map(self._intended, attempts, packed))
        call = self._transport.send(self._config.addresses, messages)
        stored = [each.stored for each in packed if each.stored is not None]
        first = self._config.claim_check is None or self._config.claim_check.stores_first
        unstored = self._put(stored) if first else None
        started = self._clock.now_ns()
        outcomes = self._answers(call, messages) if unstored is None else _not_sent(unstored, messages)
        told = (each.execution.record(each.id) for each in outcomes if each.execution is not None)
        ended = self._writer.write(
            *(
                events.sent(
                    id=outcome.id,
                    attempt=attempt.number,
                    started=started,
                    outcome=outcome.outcome,
                    error=outcome.error,
                    broker_id=outcome.broker_id,
                    broker_seq=outcome.broker_seq,
                    partition=outcome.partition,
                    call=name,
                    entry=outcome.entry,
                )
                for attempt, outcome in zip(attempts, outcomes, strict=True)
            ),
            *told,
        )
        if not first:
            self._put(stored)
        self.lane.settle(attempts, ["refused" if each.final else each.outcome for each in outcomes], ended)
        self._count(
            Sample(
                call=call,
                started=started,
                ended=ended,
                bytes=sum(len(message.body) for message in messages),
                attempts=attempts,
                outcomes=outcomes,
            )
        )

    def _put(self, bodies: Sequence[Stored]) -> CallFailed | None:
        """Put these into objects; the first that could not be. Errors: HistoryError."""
        for body in bodies:
            assert self._store is not None, "a body goes to an object only where there is a store"
            if (failed := self._store.put(body)) is not None:
                return failed
        return None

    def _answers(self, call: Call, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        """What became of each message of a call."""
        try:
            return self._transport.sent(self._carry(call), messages)
        except CallFailed as failure:
            return [
                SendOutcome(
                    id=message.id,
                    entry=n,
                    outcome=failure.outcome,
                    final=failure.definite and is_permanent(failure.code),
                    error=str(failure),
                )
                for n, message in enumerate(messages)
            ]

    def _packed(self, attempt: Attempt) -> Packed:
        """The same for every attempt: the body is a function of the seed and the message."""
        packed = self._written(attempt)
        message = attempt.message
        if message.tenant_class is None or not self._config.tell_tenants:
            return packed
        return packed._replace(message=packed.message._replace(tenant=message.group))

    def _written(self, attempt: Attempt) -> Packed:
        named = self._named(attempt)
        by_content = self._config.topology.dedup == "content"
        written = named if by_content else attempt.message
        if self._source is None:
            return self._order(attempt.message, written, None if by_content else named)
        return self._own(attempt.message, written, None if by_content else named, self._source)

    def _own(self, message: Message, written: Message, named: Message | None, source: Source) -> Packed:
        """A message of the user's own: with the body of `written`, and the deduplication id of `named`."""
        made = source.make(ask_for(written))
        dedup_id = None
        if named is not None:
            other = made if named is written else source.make(ask_for(named))
            # An id of theirs may be anything, so the number stands for it.
            dedup_id = other.dedup_id or f"{self._config.run}-{named.number}"
        return Packed(
            own_outgoing(self._config, made, id=message.id, group=message.group, dedup_id=dedup_id, due=message.due),
            made.key,
        )

    def _order(self, message: Message, written: Message, named: Message | None) -> Packed:
        """An order of ours, likewise; a reference to it, where it is large."""
        config = self._config
        in_body = self._transport.traced_in == "body"
        parent = trace.traceparent(config.run, (written if in_body else message).id)
        body, plain = self._event(written, parent if in_body else None)
        large = config.claim_check is not None and len(body) > config.claim_check.above_bytes
        stored = self._claim(written, body) if large else None
        attributes: dict[str, Attribute] | None = None if plain else {}
        if stored is not None:
            body, attributes = self._reference(written, stored, parent if in_body else None)
        outgoing = Outgoing(
            id=message.id,
            body=body.decode(),
            group=message.group,
            dedup_id=None if named is None else f"{config.run}-{named.id}",
            delay_s=config.delay_s,
            traceparent=None if in_body else parent,
            aws_trace_header=trace.aws_header(parent) if config.aws_trace_header else None,
            attributes=attributes,
            due=written.due,
        )
        return Packed(outgoing, None, stored)

    def _event(self, written: Message, traceparent: str | None) -> tuple[bytes, bool]:
        """The body, and whether it is a plain order."""
        config = self._config
        told: dict[str, Any] = {
            "id": written.id,
            "run": config.run,
            "group": written.group,
            "timestamp_ns": written.due,
            "payload_bytes": config.payload_bytes,
            "poison": written.poison,
            "traceparent": traceparent,
        }
        version = version_at(config.schemas, (written.due - self._start_ns) / NS_PER_S) if config.schemas else None
        if version is None and config.form == "ours":
            return envelope.pack(**told, seed=config.seed), True
        content = envelope.Content(
            form=config.form,
            payload=None if version is None else payload_of(version, seed=config.seed, id=written.id),
            schema=None if version is None else version.name,
        )
        return envelope.pack_event(**told, content=content), False

    def _claim(self, written: Message, body: bytes) -> Stored:
        assert self._config.claim_check is not None
        reference = Reference(
            bucket=self._config.claim_check.bucket,
            object=claim_check.name(self._config.run, written.id),
            checksum=claim_check.checksum(body),
        )
        return Stored(id=written.id, reference=reference, body=body)

    def _reference(
        self, written: Message, stored: Stored, traceparent: str | None
    ) -> tuple[bytes, dict[str, Attribute]]:
        """What is sent in place of the body, with its attributes."""
        config = self._config
        assert config.claim_check is not None
        if config.claim_check.shape == "extended":
            size = Attribute("Number", str(len(stored.body)))
            return claim_check.pointer(stored.reference).encode(), {claim_check.SIZE_ATTRIBUTE: size}
        content = envelope.Content(form=config.form, reference=stored.reference)
        body = envelope.pack_event(
            id=written.id,
            run=config.run,
            group=written.group,
            timestamp_ns=written.due,
            poison=written.poison,
            traceparent=traceparent,
            content=content,
        )
        return body, {}

    def _named(self, attempt: Attempt) -> Message:
        """The message that this one is deduplicated as: itself or, by mistake, an earlier one of its group."""
        message = attempt.message
        if not self._config.dedup_reuse or attempt.number > 1:
            return self._reused.get(message.id, message)
        earlier = self._latest.get(message.group)
        choice = random.Random(f"{self._config.seed}:reuse:{message.id}")
        if earlier is not None and choice.random() < self._config.dedup_reuse:
            self._reused[message.id] = earlier
            return earlier
        self._latest[message.group] = message
        return message

    def _intended(self, attempt: Attempt, packed: Packed) -> events.Record:
        message = attempt.message
        if attempt.number > 1:
            return events.intended(id=message.id, attempt=attempt.number, producer=self._producer)
        return events.intended(
            id=message.id,
            attempt=attempt.number,
            producer=self._producer,
            group=message.group,
            seq=message.seq,
            due=message.due,
            expect=expected(self._transport, self._config.topology, packed.message),
            bytes=len(packed.message.body.encode()),
            poison=message.poison,
            key=packed.key,
            tenant=None if message.tenant_class is None else message.group,
            tenant_class=message.tenant_class,
            items=None if self._config.topology.workflow is None else _items(packed.message.body),
        )


def _not_sent(failed: CallFailed, messages: Sequence[Outgoing]) -> list[SendOutcome]:
    """Of messages that were held back, because a body among them could not be stored: surely none was sent."""
    why = f"not sent, for its body or another of its call could not be stored: {failed}"
    return [
        SendOutcome(id=message.id, entry=n, outcome="failed", final=False, error=why)
        for n, message in enumerate(messages)
    ]


def _items(body: str) -> int | None:
    """How many items a workflow's maps go over, where the message is an order of ours."""
    sent = envelope.unpack(body)
    return None if sent is None else len(sent.event["detail"].get("items") or ())


def ask_for(message: Message) -> Ask:
    """What a source is asked for, to make a message that is scheduled."""
    return Ask(message.number, message.group, message.seq, message.id, message.due)


def own_outgoing(config: LoadConfig, made: Made, *, id: str, group: str, dedup_id: str | None, due: int) -> Outgoing:
    """A message of the user's own as it goes out. Its body is theirs: what travels in it is not touched."""
    parent = trace.traceparent(config.run, id)
    return Outgoing(
        id=id,
        body=made.body,
        group=group,
        dedup_id=dedup_id,
        delay_s=config.delay_s,
        traceparent=parent if TRANSPORTS[config.transport].traced_in == "attribute" else None,
        aws_trace_header=trace.aws_header(parent) if config.aws_trace_header else None,
        attributes=made.attributes,
        due=due,
    )
