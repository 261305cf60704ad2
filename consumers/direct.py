"""The worker that invokes a function as a topic or a bus does it by itself: asynchronously, one message at a time.

A queue behind the topic or bus stands for the queue that Lambda keeps of its own for such invocations; nobody else sees
it. It promises Lambda's conduct: what fails is tried again, at most `retries` times more, `retry_wait_s` later; what is
given up then is on record where there is a destination, and gone where there is none. A throttled invocation waits and
uses no try up. A message is hidden meanwhile, so who takes over from a worker that died invokes it anew.

Source: docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html.
"""

from __future__ import annotations

from collections.abc import Sequence

from gameday.consumers.mapping import MappingWorker
from gameday.consumers.work import say
from gameday.consumers.worker import Batch, QueueMessage
from gameday.history import events


class DirectWorker(MappingWorker):
    """What waits for its next try takes no place of those that are at work."""

    async def _work_off(self, batch: Batch, starts: Sequence[int]) -> None:
        mapping, (started,), (message,) = self._mapping, starts, batch.messages
        tries = 0
        try:
            while await self._invoker.may_begin(batch.name):
                try:
                    done = await self._try(batch, message, started)
                finally:
                    self._invoker.over()
                tries += 1
                since = message.delivery.enqueued
                if done or mapping.gives_up(tries=tries, enqueued=since, now=self.now()):
                    await self._finish(batch, message, done=done)
                    return
                await self._wait(mapping.retry_wait_s)
                # Another invocation of the same message.
                batch = Batch(name=self._next_batch())
                message = QueueMessage(self, batch, message.delivery)
        finally:
            self._open_batches -= 1
            self._make_room()

    async def _try(self, batch: Batch, message: QueueMessage, started: int) -> bool:
        received = message.received_record(started, hidden_s=None)
        # Nobody counts receives there.
        received.pop("receives", None)
        self.took([message], [self._invoker.invoked(batch.name, [message]), received])
        async with self.slots:
            answered = await self._invoker.invoke(batch.name, [message])
        self.write()
        self._abandon([message])
        return answered.failed is not None

    async def _finish(self, batch: Batch, message: QueueMessage, *, done: bool) -> None:
        if not done:
            say(f"{message.name} is given up")
            if self._mapping.on_failure:
                broker_id = message.delivery.broker_id
                self.write(events.dead(id=message.id, subscription=self.config.subscription, broker_id=broker_id))
        # It is in hand once more, as far as settling goes.
        self._hold(1)
        self.announce(deletes=[message])
        await self.settle(batch)

    async def _wait(self, seconds: float) -> None:
        self._open_batches -= 1
        self._make_room()
        await self.pause(seconds)
        self._open_batches += 1
        self._make_room()
