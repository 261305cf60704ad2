"""A second judge, slow and obvious, written from HISTORY.md alone.

It exists to be compared with the judge of the product: both read the same run directories, and where they differ, one
of them misreads the contract. So it trades everything for closeness to the text: `reading` turns files into facts,
`words` defines the words, `anomalies` has one function per row of the anomaly table, and here each claim is one
function. Nothing is shared with the product. `python -m tests.reference.judge RUN` prints what it concludes.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from tests.reference import workflows
from tests.reference.anomalies import (
    ANOMALIES,
    Case,
    close,
    doubtful_redeliveries,
    doubtful_reruns,
    early_reruns,
    given_back,
    kept_copies,
    perhaps_discarded,
    perhaps_premature,
    perhaps_replayed,
    replayed,
    untold_deaths,
)
from tests.reference.reading import SECOND, Fault, Message, Moment, Promise, Subscription, read
from tests.reference.words import NEVER, Past, Sample

# AMBIGUITIES: where HISTORY.md leaves room for two readings, and the reading taken here. (R1) marks a choice made for
# "what is not proven is not blamed", (R2) one for "what was not looked at does not hold". (!) marks those where the
# literal words alone blame a legal service or a correct consumer: the simulation writes runs that show it, or a case
# can be built by hand.
#
# Reading
#  1. `event` must be a string. A last line without newline that is JSON but no record is damage, not a torn line. A
#     torn line after `closed` is both counted as torn and damage. A whole record after `closed` is neither. `at`
#     going back within a file is no damage: line order decides there.
#  2. A record that lacks what names its subject (`subscription`, and `id` or what stands in for it) is ignored, but
#     for a settling call without `id`, whose answers are still owed. Sequences that are no decimal string are missing,
#     and so are times that are no integer.
#  3. Not a run (ValueError): unreadable manifest, `schema` not 1, no claims, an unknown claim, key of a claim, kind,
#     ordered_by, promises or `during`, a bound that is no number, `lag` without any bound, `recovery` without
#     `within_s`. `strict` exists for ordered-per-group, ordered-per-partition and dead-letter only. The same claim
#     with the same `during` twice is judged twice. No `history/` at all is an empty history.
#  4. A `sent` belongs to the `intended` of the same attempt in the same file. Of an attempt intended more than once
#     there, which `sent` belongs to which is not known: they are counted, and a start counts only if all of its
#     starts do. A message is described by its first `intended` (by attempt) that has `expect`.
#  4a. Times in another unit are looked for where the table of events has them, and in the `at` of every record, known
#     or not. Such a record counts all the same in the anomalies; so does that of an `id` for two messages. There an
#     absent field of attempt 1 is a value, one of a later attempt is not, nor is the attempt of a record without one
#     the first.
#  4b. Of a file that is there plain and packed the plain one is read. One that cannot be unpacked to its end is damage,
#     and nothing of it is read.
#  4c. `call` decides if exactly one of several open intents has it. One open intent is answered whatever its `call`
#     says, unless an answer is owed to others. While some are owed, an answer without a deciding `call` leaves all in
#     doubt that are open by then. An intent in doubt has no answer: its `extend` no latest end.
# Time
#  5. Line order decides between two records of a file. A derived time (`started`, the end of a hold) of the same file
#     is compared by value alone, without clock error, and equal has no order.
#  6. The earliest end of a hold is a maximum over two clocks: a record is before it if it is proven to be before
#     either. Each comparison of two files needs more than `clock_error_ns`.
#  7. first(b) before first(a): some receive of b is proven to be before every receive of a.
#  8. An extend with a `settled` of unknown outcome counts its answer at that record; one with no `settled` at all has
#     no latest end. An extend not proven to have begun before the receive or delete in question never replaces, but
#     may still make the earliest end earlier and the latest later (R1).
#  8a. The clocks contradict where a record is proven to precede every `intended` of its message.
#  8b. A host whose files hold no record has no clock that matters. `error_ns` may be a fraction, and is rounded up. A
#     file on two hosts is damage, so that nobody asks where it is.
# Words
#  9. *dead* excuses unless a `redriven` is proven to follow; it blames (healthy-dead, collateral-dead, dlq-gap) only
#     if every `redriven` is proven to precede.
# 10. *a before b* is asked of messages that s is expected to get or that were received there.
# 11. (!) By `ok` sends: not if b has an attempt without an answer (or without `sent`): that may have stored b earlier
#     than its numbered copy.
# 12. (!) By `seq`: where a's attempts ended before b's began, a must be acked (an unknown send may land at any time).
#     In one call, an `entry` order that contradicts `seq` proves nothing. On a stream both must be in one known
#     partition or in an ancestor and its descendant. A queue's sends count as going to a queue or topic.
# 13. On a stream the "smallest" number is the place before all others (ancestors first); none if they do not compare.
# 14. *drained*: every `sent`, `redriven` and `received` must be proven to precede the mark, and every other mark of s
#     to precede it (or also to say empty, where their order is open) (R1). `settle_s` must have passed at least,
#     clock error deducted.
# 14a. *uncounted*: two receives that both name no batch are in different ones (R2).
# Rows
# 15. `lost` proven by order: the `drained` mark of a queue with dead letters must follow that receive of b ("once it
#     has"), whatever its `empty` says: a mark means that the dead letters were read. (!) A message ever redriven is
#     not proven lost by order: it queues behind again.
# 16. `recovered` needs an `intended`: what was never intended is `phantom` only. So do `misrouted` (a known
#     `expect`), healthy-dead and collateral-dead.
# 17. `corrupt` by group: only if a group was intended.
# 18. `send-duplicate`, `redelivery`, `unrecorded-receive`: a receive without `broker_id` (stream: partition and
#     number) is no copy. A copy is left out unless one receive of it is proven to precede every `redriven`.
#     `redelivery` is the receives of a copy, less one, less the early ones.
# 19. `early-redelivery`: "before the earliest end of its hold" belongs to the delete's answer, not to the call: a
#     copy deleted in time must never come back. Of several holds with `receives` k - 1 all must forbid it; one whose
#     call began after the receive is none. An uncounted receive is judged by its own rule instead of the one by
#     counts; one other receive that forbids it is enough, and a release or a `redriven` excuses unless it is proven to
#     lie outside of the two.
# 20. Order rows count the message that came too late, per subscription: a. So does `dlq-gap` (a), where a has to have
#     been received, and `child-before-parent` (the parent's message, once). `nonmonotonic-send` is per a and
#     kind of order.
# 21. `nonmonotonic-send`: a and b must share an expected subscription with `ordered_by`; "in one call" needs it to be
#     a queue, both `entry` numbers, and no other attempt of b that may have stored it. All ok numbers of b must be
#     below all of a.
# 22. (!) `nonmonotonic-delivery`: "a is dead" is read as "may have died by then": ever found dead or redriven, or a
#     queue with dead letters and no `drained` mark after first(b). Excused too if a was redriven before its own first
#     receive, or if an unanswered attempt of a may have stored an earlier copy that died unrecorded.
# 23. (!) `stored-out-of-order`: the same last excuse: on a queue, a may have died, and has an unanswered attempt.
# 24. (!) `group-overtake`: "received again" counts only copies that are not numbered behind b, and only before any
#     `redriven` of a. "is deleted" is a delete answered `ok`. "not dead" must be proven as in 22.
# 25. `effect-out-of-order`: "never dead" is: no `dead` ever, no `redriven`; and where nobody read the dead letters
#     since, no receive of a that may have begun before b's first applied (R1). A receive without `effect` began its
#     handling at the earliest at its `at`. b is applied by an `applied` record; a by the store, where that is the
#     truth.
# 26. `effect-missing` counts healthy dead letters, to the letter, although a legal service and a correct consumer
#     that is killed `max_receives` times can cause them.
# 26a. (!) What only the unread dead letters of 22 to 25 excuse leaves the order claims unknown: it was not looked at.
# 26b. `over-received` of a copy with a receive without `receives`: the greater of the two counts.
# 27. `vacuous` counts each untouched fault as a reason of its own. A life without any record after `due` is a point.
#     With a clock error e, a window and a life touch if each starts at least e before the other ends.
# Claims
# 28. Claims whose last column names no kind of subscription cover all of the manifest, no-phantom included (R2). A
#     claim that covers nothing, or checked nothing in all, is unknown (R2). recovery and all-accepted cover none by
#     themselves.
# 29. no-loss, no-phantom, exactly-once-delivery and the effect claims blame anomalies on any subscription, named in
#     the manifest or not; order claims, dead-letter and fanout-complete on those that they cover. filter-correct:
#     misrouted anywhere, lost where filtered.
# 30. `effective_from`: a message is judged if every `intended` of it is proven to be later. Not judged means not
#     counted either. no-loss and the effect claims judge it all the same, to the letter.
# 31. at-most-once: any blame whose message was never received there (lost, effect-missing, poison-escaped ...) leaves
#     the claim unknown instead.
# 32. Duplicates "within" the window: less than it (at exactly the window they may be legal). `enqueued` of a copy is
#     the least of its receives. A missing `enqueued` matters only where there is a window.
# 33. "no effects recorded" is asked per covered subscription: no `effect`, and no store read back that is the truth.
#     "unknown effect" concerns any message received on a covered subscription, expected there or not.
# 34. "with one before it" does not ask that the one before was received or applied. dead-letter checks poison that
#     was acked or received, where expected.
# 35. `anomalies` of a claim are the counts of its rows within what it covers, excused ones and duplicates outside the
#     window included. The claim is named as the manifest names it.
# 35a. all-accepted: a message found dead but never received was "received nowhere". The load came to its end where at
#     least one `load-stopped` with `scheduled` stands, and as many as there are `load-started`.
# 35b. *too close* asks for no *a before b*; of several receives with the same earliest `at` each is the first.
# 35c. *not early by no more than `clock_error_ns`*: a redelivery that is recorded before the earliest end, but not
#     proven to be, too. Every hold that it may have followed must be like that, and of another file. It asks for a
#     `dedup_window_s`, as early-redelivery does.
# lag and recovery
# 36. They judge expected subscriptions only, and messages with a `due`. Windows and messages overlap by value, equal
#     ends included; what was received before it was due counts by its `due` alone. The clock error moves the lag, not
#     the time in which a message meets a fault; that of a message of one file is not moved at all, neither to hold nor
#     to break. A bound is broken if the same bound on the same subscription is with all three kinds of windows. A
#     given-up message meets a fault as one that was never received does; without a `due` it counts for `all` only.
#     Several `load-stopped` add up; a load never told how many were scheduled where fewer tell than started.
# 37. `checked` of lag is per bound and subscription the fewest of all three kinds of windows, of the bounds the most,
#     added up. `latency_s`: the lag of all messages, none left out, never received ones included; null where there are
#     none.
# 38. recovery is judged per fault and subscription; a fault is judged if some subscription is violated or all hold,
#     and `checked` counts those; without any message nothing is told (R2).
#     "With another fault open" (at the stop) and "without a stop" come before all else.
#     The load stops at the last `load-stopped`, else the history's last `at`. "Before the first fault": received
#     before its start. The bound is the largest of p50_s, p99_s, max_s of a calm lag claim. With a clock error,
#     lateness is widened by it for holds and narrowed for violated.

HOLDS, VIOLATED, UNKNOWN = "holds", "violated", "unknown"
DEFAULT_GRACE_NS = 5 * SECOND
ENOUGH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one claim found, before the rules that all claims share."""

    covers: Sequence[str]
    checked: Mapping[str, int]
    anomalies: Mapping[str, int] = field(default_factory=dict)
    violated: bool
    unknown: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Court:
    """A run with every anomaly counted once, and what the claims ask of both."""

    past: Past
    cases: Mapping[str, Sequence[Case]]

    def all(self) -> list[Subscription]:
        return list(self.past.subscriptions.values())

    def within(self, name: str, covered: Sequence[Subscription], *, judged_only: bool = False) -> list[Case]:
        """The cases of an anomaly that concern the covered subscriptions."""
        names = {spec.name for spec in covered}
        return [
            case
            for case in self.cases[name]
            if (
                case.subscription in names
                if case.subscription is not None
                else bool(self.past.messages[case.id].expect & names)
            )
            and (not judged_only or self.judged(case.id, self.past.subscription(case.subscription or "")))
        ]

    def unread(self, names: Sequence[str], covered: Sequence[Subscription]) -> list[str]:
        """Disorder that only an unread dead letter may excuse: not proven, and not seen to be in order either."""
        self.past.dead_letters_read = True
        ordered = {spec.name for spec in covered}
        supposed = {
            name: [case for case in ANOMALIES[name](self.past) if case.subscription in ordered] for name in names
        }
        self.past.dead_letters_read = False
        return [
            f"{name} unless it died unread" for name in names if len(supposed[name]) > len(self.within(name, covered))
        ]

    def anywhere(self, name: str) -> list[Case]:
        return list(self.cases[name])

    def excused(self, case: Case) -> bool:
        """`at-most-once`: there a message never received is counted as everywhere, violates nothing, and leaves the
        claims that it would violate unknown."""
        name = case.subscription or ""
        spec = self.past.subscription(name)
        return spec.promises == "at-most-once" and not self.past.received(case.id, name)

    def judged(self, id: str, spec: Subscription) -> bool:
        """Sends before `effective_from` are not judged by `fanout-complete` and `filter-correct`."""
        if spec.effective_from is None:
            return True
        since = Moment(time=spec.effective_from, file="")
        attempts = self.past.messages[id].attempts if id in self.past.messages else ()
        return all(self.past.before(since, attempt.intended) for attempt in attempts)

    def finding(
        self,
        *,
        covered: Sequence[Subscription],
        checked: Mapping[str, int],
        blamed: Mapping[str, Sequence[Case]],
        unknown: Sequence[str],
        counted: Mapping[str, Sequence[Case]] | None = None,
    ) -> Finding:
        """Blamed cases violate, unless the subscription promises too little for that."""
        excusable = {name: cases for name, cases in blamed.items() if name not in OF_TASKS}
        excused = [name for name, cases in excusable.items() if any(self.excused(case) for case in cases)]
        return Finding(
            covers=[spec.name for spec in covered],
            checked=checked,
            anomalies={name: len(cases) for name, cases in (counted or blamed).items()},
            violated=any(
                name in OF_TASKS or not self.excused(case) for name, cases in blamed.items() for case in cases
            ),
            unknown=[*unknown, *(f"{name} where delivery is at most once" for name in excused)],
        )

    # -- what makes claims unknown ---------------------------------------------------------------------------------

    def undrained(self, covered: Sequence[Subscription]) -> list[str]:
        return [f"{spec.name} not drained" for spec in covered if not self.past.drained(spec.name)]

    def as_no_loss(self, covered: Sequence[Subscription], *, judged_only: bool = False) -> list[str]:
        """unseen, not drained"""
        unseen = self.within("unseen", covered, judged_only=judged_only)
        return [f"{case.id} unseen on {case.subscription}" for case in unseen] + self.undrained(covered)

    def unrecorded_effects(self, covered: Sequence[Subscription]) -> list[str]:
        """no effects recorded"""
        return [f"no effects recorded on {spec.name}" for spec in covered if not self.past.effects_recorded(spec.name)]

    def unknown_effects(self, covered: Sequence[Subscription], *, none_applied: bool = False) -> list[str]:
        names = {spec.name for spec in covered}
        return [
            f"the effect of {id} on {name} is unknown"
            for id, name in dict.fromkeys(
                [
                    *self.past.receives,
                    *self.past.effects,
                    *((message.id, spec.name) for message, spec in self.past.expectations()),
                ]
            )
            if name in names
            and self.past.unknown_effect(id, name)
            and not (none_applied and self.past.applied(id, name) > 0)
        ]

    def too_close(self, covered: Sequence[Subscription], moments: Callable[[str, str], Sequence[Moment]]) -> list[str]:
        """What two writers recorded no more than `clock_error_ns` apart: the first of the moments of two messages of
        one group. Nobody can tell their order."""
        if not self.past.error:
            return []
        close: list[str] = []
        for spec in covered:
            firsts = [
                (message, moment)
                for message in self.past.messages.values()
                if message.group is not None
                for moment in moments(message.id, spec.name)
                if moment.time == min(one.time for one in moments(message.id, spec.name))
            ]
            close += [
                f"{a.id} and {b.id} too close on {spec.name}"
                for (a, one), (b, two) in itertools.combinations(firsts, 2)
                if a.id != b.id
                and a.group == b.group
                and one.file != two.file
                and abs(one.time - two.time) <= self.past.error
            ]
        return close

    # -- what claims count -----------------------------------------------------------------------------------------

    def count_expected(
        self, covered: Sequence[Subscription], accept: Callable[[Message, Subscription], bool]
    ) -> Counter[str]:
        names = {spec.name for spec in covered}
        return Counter(
            spec.name for message, spec in self.past.expectations() if spec.name in names and accept(message, spec)
        )

    def was_cut_short(self, message: Message, spec: Subscription) -> bool:
        return any((case.id, case.subscription) == (message.id, spec.name) for case in self.cases["cut-short"])

    def count_behind_another(
        self, covered: Sequence[Subscription], accept: Callable[[Message, Subscription], bool]
    ) -> Counter[str]:
        """with one before it in its group, both of them expected or received there"""
        return Counter(
            spec.name
            for spec in covered
            for id, befores in self.past.earlier(spec).items()
            if any(self.past.belongs(one, spec) for one in befores)
            and self.past.belongs(self.past.messages[id], spec)
            and accept(self.past.messages[id], spec)
        )


