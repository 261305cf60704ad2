"""The words of HISTORY.md, each as one small method over the facts of a run.

*Before*, *acked*, *copy*, *hold*, *dead*, *a before b*, *drained* and the truth about effects are defined here once;
the anomalies in `judge` are then sentences made of them. Where two records have no proven order, a method says which
way it leans: `before` is proof, `possibly_before` is the absence of proof to the contrary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.reference.reading import (
    FOREVER,
    About,
    Delivered,
    Drained,
    Effect,
    Facts,
    Invoked,
    Message,
    Moment,
    Number,
    ReadBack,
    Received,
    Responded,
    Sent,
    Step,
    Subscription,
)

Pair = tuple[str, str]
"""A message's id and a subscription's name."""

Copy = tuple[str, str | Number]
"""What identifies a copy: the broker's id on a queue, partition and sequence number on a stream."""

LONG_AGO = Moment(time=-FOREVER, file="")
NEVER = Moment(time=FOREVER, file="")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """When a hold may end.

    The earliest end is the least of `earliest`, each of which is the greatest of a few moments on different clocks
    (none known: no moment can be proven to lie before it). The latest end is the greatest of `latest`.
    """

    earliest: tuple[tuple[Moment, ...], ...]
    latest: tuple[Moment, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Ends that a hold may have, and when their call had been answered for certain."""

    ends: Ends
    answered: Moment | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a message stands in the order of a subscription."""

    partition: str | None
    number: Number


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One message of a subscription and how long it took. `first`: when it may first have been delivered, `had`: when
    it is proven to have been; None where it never was. `lag_ns` and `had_ns`: how long that took. `since_begun_ns`: how
    long `first` took from when its send began."""

    message: Message
    due: Moment
    first: Moment | None
    had: Moment | None
    lag_ns: int
    had_ns: int
    since_begun_ns: int


class Past:
    """The facts of one run, indexed, and the words that are defined over them."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.error = facts.manifest.clock_error_ns
        self.tick = facts.manifest.broker_tick_ns
        self.dead_letters_read = False  # Suppose that the dead letters had been read to their end, and no more found.
        self.subscriptions = dict(facts.manifest.subscriptions)
        self.messages = facts.messages
        self.receives: dict[Pair, list[Received]] = defaultdict(list)
        self.receives_of: dict[str, list[Received]] = defaultdict(list)
        self.receives_on: dict[str, list[Received]] = defaultdict(list)
        self.batches: dict[str | None, list[Received]] = defaultdict(list)
        self.effects: dict[Pair, list[Effect]] = defaultdict(list)
        self.effects_on: dict[str, list[Effect]] = defaultdict(list)
        self.steps: dict[Pair, list[Step]] = defaultdict(list)
        self.dead_of: dict[Pair, list[About]] = defaultdict(list)
        self.redriven_of: dict[Pair, list[About]] = defaultdict(list)
        self.drains: dict[str, list[Drained]] = defaultdict(list)
        for received in sorted(facts.receives, key=lambda one: at(one.moment)):
            self.receives[received.id, received.subscription].append(received)
            self.receives_of[received.id].append(received)
            self.receives_on[received.subscription].append(received)
            self.batches[received.batch].append(received)
        for effect in sorted(facts.effects, key=lambda one: at(one.moment)):
            self.effects[effect.id, effect.subscription].append(effect)
            self.effects_on[effect.subscription].append(effect)
        for step in facts.steps:
            self.steps[step.id, step.subscription].append(step)
        for dead in facts.dead:
            self.dead_of[dead.id, dead.subscription].append(dead)
        for redriven in facts.redriven:
            self.redriven_of[redriven.id, redriven.subscription].append(redriven)
        self.read_back: dict[Pair, ReadBack] = {}
        for one in sorted(facts.read_back, key=lambda one: at(one.moment)):
            self.read_back[one.id, one.subscription] = one
        self.acked_ids = {
            id for id, message in facts.messages.items() if any(sent.outcome == "ok" for sent in message.sends)
        }
        for drained in facts.drained:
            self.drains[drained.subscription].append(drained)
        files: dict[str | None, set[str]] = defaultdict(set)
        for message in facts.messages.values():
            files[message.producer] |= {attempt.intended.file for attempt in message.attempts}
        self.wandering = {producer for producer, written in files.items() if len(written) > 1} if self.error else set()
        self.delivered: dict[tuple[str, str | None], list[Delivered]] = defaultdict(list)
        for one in facts.delivered:
            self.delivered[one.subscription, one.batch].append(one)
        self.invoked: dict[tuple[str, str | None], list[Invoked]] = defaultdict(list)
        for invoked in sorted(facts.invoked, key=lambda one: at(one.moment)):
            self.invoked[invoked.subscription, invoked.batch].append(invoked)
        self.answers: dict[tuple[str, str | None], list[Responded]] = defaultdict(list)
        for responded in facts.responded:
            self.answers[responded.subscription, responded.batch].append(responded)
        self.telling = {(one.subscription, one.moment.file) for one in facts.delivered}
        self.unidentified = {one.subscription for one in facts.unidentified}
        # Settling calls that do not tell which hold they are of.
        self.loose: dict[str, list[Step]] = defaultdict(list)
        for step in facts.steps:
            queue = self.subscription(step.subscription).kind == "queue" and step.action != "checkpoint"
            if queue and step.may_have_worked and (not step.id or step.batch is None):
                self.loose[step.subscription].append(step)
        self.untold_batches = {
            (untold.subscription, untold.batch) for untold in facts.unidentified if untold.event == "received"
        }
        # Of every `received` and `redriven`, whoever it is of.
        self.received_at: dict[str, list[Moment]] = defaultdict(list)
        self.redriven_at: dict[str, list[Moment]] = defaultdict(list)
        for record in (*facts.receives, *(each for each in facts.unidentified if each.event == "received")):
            self.received_at[record.subscription].append(record.moment)
        for back in (*facts.redriven, *(each for each in facts.unidentified if each.event == "redriven")):
            self.redriven_at[back.subscription].append(back.moment)
        self.owners: dict[str, set[str]] = defaultdict(set)
        for message in facts.messages.values():
            if message.attempts:
                self.owners[message.key].add(message.id)
        self.shared = {name for name in facts.met_foreign if self.subscription(name).kind == "queue"}
        self._named_by_answers: dict[str, bool] = {}
        self._drained: dict[str, bool] = {}
        self._truth: dict[str, bool] = {}
        self._earlier: dict[str, dict[str, list[Message]]] = {}
        self._received_places: dict[Pair, Place | None] = {}
        self._sent_places: dict[Pair, Place | None] = {}
        self._samples: dict[str, list[Sample]] = {}
        self._ancestors: dict[tuple[str, str], frozenset[str]] = {}

    # -- time ---------------------------------------------------------------------------------------------------

    def before(self, a: Moment, b: Moment) -> bool:
        """*Before* means by more than that; what is closer, or equal, has no order. Within one file, line order
        decides."""
        if a.file == b.file:
            if a.line is not None and b.line is not None:
                return a.line < b.line
            return a.time < b.time
        return b.time - a.time > self.error

    def possibly_before(self, a: Moment, b: Moment) -> bool:
        """Not proven to be the other way round."""
        return not self.before(b, a)

    def surely_not_after(self, a: Moment, b: Moment) -> bool:
        """Proven to be at the same time or earlier, however the clocks stand."""
        if a.file == b.file:
            return not self.before(b, a)
        return b.time - a.time >= self.error

    def one_before_all(self, some: Iterable[Moment], others: Sequence[Moment]) -> bool:
        """The earliest of `some` is proven to lie before the earliest of `others`."""
        return any(all(self.before(one, other) for other in others) for one in some)

    # -- subscriptions and messages ------------------------------------------------------------------------------

    def subscription(self, name: str) -> Subscription:
        """The promise made of a subscription; one that the manifest does not name promises nothing."""
        known = self.subscriptions.get(name)
        return known if known is not None else _unnamed(name)

    def expectations(self) -> list[tuple[Message, Subscription]]:
        """Every message with every subscription in its `expect`."""
        return [
            (message, self.subscription(name)) for message in self.messages.values() for name in sorted(message.expect)
        ]

    def intended(self, id: str) -> bool:
        return id in self.messages and bool(self.messages[id].attempts)

    def acked(self, id: str) -> bool:
        """*acked*: an attempt is `ok`."""
        return id in self.acked_ids

    def failed(self, id: str) -> bool:
        """*failed*: it has attempts, each intended attempt has its `sent` (as many as it was intended), and all are
        `failed`."""
        if id not in self.messages or not self.messages[id].attempts:
            return False
        message = self.messages[id]
        return all(attempt.sent is not None for attempt in message.attempts) and all(
            sent.outcome == "failed" for sent in message.sends
        )

    def contradictions(self) -> list[str]:
        """*the clocks contradict*: a `received` or a `dead` of m is earlier than m's first `intended` by more than
        `clock_error_ns` (in one file: at all)."""
        seen = [(received.id, received.moment) for received in self.facts.receives]
        seen += [(dead.id, dead.moment) for dead in self.facts.dead]
        return [
            f"{moment.file}:{moment.line} is before {id} was intended"
            for id, moment in seen
            if self.intended(id)
            and all(self.before(moment, attempt.intended) for attempt in self.messages[id].attempts)
        ]

    def received(self, id: str, subscription: str) -> bool:
        return bool(self.receives.get((id, subscription)))

    def receives_at(self, id: str, subscription: str) -> list[Received]:
        return self.receives.get((id, subscription), [])

    def copies(self, id: str, subscription: str) -> dict[Copy, list[Received]]:
        """*copy* of m on s: on a queue one `broker_id`, on a stream one (`partition`, `broker_seq`)."""
        found: dict[Copy, list[Received]] = {}
        for received in self.receives_at(id, subscription):
            copy = self.copy_of(received)
            if copy is not None:
                found.setdefault(copy, []).append(received)
        return found

    def copy_of(self, received: Received) -> Copy | None:
        if self.subscription(received.subscription).kind == "queue":
            return None if received.broker_id is None else ("", received.broker_id)
        if received.partition is None or received.number is None:
            return None
        return (received.partition, received.number)

    def uncounted(self, received: Received) -> bool:
        """It has no `receives`, or another receive of that copy in another batch has the same."""
        copy = self.copy_of(received)
        return received.receives is None or any(
            other is not received
            and self.copy_of(other) == copy is not None
            and other.receives == received.receives
            and (other.batch is None or other.batch != received.batch)
            for other in self.receives_at(received.id, received.subscription)
        )

    # -- what records do not tell ----------------------------------------------------------------------------------

    def in_doubt(self, id: str, subscription: str) -> bool:
        """m is *in doubt* on s: a record on s is unidentified, and m may be what it is of. Where s is seen from
        `nobody`, every message is."""
        return self.subscription(subscription).seen_from == "nobody" or self.may_be_unidentified(id, subscription)

    def may_have_been_had(self, id: str, subscription: str) -> bool:
        """*shared*: it expects s or was seen there, and was not received as one copy of which each receive that the
        broker counts is recorded, up to its death if it died; or it was redriven there."""
        if subscription not in self.shared:
            return False
        receives = self.receives_at(id, subscription)
        deaths = self.dead_of.get((id, subscription), [])
        gone = bool(deaths or self.redrives(id, subscription))
        expects = id in self.messages and subscription in self.messages[id].expect
        if not (receives or gone or expects):
            return False
        copies = {one.broker_id for one in receives}
        counts = {one.receives for one in receives}
        if len(copies) != 1 or None in copies or None in counts:
            return True
        most = max(count or 0 for count in counts)
        if counts != set(range(1, 1 + most)):
            return True
        return bool(self.redrives(id, subscription)) or any(one.receives != most for one in deaths)

    def may_be_unidentified(self, id: str, subscription: str) -> bool:
        """It may be what an unidentified record is of, or others may have had it."""
        return self.may_have_been_had(id, subscription) or self._may_be_untold(id, subscription)

    def _may_be_untold(self, id: str, subscription: str) -> bool:
        """It expects s or was seen there, a record on s is unidentified, and: not each of its attempts has an answer
        that is `ok` or `failed`; or an `ok` one names no copy, or the one that an unidentified record on s names; or a
        `redriven` of it on s, or a mark of a replay, is there; or no `received` on s names a copy that any `ok` `sent`
        names; or an unidentified `dead` or `redriven` on s names none that a `received` on s names."""
        if subscription not in self.unidentified:
            return False
        seen = self.received(id, subscription) or self.deaths(id, subscription) or self.redrives(id, subscription)
        if id not in self.messages:
            return bool(seen)
        message = self.messages[id]
        if subscription not in message.expect and not seen:
            return False
        named = [self._named(sent, subscription) for sent in message.sends if sent.outcome == "ok"]
        untold = {one.copy for one in self.facts.unidentified if one.subscription == subscription}
        return (
            may_have_landed_unnumbered(message)
            or None in named
            or bool(untold & set(named))
            or bool(self.redrives(id, subscription))
            or any(replay.marks for replay in self.facts.replays)
            or not self._answers_name_copies_of(subscription)
            or self._dead_have_other_names(subscription)
        )

    def _named(self, sent: Sent, subscription: str) -> object:
        if self.subscription(subscription).kind == "queue":
            return sent.broker_id
        return None if sent.partition is None or sent.number is None else (sent.partition, sent.number)

    def _received_names(self, subscription: str) -> set[object]:
        kind = self.subscription(subscription).kind
        names: set[object] = {
            one.copy for one in self.facts.unidentified if one.subscription == subscription and one.event == "received"
        }
        for one in self.receives_on.get(subscription, []):
            placed = None if one.partition is None or one.number is None else (one.partition, one.number)
            names.add(one.broker_id if kind == "queue" else placed)
        return names - {None}

    def _dead_have_other_names(self, subscription: str) -> bool:
        dead = {
            one.copy
            for one in self.facts.unidentified
            if one.subscription == subscription and one.event in ("dead", "redriven")
        }
        return not dead <= self._received_names(subscription)

    def _answers_name_copies_of(self, subscription: str) -> bool:
        if subscription not in self._named_by_answers:
            answered = {
                self._named(sent, subscription)
                for message in self.messages.values()
                for sent in message.sends
                if sent.outcome == "ok"
            } - {None}
            self._named_by_answers[subscription] = bool(answered & self._received_names(subscription))
        return self._named_by_answers[subscription]

    def may_have_had(self, received: Received) -> Moment | None:
        """When a receive may first have been delivered."""
        told = self.delivered.get((received.subscription, received.batch), [])
        if not told or any(one.outcome == "unknown" for one in told):
            return received.moment
        return self._passed_on(told)

    def had(self, received: Received) -> Moment | None:
        """When a receive is proven to have been delivered: at its own `at`; one in a `batch` of s that has a
        `delivered` instead when the first `ok` one says. One whose file has a `delivered` of s, but none of its batch,
        may have been and is not proven to have been."""
        told = self.delivered.get((received.subscription, received.batch), [])
        if not told and (received.subscription, received.moment.file) not in self.telling:
            return received.moment
        return self._passed_on(told)

    def _passed_on(self, told: Sequence[Delivered]) -> Moment | None:
        return min((one.moment for one in told if one.outcome == "ok"), key=at, default=None)

    def shares_key(self, id: str, subscription: str) -> bool:
        """It shares its key with another message, s was read back, and no `effects` of s has its `id`."""
        return (
            self.facts.keys_told
            and self.intended(id)
            and len(self.owners[self.messages[id].key]) > 1
            and self.truth(subscription)
            and (id, subscription) not in self.read_back
            and self.concerned_here(id, subscription)
        )

    def concerned_here(self, id: str, subscription: str) -> bool:
        """acked and expects s, or was received there, or has an `effect` there"""
        meant = id in self.messages and subscription in self.messages[id].expect
        handled = bool(self.effects.get((id, subscription)))
        return (self.acked(id) and meant) or self.received(id, subscription) or handled

    def cause_told(self, id: str, subscription: str) -> bool:
        """Whether anybody who sees handlers tells what they did with it; not who sees only that an invocation of
        several was failed."""
        blamed = any(
            answer_fails(answer, id)
            for one in self.invocations_of(id, subscription)
            for answer in self.answers[subscription, one.batch]
        )
        if self.subscription(subscription).seen_from == "consumer" and not blamed:
            return True
        handled = bool(self.effects.get((id, subscription))) and self.received(id, subscription)
        return handled and not self.without_effect(id, subscription)

    def redrives(self, id: str, subscription: str) -> list[Moment]:
        return [redriven.moment for redriven in self.redriven_of.get((id, subscription), [])]

    def deaths(self, id: str, subscription: str) -> list[Moment]:
        return [dead.moment for dead in self.dead_of.get((id, subscription), [])]

    def possibly_dead(self, id: str, subscription: str) -> bool:
        """*dead* on s: a `dead` that no `redriven` follows. Here: none is proven to follow (it excuses)."""
        redrives = self.redrives(id, subscription)
        return any(
            not any(self.before(dead, redriven) for redriven in redrives) for dead in self.deaths(id, subscription)
        )

    def surely_dead(self, id: str, subscription: str) -> bool:
        """*dead* on s: a `dead` that no `redriven` follows. Here: all are proven to precede it (it blames)."""
        redrives = self.redrives(id, subscription)
        return any(all(self.before(redriven, dead) for redriven in redrives) for dead in self.deaths(id, subscription))

    def possibly_died_by(self, id: str, subscription: str, moment: Moment) -> bool:
        """Whether the message may have become a dead letter by then: it was found dead at some time, or nobody has
        read the dead letters since."""
        if self.deaths(id, subscription) or self.redrives(id, subscription):
            return True
        spec = self.subscription(subscription)
        return (
            spec.dead_letter
            and not self.dead_letters_read
            and not any(self.before(moment, drained.moment) for drained in self.drains.get(subscription, []))
        )

    # -- invocations -----------------------------------------------------------------------------------------------

    def is_invocation(self, received: Received) -> bool:
        """A receive of m in a `batch` of s that has an `invoked`; where s is settled by the service without
        `invocations: all`, any receive of m there."""
        spec = self.subscription(received.subscription)
        recorded = bool(self.invoked.get((received.subscription, received.batch)))
        return recorded or (spec.by_service and not spec.all_invoked)

    def invocations_of(self, id: str, subscription: str) -> list[Received]:
        return [one for one in self.receives_at(id, subscription) if self.is_invocation(one)]

    def began(self, received: Received) -> Moment:
        """At the earliest `invoked` of its batch, else at the receive."""
        invoked = self.invoked.get((received.subscription, received.batch))
        return invoked[0].moment if invoked else received.moment

    def answers_to(self, received: Received) -> list[Responded]:
        return self.answers.get((received.subscription, received.batch), [])

    def invocation_failed(self, received: Received) -> bool:
        """It has an answer, and each of them fails m."""
        answers = self.answers_to(received)
        return bool(answers) and all(answer_fails(answer, received.id) for answer in answers)

    def may_have_done(self, received: Received) -> bool:
        """An answer is `ok` and does not fail m."""
        return any(
            answer.outcome == "ok" and not answer_fails(answer, received.id) for answer in self.answers_to(received)
        )

    def reported_done(self, received: Received) -> bool:
        """It has an answer, and each is `ok`, does not fail m and names in `failed` none but messages of the batch; on
        a stream names none in `failed` at all."""
        spec = self.subscription(received.subscription)
        answers = self.answers_to(received)
        mates = {one.id for one in self.batches[received.batch] if one.subscription == spec.name}
        allowed = mates - {received.id} if spec.kind == "queue" else set()
        return (
            self.is_invocation(received)
            and bool(answers)
            and all(answer.outcome == "ok" and set(answer.failed) <= allowed for answer in answers)
        )

    def handler_failed(self, received: Received) -> bool:
        """*who failed it*: an `ok` answer names m in `failed` (on a queue that is `ordered_by` `group` only the first
        in `ids` of those that it names, or the only one), or a `failed` one is of a batch in which m is alone."""
        spec, key = self.subscription(received.subscription), (received.subscription, received.batch)
        ids = self.invoked[key][0].ids if self.invoked.get(key) else ()
        for answer in self.answers_to(received):
            if answer.outcome == "failed":
                others = {one.id for one in self.batches[received.batch] if one.subscription == spec.name}
                others |= {id for invoked in self.invoked.get(key, []) for id in invoked.ids}
                if others == {received.id} and key not in self.untold_batches:
                    return True
            elif received.id in answer.failed:
                in_turn = spec.kind == "queue" and spec.ordered_by == "group"
                if not in_turn or len(set(answer.failed)) == 1:
                    return True
                if set(answer.failed) <= set(ids) and received.id == next(id for id in ids if id in answer.failed):
                    return True
        return False

    def failed_by_handler(self, id: str, subscription: str) -> bool:
        """By an `effect` that is `failed`, or by what an invocation of it answered."""
        return any(effect.outcome == "failed" for effect in self.effects.get((id, subscription), [])) or any(
            self.handler_failed(one) for one in self.invocations_of(id, subscription)
        )

    def presumed_deletes(self, id: str, subscription: str) -> list[Step]:
        """Where s is settled by the service, a delete of m may have begun when an invocation of m began, and may have
        worked, unless that invocation failed m."""
        spec = self.subscription(subscription)
        if not spec.by_service or spec.kind != "queue":
            return []
        return [
            Step(
                id=id,
                subscription=subscription,
                action="delete",
                batch=one.batch,
                broker_id=one.broker_id,
                begun=self.began(one),
                answered=None,
                outcome=None,
                hidden_ns=None,
                partition=None,
                number=None,
            )
            for one in self.invocations_of(id, subscription)
            if not self.invocation_failed(one)
        ]

    # -- steps and holds -------------------------------------------------------------------------------------------

    def steps_of(self, id: str, subscription: str, action: str) -> list[Step]:
        return [step for step in self.steps.get((id, subscription), []) if step.action == action]

    def deletes(self, id: str, subscription: str) -> list[Step]:
        return self.steps_of(id, subscription, "delete")

    def of_hold(self, step: Step, hold: Received) -> bool:
        """The step belongs to that receive: same message, subscription and batch, and no other copy."""
        return (
            (step.id, step.subscription, step.batch) == (hold.id, hold.subscription, hold.batch)
            and step.batch is not None
            and (step.broker_id is None or hold.broker_id is None or step.broker_id == hold.broker_id)
        )

    def may_be_of(self, step: Step, hold: Received) -> bool:
        """A settling call that does not tell its hold may be of that one: by the message or the batch that it names, or
        by neither. One that names a copy which cannot be told is of a message in doubt."""
        if step.id:
            return step.id == hold.id and (
                step.broker_id is None or hold.broker_id is None or step.broker_id == hold.broker_id
            )
        if step.broker_id is not None and not self.may_be_unidentified(hold.id, hold.subscription):
            return False
        received = {one.batch for one in self.receives_on[hold.subscription]} - {None}
        told = step.batch in received and (hold.subscription, step.batch) not in self.untold_batches
        return not told or step.batch == hold.batch

    def possible_deletes(self, id: str, subscription: str) -> list[Step]:
        """Those of it, those that name no message and may be of it, and those that a service may have begun."""
        return self.recorded_deletes(id, subscription) + self.presumed_deletes(id, subscription)

    def recorded_deletes(self, id: str, subscription: str) -> list[Step]:
        """Those of it, and those that name no message and may be of it."""
        unnamed = [step for step in self.loose[subscription] if step.action == "delete" and not step.id]
        return self.deletes(id, subscription) + [
            step
            for step in unnamed
            if step.broker_id is None and any(self.may_be_of(step, hold) for hold in self.receives_at(id, subscription))
        ]

    def perhaps_redriven(self, id: str, subscription: str) -> bool:
        """A `redriven` on s that cannot be told may be of it, or others may have sent it back."""
        untold = any(one.subscription == subscription and one.event == "redriven" for one in self.facts.unidentified)
        return (untold or subscription in self.shared) and self.may_be_unidentified(id, subscription)

    def holds_of(self, step: Step) -> list[Received]:
        return [hold for hold in self.receives_at(step.id, step.subscription) if self.of_hold(step, hold)]

    def ends(self, hold: Received, question: Moment) -> Ends:
        """*hold*: one `received` on a queue. Its earliest end is `hidden_s` after the later of the receive's `started`
        and m's first `intended`, less `broker_tick_ns`; its latest end is `hidden_s` after `at`. An `extend` of the
        same `batch`, begun before the receive or delete in question, gives two other ends, `hidden_s` after it was
        begun (less the tick) and after its answer. One answered `ok` before the earliest end replaces the ends of the
        receive, and those of extends that had been answered `ok` before it began; those of any other that may have
        worked stand beside them: the earliest end is the earliest of all that stand, the latest the latest."""
        spec = self.subscription(hold.subscription)
        if spec.by_service and spec.kind == "queue" and not self.reported_done(hold):
            # A release of it may have begun at any time.
            return Ends(earliest=((),), latest=(NEVER,))
        if any(
            self.possibly_before(hold.moment, step.begun) and self.possibly_before(step.begun, question)
            for step in self.loose[hold.subscription]
            if step.action in ("release", "extend") and self.may_be_of(step, hold)
        ):
            return Ends(earliest=((),), latest=(NEVER,))
        standing = [Standing(ends=self._first_ends(hold), answered=LONG_AGO)]
        for extend in self.steps_of(hold.id, hold.subscription, "extend"):
            if not self.of_hold(extend, hold) or not extend.may_have_worked:
                continue
            if self.before(question, extend.begun):
                continue
            answered = extend.answered if extend.outcome == "ok" else None
            in_time = answered is not None and self.before_earliest(answered, _all(standing))
            if in_time and self.before(extend.begun, question):
                standing = [
                    one for one in standing if one.answered is None or not self.before(one.answered, extend.begun)
                ]
            standing.append(Standing(ends=self._extended(extend), answered=answered))
        return _all(standing)

    def _extended(self, extend: Step) -> Ends:
        """`hidden_s` after it was begun (less the tick) and after its answer."""
        if extend.hidden_ns is None:
            return Ends(earliest=((),), latest=(NEVER,))
        early = later(extend.begun, extend.hidden_ns - self.tick)
        late = NEVER if extend.answered is None else later(extend.answered, extend.hidden_ns)
        return Ends(earliest=((early,),), latest=(late,))

    def end_if_left_alone(self, hold: Received) -> int | None:
        """A hold's earliest end if nobody gave it back or extended it; None where nothing tells."""
        (starts,) = self._first_ends(hold).earliest
        return max((one.time for one in starts), default=None)

    def _first_ends(self, hold: Received) -> Ends:
        if hold.hidden_ns is None:
            return Ends(earliest=((),), latest=(NEVER,))
        starts: list[Moment] = []
        if hold.started is not None:
            starts.append(hold.started)
        if self.intended(hold.id):
            starts.append(min((attempt.intended for attempt in self.messages[hold.id].attempts), key=at))
        earliest = tuple(later(start, hold.hidden_ns - self.tick) for start in starts)
        return Ends(earliest=(earliest,), latest=(later(hold.moment, hold.hidden_ns),))

    def before_earliest(self, moment: Moment, ends: Ends) -> bool:
        return all(any(self.before(moment, one) for one in group) for group in ends.earliest)

    def near_earliest(self, moment: Moment, ends: Ends) -> bool:
        """Later than the earliest end by less than the clocks may be off, or not later at all."""
        return all(any(moment.time - one.time < self.error for one in group) for group in ends.earliest)

    def after_latest(self, moment: Moment, ends: Ends) -> bool:
        return all(self.before(one, moment) for one in ends.latest)

    # -- order -----------------------------------------------------------------------------------------------------

    def ancestors(self, subscription: str, partition: str) -> frozenset[str]:
        """Every partition that was split or merged, in however many steps, into this one."""
        key = (subscription, partition)
        if key not in self._ancestors:
            found: set[str] = set()
            ahead = [partition]
            while ahead:
                for parent in self.facts.parents.get((subscription, ahead.pop()), frozenset()):
                    if parent not in found:
                        found.add(parent)
                        ahead.append(parent)
            self._ancestors[key] = frozenset(found)
        return self._ancestors[key]

    def place_before(self, a: Place, b: Place, spec: Subscription) -> bool:
        """On a stream only within one partition; an ancestor's records come before a descendant's."""
        if spec.kind == "queue":
            return a.number < b.number
        if a.partition is None or b.partition is None:
            return False
        if a.partition == b.partition:
            return a.number < b.number
        return a.partition in self.ancestors(spec.name, b.partition)

    def least(self, places: Iterable[Place], spec: Subscription) -> Place | None:
        """The place that comes before all the others, if there is one."""
        distinct = list(dict.fromkeys(places))
        for place in distinct:
            if all(other is place or self.place_before(place, other, spec) for other in distinct):
                return place
        return None

    def received_place(self, id: str, spec: Subscription) -> Place | None:
        """The smallest `broker_seq` under which it was received on s before any `redriven` of it."""
        key = (id, spec.name)
        if key not in self._received_places:
            self._received_places[key] = self._received_place(id, spec)
        return self._received_places[key]

    def _received_place(self, id: str, spec: Subscription) -> Place | None:
        redrives = self.redrives(id, spec.name)
        return self.least(
            (
                Place(partition=received.partition if spec.kind == "stream" else None, number=received.number)
                for received in self.receives_at(id, spec.name)
                if received.number is not None and all(self.before(received.moment, redriven) for redriven in redrives)
            ),
            spec,
        )

    def sent_place(self, message: Message, spec: Subscription) -> Place | None:
        """The `broker_seq` of its `ok` sends; on a stream one that tells no partition is missing."""
        key = (message.id, spec.name)
        if key not in self._sent_places:
            self._sent_places[key] = self._sent_place(message, spec)
        return self._sent_places[key]

    def _sent_place(self, message: Message, spec: Subscription) -> Place | None:
        return self.least(
            (
                Place(partition=sent.partition if spec.kind == "stream" else None, number=sent.number)
                for sent in message.sends
                if sent.outcome == "ok"
                and sent.number is not None
                and (spec.kind != "stream" or sent.partition is not None)
            ),
            spec,
        )

    def ended_before_began(self, a: Message, b: Message) -> bool:
        """a's last attempt ended before b's first began."""
        if not a.attempts or not b.attempts or any(attempt.sent is None for attempt in a.attempts):
            return False
        ended = [sent.moment for sent in a.sends]
        if a.producer in self.wandering:
            # By the clock of no file: more than the error has to lie between any two.
            ended = [replace(moment, file=f"{moment.file} elsewhere") for moment in ended]
        for attempt in b.attempts:
            starts = attempt.may_have_started if attempt.sent is not None else ()
            for end in ended:
                started_later = bool(starts) and all(one is not None and self.before(end, one) for one in starts)
                if not started_later and not self.before(end, attempt.intended):
                    return False
        return True

    def one_call(self, a: Message, b: Message) -> bool:
        """All attempts of both went in one `call`, a's entry before b's."""
        calls = {None if attempt.sent is None else attempt.sent.call for attempt in (*a.attempts, *b.attempts)}
        if len(calls) != 1 or None in calls or not a.attempts or not b.attempts:
            return False
        return all(_entered_before(one, two) for one in a.sends for two in b.sends)

    def comes_before(self, a: Message, b: Message, spec: Subscription) -> bool:
        """*a before b* on s, for two messages of one group, s with `ordered_by`: by the smallest `broker_seq` under
        which each was received on s before any `redriven` of it; where either was never received or has no number
        there, by the `broker_seq` of their `ok` sends (the two kinds are never mixed: SNS and SQS number apart); where
        that is missing too, by `seq` of one producer, if a's last attempt ended before b's first began, or all
        attempts of both went in one `call` to a queue or topic. On a stream only within one partition; an ancestor's
        records come before a descendant's."""
        if a.id == b.id or a.group is None or a.group != b.group or spec.ordered_by is None:
            return False
        a_received, b_received = self.received_place(a.id, spec), self.received_place(b.id, spec)
        if a_received is not None and b_received is not None:
            return self.place_before(a_received, b_received, spec)
        a_sent, b_sent = self.sent_place(a, spec), self.sent_place(b, spec)
        if a_sent is not None and b_sent is not None:
            return self.place_before(a_sent, b_sent, spec) and not may_have_landed_unnumbered(b)
        if a.producer is None or a.producer != b.producer or a.seq is None or b.seq is None or a.seq >= b.seq:
            return False
        if spec.kind == "stream":
            return self._in_line(a, b, spec) and self.acked(a.id) and self.ended_before_began(a, b)
        return self.one_call(a, b) or (self.acked(a.id) and self.ended_before_began(a, b))

    def _in_line(self, a: Message, b: Message, spec: Subscription) -> bool:
        """Both are known to be in one partition each, the same one or an ancestor and its descendant."""
        a_in, b_in = self._partitions(a, spec), self._partitions(b, spec)
        if len(a_in) != 1 or len(b_in) != 1:
            return False
        (one,), (two,) = a_in, b_in
        return one == two or one in self.ancestors(spec.name, two)

    def _partitions(self, message: Message, spec: Subscription) -> set[str]:
        received = {one.partition for one in self.receives_at(message.id, spec.name) if one.partition is not None}
        sent = {one.partition for one in message.sends if one.outcome == "ok" and one.partition is not None}
        return received | sent

    def earlier(self, spec: Subscription) -> dict[str, list[Message]]:
        """For each message on an ordered subscription, the messages that come before it there."""
        if spec.name not in self._earlier:
            groups: dict[str, list[Message]] = defaultdict(list)
            for message in self.messages.values():
                effects = self.applied(message.id, spec.name) or self.applied_effects(message.id, spec.name)
                if message.group is not None and (effects or self.belongs(message, spec)):
                    groups[message.group].append(message)
            self._earlier[spec.name] = {
                b.id: [a for a in group if self.comes_before(a, b, spec)] for group in groups.values() for b in group
            }
        return self._earlier[spec.name]

    def belongs(self, message: Message, spec: Subscription) -> bool:
        """It is expected on a subscription, or was received there."""
        return spec.name in message.expect or self.received(message.id, spec.name)

    def ordered(self) -> list[Subscription]:
        return [spec for spec in self.subscriptions.values() if spec.ordered_by is not None]

    # -- drained, effects, lag -------------------------------------------------------------------------------------

    def drained(self, subscription: str) -> bool:
        """*drained*: the last `drained` mark of s has `empty: true`, it follows every `sent` of a message that
        expects s by at least `settle_s`, every mark of a replay by as much, and every `redriven` to s, and no
        `received` on s follows it; and s is not shared."""
        if subscription in self.shared:
            return False
        if subscription not in self._drained:
            self._drained[subscription] = any(
                self._drains(mark, subscription) for mark in self.drains.get(subscription, [])
            )
        return self._drained[subscription]

    def _drains(self, mark: Drained, subscription: str) -> bool:
        if not mark.empty:
            return False
        for other in self.drains[subscription]:
            last = other is mark or self.before(other.moment, mark.moment)
            if not last and (not other.empty or self.before(mark.moment, other.moment)):
                return False
        settle = self.subscription(subscription).settle_ns
        for message in self.messages.values():
            if subscription in message.expect and not all(
                self._settled_by(sent.moment, mark.moment, settle) for sent in message.sends
            ):
                return False
        marks = [moment for replay in self.facts.replays for moment in replay.marks]
        if not all(self._settled_by(moment, mark.moment, settle) for moment in marks):
            return False
        return all(
            self.before(moment, mark.moment)
            for moment in (*self.redriven_at[subscription], *self.received_at[subscription])
        )

    def _settled_by(self, moment: Moment, mark: Moment, settle: int) -> bool:
        doubt = 0 if moment.file == mark.file else self.error
        return self.before(moment, mark) and mark.time - moment.time - doubt >= settle

    def effects_kept(self) -> bool:
        """False in a run without any `effect` and `effects-read`: there no effect anomaly is counted."""
        return bool(self.facts.effects) or bool(self.facts.effects_read)

    def truth(self, subscription: str) -> bool:
        """Where an `effects-read` mark of s follows every `received` and `effect` of s, the `effects` records are the
        truth."""
        if subscription not in self._truth:
            written = list(self.received_at[subscription])
            written += [effect.moment for effect in self.effects_on.get(subscription, [])]
            self._truth[subscription] = any(
                all(self.before(moment, mark.moment) for moment in written)
                for mark in self.facts.effects_read
                if mark.subscription == subscription
            )
        return self._truth[subscription]

    def effects_recorded(self, subscription: str) -> bool:
        if self.subscription(subscription).effects_elsewhere:
            return self.truth(subscription)
        return self.truth(subscription) or bool(self.effects_on.get(subscription))

    def applied_effects(self, id: str, subscription: str) -> list[Effect]:
        return [effect for effect in self.effects.get((id, subscription), []) if effect.outcome == "applied"]

    def applied(self, id: str, subscription: str) -> int:
        """How often it was applied: by the store (no record means zero), else by the `applied` records."""
        if not self.truth(subscription):
            elsewhere = self.subscription(subscription).effects_elsewhere
            return 0 if elsewhere else len(self.applied_effects(id, subscription))
        found = self.read_back.get((id, subscription))
        return found.applied if found is not None else 0

    def without_effect(self, id: str, subscription: str) -> list[Received]:
        """The receives without an `effect` of their batch."""
        batches = {effect.batch for effect in self.effects.get((id, subscription), [])}
        return [received for received in self.receives_at(id, subscription) if received.batch not in batches]

    def unknown_effect(self, id: str, subscription: str) -> bool:
        """Otherwise ... a `received` without an `effect` of its batch means that the effect is unknown; so is, then,
        that of a message in doubt on s which is acked and expects s, or was received there or has an `effect`; and that
        of every message where `effects_from` is `read-back`. Where the store was read back, that of a message which
        shares its key."""
        if self.truth(subscription):
            return self.shares_key(id, subscription)
        if self.subscription(subscription).effects_elsewhere:
            return True
        return bool(self.without_effect(id, subscription)) or (
            self.in_doubt(id, subscription) and self.concerned_here(id, subscription)
        )

    def concerned(self, id: str, subscription: str) -> bool:
        """acked or received on s."""
        return self.acked(id) or self.received(id, subscription)

    # -- large messages and schemas -------------------------------------------------------------------------------

    def gone(self, id: str, subscription: str) -> list[Moment]:
        """A `fetched` there that is `gone`; and where a delete of it there was answered `ok`, a `removed` that is
        `ok`."""
        deleted = any(step.outcome == "ok" for step in self.deletes(id, subscription))
        return [
            one.moment
            for one in self.facts.fetched
            if (one.id, one.subscription, one.outcome) == (id, subscription, "gone")
        ] + [moment for of, moment in self.facts.removed if deleted and of == id]

    def objects_were_read(self) -> bool:
        """The last `objects-read` mark follows every record of an object, and every `received`."""
        return self._last_reading() is not None

    def objects_are_bounded(self) -> bool:
        reading = self._last_reading()
        return reading is not None and reading[1]

    def _last_reading(self) -> tuple[Moment, bool] | None:
        if not self.facts.objects_read:
            return None
        last = max(self.facts.objects_read, key=lambda reading: at(reading[0]))
        return last if all(self.before(moment, last[0]) for moment in self.facts.objects_touched) else None

    def without_message(self, id: str) -> bool:
        """Its object is left, and the message is nowhere: each place that it is meant for, or was received at, is
        drained, and it is neither dead nor in doubt there."""
        places = {*self.messages[id].expect, *(one.subscription for one in self.receives_of.get(id, []))}
        return self.objects_were_read() and all(
            self.drained(name) and not self.possibly_dead(id, name) and not self.in_doubt(id, name) for name in places
        )

    def schemas_told(self) -> list[tuple[str, str, str]]:
        """What each `received` and `fetched` says, if it says `ok` or `bad`."""
        return [
            (one.id, one.subscription, one.schema)
            for one in (*self.facts.receives, *self.facts.fetched)
            if one.id and one.schema in ("ok", "bad")
        ]

    def samples(self, subscription: str) -> list[Sample]:
        """messages acked or received and not dead: first(m, s) - `due`, at least 0; one never received counts with the
        history's last `at` - `due`."""
        if subscription not in self._samples:
            self._samples[subscription] = list(self._measure(subscription))
        return self._samples[subscription]

    def doubt(self, sample: Sample, first: Moment | None) -> int:
        """By how much the lag of a message may be wrong: not at all where one file intended and first received it."""
        attempts = sample.message.attempts
        intended = min((attempt.intended for attempt in attempts), key=at, default=None)
        one_file = intended is not None and first is not None and intended.file == first.file
        return 0 if one_file else self.error

    def _measure(self, subscription: str) -> Iterable[Sample]:
        for message in self.messages.values():
            if message.due is None or subscription not in message.expect:
                continue
            receives = self.receives_at(message.id, subscription)
            first = min((one for each in receives if (one := self.may_have_had(each))), key=at, default=None)
            had = min((one for each in receives if (one := self.had(each))), key=at, default=None)
            if not (self.acked(message.id) or first) or self.possibly_dead(message.id, subscription):
                continue
            end = self.facts.last_at or 0
            yield Sample(
                message=message,
                due=message.due,
                first=first,
                had=had,
                lag_ns=max(0, (first.time if first else end) - message.due.time),
                had_ns=max(0, (had.time if had else end) - message.due.time),
                since_begun_ns=max(0, (first.time if first else end) - self.begun(message)),
            )

    def begun(self, message: Message) -> int:
        """m's send *began* at the latest of its `due`, its first `intended`, and the earliest `started` of a `sent` of
        it."""
        assert message.due is not None
        first_intended = min((attempt.intended.time for attempt in message.attempts), default=0)
        first_started = min((sent.started.time for sent in message.sends if sent.started is not None), default=0)
        return max(message.due.time, first_intended, first_started)


def answer_fails(answer: Responded, id: str) -> bool:
    """An answer *fails* m if it is `failed`, or names m in `failed`."""
    return answer.outcome == "failed" or id in answer.failed


def _all(standing: Sequence[Standing]) -> Ends:
    return Ends(
        earliest=tuple(group for one in standing for group in one.ends.earliest),
        latest=tuple(end for one in standing for end in one.ends.latest),
    )


def at(moment: Moment) -> tuple[int, str, int]:
    """A total order for picking; it proves nothing."""
    return (moment.time, moment.file, moment.line or 0)


def later(moment: Moment, nanoseconds: int) -> Moment:
    """A moment on the same clock; it is no longer the moment of a record."""
    return Moment(time=moment.time + nanoseconds, file=moment.file)


def may_have_landed_unnumbered(message: Message) -> bool:
    """An attempt whose outcome is unknown may have stored a copy of which no answer gave the number."""
    return any(attempt.sent is None for attempt in message.attempts) or any(
        sent.outcome not in ("ok", "failed") for sent in message.sends
    )


def _entered_before(a: Sent, b: Sent) -> bool:
    return a.entry is None or b.entry is None or a.entry < b.entry


def _unnamed(name: str) -> Subscription:
    return Subscription(
        name=name,
        kind="queue",
        ordered_by=None,
        visibility_timeout_ns=None,
        max_receives=None,
        dead_letter=False,
        dedup_window_ns=None,
        filtered=False,
        settle_ns=0,
        effective_from=None,
        promises="at-least-once",
        effects_elsewhere=False,
        seen_from="consumer",
    )
