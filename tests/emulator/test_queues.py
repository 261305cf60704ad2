"""The queues of the in-memory broker, rule by rule; time is a number here."""

from __future__ import annotations

import random

import pytest

from gameday.emulator.defects import Unfair
from gameday.emulator.queues import Conduct, Draft, FifoQueue, Message, Queue, Redrive, Settings
from gameday.emulator.queues import StandardQueue as Standard
from gameday.emulator.wire import Refused
from gameday.history.clock import NS_PER_S
from tests.emulator.inside import Inside, arn_of

S = NS_PER_S
SETTINGS = Settings(visibility_ns=10 * S)


def fifo(conduct: Conduct | None = None, settings: Settings = SETTINGS) -> FifoQueue:
    return FifoQueue(arn="q", settings=settings, conduct=conduct)


def standard(settings: Settings = SETTINGS) -> Standard:
    return Standard(arn="q", settings=settings)


def send(queue: Queue, *names: str, now: int = 0) -> None:
    """Send a1, b2, …: the letter is the group."""
    for name in names:
        queue.send(now, Draft(body=name, group=name[0], dedup_id=name))


def receive(queue: Queue, now: int = 0, most: int = 10) -> list[str]:
    return [m.draft.body for m in queue.receive(now, most=most)]


def take(queue: Queue, now: int = 0, most: int = 10) -> dict[str, str]:
    """Receive: each body with its receipt."""
    return {m.draft.body: m.receipt for m in queue.receive(now, most=most)}


def refusal(queue: Queue, action: str, *arguments: object) -> str:
    with pytest.raises(Refused) as refused:
        getattr(queue, action)(*arguments)
    return refused.value.code


class TestBothKinds:
    @pytest.fixture(params=[FifoQueue, Standard])
    def queue(self, request: pytest.FixtureRequest) -> Queue:
        kind: type[Queue] = request.param
        return kind(arn="q", settings=SETTINGS)

    def test_a_received_message_is_hidden_until_its_timeout_ends(self, queue: Queue) -> None:
        send(queue, "a1")
        assert receive(queue, now=0) == ["a1"]
        assert receive(queue, now=10 * S - 1) == []
        assert receive(queue, now=10 * S) == ["a1"]

    def test_receives_are_counted_and_the_first_is_remembered(self, queue: Queue) -> None:
        send(queue, "a1")
        queue.receive(5, most=1)
        message = queue.receive(10 * S + 5, most=1)[0]
        assert (message.receives, message.first_received_ns) == (2, 5)

    def test_depth_tells_visible_hidden_and_delayed(self, queue: Queue) -> None:
        assert queue.depth(0) == (0, 0, 0)
        send(queue, "a1", "b1")
        queue.settings = Settings(visibility_ns=10 * S, delay_ns=3 * S)
        send(queue, "c1")
        receive(queue, most=1)
        assert queue.depth(0) == (1, 1, 1)
        assert queue.depth(3 * S) == (2, 1, 0)
        assert queue.depth(10 * S) == (3, 0, 0)

    def test_a_deleted_message_is_gone(self, queue: Queue) -> None:
        send(queue, "a1")
        queue.delete(0, take(queue)["a1"])
        assert queue.depth(0) == (0, 0, 0)
        assert receive(queue, now=100 * S) == []

    def test_deleting_twice_with_the_same_receipt_succeeds(self, queue: Queue) -> None:
        send(queue, "a1")
        receipt = take(queue)["a1"]
        queue.delete(0, receipt)
        queue.delete(20 * S, receipt)

    @pytest.mark.parametrize("receipt", ["", "nonsense", "other/1/1", "q/1/x"])
    def test_a_receipt_that_is_none_is_refused(self, queue: Queue, receipt: str) -> None:
        assert refusal(queue, "delete", 0, receipt) == "ReceiptHandleIsInvalid"
        assert refusal(queue, "hide", 0, receipt, S) == "ReceiptHandleIsInvalid"

    def test_extending_hides_from_now(self, queue: Queue) -> None:
        send(queue, "a1")
        queue.hide(8 * S, take(queue)["a1"], 10 * S)
        assert receive(queue, now=18 * S - 1) == []
        assert receive(queue, now=18 * S) == ["a1"]

    def test_a_shorter_timeout_counts_too(self, queue: Queue) -> None:
        send(queue, "a1")
        queue.hide(0, take(queue)["a1"], S)
        assert receive(queue, now=S) == ["a1"]
        # The timer of the first, longer timeout must not end the second hold early.
        assert receive(queue, now=10 * S) == []
        assert receive(queue, now=11 * S) == ["a1"]

    def test_releasing_shows_at_once(self, queue: Queue) -> None:
        send(queue, "a1")
        queue.hide(0, take(queue)["a1"], 0)
        assert receive(queue) == ["a1"]

    def test_a_timeout_of_zero_hides_nothing(self, queue: Queue) -> None:
        send(queue, "a1")
        assert len(queue.receive(0, most=1, hidden_ns=0)) == 1
        assert receive(queue) == ["a1"]

    def test_purge_leaves_nothing(self, queue: Queue) -> None:
        send(queue, "a1", "a2", "b1")
        receive(queue, most=1)
        queue.purge()
        assert (queue.depth(0), receive(queue, now=100 * S)) == ((0, 0, 0), [])
        send(queue, "a3")
        assert receive(queue) == ["a3"]

    def test_next_change_is_when_something_turns_visible_by_itself(self, queue: Queue) -> None:
        assert queue.next_change_ns() is None
        send(queue, "a1")
        receive(queue, now=7)
        assert queue.next_change_ns() == 10 * S + 7

    def test_deliverable_never_misses_a_message(self, queue: Queue) -> None:
        assert not queue.deliverable()
        send(queue, "a1")
        assert queue.deliverable()
        receive(queue)
        assert not queue.deliverable()
        queue.advance(10 * S)
        assert queue.deliverable()