# -- The claims ----------------------------------------------------------------------------------------------------


def no_loss(court: Court, promise: Promise) -> Finding:
    """violated by lost, vanished, lost-on-redrive; unknown when unseen, not drained; checked: acked, per expected
    subscription"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(
            covered,
            lambda message, spec: court.past.acked(message.id) and not court.was_cut_short(message, spec),
        ),
        blamed={name: court.anywhere(name) for name in ("lost", "vanished", "lost-on-redrive")},
        unknown=[f"{case.id} unseen on {case.subscription}" for case in court.anywhere("unseen")]
        + court.undrained(covered),
    )


def all_accepted(court: Court, promise: Promise) -> Finding:
    """violated by given-up; unknown when a message of unknown outcome was received nowhere; fewer were intended than
    `scheduled`; no `load-stopped` says that the load came to its end (as many as `load-started`) and how many were
    `scheduled`; checked: messages intended, whatever they expect"""
    past = court.past
    intended = [id for id in past.messages if past.intended(id)]
    unknown = [
        f"nobody knows whether {id} was accepted"
        for id in past.messages
        if not past.acked(id) and not past.failed(id) and not past.receives_of.get(id)
    ]
    if past.facts.loads_told < max(1, past.facts.loads_started):
        unknown.append("nobody wrote that the load came to its end, and how many messages were scheduled")
    if past.facts.scheduled is not None and len(intended) < past.facts.scheduled:
        unknown.append(f"{past.facts.scheduled - len(intended)} messages never intended")
    return court.finding(
        covered=[],
        checked={"messages": len(intended)},
        blamed={"given-up": court.anywhere("given-up")},
        unknown=unknown,
    )


def no_phantom(court: Court, promise: Promise) -> Finding:
    """violated by phantom, corrupt; checked: receives"""
    return court.finding(
        covered=court.all(),
        checked=Counter(received.subscription for received in court.past.facts.receives),
        blamed={name: court.anywhere(name) for name in ("phantom", "corrupt")},
        unknown=[],
    )


def exactly_once_delivery(court: Court, promise: Promise) -> Finding:
    """violated by send-duplicate enqueued within `dedup_window_s` of the copy before it (window null: any),
    early-redelivery, lost, vanished; unknown: as no-loss; a duplicate without `enqueued`; a `redelivery` of a copy with
    an uncounted receive (where there is a `dedup_window_s`); a redelivery that is not early by no more than
    `clock_error_ns`; checked: received, per subscription"""
    covered = court.all()
    too_close: list[Case] = []
    unknown: list[str] = []
    for id, name in court.past.receives:
        receives = [received for received in court.past.receives_at(id, name) if received.replay is None]
        if len(receives) > 1 and any(court.past.copy_of(received) is None for received in receives):
            unknown.append(f"a receive of {id} on {name} does not say which copy it was")
        copies = kept_copies(court.past, id, name)
        window = court.past.subscription(name).dedup_window_ns
        if len(copies) < 2:
            continue
        if window is None:
            too_close += [Case(id=id, subscription=name) for _ in copies[1:]]
            continue
        enqueued = [min((one.enqueued for one in copy if one.enqueued is not None), default=None) for copy in copies]
        known = sorted(time for time in enqueued if time is not None)
        if len(known) < len(enqueued):
            unknown.append(f"a duplicate of {id} on {name} does not say when it was enqueued")
        too_close += [Case(id=id, subscription=name) for one, two in itertools.pairwise(known) if two - one < window]
    others = {name: court.anywhere(name) for name in ("early-redelivery", "lost", "vanished")}
    return court.finding(
        covered=covered,
        checked=Counter(name for id, name in court.past.receives),
        blamed={"send-duplicate": too_close, **others},
        counted={"send-duplicate": court.anywhere("send-duplicate"), **others},
        unknown=[f"{case.id} unseen on {case.subscription}" for case in court.anywhere("unseen")]
        + court.undrained(covered)
        + unknown
        + doubtful_redeliveries(court.past)
        + [f"{case.id} may have been given back" for case in given_back(court.past)],
    )


def at_least_once_effect(court: Court, promise: Promise) -> Finding:
    """violated by effect-missing, effect-lost; unknown when not drained; no effects recorded; an unknown effect of a
    message with none applied; checked: acked or received, per expected subscription"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.concerned(message.id, spec.name)),
        blamed={name: court.anywhere(name) for name in ("effect-missing", "effect-lost")},
        unknown=court.undrained(covered)
        + court.unrecorded_effects(covered)
        + court.unknown_effects(covered, none_applied=True),
    )


