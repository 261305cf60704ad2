"""One invocation of a function, whatever its messages came from: may it begin, what came of it, and what is told of it.

It promises what the record format asks: `invoked`, with a `received` for each message, is written before the function
has them, and `responded` before anything is settled by its answer. What a function says of its own effects stands
beside that. An answer is read as AWS reads it (gameday/transports/lambda_events.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gameday.consumers.config import MappingConfig
from gameday.consumers.own_handler import OwnHandler
from gameday.consumers.work import BaseWorker, InHand, say
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import ProcessError
from gameday.history.events import Record
from gameday.processes.handler_process import HandlerFailed
from gameday.transports.lambda_events import BatchFails, effects_of, failed_of, on_record

# How often a throttled invocation is tried.
_TRY_AGAIN_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What came of an invocation: the places that failed, or None where all did; what is known of effects; why."""

    failed: Sequence[int] | None
    effects: Sequence[tuple[int, events.EffectResult]] = ()
    error: str | None = None


class Invoker:
    """Invokes for one worker."""

    def __init__(self, worker: BaseWorker, mapping: MappingConfig) -> None:
        assert isinstance(worker.tools.handler, OwnHandler), "a function is somebody else's"
        self._worker = worker
        self._function = worker.tools.handler
        self._mapping = mapping
        self._running = 0

    async def may_begin(self, name: str, *, until: int | None = None) -> bool:
        """Waits while the function is throttled, and takes a place then, which `over` gives back; not longer than
        `until`, nor past the worker's stop."""
        worker, reserved = self._worker, self._mapping.reserved
        while True:
            full = reserved is not None and self._running >= reserved
            if not worker.tools.disturbances.struck("throttle-function", name) and not full:
                self._running += 1
                return True
            if worker.stopping or (until is not None and worker.now() >= until):
                return False
            await worker.pause(_TRY_AGAIN_S)

    def over(self) -> None:
        self._running -= 1

    async def invoke(self, name: str, messages: Sequence[InHand]) -> Answered:
        """Tells what came of it, and leaves it to whoever settles by it to write that. Errors: ProcessError."""
        worker, began = self._worker, self._worker.now()
        answered = await self._answer(name, messages)
        worker.tools.meters.handled((worker.now() - began) / NS_PER_S)
        for place, _ in answered.effects:
            messages[place].effect_started = began
        effects = [messages[place].effect_record(outcome) for place, outcome in answered.effects if messages[place].id]
        worker.tell(*effects, self._responded(name, messages, answered))
        return answered

    async def _answer(self, name: str, messages: Sequence[InHand]) -> Answered:
        deliveries = [message.delivery for message in messages]
        disturbances = self._worker.tools.disturbances
        late = f"it did not answer within {self._mapping.timeout_s:g} s"
        if (cold := disturbances.struck("cold-start", name)) is not None:
            # Its time does not begin before it has started.
            await asyncio.sleep(cold.seconds)
        if disturbances.struck("function-error", name):
            return _failed(name, "it raised an error (function-error)")
        deployed = disturbances.struck("deploy", name)
        version, handler = (None, None) if deployed is None else (deployed.instance, deployed.version)
        began = self._worker.now()
        try:
            # What a fault makes it slower by is of its own time.
            async with asyncio.timeout(self._mapping.timeout_s):
                await self._worker.be_disturbed(messages)
            told = await self._function.invoke(deliveries, version=version, handler=handler)
        except TimeoutError:
            return _failed(name, late)
        except HandlerFailed as error:
            return _failed(name, str(error))
        except ProcessError as error:
            if deployed is None:
                raise
            return _failed(name, f"its new version cannot be started: {error}")
        if disturbances.struck("function-timeout", name):
            # Its work is done.
            await asyncio.sleep(max(0.0, self._mapping.timeout_s - (self._worker.now() - began) / NS_PER_S))
            return _failed(name, late)
        identifiers = self._function.identifiers(deliveries)
        effects = tuple(effects_of(told, identifiers).items())
        if not self._function.takes_batches:
            return Answered(failed=[], effects=effects)
        try:
            failed = failed_of(told, identifiers) if self._mapping.partial else []
        except BatchFails as error:
            say(f"{name}: its whole batch fails: {error}")
            return Answered(failed=None, effects=effects, error=str(error))
        return Answered(failed=failed, effects=effects)

    def invoked(self, name: str, messages: Sequence[InHand]) -> Record:
        return events.invoked(
            subscription=self._worker.config.subscription,
            batch=name,
            ids=[message.id for message in messages if message.id is not None],
            function=self._mapping.function,
            request=name,
            consumer=self._worker.name,
        )

    def _responded(self, name: str, messages: Sequence[InHand], answered: Answered) -> Record:
        outcome: events.SendResult = "failed"
        named: list[str] = []
        if answered.failed is not None:
            outcome, named = on_record([messages[place].id for place in answered.failed])
        return events.responded(
            subscription=self._worker.config.subscription,
            batch=name,
            outcome=outcome,
            failed=named,
            error=answered.error,
            function=self._mapping.function,
            request=name,
            consumer=self._worker.name,
        )


def _failed(name: str, why: str) -> Answered:
    say(f"the invocation {name} failed: {why}")
    return Answered(failed=None, error=why)