class TestDeadLetters:
    @pytest.fixture(params=[FifoQueue, Standard])
    def pair(self, request: pytest.FixtureRequest) -> tuple[Queue, Queue]:
        kind: type[Queue] = request.param
        dead = kind(arn="dlq", settings=SETTINGS)
        settings = Settings(visibility_ns=10 * S, redrive=Redrive(dead_letter=dead, max_receives=2))
        return kind(arn="q", settings=settings), dead

    def test_a_message_goes_there_when_it_would_be_received_too_often(self, pair: tuple[Queue, Queue]) -> None:
        queue, dead = pair
        send(queue, "a1")
        assert receive(queue, now=0) == receive(queue, now=10 * S) == ["a1"]
        assert dead.depth(20 * S) == (0, 0, 0)
        assert receive(queue, now=20 * S) == []
        assert (queue.depth(20 * S), dead.depth(20 * S)) == ((0, 0, 0), (1, 0, 0))

    def test_its_receives_go_on_counting_and_it_knows_where_it_came_from(self, pair: tuple[Queue, Queue]) -> None:
        queue, dead = pair
        send(queue, "a1")
        original = queue.receive(0, most=1)[0].accepted.message_id
        for now in (10 * S, 20 * S):
            receive(queue, now=now)
        message = dead.receive(20 * S, most=1)[0]
        assert (message.receives, message.source_arn, message.accepted.message_id) == (3, "q", original)

    def test_it_keeps_its_group_and_the_next_of_the_group_follows(self, pair: tuple[Queue, Queue]) -> None:
        queue, dead = pair
        send(queue, "a1", "a2")
        for now in (0, 10 * S):
            assert receive(queue, now=now, most=1) == ["a1"] or not queue.fifo
        if queue.fifo:
            assert receive(queue, now=20 * S) == ["a2"]
            message = dead.receive(20 * S, most=1)[0]
            assert (message.draft.body, message.draft.group, message.sent_ns) == ("a1", "a", 20 * S)


class TestStandard:
    def test_the_latest_receipt_deletes_even_when_its_timeout_has_ended(self) -> None:
        queue = standard()
        send(queue, "a1")
        receipt = take(queue)["a1"]
        queue.delete(11 * S, receipt)
        assert receive(queue, now=11 * S) == []

    def test_an_older_receipt_succeeds_and_does_nothing(self) -> None:
        queue = standard()
        send(queue, "a1")
        old = take(queue)["a1"]
        receive(queue, now=10 * S)
        queue.delete(11 * S, old)
        assert receive(queue, now=20 * S) == ["a1"]

    def test_what_is_not_in_flight_cannot_be_extended(self) -> None:
        queue = standard()
        send(queue, "a1")
        assert refusal(queue, "hide", 10 * S, take(queue)["a1"], S) == "MessageNotInflight"

    def test_no_group_holds_anything_back_and_nothing_is_deduplicated(self) -> None:
        queue = standard()
        send(queue, "a1", "a2", "a1")
        assert receive(queue, most=1) + receive(queue) == ["a1", "a2", "a1"]

    def test_there_is_no_sequence_number(self) -> None:
        assert standard().send(0, Draft(body="x")).sequence is None

    def test_a_message_may_be_delayed_on_its_own(self) -> None:
        queue = standard(Settings(delay_ns=5 * S))
        queue.send(0, Draft(body="soon", delay_ns=0))
        queue.send(0, Draft(body="later"))
        queue.settings = Settings()
        queue.redelay()
        assert receive(queue, now=0) == ["soon"]
        assert receive(queue, now=5 * S) == ["later"]