def exactly_once_effect(court: Court, promise: Promise) -> Finding:
    """violated by those and effect-duplicate; unknown when not drained; no effects recorded; any unknown effect;
    checked: the same"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.concerned(message.id, spec.name)),
        blamed={name: court.anywhere(name) for name in ("effect-missing", "effect-lost", "effect-duplicate")},
        unknown=court.undrained(covered) + court.unrecorded_effects(covered) + court.unknown_effects(covered),
    )


def ordered_per_group(court: Court, promise: Promise) -> Finding:
    """violated by nonmonotonic-delivery, group-overtake, nonmonotonic-send, stored-out-of-order; `strict: true` adds
    dlq-gap; unknown when first receives are too close; checked: received with one before it in its group, where
    `ordered_by` is `group`"""
    names = ["nonmonotonic-delivery", "group-overtake", "nonmonotonic-send", "stored-out-of-order"]
    covered = [spec for spec in court.all() if spec.ordered_by == "group"]
    return _ordered(court, covered, names + ["dlq-gap"] * promise.strict)


def ordered_per_partition(court: Court, promise: Promise) -> Finding:
    """violated by the same without group-overtake, and child-before-parent; checked: the same, where `ordered_by` is
    `partition`"""
    names = ["nonmonotonic-delivery", "nonmonotonic-send", "stored-out-of-order", "child-before-parent"]
    covered = [spec for spec in court.all() if spec.ordered_by == "partition"]
    return _ordered(court, covered, names + ["dlq-gap"] * promise.strict)


def _ordered(court: Court, covered: Sequence[Subscription], names: Sequence[str]) -> Finding:
    return court.finding(
        covered=covered,
        checked=court.count_behind_another(covered, lambda message, spec: court.past.received(message.id, spec.name)),
        blamed={name: court.within(name, covered) for name in names},
        unknown=court.unread(names, covered)
        + court.too_close(covered, lambda id, name: [one.moment for one in court.past.receives_at(id, name)]),
    )


def ordered_effects(court: Court, promise: Promise) -> Finding:
    """violated by effect-out-of-order, stored-out-of-order; unknown when no effects recorded; any unknown effect; first
    `applied` too close; checked: applied with one before it, where `ordered_by`"""
    covered = court.past.ordered()
    names = ("effect-out-of-order", "stored-out-of-order")
    return court.finding(
        covered=covered,
        checked=court.count_behind_another(
            covered, lambda message, spec: court.past.applied(message.id, spec.name) > 0
        ),
        blamed={name: court.within(name, covered) for name in names},
        unknown=court.unrecorded_effects(covered)
        + court.unknown_effects(covered)
        + court.unread(names, covered)
        + court.too_close(covered, lambda id, name: [one.moment for one in court.past.applied_effects(id, name)])
        + [
            f"nobody knows when {id} was applied on {name}"
            for id, name in court.past.read_back
            if court.past.subscription(name) in covered
            and court.past.subscription(name).seen_from != "consumer"
            and court.past.applied(id, name) > 0
            and not court.past.applied_effects(id, name)
        ],
    )


def fanout_complete(court: Court, promise: Promise) -> Finding:
    """violated by lost; unknown: as no-loss; checked: as no-loss"""
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(
            covered,
            lambda message, spec: (
                court.past.acked(message.id)
                and court.judged(message.id, spec)
                and not court.was_cut_short(message, spec)
            ),
        ),
        blamed={"lost": court.within("lost", covered, judged_only=True)},
        unknown=court.as_no_loss(covered, judged_only=True),
    )


def replay_complete(court: Court, promise: Promise) -> Finding:
    """violated by replay-missing; unknown when not drained, or no replay ran to its end; checked: what a replay must
    have sent again, per expected subscription"""
    covered = court.all()
    ended = any(replay.ended for replay in court.past.facts.replays)
    return court.finding(
        covered=covered,
        checked=Counter(spec.name for _, spec, _ in replayed(court.past)),
        blamed={"replay-missing": court.anywhere("replay-missing")},
        unknown=court.undrained(covered)
        + ([] if ended else ["no replay ran to its end"])
        + [f"{case.id} may have come from a replay" for case in perhaps_replayed(court.past)],
    )


def filter_correct(court: Court, promise: Promise) -> Finding:
    """violated by misrouted; lost where `filtered`; unknown: as no-loss; checked: acked, per `filtered` subscription,
    expected there or not"""
    covered = [spec for spec in court.all() if spec.filtered]
    misrouted = [
        case
        for case in court.anywhere("misrouted")
        if court.judged(case.id, court.past.subscription(case.subscription or ""))
    ]
    return court.finding(
        covered=covered,
        checked=Counter(
            spec.name
            for spec in covered
            for id in court.past.messages
            if court.past.acked(id) and court.judged(id, spec)
        ),
        blamed={"misrouted": misrouted, "lost": court.within("lost", covered, judged_only=True)},
        unknown=court.as_no_loss(covered, judged_only=True),
    )


def dead_letter(court: Court, promise: Promise) -> Finding:
    """violated by poison-escaped, healthy-dead, over-received; `strict: true` adds collateral-dead; unknown when not
    drained; a receive without `receives`; checked: poison, per subscription with `dead_letter`"""
    covered = [spec for spec in court.all() if spec.dead_letter]
    names = ["poison-escaped", "healthy-dead", "over-received"] + ["collateral-dead"] * promise.strict
    return court.finding(
        covered=covered,
        checked=court.count_expected(
            covered, lambda message, spec: message.poison and court.past.concerned(message.id, spec.name)
        ),
        blamed={name: court.within(name, covered) for name in names},
        unknown=court.undrained(covered)
        + [
            f"a receive of {received.id} on {spec.name} without receives"
            for spec in covered
            for received in court.past.receives_on.get(spec.name, [])
            if received.receives is None and not spec.gives_up
        ]
        + [
            f"nobody tells of what {case.id} died on {spec.name}"
            for spec in covered
            for case in untold_deaths(court.past)
            if case.subscription == spec.name
        ],
    )


# -- functions -----------------------------------------------------------------------------------------------------


def _invoked(spec: Subscription) -> bool:
    """Functions are invoked for it, and somebody records that."""
    return spec.by_service or spec.all_invoked


def batch_isolation(court: Court, promise: Promise) -> Finding:
    """violated by an early-redelivery of what was reported done; unknown when a batch-rerun cannot be told from one, or
    a redelivery is not early by no more than `clock_error_ns`; checked: reported done, on queues with a
    `dedup_window_s` that functions are invoked for"""
    past = court.past
    covered = [
        spec for spec in court.all() if _invoked(spec) and spec.kind == "queue" and spec.dedup_window_ns is not None
    ]
    names = {spec.name for spec in covered}
    return court.finding(
        covered=covered,
        checked=Counter(
            name
            for id, name in past.receives
            if name in names and any(past.reported_done(one) for one in past.receives_at(id, name))
        ),
        blamed={"early-redelivery": [case for case in early_reruns(past) if case.subscription in names]},
        unknown=[
            f"whether {case.id} came again too early nobody can tell"
            for case in (*doubtful_reruns(past), *close(past), *given_back(past))
            if case.subscription in names
        ],
    )


def esm_ordered(court: Court, promise: Promise) -> Finding:
    """violated by nonmonotonic-delivery, group-overtake, concurrent-invocation; unknown when first receives are too
    close; checked: received with one before it in its group, where the service settles"""
    covered = [spec for spec in court.all() if spec.by_service and spec.ordered_by is not None]
    return _ordered(court, covered, ["nonmonotonic-delivery", "group-overtake", "concurrent-invocation"])


def no_premature_death(court: Court, promise: Promise) -> Finding:
    """violated by premature-death; unknown when not drained; a death with fewer invocations on record, where one may
    have gone unrecorded; checked: acked or received, on queues with `dead_letter` and `max_receives` that functions are
    invoked for"""
    covered = [
        spec
        for spec in court.all()
        if _invoked(spec) and spec.kind == "queue" and spec.dead_letter and spec.max_receives is not None
    ]
    names = {spec.name for spec in covered}
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.concerned(message.id, spec.name)),
        blamed={"premature-death": court.within("premature-death", covered)},
        unknown=court.undrained(covered)
        + [f"{case.id} may have died too soon" for case in perhaps_premature(court.past) if case.subscription in names],
    )


def discard_accounted(court: Court, promise: Promise) -> Finding:
    """violated by discarded; unknown when not drained; a message that is gone, with an invocation that is open;
    checked: acked or received, where the service settles"""
    covered = [spec for spec in court.all() if spec.by_service]
    names = {spec.name for spec in covered}
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.concerned(message.id, spec.name)),
        blamed={"discarded": court.within("discarded", covered)},
        unknown=court.undrained(covered)
        + [f"{case.id} may have been given up" for case in perhaps_discarded(court.past) if case.subscription in names],
    )


# -- large messages and schemas ------------------------------------------------------------------------------------


def no_dangling_reference(court: Court, promise: Promise) -> Finding:
    """violated by dangling-reference; unknown when not drained; a claim-checked message was received and has no
    `fetched` there that is `ok` or `gone`; checked: claim-checked and received, per queue"""
    past = court.past
    covered = [spec for spec in court.all() if spec.kind == "queue"]
    names = {spec.name for spec in covered}
    received = [(id, name) for id, name in past.receives if id in past.facts.put]
    looked = {(one.id, one.subscription) for one in past.facts.fetched if one.outcome in ("ok", "gone")}
    return court.finding(
        covered=covered,
        checked=Counter(name for _, name in received if name in names),
        blamed={"dangling-reference": court.within("dangling-reference", covered)},
        unknown=court.undrained(covered)
        + [f"nobody fetched {id} on {name}" for id, name in received if name in names and (id, name) not in looked],
    )


def no_orphan(court: Court, promise: Promise) -> Finding:
    """violated by orphan; unknown when not drained; the objects were not read; checked: claim-checked, a `stored` of it
    `ok`, per expected subscription"""
    past = court.past
    covered = court.all()
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: past.facts.put.get(message.id, False)),
        blamed={"orphan": court.anywhere("orphan")},
        unknown=court.undrained(covered) + ([] if past.objects_were_read() else ["the objects were not read"]),
    )


def payload_intact(court: Court, promise: Promise) -> Finding:
    """violated by corrupt-object; unknown when a claim-checked message was received and has no `fetched` there that is
    `ok` and tells `intact`; checked: those, of claim-checked messages that expect s, or were received there"""
    past = court.past
    places = {*past.receives, *((message.id, spec.name) for message, spec in past.expectations())}
    compared = Counter(
        (one.id, one.subscription)
        for one in past.facts.fetched
        if one.outcome == "ok"
        and one.intact is not None
        and one.id in past.facts.put
        and (one.id, one.subscription) in places
    )
    checked: Counter[str] = Counter()
    for (_, name), count in compared.items():
        checked[name] += count
    return court.finding(
        covered=court.all(),
        checked=checked,
        blamed={"corrupt-object": court.anywhere("corrupt-object")},
        unknown=[
            f"nobody compared {id} on {name}"
            for id, name in past.receives
            if id in past.facts.put and (id, name) not in compared
        ],
    )


def schema_conformant(court: Court, promise: Promise) -> Finding:
    """violated by schema-bad; unknown when a message was received and no `received` or `fetched` of it there tells
    `schema`; checked: records that tell it, of messages received there"""
    past = court.past
    told = {(id, name) for id, name, _ in past.schemas_told()}
    return court.finding(
        covered=court.all(),
        checked=Counter(name for id, name, _ in past.schemas_told() if past.received(id, name)),
        blamed={"schema-bad": court.anywhere("schema-bad")},
        unknown=[f"nothing says whether {id} fits on {name}" for id, name in past.receives if (id, name) not in told],
    )


# -- workflows -----------------------------------------------------------------------------------------------------


def _of_kind(court: Court, kind: str) -> list[str]:
    return [] if court.past.facts.manifest.workflow == kind else [f"no {kind} workflow"]


def _steps(court: Court) -> list[Subscription]:
    return [spec for spec in court.all() if spec.step is not None]


def exactly_once_execution(court: Court, promise: Promise) -> Finding:
    """execution-duplicate, execution-missing, start-refused | executions were not read; `workflow` is not `standard` |
    checked: acked"""
    names = ("execution-duplicate", "execution-missing", "start-refused")
    unread = [] if workflows.executions_read(court.past) else ["executions were not read"]
    return court.finding(
        covered=[],
        checked={"": sum(court.past.acked(id) for id in court.past.messages)},
        blamed={name: court.anywhere(name) for name in names},
        unknown=_of_kind(court, "standard") + unread,
    )


def at_least_once_execution(court: Court, promise: Promise) -> Finding:
    """execution-unseen | not drained; `workflow` is not `express` | checked: acked, per expected step"""
    covered = _steps(court)
    return court.finding(
        covered=covered,
        checked=court.count_expected(covered, lambda message, spec: court.past.acked(message.id)),
        blamed={"execution-unseen": court.anywhere("execution-unseen")},
        unknown=_of_kind(court, "express") + court.undrained(covered),
    )


def at_most_once_execution(court: Court, promise: Promise) -> Finding:
    """execution-repeated, start-repeated, task-repeated | not drained; a task that was received without a `broker_id`;
    `workflow` is not `express-sync` | checked: tasks that were received, per step that is not `retried`"""
    past, covered = court.past, [spec for spec in _steps(court) if not spec.retried]
    names = {spec.name for spec in covered}
    tasks = [task for task in workflows.tasks(past) if task.step in names]
    return court.finding(
        covered=covered,
        checked=Counter(task.step for task in tasks if workflows.of_task(past, "received", task)),
        blamed={
            **{name: court.anywhere(name) for name in ("execution-repeated", "start-repeated")},
            "task-repeated": court.within("task-repeated", covered),
        },
        unknown=_of_kind(court, "express-sync")
        + court.undrained(covered)
        + [f"{task} was asked for by nobody knows what" for task in tasks if workflows.nameless(past, task)],
    )


def redrive_no_rerun(court: Court, promise: Promise) -> Finding:
    """redrive-rerun | not drained; executions were not read; a task that was received without a `broker_id`; `workflow`
    is not `standard` | checked: tasks that were received and were over before a redrive, per step that is not `retried`
    and has `followed_by`"""
    past = court.past
    covered = [spec for spec in _steps(court) if spec.followed_by and not spec.retried]
    names = {spec.name for spec in covered}
    tasks = [task for task in workflows.tasks(past) if task.step in names]
    return court.finding(
        covered=covered,
        checked=Counter(
            task.step
            for task in tasks
            if workflows.of_task(past, "received", task) and workflows.over_before_redrive(past, task)
        ),
        blamed={"redrive-rerun": court.within("redrive-rerun", covered)},
        unknown=_of_kind(court, "standard")
        + court.undrained(covered)
        + ([] if workflows.executions_read(past) else ["executions were not read"])
        + [f"{task} was asked for by nobody knows what" for task in tasks if workflows.nameless(past, task)],
    )


def exactly_once_step_effect(court: Court, promise: Promise) -> Finding:
    """step-effect-duplicate, step-effect-missing | not drained; no `step` and no `steps-read`; any unknown effect of a
    task | checked: tasks, per step"""
    past, covered = court.past, _steps(court)
    tasks = workflows.tasks(past)
    told = {
        record.text("subscription") for event in ("step", "steps-read") for record in past.facts.of_workflows[event]
    }
    return court.finding(
        covered=covered,
        checked=Counter(task.step for task in tasks),
        blamed={name: court.within(name, covered) for name in ("step-effect-duplicate", "step-effect-missing")},
        unknown=court.undrained(covered)
        + [f"no effects of tasks on {spec.name}" for spec in covered if spec.name not in told]
        + [f"the effect of {task} is unknown" for task in tasks if workflows.unknown(past, task)],
    )


def callback_once(court: Court, promise: Promise) -> Finding:
    """token-accepted-twice, token-answered-again | checked: tokens, but for those that were accepted and are unsure,
    per step that is a `callback`"""
    past, covered = court.past, [spec for spec in court.all() if spec.step == "callback"]
    names = {spec.name for spec in covered}
    return court.finding(
        covered=covered,
        checked=Counter(
            token.step
            for token in workflows.tokens(past)
            if token.step in names and not (workflows.accepted(past, token) and workflows.unsure(past, token))
        ),
        blamed={name: court.within(name, covered) for name in ("token-accepted-twice", "token-answered-again")},
        unknown=[],
    )


def no_hung_execution(court: Court, promise: Promise) -> Finding:
    """See the text below the table."""
    past = court.past
    told = [one for one in workflows.executions(past) if workflows.last_record(past, one) is not None]
    if past.facts.manifest.workflow != "standard":
        return Finding(covers=[], checked={}, violated=False, unknown=["no standard workflow"])
    within_ns = promise.bounds_ns["within_s"]
    told = [one for one in told if not workflows.left_out(past, one, within_ns)]
    rulings = [workflows.hung(past, one, within_ns) for one in told]
    unread = [] if workflows.executions_read(past) else ["executions were not read"]
    return Finding(
        covers=[],
        checked={"": len(told)},
        violated=True in rulings,
        unknown=unread + ["nobody knows how long one took"] * rulings.count(None),
    )


def execution_lag(court: Court, promise: Promise) -> Finding:
    """See the text below the table."""
    past = court.past
    kind = past.facts.manifest.workflow
    if kind not in ("standard", "express-sync"):
        return Finding(covers=[], checked={}, violated=False, unknown=["no workflow that anybody tells of"])
    intended = [id for id in past.messages if past.messages[id].attempts]
    told = [one for one in workflows.executions(past) if workflows.last_record(past, one) is not None]
    untold = [id for id in intended if not past.failed(id) and id not in {one.id for one in told}]
    scheduled = past.facts.scheduled
    never = 0 if scheduled is None else max(0, scheduled - len(intended))
    nobody_knows = workflows.Took(0, None)
    starts = [workflows.start_took(past, id) for id in intended]
    durations = [workflows.execution_took(past, one) for one in told if not workflows.stopped_on_purpose(past, one)]
    violated, unknown, checked = False, [], 0
    for name, bound in promise.bounds_ns.items():
        lasts = name.startswith("duration_")
        known, more = (durations, len(untold)) if lasts else (starts, never)
        checked = max(checked, len(known))
        if lasts and kind == "standard" and not workflows.executions_read(past):
            unknown.append("executions were not read")
        if not lasts and past.facts.loads_told < past.facts.loads_started:
            unknown.append("nobody wrote how many messages were scheduled")
        if len(known) < (1 if name.endswith("max_s") else ENOUGH):
            unknown.append(f"{name}: {len(known)}")
            continue
        took = [*known, *[nobody_knows] * more]
        place = nearest_rank(PERCENT[name.removeprefix("duration_")], len(took)) - 1
        violated = violated or sorted(one.surely for one in took)[place] > bound
        if sum(one.perhaps is not None and one.perhaps <= bound for one in took) <= place:
            unknown.append(f"{name} may be broken")
    return Finding(covers=[], checked={"": checked}, violated=violated, unknown=unknown)


def map_complete(court: Court, promise: Promise) -> Finding:
    """item-missing | not drained; an execution of which the last record is `succeeded`, and nobody told `items` of its
    message | checked: items of executions whose last record is `succeeded`, per step that is `per_item`"""
    past, covered = court.past, [spec for spec in court.all() if spec.per_item]
    counts = [workflows.items_of(past, one.id) for one in workflows.mapped(past)]
    return court.finding(
        covered=covered,
        checked={spec.name: sum(count or 0 for count in counts) for spec in covered},
        blamed={"item-missing": court.within("item-missing", covered)},
        unknown=court.undrained(covered) + ["nobody told the items of an execution"] * counts.count(None),
    )


# -- lag -----------------------------------------------------------------------------------------------------------

PERCENT: Mapping[str, int] = {"p50_s": 50, "p99_s": 99, "max_s": 100}


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """The fault windows as the claim takes them: lengthened by its grace, and with their ends moved or as they
    stand."""

    spans: Sequence[tuple[int, int]]
    during: str

    def speaks_of(self, start: int, end: int) -> bool:
        """Whether the claim speaks of what lasts from start to end: what meets a fault, what meets none, or both."""
        meets = any(opened <= end and start <= closed for opened, closed in self.spans)
        return {"calm": not meets, "faults": meets, "all": True}[self.during]


def windows_of(court: Court, promise: Promise, widened_by: int) -> Windows:
    grace = grace_of(court, promise)
    spans = [
        (
            fault.start.time - widened_by,
            NEVER.time if fault.stop is None else fault.stop.time + grace + widened_by,
        )
        for fault in court.past.facts.faults
    ]
    return Windows(spans=[(start, stop) for start, stop in spans if start <= stop], during=promise.during)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One bound on one subscription, measured with one kind of fault windows: whether it may be broken, if the clocks
    stand so, and whether it is, wherever they stand."""

    checked: int
    slow: bool
    broken: bool
    why: Sequence[str]


