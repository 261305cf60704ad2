"""One user at work: it carries out what its lane decides, and records it.

It promises that `intended` is with the kernel before a call begins and `sent` before anything else happens; that every
attempt which may have reached the wire is recorded with its own number; and that nothing is retried below it.
Nothing here knows Locust: how to wait, how to carry a call and who counts calls is given to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from history import envelope, events
from history.clock import NS_PER_S, Clock
from history.writer import Writer
from loadgen.config import LoadConfig
from loadgen.disturbances import Disturbances
from loadgen.lanes import Attempt, Feed, Lane
from loadgen.schedule import Message, producer
from transports.base import Answer, Call, CallFailed, Outgoing, SendOutcome
from transports.registry import TRANSPORTS

LOOK_AHEAD_NS = NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One call for the statistics: times in ns, `outcomes` in the order of `attempts`, `bytes` of the bodies."""

    call: Call
    started: int
    ended: int
    bytes: int
    attempts: Sequence[Attempt]
    outcomes: Sequence[SendOutcome]


class Sender:
    """`carry` makes a call or raises CallFailed; `number` is the lane's."""

    def __init__(
        self,
        *,
        config: LoadConfig,
        number: int,
        lane: Lane,
        writer: Writer,
        clock: Clock,
        carry: Callable[[Call], Answer],
        disturbances: Disturbances,
        count: Callable[[Sample], None],
    ) -> None:
        self.lane = lane
        self._config = config
        self._producer = producer(number)
        self._transport = TRANSPORTS[config.transport]
        self._writer = writer
        self._clock = clock
        self._carry = carry
        self._disturbances = disturbances
        self._count = count
        self._calls = 0

    def run(self, feed: Feed, wait: Callable[[float], bool]) -> None:
        """Send until the lane is over or `wait(seconds)` says True: stop. Errors: HistoryError."""
        while not self.lane.over:
            now = self._clock.now_ns()
            feed.pull(now + LOOK_AHEAD_NS)
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
        messages = [self._outgoing(attempt.message) for attempt in attempts]
        self._calls += 1
        name = f"{self._producer}-call-{self._calls}"
        self._writer.write(*map(self._intended, attempts, messages))
        refused = [self._disturbances.throttled(f"{each.message.id}#{each.number}") for each in attempts]
        going = [message for message, error in zip(messages, refused, strict=True) if error is None]
        # One of which nothing is left is refused as a whole, and counted as the call that it would have been.
        call = self._transport.send(self._config.addresses, going or messages)
        started = self._clock.now_ns()
        answered = iter(self._answers(call, name, going) if going else ())
        outcomes = [
            replace(next(answered), entry=n)
            if error is None
            else SendOutcome(id=message.id, entry=n, outcome="failed", error=error)
            for n, (message, error) in enumerate(zip(messages, refused, strict=True))
        ]
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
            )
        )
        self.lane.settle(attempts, [outcome.outcome for outcome in outcomes], ended)
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

    def _answers(self, call: Call, name: str, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        """What became of each message of a call."""
        try:
            answer = self._carry(call)
            self._disturbances.lose_reply(name)
            return self._transport.sent(answer, messages)
        except CallFailed as failure:
            return [
                SendOutcome(id=message.id, entry=n, outcome=failure.outcome, error=str(failure))
                for n, message in enumerate(messages)
            ]

    def _outgoing(self, message: Message) -> Outgoing:
        """The same for every attempt: the body is a function of the seed and the message."""
        body = envelope.pack(
            id=message.id,
            run=self._config.run,
            group=message.group,
            timestamp_ns=message.due,
            payload_bytes=self._config.payload_bytes,
            poison=message.poison,
            seed=self._config.seed,
        )
        return Outgoing(
            id=message.id, body=body.decode(), group=message.group, dedup_id=f"{self._config.run}-{message.id}"
        )

    def _intended(self, attempt: Attempt, outgoing: Outgoing) -> events.Record:
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
            expect=self._transport.expect(self._config.topology, outgoing.body),
            bytes=len(outgoing.body),
            poison=message.poison,
        )