class TestFifo:
    def test_a_batch_takes_as_many_of_a_group_as_it_can_then_the_next_group(self) -> None:
        queue = fifo()
        send(queue, "a1", "b1", "a2", "b2")
        assert receive(queue, most=3) == ["a1", "a2", "b1"]

    def test_a_group_is_locked_while_one_of_it_is_in_flight_and_others_flow(self) -> None:
        queue = fifo()
        send(queue, "a1", "a2", "b1")
        held = take(queue, most=1)
        assert receive(queue) == ["b1"]
        queue.delete(0, held["a1"])
        assert receive(queue) == ["a2"]

    def test_a_group_stays_locked_until_its_whole_batch_is_settled(self) -> None:
        queue = fifo()
        send(queue, "a1", "a2", "a3")
        held = take(queue, most=2)
        queue.delete(0, held["a1"])
        assert receive(queue) == []
        queue.hide(0, held["a2"], 0)
        assert receive(queue) == ["a2", "a3"]

    def test_order_survives_the_end_of_the_visibility_timeout(self) -> None:
        queue = fifo()
        send(queue, "a1", "a2", "a3")
        receive(queue, most=2)
        assert receive(queue, now=10 * S) == ["a1", "a2", "a3"]

    def test_order_survives_releases_in_any_order(self) -> None:
        queue = fifo()
        send(queue, "a1", "a2", "a3", "a4")
        held = take(queue, most=3)
        for name in ("a2", "a3", "a1"):
            queue.hide(0, held[name], 0)
        assert receive(queue) == ["a1", "a2", "a3", "a4"]

    def test_groups_take_turns(self) -> None:
        queue = fifo()
        send(queue, "a1", "a2", "b1")
        queue.delete(0, take(queue, most=1)["a1"])
        assert receive(queue, most=1) == ["b1"]

    def test_a_delayed_head_keeps_its_group_back(self) -> None:
        queue = fifo(settings=Settings(delay_ns=5 * S))
        send(queue, "a1")
        queue.settings = Settings()
        send(queue, "a2", "b1")
        assert receive(queue, now=0) == ["b1"]
        assert receive(queue, now=5 * S) == ["a1", "a2"]

    @pytest.mark.parametrize(("delay_s", "shown_s"), [(0, 0), (2, 2), (9, 9)])
    def test_a_new_delay_reaches_what_is_delayed_already(self, delay_s: int, shown_s: int) -> None:
        queue = fifo(settings=Settings(delay_ns=5 * S))
        send(queue, "a1")
        queue.settings = Settings(delay_ns=delay_s * S)
        queue.redelay()
        if shown_s:
            assert receive(queue, now=shown_s * S - 1) == []
        assert receive(queue, now=shown_s * S) == ["a1"]
        assert queue.depth(shown_s * S) == (0, 1, 0)

    def test_a_deduplication_id_is_accepted_again_and_not_delivered(self) -> None:
        queue = fifo()
        first = queue.send(0, Draft(body="x", group="a", dedup_id="1"))
        assert queue.send(300 * S - 1, Draft(body="y", group="b", dedup_id="1")) == first
        assert receive(queue) == ["x"]

    def test_a_deduplication_id_outlives_its_message(self) -> None:
        queue = fifo()
        send(queue, "a1")
        queue.delete(0, take(queue)["a1"])
        send(queue, "a1", now=S)
        assert receive(queue, now=S) == []

    def test_a_deduplication_id_is_forgotten_after_the_window(self) -> None:
        queue = fifo(settings=Settings(dedup_window_ns=2 * S))
        send(queue, "a1")
        send(queue, "a1", now=2 * S)
        assert receive(queue) == ["a1", "a1"]

    def test_a_repeat_does_not_lengthen_the_window(self) -> None:
        queue = fifo(settings=Settings(dedup_window_ns=2 * S))
        for now in (0, S, 2 * S):
            send(queue, "a1", now=now)
        assert receive(queue) == ["a1", "a1"]

    def test_deduplication_may_be_scoped_to_the_group(self) -> None:
        queue = fifo(settings=Settings(dedup_by_group=True))
        for group in "aba":
            queue.send(0, Draft(body=group, group=group, dedup_id="1"))
        assert sorted(receive(queue)) == ["a", "b"]

    def test_sequence_numbers_have_20_digits_and_grow(self) -> None:
        queue = fifo()
        numbers = [queue.send(0, Draft(body="x", group="a", dedup_id=str(n))).sequence or "" for n in range(100)]
        assert {len(number) for number in numbers} == {20}
        assert numbers == sorted(set(numbers), key=int)

    def test_a_stale_receipt_is_refused(self) -> None:
        queue = fifo()
        send(queue, "a1")
        stale = take(queue)["a1"]
        assert refusal(queue, "delete", 10 * S, stale) == "InvalidParameterValue"
        assert refusal(queue, "hide", 10 * S, stale, S) == "InvalidParameterValue"
        latest = take(queue, now=10 * S)["a1"]
        assert refusal(queue, "delete", 11 * S, stale) == "InvalidParameterValue"
        queue.delete(11 * S, latest)
        assert refusal(queue, "delete", 11 * S, stale) == "InvalidParameterValue"

    def test_dead_letters_do_not_unlock_or_block_their_group(self) -> None:
        dead = fifo()
        queue = fifo(settings=Settings(visibility_ns=10 * S, redrive=Redrive(dead_letter=dead, max_receives=1)))
        send(queue, "a1", "a2", "b1")
        assert receive(queue, most=1) == ["a1"]
        # One receive buries a1 and holds a2; the group is locked by a2 from then on.
        send(queue, "a3", now=S)
        assert receive(queue, now=10 * S, most=1) == ["b1"]
        assert receive(queue, now=10 * S, most=1) == ["a2"]
        assert receive(queue, now=10 * S) == []
        assert receive(dead, now=10 * S) == ["a1"]