def lag(court: Court, promise: Promise) -> Finding:
    """With a `clock_error_ns` it holds only if it holds with the error added to each lag, and is violated only if it is
    with the error taken off; each with the fault windows as they stand and with both their ends moved out, and in, by
    the error. Between, it is unknown. `checked` counts the fewest of the three; of several bounds, the most."""
    past = court.past
    all_three = [windows_of(court, promise, widened_by) for widened_by in (0, past.error, -past.error)]
    violated = False
    unknown: list[str] = []
    checked: Counter[str] = Counter()
    for spec in court.all():
        if spec.seen_from == "nobody":
            continue
        for name in [name for name in PERCENT if name in promise.bounds_ns]:
            measures = [measure(past, spec, name, promise.bounds_ns[name], windows) for windows in all_three]
            violated = violated or all(one.broken for one in measures)
            unknown += [why for one in measures for why in one.why]
            if any(one.slow for one in measures):
                unknown.append(f"{name} of {spec.name} holds only if the clocks are right")
            checked[spec.name] = max(checked[spec.name], min(one.checked for one in measures))
    if past.facts.loads_told < past.facts.loads_started:
        unknown.append("nobody wrote how many messages were scheduled")
    return Finding(covers=list(past.subscriptions), checked=checked, violated=violated, unknown=unknown)


