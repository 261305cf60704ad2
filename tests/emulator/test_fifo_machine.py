"""The emulator's FIFO queue against a model so plain that it can be seen to be right: a list in the order of sending.

Whatever is sent, received, deleted, hidden and waited for: a group is handed out in its order and only while nothing of
it is hidden, a deduplication id counts once in its window, a message comes back when its time is over and not before, a
receipt is good as long as its hold, and what was received too often dies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gameday.emulator.defects import defect
from gameday.emulator.queues import Conduct, Draft, FifoQueue, Message, Redrive, Settings
from gameday.emulator.wire import Refused
from gameday.history.clock import NS_PER_S

WINDOW_S, VISIBILITY_S = 20, 5
GROUPS = st.sampled_from("abc")
SECONDS = st.sampled_from([0, 1, 2, 5, 20])


@dataclass
class Known:
    """A message as the model knows it. `hidden_until`: None while it waits to be received."""

    body: str
    group: str
    hidden_until: int | None = None
    receives: int = 0
    receipt: str = ""
    gone: bool = False
    dead: bool = False


@dataclass
class Model:
    """All messages ever, in the order in which they were accepted."""

    most: int | None
    now: int = NS_PER_S
    all: list[Known] = field(default_factory=list)
    # What each deduplication id stands for, and until when.
    dedup: dict[str, tuple[int, Known]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)

    def here(self, group: str | None = None) -> list[Known]:
        return [known for known in self.all if not known.gone and not known.dead and group in (None, known.group)]

    def hidden(self, known: Known) -> bool:
        return known.hidden_until is not None and known.hidden_until > self.now

    def locked(self, group: str) -> bool:
        return any(self.hidden(known) for known in self.here(group))

    def exhausted(self, known: Known) -> bool:
        return self.most is not None and known.receives >= self.most

    def available(self) -> list[Known]:
        return [known for known in self.here() if not self.locked(known.group)]

    def by_receipt(self, receipt: str) -> Known | None:
        """The message on which this receipt is still good."""
        return next((k for k in self.here() if k.receipt == receipt and self.hidden(k)), None)


class FifoMachine(RuleBasedStateMachine):
    planted: str | None = None
    queue: FifoQueue
    dead_letters: FifoQueue
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.receipts: list[str] = []
        # The broker's id of each message, by its body.
        self.ids: dict[str, str] = {}
        self.sent = 0

    @initialize(most=st.sampled_from([None, 1, 2, 3]))
    def begin(self, most: int | None) -> None:
        self.dead_letters = FifoQueue(arn="dead.fifo", settings=Settings())
        self.queue = FifoQueue(
            arn="q.fifo",
            conduct=cast(Conduct, defect(self.planted)) if self.planted else None,
            settings=Settings(
                visibility_ns=VISIBILITY_S * NS_PER_S,
                dedup_window_ns=WINDOW_S * NS_PER_S,
                redrive=None if most is None else Redrive(dead_letter=self.dead_letters, max_receives=most),
            ),
        )
        self.model = Model(most=most)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.model.now += seconds * NS_PER_S

    @rule()
    def a_hold_is_all_but_over(self) -> None:
        ends = [k.hidden_until for k in self.model.here() if k.hidden_until and k.hidden_until > self.model.now]
        if ends:
            self.model.now = min(ends) - 1

    @rule(group=GROUPS, dedup=st.integers(0, 4) | st.none())
    def send(self, group: str, dedup: int | None) -> None:
        """A message with a deduplication id of its own, or with one of a few."""
        model = self.model
        self.sent += 1
        body, id = f"{group}{self.sent}", f"own-{self.sent}" if dedup is None else f"one-of-{dedup}"
        accepted = self.queue.send(model.now, Draft(body=body, group=group, dedup_id=id))
        until, known = model.dedup.get(id, (0, None))
        if known is not None and until > model.now:
            assert accepted.message_id == self.ids[known.body]
            return
        new = Known(body, group)
        model.all.append(new)
        model.dedup[id] = (model.now + WINDOW_S * NS_PER_S, new)
        self.ids[body] = accepted.message_id

    @rule(most=st.integers(1, 10), hidden_s=st.sampled_from([None, 0, 1, 10]))
    def receive(self, most: int, hidden_s: int | None) -> None:
        model = self.model
        could = model.available()
        taken = self.queue.receive(model.now, most=most, hidden_ns=None if hidden_s is None else hidden_s * NS_PER_S)
        buried = self._bury(could)
        names = [message.draft.body for message in taken]
        assert len(set(names)) == len(names)
        good = [known for known in could if not model.exhausted(known)]
        assert len(taken) == min(most, len(good)), "as many as there are, whatever their groups"
        if len(taken) < most:
            assert buried == [known for known in could if model.exhausted(known)], "all that was in the way is dead"
        for group in {known.group for known in could}:
            of_group = [known for known in could if known.group == group]
            touched = [known for known in of_group if known.body in names or known in buried]
            assert touched == of_group[: len(touched)], "a group is handed out from its head"
            assert [n for n in names if n[0] == group] == [k.body for k in touched if k not in buried], (
                "and in its order"
            )
        assert {name[0] for name in names} <= {known.group for known in could}, "a locked group gives nothing"
        assert names == sorted(names, key=lambda name: names.index(next(n for n in names if n[0] == name[0]))), (
            "what there is of one group comes together"
        )
        self._take(taken, VISIBILITY_S if hidden_s is None else hidden_s)

    def _bury(self, could: list[Known]) -> list[Known]:
        """What died meanwhile: only what was received too often, and could be received."""
        dead = {message.draft.body: message for message in self.dead_letters._messages.values()}
        buried = [known for known in self.model.all if known.body in dead and not known.dead]
        for known in buried:
            assert known in could and self.model.exhausted(known)
            assert dead[known.body].receives == known.receives, "its count goes on"
            known.dead = True
        return buried

    def _take(self, taken: list[Message], hidden_s: int) -> None:
        by_body = {known.body: known for known in self.model.all}
        for message in taken:
            known = by_body.get(message.draft.body)
            assert known is not None, "it was told to be another one's repetition"
            known.receives += 1
            assert message.receives == known.receives
            assert message.receipt not in self.receipts, "each receive has a receipt of its own"
            known.receipt = message.receipt
            known.hidden_until = self.model.now + hidden_s * NS_PER_S
            self.receipts.append(message.receipt)

    @precondition(lambda self: self.receipts)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        receipt = data.draw(st.sampled_from(self.receipts[-8:]))
        known = self.model.by_receipt(receipt)
        if known is None and receipt not in self.model.deleted:
            with pytest.raises(Refused, match="expired"):
                self.queue.delete(self.model.now, receipt)
            return
        self.queue.delete(self.model.now, receipt)
        if known is not None:
            known.gone = True
            self.model.deleted.add(receipt)

    @precondition(lambda self: self.receipts)
    @rule(data=st.data(), hidden_s=st.sampled_from([0, 1, 10]))
    def hide(self, data: st.DataObject, hidden_s: int) -> None:
        receipt = data.draw(st.sampled_from(self.receipts[-8:]))
        known = self.model.by_receipt(receipt)
        if known is None:
            with pytest.raises(Refused):
                self.queue.hide(self.model.now, receipt, hidden_s * NS_PER_S)
            return
        self.queue.hide(self.model.now, receipt, hidden_s * NS_PER_S)
        known.hidden_until = self.model.now + hidden_s * NS_PER_S

    @invariant()
    def it_holds_what_was_not_deleted(self) -> None:
        if not hasattr(self, "model"):
            return
        hidden = sum(map(self.model.hidden, self.model.here()))
        assert self.queue.depth(self.model.now) == (len(self.model.here()) - hidden, hidden, 0)

    def teardown(self) -> None:
        """In the end each message is handed out or dead, a group in its order: nothing got stuck."""
        if not hasattr(self, "model"):
            return
        model = self.model
        for _ in range(4 * len(model.all) + 4):
            model.now += 60 * NS_PER_S
            could = model.available()
            taken = self.queue.receive(model.now, most=10)
            self._bury(could)
            self._take(taken, VISIBILITY_S)
            for message in taken:
                self.queue.delete(model.now, message.receipt)
                next(known for known in model.all if known.body == message.draft.body).gone = True
        assert model.here() == []
        assert self.queue.depth(model.now) == (0, 0, 0)


TestFifoMachine = FifoMachine.TestCase
TestFifoMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    "planted",
    [
        "lose:3",
        "duplicate-copy:3",
        "reorder:2",
        "overtake",
        "early-redelivery",
        "forget-in-flight",
        "dedup-forgets-after-delete",
        "dedup-never-forgets",
        "no-dedup",
        "no-dead-letter",
        "one-lock",
        "requeue-at-end",
        "extend-unlocks",
        "undelete",
        "stale-receipt-deletes",
    ],
)
def test_it_finds_a_queue_that_breaks_a_rule(planted: str) -> None:
    machine = type("Broken", (FifoMachine,), {"planted": planted})
    found = settings(
        max_examples=500, stateful_step_count=40, deadline=None, phases=[Phase.generate], database=None,
        derandomize=True, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with pytest.raises((AssertionError, Refused, pytest.fail.Exception)):
        run_state_machine_as_test(machine, settings=found)