class TestAttempts:
    """A receive that is repeated by its name, because its answer was lost."""

    def take(self, queue: FifoQueue, attempt: str | None, now: int = 0) -> dict[str, str]:
        return {m.draft.body: m.receipt for m in queue.receive(now, most=10, attempt=attempt)}

    def test_it_gives_the_same_messages_and_receipts_and_hides_them_anew(self) -> None:
        queue = fifo()
        send(queue, "a1", "a2", "b1")
        first = self.take(queue, "x")
        assert list(first) == ["a1", "a2", "b1"]
        assert self.take(queue, "x", now=6 * S) == first
        assert self.take(queue, "y", now=12 * S) == {}
        assert [m.receives for m in queue.receive(16 * S, most=10)] == [2, 2, 2]

    def test_another_name_or_none_is_another_receive(self) -> None:
        queue = fifo()
        send(queue, "a1")
        self.take(queue, "x")
        assert self.take(queue, "y") == self.take(queue, None) == {}

    @pytest.mark.parametrize("change", ["delete", "hide", "show", "time"])
    def test_not_when_a_message_was_touched_meanwhile(self, change: str) -> None:
        queue = fifo()
        send(queue, "a1", "b1")
        first = self.take(queue, "x")
        now = 0
        match change:
            case "delete":
                queue.delete(0, first["a1"])
            case "hide":
                queue.hide(0, first["a1"], 20 * S)
            case "show":
                queue.hide(0, first["a1"], 0)
            case "time":
                now = 10 * S
        again = self.take(queue, "x", now=now)
        assert set(again) == {"delete": set(), "hide": set(), "show": {"a1"}, "time": {"a1", "b1"}}[change]
        assert not set(again.values()) & set(first.values())