def measure(past: Past, spec: Subscription, name: str, bound: int, windows: Windows) -> Measure:
    """Per subscription, over messages acked or received and not dead: first(m, s) - `due`, at least 0; one never
    received counts with the history's last `at` - `due`. For each bound, a message *meets a fault* if a fault window,
    lengthened by `grace_s`, overlaps [`due`, the earlier of first(m, s) and `due` + bound]. Quantiles are nearest-rank.
    With fewer than 100 messages p50 and p99 are unknown; one is enough to break `max_s`."""
    percent = PERCENT[name]
    kept: list[Sample] = []
    for sample in past.samples(spec.name):
        limit = sample.due.time + bound
        end = limit if sample.first is None else max(sample.due.time, min(limit, sample.first.time))
        if windows.speaks_of(sample.due.time, end):
            kept.append(sample)
    needed = len(kept) - nearest_rank(percent, len(kept)) + 1
    slow = [sample for sample in kept if sample.had_ns + past.doubt(sample, sample.had) > bound]
    # Those in doubt may have been received at once, whatever else is known of them.
    sure = [sample for sample in kept if not past.in_doubt(sample.message.id, spec.name)]
    in_doubt = [
        message
        for message, other in past.expectations()
        if other.name == spec.name and message.due is not None and past.in_doubt(message.id, spec.name)
    ]
    count = len(sure) + len(in_doubt)
    needed_to_blame = count - nearest_rank(percent, count) + 1
    surely_slow = [sample for sample in sure if sample.lag_ns - past.doubt(sample, sample.first) > bound]
    to_blame = [sample for sample in surely_slow if spec.promises != "at-most-once" or sample.first is not None]
    enough = len(kept) >= (1 if name == "max_s" else ENOUGH)
    why = [] if enough else [f"{name} of {spec.name}: {len(kept)} messages"]
    if len(surely_slow) >= needed_to_blame > len(to_blame):
        why.append(f"{name} of {spec.name}: broken only by messages never received")
    # Those alone whose lateness was not that of their sends.
    sent_in_time = [sample for sample in to_blame if sample.since_begun_ns - past.doubt(sample, sample.first) > bound]
    if len(to_blame) >= needed_to_blame > len(sent_in_time):
        why.append(f"{name} of {spec.name}: broken only because sends began late")
    return Measure(
        checked=len(kept),
        slow=enough and len(slow) >= needed,
        broken=enough and len(sent_in_time) >= needed_to_blame,
        why=why + never_sent(past, spec, percent, bound, windows),
    )


