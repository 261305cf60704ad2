"""A handler that somebody else wrote, as a worker sees it: messages in, and which of them failed out.

It promises that each is asked once for what it is given: a message, or the event that Lambda would make of it, and that
an event's answer is read as Lambda reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gameday.processes.handler_process import EffectUnknown, HandlerFailed, HandlerPool
from gameday.transports.base import Delivery
from gameday.transports.lambda_events import BatchFails, Document, EventKind, NoEvent, Origin, failed_of, plain


class OwnHandler:
    """`event` is None for plain messages. `timeout_s`: how long it may take to answer."""

    def __init__(
        self, pool: HandlerPool, *, subscription: str, event: EventKind | None, origin: Origin, timeout_s: float
    ) -> None:
        self.pool = pool
        self._subscription = subscription
        self._event = event
        self._origin = origin
        self._timeout_s = timeout_s

    @property
    def takes_batches(self) -> bool:
        """Whether it is asked for a whole batch, with `batch`, and not for each message, with `one`."""
        return self._event is not None and self._event.is_batch

    async def one(self, delivery: Delivery) -> None:
        """Errors: HandlerFailed where the message failed; ProcessError."""
        if self._event is None:
            await self._ask({"message": plain(delivery, self._subscription)})
        else:
            await self._ask({"event": self._document(self._event, [delivery])})

    async def batch(self, deliveries: Sequence[Delivery]) -> list[int]:
        """The places of those that failed, lowest first. Errors: HandlerFailed where all did; ProcessError."""
        result = await self.invoke(deliveries)
        try:
            return failed_of(result, self.identifiers(deliveries))
        except BatchFails as error:
            raise EffectUnknown(f"its whole batch fails: {error}") from error

    async def invoke(
        self, deliveries: Sequence[Delivery], *, version: str | None = None, handler: str | None = None
    ) -> object:
        """What it answers to a batch, as it answered. `version`: that of it, which is FILE.FUNCTION `handler` if that
        is another one. Errors: HandlerFailed where it did not; ProcessError."""
        event = self._event
        assert event is not None, "it takes no batches"
        document = {"event": self._document(event, deliveries)}
        if version is None:
            return await self._ask(document)
        argv = None if handler is None else _calling(handler, self.pool.argv)
        return await self.pool.ask(document, timeout_s=self._timeout_s, version=version, argv=argv)

    def identifiers(self, deliveries: Sequence[Delivery]) -> list[str]:
        """By what an answer names each of a batch; a record that stands alone by the id that is in its event."""
        assert self._event is not None, "a plain message has none"
        named = self._event.identifier or (lambda delivery: str(delivery.upstream_id))
        return [named(delivery) for delivery in deliveries]

    def _document(self, event: EventKind, deliveries: Sequence[Delivery]) -> Document:
        try:
            return event.document(deliveries, self._origin)
        except NoEvent as error:
            raise HandlerFailed(f"no event can be made of what was received: {error}") from error

    async def _ask(self, document: Document) -> object:
        return await self.pool.ask(document, timeout_s=self._timeout_s)


def _calling(handler: str, argv: Sequence[str]) -> list[str]:
    """The command line of another function of the same code: FILE.FUNCTION for what `argv` calls."""
    file, _, name = handler.rpartition(".")
    if argv[-1].count(":"):
        return [*argv[:-1], f"{file.replace('/', '.')}:{name}"]
    return [*argv[:-2], file, name]