class TestMoveTasks:
    @pytest.fixture
    def inside(self) -> Inside:
        return Inside()

    def bury(self, inside: Inside, source: str, *bodies: str) -> None:
        """Sent, received once, and given up by the next receive."""
        for body in bodies:
            inside.send(source, body)
        inside.receive(source, VisibilityTimeout=0)
        assert inside.receive(source) == []

    @pytest.mark.parametrize("kind", ["", ".fifo"])
    def test_dead_letters_go_back_to_where_they_came_from_as_new_messages(self, inside: Inside, kind: str) -> None:
        source, dead = inside.dead_letters(kind)
        sent = inside.send(source, "a0")["MessageId"]
        self.bury(inside, source, "a1", "b1")
        assert inside.sqs("ListDeadLetterSourceQueues", QueueUrl=dead)["queueUrls"] == [source]
        inside.sqs("StartMessageMoveTask", SourceArn=arn_of(dead))
        (task,) = inside.sqs("ListMessageMoveTasks", SourceArn=arn_of(dead))["Results"]
        assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 3)
        assert inside.bodies(dead) == []
        back = inside.receive(source)
        assert [message["Body"] for message in back] == ["a0", "a1", "b1"]
        assert {message["Attributes"]["ApproximateReceiveCount"] for message in back} == {"1"}
        assert sent not in {message["MessageId"] for message in back}

    def test_a_dead_letter_of_a_fifo_queue_has_its_message_id_for_deduplication(self, inside: Inside) -> None:
        source, dead = inside.dead_letters(".fifo")
        self.bury(inside, source, "a1")
        (message,) = inside.receive(dead)
        assert message["Attributes"]["MessageDeduplicationId"] == message["MessageId"]

    def test_another_destination_may_be_named(self, inside: Inside) -> None:
        source, dead = inside.dead_letters()
        other = inside.queue("other")
        self.bury(inside, source, "a1")
        inside.send(dead, "sent here by hand")
        inside.sqs("StartMessageMoveTask", SourceArn=arn_of(dead), DestinationArn=arn_of(other))
        assert inside.bodies(other) == ["a1", "sent here by hand"]

    @pytest.mark.parametrize("kind", ["", ".fifo"])
    def test_what_came_from_nowhere_or_is_in_flight_stays(self, inside: Inside, kind: str) -> None:
        source, dead = inside.dead_letters(kind)
        inside.send(dead, "c by hand")
        held = inside.take(dead)
        inside.send(dead, "b by hand")
        self.bury(inside, source, "a1")
        inside.sqs("StartMessageMoveTask", SourceArn=arn_of(dead))
        (task,) = inside.sqs("ListMessageMoveTasks", SourceArn=arn_of(dead))["Results"]
        assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
        assert inside.bodies(source) == ["a1"]
        assert inside.bodies(dead) == ["b by hand"]
        inside.delete(dead, held["c by hand"])

    def test_what_cannot_be_is_refused(self, inside: Inside) -> None:
        source, dead = inside.dead_letters()
        refusal = inside.sqs.refusal
        assert refusal("StartMessageMoveTask", SourceArn=arn_of(source)) == "InvalidParameterValue"
        assert refusal("StartMessageMoveTask", SourceArn=arn_of("none")) == "ResourceNotFoundException"
        other = inside.queue("q.fifo")
        asked = {"SourceArn": arn_of(dead), "DestinationArn": arn_of(other)}
        assert refusal("StartMessageMoveTask", **asked) == "InvalidParameterValue"
        assert inside.sqs("ListMessageMoveTasks", SourceArn=arn_of(dead))["Results"] == []


@pytest.mark.parametrize("seed", range(20))
def test_a_fifo_queue_against_a_slow_and_obvious_one(seed: int) -> None:
    """Random work; what may be delivered is recomputed from scratch before every receive."""
    choice = random.Random(seed)
    queue = fifo()
    now, sent = 0, 0
    alive: dict[str, int] = {}  # body -> visible at, in the order of sending
    receipts: dict[str, str] = {}
    for _ in range(400):
        now += choice.randrange(2 * S)
        match choice.randrange(4):
            case 0 | 1:
                sent += 1
                name = f"{choice.choice('abcd')}{sent}"
                send(queue, name, now=now)
                alive[name] = now
            case 2:
                locked = {name[0] for name, at in alive.items() if at > now}
                allowed = [name for name in alive if name[0] not in locked]
                most = choice.randint(1, 10)
                got: list[Message] = queue.receive(now, most=most)
                names = [m.draft.body for m in got]
                assert len(names) == min(most, len(allowed))
                for group in "abcd":
                    mine = [n for n in names if n[0] == group]
                    assert mine == [n for n in allowed if n[0] == group][: len(mine)]
                for message in got:
                    alive[message.draft.body] = now + 10 * S
                    receipts[message.draft.body] = message.receipt
            case 3:
                held = [name for name, at in alive.items() if at > now]
                if held:
                    name = choice.choice(held)
                    if choice.random() < 0.5:
                        queue.delete(now, receipts[name])
                        del alive[name]
                    else:
                        hidden = choice.choice([0, S, 5 * S])
                        queue.hide(now, receipts[name], hidden)
                        alive[name] = now + hidden
    assert sum(queue.depth(now)) == len(alive)