def never_sent(past: Past, spec: Subscription, percent: int, bound: int, windows: Windows) -> list[str]:
    """Unknown too if more than (1 - q) x `scheduled` (without it: x intended) messages were never intended or,
    expecting s, *given up* (of these only those that `during` speaks of; they meet a fault as one never received
    does, and one without `due` counts in any case)."""
    intended = sum(1 for id in past.messages if past.intended(id))
    scheduled = intended if past.facts.scheduled is None else past.facts.scheduled
    given_up = [
        message
        for message in past.messages.values()
        if past.failed(message.id)
        and spec.name in message.expect
        and (message.due is None or windows.speaks_of(message.due.time, message.due.time + bound))
    ]
    missing = max(0, scheduled - intended) + len(given_up)
    return [f"{missing} messages never intended or given up"] if missing * 100 > (100 - percent) * scheduled else []


def grace_of(court: Court, promise: Promise) -> int:
    """`grace_s` (default: `recovery`'s `within_s`, else 5)"""
    if "grace_s" in promise.bounds_ns:
        return promise.bounds_ns["grace_s"]
    within = [other.bounds_ns["within_s"] for other in court.past.facts.manifest.promises if other.claim == "recovery"]
    return max(within, default=DEFAULT_GRACE_NS)


def nearest_rank(percent: int, count: int) -> int:
    return max(1, -(-percent * count // 100))


def quantile(percent: int, sorted_lags: Sequence[int]) -> int:
    return sorted_lags[nearest_rank(percent, len(sorted_lags)) - 1]


# -- recovery ------------------------------------------------------------------------------------------------------

Span = tuple[int, int]
"""An open interval: when a message was late."""


def recovery(court: Court, promise: Promise) -> Finding:
    """After a fault's stop there must be a moment, at most `within_s` later, from which no message is late for
    max(3 s, `visibility_timeout_s` + 1 s)."""
    past = court.past
    within = promise.bounds_ns["within_s"]
    unknown: list[str] = []
    violated = False
    judged = 0
    for fault in past.facts.faults:
        verdicts = []
        for spec in court.all():
            verdict, why = recovered_on(past, fault, spec, within)
            verdicts.append(verdict)
            if verdict == UNKNOWN:
                unknown.append(f"fault {fault.instance} on {spec.name}: {why}")
        violated = violated or VIOLATED in verdicts
        judged += VIOLATED in verdicts or (bool(verdicts) and UNKNOWN not in verdicts)
    return Finding(covers=[], checked={"faults": judged}, violated=violated, unknown=unknown)


def late_bound(past: Past, spec: Subscription) -> int | None:
    """The bound is the largest of the `lag` claim that is `during: calm`, else twice the p99 of lag before the first
    fault (unknown under 100 messages)."""
    bounds = [
        bound
        for promise in past.facts.manifest.promises
        if promise.claim == "lag" and promise.during == "calm"
        for name, bound in promise.bounds_ns.items()
        if name in PERCENT
    ]
    if bounds:
        return max(bounds)
    start = past.facts.faults[0].start.time
    untold = [
        sample.due
        for sample in past.samples(spec.name)
        if (sample.first is None) != (sample.had is None) or sample.lag_ns != sample.had_ns
    ] + [
        message.due
        for message, other in past.expectations()
        if other.name == spec.name and message.due is not None and past.in_doubt(message.id, spec.name)
    ]
    if any(due.time <= start for due in untold):
        return None
    calm = sorted(
        sample.lag_ns
        for sample in past.samples(spec.name)
        if sample.first is not None and past.before(had_at(sample.first, sample.due), past.facts.faults[0].start)
    )
    return None if len(calm) < ENOUGH else 2 * quantile(99, calm)


def had_at(first: Moment, due: Moment) -> Moment:
    """One received before its `due` counts as received then."""
    return first if first.time >= due.time else replace(first, time=due.time, line=None)


def recovered_on(past: Past, fault: Fault, spec: Subscription, within: int) -> tuple[str, str]:
    """Found, with that quiet time over, before the next fault starts and the load stops (or the history ends): holds.
    Every such moment refuted by a message late before either: violated. Else, with another fault open, or without a
    stop: unknown."""
    if spec.seen_from == "nobody":
        return UNKNOWN, "nobody recorded who received what"
    if fault.stop is None:
        return UNKNOWN, "it never stops"
    stop = fault.stop.time
    others = [other for other in past.facts.faults if other is not fault]
    if any(
        past.possibly_before(other.start, fault.stop) and (other.stop is None or past.before(fault.stop, other.stop))
        for other in others
    ):
        return UNKNOWN, "another fault is open"
    if not past.samples(spec.name):
        return UNKNOWN, "no traffic"
    bound = late_bound(past, spec)
    if bound is None:
        return UNKNOWN, "no bound: too few messages before the first fault"
    quiet = max(3 * SECOND, (spec.visibility_timeout_ns or 0) + SECOND)
    end = past.facts.load_stopped.time if past.facts.load_stopped is not None else (past.facts.last_at or 0)
    # Whatever the quiet time must be over before is told by other clocks.
    limit = min([end, *(other.start.time for other in others if other.start.time >= stop)]) - past.error
    if _quiet_moment(_late(past, spec, bound, -past.error, fair=False), stop, within, quiet, limit):
        return HOLDS, ""
    certain = [
        (start, min(end, limit))
        for start, end in _late(past, spec, bound, past.error, fair=True)
        if start < min(end, limit)
    ]
    if not _quiet_moment(certain, stop, within, quiet, None):
        return VIOLATED, ""
    return UNKNOWN, "the next fault or the end came too early to tell"


def _late(past: Past, spec: Subscription, bound: int, margin: int, *, fair: bool) -> list[Span]:
    """A message of s is *late* at t if it was acked or received, not dead, due more than the bound before t and not
    received by t. A positive margin keeps what is certainly late, a negative one what may be."""
    spans: list[Span] = []
    for sample in past.samples(spec.name):
        if sample.first is None and fair and spec.promises == "at-most-once":
            continue
        if fair and past.in_doubt(sample.message.id, spec.name):
            continue
        start = sample.due.time + bound + margin
        received = sample.first if fair else sample.had
        end = NEVER.time if received is None else received.time - margin
        if start < end:
            spans.append((start, end))
    return spans


def _quiet_moment(late: Sequence[Span], stop: int, within: int, quiet: int, limit: int | None) -> bool:
    """Whether some moment in [stop, stop + within] begins a quiet time in which no message is late and that is over by
    the limit. The first such moment is the stop itself or the end of a lateness."""
    moments = [stop, *(end for _, end in late if stop <= end <= stop + within)]
    return any(
        (limit is None or moment + quiet <= limit)
        and not any(start < moment + quiet and end > moment for start, end in late)
        for moment in moments
    )


# -- fair ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """How long one message waited: at the least, at the most, and how long it had by the time the noise began."""

    least: int
    most: int
    by_the_noise: int
    excused: bool


def fair(court: Court, promise: Promise) -> Finding:
    """Per subscription and quiet class. With a clock error it holds, and is violated, only if it is with the noise as
    it stands, and with both its ends moved out, and in. Where there is a fault, or a tenant's message is in doubt,
    nothing is violated."""
    past = court.past
    violated = False
    unknown: list[str] = []
    checked: Counter[str] = Counter()
    if past.facts.loads_told < past.facts.loads_started:
        unknown.append("nobody wrote how many messages were scheduled")
    if past.facts.faults:
        unknown.append("there was a fault")
    for spec in court.all():
        if spec.seen_from == "nobody":
            continue
        samples = [sample for sample in past.samples(spec.name) if sample.message.tenant_class is not None]
        noisy = [sample for sample in samples if sample.message.tenant_class == "noisy"]
        quiet = [sample for sample in samples if sample.message.tenant_class != "noisy"]
        if not noisy or not quiet:
            unknown.append(f"no noise, or nobody who is quiet, on {spec.name}")
            continue
        in_doubt = any(
            past.in_doubt(message.id, spec.name)
            for message, other in past.expectations()
            if other.name == spec.name and message.tenant_class is not None
        )
        if in_doubt:
            unknown.append(f"messages of tenants in doubt on {spec.name}")
        dues = [sample.due.time for sample in noisy]
        spans = [(min(dues) - moved, max(dues) + moved) for moved in (0, past.error, -past.error)]
        for name in sorted({sample.message.tenant_class or "" for sample in quiet}):
            mine = [sample for sample in quiet if sample.message.tenant_class == name]
            parted = [part_by_noise(past, spec, mine, noisy, span) for span in spans]
            checked[spec.name] += min(len(during) for _, during, _ in parted)
            if any(len(part) < ENOUGH for parts in parted for part in parts):
                unknown.append(f"too few messages of {name} on {spec.name}")
            else:
                for bound, said in promise.said.items():
                    rulings = [waited(bound, said, *parts) for parts in parted]
                    if all(ruling == VIOLATED for ruling in rulings) and not in_doubt and not past.facts.faults:
                        violated = True
                    elif any(ruling != HOLDS for ruling in rulings):
                        unknown.append(f"{bound} of {name} on {spec.name}: {rulings}")
            intended = sum(1 for id in past.messages if past.intended(id))
            scheduled = intended if past.facts.scheduled is None else past.facts.scheduled
            given_up = [
                message
                for message in past.messages.values()
                if message.tenant_class == name and spec.name in message.expect and past.failed(message.id)
            ]
            missing = max(0, scheduled - intended) + len(given_up)
            if any(missing * 100 > len(part) for before, during, _ in parted for part in (before, during)):
                unknown.append(f"{missing} messages never sent or given up, {name} on {spec.name}")
    return Finding(covers=list(past.subscriptions), checked=checked, violated=violated, unknown=unknown)


def part_by_noise(
    past: Past, spec: Subscription, quiet: Sequence[Sample], noisy: Sequence[Sample], span: tuple[int, int]
) -> tuple[list[Wait], list[Wait], list[Wait]]:
    """The waits of the quiet messages due before the noise, of those due during it, and of the noisy ones received."""
    start, stop = span

    def wait(sample: Sample) -> Wait:
        doubt = past.doubt(sample, sample.first)
        begun = past.begun(sample.message)
        until = start if sample.first is None else min(start, sample.first.time)
        return Wait(
            least=max(0, sample.since_begun_ns - doubt),
            most=sample.had_ns + past.doubt(sample, sample.had),
            by_the_noise=max(0, until - begun - doubt),
            excused=spec.promises == "at-most-once" and sample.first is None,
        )

    before = [wait(sample) for sample in quiet if sample.due.time < start]
    during = [wait(sample) for sample in quiet if start <= sample.due.time <= stop]
    return before, during, [wait(sample) for sample in noisy if sample.first is not None]


def waited(bound: str, said: float, before: Sequence[Wait], during: Sequence[Wait], noisy: Sequence[Wait]) -> str:
    """Whether one class kept one bound, by one reading of when the noise was."""

    def p99(waits: Sequence[int]) -> int:
        return quantile(99, sorted(waits)) if waits else 0

    if bound == "quiet_p99_s":
        to_hold = to_blame = float(round(said * SECOND))
    else:
        to_hold = said * max(SECOND // 10, p99([one.by_the_noise for one in before]))
        to_blame = said * max(SECOND // 10, p99([one.most for one in before]))
    if p99([one.least for one in during if not one.excused]) > to_blame:
        return VIOLATED
    felt = p99([one.least for one in noisy]) > to_hold
    return HOLDS if felt and p99([one.most for one in during]) <= to_hold else UNKNOWN


CLAIMS: Mapping[str, Callable[[Court, Promise], Finding]] = {
    "no-loss": no_loss,
    "at-least-once": no_loss,
    "all-accepted": all_accepted,
    "no-phantom": no_phantom,
    "exactly-once-delivery": exactly_once_delivery,
    "at-least-once-effect": at_least_once_effect,
    "exactly-once-effect": exactly_once_effect,
    "ordered-per-group": ordered_per_group,
    "ordered-per-partition": ordered_per_partition,
    "ordered-effects": ordered_effects,
    "fanout-complete": fanout_complete,
    "replay-complete": replay_complete,
    "filter-correct": filter_correct,
    "dead-letter": dead_letter,
    "batch-isolation": batch_isolation,
    "esm-ordered": esm_ordered,
    "no-premature-death": no_premature_death,
    "discard-accounted": discard_accounted,
    "no-dangling-reference": no_dangling_reference,
    "no-orphan": no_orphan,
    "payload-intact": payload_intact,
    "schema-conformant": schema_conformant,
    "exactly-once-execution": exactly_once_execution,
    "at-least-once-execution": at_least_once_execution,
    "at-most-once-execution": at_most_once_execution,
    "redrive-no-rerun": redrive_no_rerun,
    "exactly-once-step-effect": exactly_once_step_effect,
    "callback-once": callback_once,
    "no-hung-execution": no_hung_execution,
    "execution-lag": execution_lag,
    "map-complete": map_complete,
    "lag": lag,
    "recovery": recovery,
    "fair": fair,
}


# Where the message was never received on an at-most-once step, the rows about tasks and tokens violate all the same.
OF_TASKS = (
    *("step-effect-duplicate", "step-effect-missing", "token-accepted-twice", "token-answered-again", "item-missing"),
    "redrive-rerun",
)
# Where nobody recorded who received what, every claim but these is unknown.
WITHOUT_RECEIVES = ("all-accepted", "at-least-once-effect", "exactly-once-effect")
# Where the clocks contradict, every claim but these is unknown; where a host is unsynchronised, unless violated.
WITHOUT_CLOCKS = ("no-phantom", "all-accepted", "payload-intact", "schema-conformant")


def rule(court: Court, promise: Promise) -> dict[str, Any]:
    """Violated beats unknown beats holds. Every claim is unknown, unless violated, when the run is `vacuous`, when the
    history is damaged (then even so), and when it checked nothing on a subscription that it covers. Where the clocks
    contradict, every claim but `no-phantom` and `all-accepted` is unknown, one that would be violated too. Where a host
    is unsynchronised, every claim but those is unknown, unless violated."""
    finding = CLAIMS[promise.claim](court, promise)
    why = list(finding.unknown)
    why += [case.note for case in court.cases["vacuous"]]
    why += [f"checked nothing on {name}" for name in finding.covers if finding.checked.get(name, 0) == 0]
    looked_at = court.past.subscriptions if promise.claim == "recovery" else finding.covers
    why += [f"unidentified records on {name}" for name in looked_at if name in court.past.unidentified]
    why += [
        f"calls that name no message on {name}"
        for name in looked_at
        if any(not step.id and step.broker_id is None for step in court.past.loose[name])
    ]
    if promise.claim not in WITHOUT_CLOCKS:
        why += [
            f"others may have had {id} on {name}, too"
            for id, name in court.past.receives
            if name in looked_at and court.past.may_have_been_had(id, name)
        ]
    if promise.claim not in WITHOUT_RECEIVES:
        why += [
            f"nobody recorded what was received on {name}"
            for name in looked_at
            if court.past.subscription(name).seen_from == "nobody"
        ]
    checked = sum(finding.checked.values())
    if checked == 0:
        why.append("checked nothing")
    if promise.claim not in WITHOUT_CLOCKS:
        why += [f"the clock of {host} is not known" for host in court.past.facts.unsynchronised]
    damaged = [f"{one.file}:{one.line} {one.reason}" for one in court.past.facts.damaged]
    contradictions = [] if promise.claim in WITHOUT_CLOCKS else court.past.contradictions()
    if damaged:
        verdict, why = UNKNOWN, damaged
    elif contradictions:
        verdict, why = UNKNOWN, contradictions
    elif finding.violated:
        verdict, why = VIOLATED, []
    else:
        verdict = UNKNOWN if why else HOLDS
    return {
        "claim": promise.claim,
        "bounds": dict(promise.said),
        "verdict": verdict,
        "checked": checked,
        "anomalies": dict(finding.anomalies),
        "why": why,
    }


def latency(past: Past, subscription: str) -> dict[str, float | None]:
    lags = sorted(sample.lag_ns for sample in past.samples(subscription))
    if not lags:
        return {"p50": None, "p99": None, "max": None}
    return {name: quantile(percent, lags) / SECOND for name, percent in (("p50", 50), ("p99", 99), ("max", 100))}


def judge(run: Path) -> dict[str, Any]:
    """Judges a run directory. What is not one is a ValueError."""
    past = Past(read(run))
    court = Court(past=past, cases={name: find(past) for name, find in ANOMALIES.items()})
    claims = [rule(court, promise) for promise in past.facts.manifest.promises]
    verdicts = {claim["verdict"] for claim in claims}
    return {
        "verdict": next(verdict for verdict in (VIOLATED, UNKNOWN, HOLDS) if verdict in verdicts),
        "claims": claims,
        "anomalies": {name: len(cases) for name, cases in court.cases.items()},
        "latency_s": {name: latency(past, name) for name in past.subscriptions},
        "torn_lines": past.facts.torn_lines,
        "damaged": [{"file": one.file, "line": one.line, "reason": one.reason} for one in past.facts.damaged],
    }


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tests.reference.judge RUN", file=sys.stderr)
        return 2
    try:
        verdict = judge(Path(arguments[0]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(orjson.dumps(verdict, option=orjson.OPT_INDENT_2).decode())
    return {HOLDS: 0, VIOLATED: 1}.get(verdict["verdict"], 3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
