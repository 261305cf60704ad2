"""What is not done yet: how old the oldest message of a subscription is, and what each consumer has in hand.

It promises O(1) for each record, and memory for what is unsettled alone. Both are what the history tells: a consumer
that was killed has nothing in hand from the moment when the conductor has seen it end.
"""

from __future__ import annotations

from collections.abc import Iterator

from gameday.history.clock import NS_PER_S

# A standard queue moves a message that was received so often and not deleted to its back, and CloudWatch leaves it out
# of ApproximateAgeOfOldestMessage; a FIFO queue, which keeps its order, does not
# (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html).
CLOUDWATCH_POISON_RECEIVES = 3


class Unsettled:
    """The messages of one subscription that the broker has accepted and nobody has settled, in the order of that.

    One that was received for the last time that a redrive policy allows (`max_receives`) counts no more: it is deleted
    soon, or a dead letter, which nobody tells before the end.
    """

    def __init__(self, max_receives: int | None, *, fifo: bool) -> None:
        self._max_receives = max_receives
        self._fifo = fifo
        self._since: dict[str, int] = {}
        # Without what CloudWatch would call poison.
        self._fresh: dict[str, int] = {}

    def accepted(self, id: str, at: int) -> None:
        self._since[id] = self._fresh[id] = at

    def received(self, id: str, receives: int | None) -> None:
        if receives is None:
            return
        if self._max_receives is not None and receives >= self._max_receives:
            self.over(id)
        elif receives >= CLOUDWATCH_POISON_RECEIVES and not self._fifo:
            self._fresh.pop(id, None)

    def over(self, id: str) -> None:
        self._since.pop(id, None)
        self._fresh.pop(id, None)

    def oldest_s(self, now: int) -> float:
        return _age_s(self._since, now)

    def cloudwatch_oldest_s(self, now: int) -> float:
        return _age_s(self._fresh, now)


def _age_s(since: dict[str, int], now: int) -> float:
    oldest = next(iter(since.values()), None)
    return 0.0 if oldest is None else max(0, now - oldest) / NS_PER_S


class Hands:
    """By consumer, what it has received and not let go: settled, failed, or received again by somebody."""

    def __init__(self) -> None:
        # By consumer: its subscription, and by batch the ids.
        self._held: dict[str, tuple[str, dict[str, set[str]]]] = {}
        self._holder: dict[tuple[str, str], tuple[str, str]] = {}

    def received(self, subscription: str, id: str, consumer: str, batch: str) -> None:
        self.let_go(subscription, id)
        _, batches = self._held.setdefault(consumer, (subscription, {}))
        batches.setdefault(batch, set()).add(id)
        self._holder[subscription, id] = (consumer, batch)

    def let_go(self, subscription: str, id: str, *, consumer: str | None = None) -> None:
        """By whoever holds it, or by this consumer if it is the one."""
        holder = self._holder.get((subscription, id))
        if holder is None or (consumer is not None and holder[0] != consumer):
            return
        del self._holder[subscription, id]
        _, batches = self._held[holder[0]]
        batches[holder[1]].discard(id)
        if not batches[holder[1]]:
            del batches[holder[1]]

    def let_batch_go(self, consumer: str, batch: str) -> None:
        subscription, batches = self._held.get(consumer, ("", {}))
        for id in batches.pop(batch, ()):
            del self._holder[subscription, id]

    def began(self, subscription: str, consumer: str) -> None:
        self._held.setdefault(consumer, (subscription, {}))

    def ended(self, consumer: str) -> None:
        """The process is gone, and what it held waits for its visibility timeout."""
        for batch in list(self._held.get(consumer, ("", {}))[1]):
            self.let_batch_go(consumer, batch)
        self._held.pop(consumer, None)

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """((subscription, consumer), messages in hand) of each consumer that runs."""
        for consumer, (subscription, batches) in self._held.items():
            yield (subscription, consumer), sum(map(len, batches.values()))