class TestFairQueues:
    """A message's group is its tenant on a Standard queue (SQS developer guide, "How Amazon SQS fair queues work")."""

    def test_who_has_least_in_flight_comes_first(self) -> None:
        queue = standard()
        send(queue, "a1", "a2", "a3", "a4", "b1", "c1")
        assert receive(queue, most=4) == ["a1", "b1", "c1", "a2"]
        assert receive(queue) == ["a3", "a4"]

    def test_without_a_noise_the_one_that_waited_longest_comes_first(self) -> None:
        queue = standard()
        send(queue, "a1", "b1", "a2")
        assert receive(queue, most=1) == ["a1"]
        assert receive(queue, most=1) == ["b1"]
        assert receive(queue, most=1) == ["a2"]

    def test_a_message_without_a_group_is_a_tenant_of_its_own(self) -> None:
        queue = standard()
        send(queue, "a1", "a2")
        queue.send(0, Draft(body="x"))
        queue.send(0, Draft(body="y"))
        assert receive(queue) == ["a1", "x", "y", "a2"]

    def test_what_is_deleted_or_given_back_is_in_flight_no_longer(self) -> None:
        queue = standard()
        send(queue, "a1", "a2", "a3", "b1", "b2")
        held = take(queue, most=2)
        assert list(held) == ["a1", "b1"]
        queue.delete(0, held["a1"])
        assert receive(queue, most=1) == ["a2"]
        queue.hide(0, held["b1"], 0)
        # Nothing of b is in flight; b2 has waited longer than b1, which came back just now.
        assert receive(queue, most=1) == ["b2"]
        assert receive(queue) == ["a3", "b1"]

    def test_a_message_that_was_deleted_in_line_leaves_the_others_their_turn(self) -> None:
        queue = standard()
        send(queue, "a1", "a2")
        (receipt,) = take(queue, most=1).values()
        send(queue, "b1")
        queue.hide(0, receipt, 0)
        queue.delete(0, receipt)
        assert receive(queue) == ["a2", "b1"]
        assert not queue.deliverable()

    def test_expired_holds_come_back(self) -> None:
        queue = standard()
        send(queue, "a1", "a2", "b1")
        assert receive(queue) == ["a1", "b1", "a2"]
        assert sorted(receive(queue, now=10 * S)) == ["a1", "a2", "b1"]

    def test_an_unfair_one_heeds_no_group(self) -> None:
        queue = Standard(arn="q", settings=SETTINGS, conduct=Unfair())
        send(queue, "a1", "a2", "b1")
        assert receive(queue, most=2) == ["a1", "a2"]

    def test_every_message_comes_once_whatever_happens_to_it(self) -> None:
        chance, queue = random.Random(7), standard()
        sent, gone, now = set(), set(), 0
        held: dict[str, str] = {}
        for step in range(3000):
            now += chance.choice((0, S // 2))
            action = chance.random()
            if action < 0.4:
                body = f"{chance.choice('abcx')}{step}"
                queue.send(now, Draft(body=body, group=None if body[0] == "x" else body[0]))
                sent.add(body)
            elif action < 0.8:
                got = take(queue, now=now, most=chance.choice((1, 3, 10)))
                assert not gone & got.keys()
                held |= got
            elif held:
                body = chance.choice(sorted(held))
                receipt = held.pop(body)
                # Of an outdated receipt, which is no error on Standard, nothing need come.
                if chance.random() < 0.7:
                    queue.delete(now, receipt)
                    visible, hidden, delayed = queue.depth(now)
                    if visible + hidden + delayed == len(sent) - len(gone) - 1:
                        gone.add(body)
        while got := take(queue, now=(now := now + 10 * S)):
            assert not gone & got.keys()
            for body, receipt in got.items():
                queue.delete(now, receipt)
                gone.add(body)
        assert gone == sent
        assert queue.depth(now) == (0, 0, 0)
