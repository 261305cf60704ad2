"""The anomaly table of HISTORY.md: one function a row, named after it, each a sentence about the words in `words`.

Each docstring is the row it implements. Every function looks at the whole run and returns one `Case` per count. They
are quadratic and worse: closeness to the text is what they are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.reference import workflows
from tests.reference.reading import Message, Moment, Received, Replay, Step, Subscription
from tests.reference.words import LONG_AGO, NEVER, Past, at, may_have_landed_unnumbered


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One count of an anomaly: the message, and the subscription unless the row is per message or per run."""

    id: str
    subscription: str | None = None
    note: str = ""


# -- Lost, found and duplicated ------------------------------------------------------------------------------------


def _absent(past: Past) -> list[tuple[Message, Subscription, bool]]:
    """m acked, s in `expect`, never received on s but from a replay, nor dead there; and whether the loss is proven."""
    return [
        (
            message,
            spec,
            not past.in_doubt(message.id, spec.name)
            and not _past_the_proxy(past, message, spec)
            # What was invoked unrecorded a service may have given up.
            and (spec.all_invoked or not spec.gives_up)
            and (past.drained(spec.name) or _followed(past, message, spec)),
        )
        for message, spec in past.expectations()
        if past.acked(message.id)
        and spec.seen_from != "nobody"
        and all(received.replay is not None for received in past.receives_at(message.id, spec.name))
        and not past.possibly_dead(message.id, spec.name)
    ]


def _past_the_proxy(past: Past, message: Message, spec: Subscription) -> bool:
    """A consumer may go past the proxy: a message that was applied there is not lost but unseen, and so is every one
    where no receive at all is recorded."""
    if spec.seen_from != "wire":
        return False
    return past.applied(message.id, spec.name) > 0 or not any(name == spec.name for _, name in past.receives)


def _followed(past: Past, message: Message, spec: Subscription) -> bool:
    """A message after it in its group was received on s (a queue with `dead_letter` only once it has any `drained`
    mark)."""
    if past.redrives(message.id, spec.name):
        return False
    for later_one in past.messages.values():
        if not past.received(later_one.id, spec.name) or not past.comes_before(message, later_one, spec):
            continue
        if past.in_doubt(later_one.id, spec.name):
            continue
        if spec.kind != "queue" or not spec.dead_letter:
            return True
        for received in past.receives_at(later_one.id, spec.name):
            if any(past.before(received.moment, mark.moment) for mark in past.drains.get(spec.name, [])):
                return True
    return False


def _missing(past: Past) -> list[tuple[Message, Subscription, bool]]:
    return [absent for absent in _absent(past) if not _cut_short(past, *absent[:2])]


def _cut_short(past: Past, message: Message, spec: Subscription) -> bool:
    return spec.step is not None and bool(workflows.stopped(past, message.id))


def cut_short(past: Past) -> list[Case]:
    """m acked, s a step in `expect`, never received nor dead on s, and an execution of m was stopped on purpose.
    Legal"""
    return [
        Case(id=message.id, subscription=spec.name)
        for message, spec, _ in _absent(past)
        if _cut_short(past, message, spec)
    ]


def lost(past: Past) -> list[Case]:
    """m acked, s in `expect`, never received nor dead on s, and proven: s drained; or a message after it in its group
    was received on s (a queue with `dead_letter` only once it has any `drained` mark)"""
    return [Case(id=message.id, subscription=spec.name) for message, spec, proven in _missing(past) if proven]


def unseen(past: Past) -> list[Case]:
    """the same, not proven"""
    return [Case(id=message.id, subscription=spec.name) for message, spec, proven in _missing(past) if not proven]


def vanished(past: Past) -> list[Case]:
    """received on a queue s, s drained, not dead on s, never redriven, and no delete of it that may have worked was
    ever begun"""
    return [
        Case(id=id, subscription=name)
        for id, name in past.receives
        if past.subscription(name).kind == "queue"
        and not past.subscription(name).gives_up
        and past.drained(name)
        and not past.possibly_dead(id, name)
        and not past.redrives(id, name)
        and not any(delete.may_have_worked for delete in past.possible_deletes(id, name))
        and not past.in_doubt(id, name)
    ]


def lost_on_redrive(past: Past) -> list[Case]:
    """redriven to s, then neither received nor found dead again, s drained"""
    cases: list[Case] = []
    for id, name in past.redriven_of:
        seen = [received.moment for received in past.receives_at(id, name)] + past.deaths(id, name)
        gone = any(all(past.before(one, redriven) for one in seen) for redriven in past.redrives(id, name))
        if gone and past.drained(name) and not past.in_doubt(id, name):
            cases.append(Case(id=id, subscription=name))
    return cases


def replayed(past: Past) -> list[tuple[Message, Subscription, Replay]]:
    """What a replay that ran to its end must have sent again: acked, expected, and its whole way out, from `due` to
    the last answer, proven to lie within the time that was replayed."""
    return [
        (message, spec, replay)
        for message, spec in past.expectations()
        for replay in past.facts.replays
        if replay.ended and past.acked(message.id) and _covered(past, message, replay)
    ]


def _covered(past: Past, message: Message, replay: Replay) -> bool:
    answered = [attempt.sent for attempt in message.attempts if attempt.sent is not None]
    if replay.since is None or replay.until is None or len(answered) < len(message.attempts):
        return False
    begins = [attempt.intended.time for attempt in message.attempts] + ([message.due.time] if message.due else [])
    last = max(sent.moment.time for sent in answered)
    return min(begins) >= replay.since + past.error and last + past.error <= replay.until


def replay_missing(past: Past) -> list[Case]:
    """acked, expected, within the time of a replay that ran to its end, s drained, not dead on s, and never received on
    s from that replay. Per replay"""
    return [case for case, proven in _not_replayed(past) if proven]


def perhaps_replayed(past: Past) -> list[Case]:
    """the same of one that a function was invoked with, which is all that is known of that receive"""
    return [case for case, proven in _not_replayed(past) if not proven]


def _not_replayed(past: Past) -> list[tuple[Case, bool]]:
    return [
        (
            Case(id=message.id, subscription=spec.name),
            not any(received.bare for received in past.receives_at(message.id, spec.name)),
        )
        for message, spec, replay in replayed(past)
        if past.drained(spec.name)
        and not past.deaths(message.id, spec.name)
        and not past.in_doubt(message.id, spec.name)
        and not any(received.replay == replay.name for received in past.receives_at(message.id, spec.name))
    ]


def fanout_missing(past: Past) -> list[Case]:
    """lost on s, received on another subscription"""
    return [
        case
        for case in lost(past)
        if any(received.subscription != case.subscription for received in past.receives_of.get(case.id, []))
    ]


def given_up(past: Past) -> list[Case]:
    """m *failed*: no attempt to send it was accepted. Per message"""
    return [Case(id=id) for id in past.messages if past.failed(id)]


def recovered(past: Past) -> list[Case]:
    """m unknown, yet received: legal"""
    return [
        Case(id=id, subscription=name)
        for id, name in past.receives
        if past.intended(id) and not past.acked(id) and not past.failed(id)
    ]


def phantom(past: Past) -> list[Case]:
    """received, but never intended, or *failed*. Per message"""
    return [Case(id=id) for id in past.receives_of if not past.intended(id) or past.failed(id)]


def corrupt(past: Past) -> list[Case]:
    """`intact` is false, or its `group`, if present, is not the one intended. Per receive"""
    cases: list[Case] = []
    for received in past.facts.receives:
        group = past.messages[received.id].group if past.intended(received.id) else None
        other_group = group is not None and received.group is not None and received.group != group
        if received.intact is False or other_group:
            cases.append(Case(id=received.id, subscription=received.subscription))
    return cases


def misrouted(past: Past) -> list[Case]:
    """received on s, s not in `expect`"""
    return [
        Case(id=id, subscription=name)
        for id, name in past.receives
        if past.intended(id) and past.messages[id].expect_known and name not in past.messages[id].expect
    ]


def kept_copies(past: Past, id: str, name: str) -> list[list[Received]]:
    """The copies of m on s; copies after a `redriven` and those of a replay left out."""
    if past.perhaps_redriven(id, name):
        return []
    redrives = past.redrives(id, name)
    return [
        receives
        for receives in past.copies(id, name).values()
        if any(
            one.replay is None and all(past.before(one.moment, redriven) for redriven in redrives) for one in receives
        )
    ]


def send_duplicate(past: Past) -> list[Case]:
    """m received on s, no step, as more than one copy; copies after a `redriven` and of a replay left out. Per extra
    copy"""
    return [
        Case(id=id, subscription=name)
        for id, name in past.receives
        if past.subscription(name).step is None
        for _ in kept_copies(past, id, name)[1:]
    ]


def redelivery(past: Past) -> list[Case]:
    """received again as the same copy, and not an `early-redelivery`. Legal. Per receive"""
    return [
        Case(id=receives[0].id, subscription=receives[0].subscription)
        for receives in _not_early(past)
        for _ in receives[1:]
    ]


def _not_early(past: Past) -> list[list[Received]]:
    """The receives of each copy without the early ones."""
    early = {id(received) for received in _early(past)}
    return [
        [received for received in receives if id(received) not in early]
        for message, name in past.receives
        for receives in past.copies(message, name).values()
    ]


def doubtful_redeliveries(past: Past) -> list[str]:
    """A `redelivery` of which nobody can tell that it was not early: of a copy with an uncounted receive, or a counted
    one that is not early by no more than the clocks may be off. Where there is a `dedup_window_s`."""
    doubtful: list[str] = []
    for receives, every in _again(past):
        if any(past.uncounted(received) for received in every):
            doubtful.append(f"{receives[0].id} was received again, and its receives are not counted")
    return doubtful + [f"{case.id} was received again close to the end of its hold" for case in close(past)]


def close(past: Past) -> list[Case]:
    """A counted redelivery that is not early by no more than the clocks may be off."""
    return [
        Case(id=receives[0].id, subscription=receives[0].subscription)
        for receives, every in _again(past)
        if any(not past.uncounted(received) and _nearly_early(past, received, every) for received in receives)
    ]


def _again(past: Past) -> list[tuple[list[Received], list[Received]]]:
    """The receives of each copy that came again, where there is a `dedup_window_s`: those that are not early, and
    all."""
    found: list[tuple[list[Received], list[Received]]] = []
    for receives in _not_early(past):
        if len(receives) < 2 or past.subscription(receives[0].subscription).dedup_window_ns is None:
            continue
        copy = past.copies(receives[0].id, receives[0].subscription)
        found.append((receives, next(ones for ones in copy.values() if receives[0] in ones)))
    return found


def _nearly_early(past: Past, received: Received, receives: Sequence[Received]) -> bool:
    """Another writer than its hold's recorded it less than `clock_error_ns` after the earliest end of the hold that it
    followed, and no release excuses it."""
    followed = _followed_holds(past, received, receives)
    return bool(followed) and all(
        hold.moment.file != received.moment.file
        and past.near_earliest(received.moment, past.ends(hold, received.moment))
        and not _released(past, hold, received)
        for hold in followed
    )


def _early(past: Past) -> list[Received]:
    return [received for received in _too_soon(past) if not _may_be_given_back(past, received)]


def given_back(past: Past) -> list[Case]:
    """What would be early, where functions record themselves: the answer may be lost after that, and the service may
    have given the message back."""
    return [
        Case(id=received.id, subscription=received.subscription)
        for received in _too_soon(past)
        if _may_be_given_back(past, received)
    ]


def _may_be_given_back(past: Past, received: Received) -> bool:
    spec = past.subscription(received.subscription)
    return spec.by_service and not spec.all_invoked


def _too_soon(past: Past) -> list[Received]:
    return [
        received
        for id, name in past.receives
        if past.subscription(name).kind == "queue" and past.subscription(name).dedup_window_ns is not None
        if not past.perhaps_redriven(id, name)
        for receives in past.copies(id, name).values()
        for received in receives
        if (_twice_in_one_batch(received, receives) and not past.subscription(name).by_service)
        or _too_early(past, received, receives)
        or _after_delete(past, received)
    ]


def _twice_in_one_batch(received: Received, receives: Sequence[Received]) -> bool:
    """the same copy: twice in one batch"""
    return received.batch is not None and any(
        other is not received and other.batch == received.batch and at(other.moment) < at(received.moment)
        for other in receives
    )


def _too_early(past: Past, received: Received, receives: Sequence[Received]) -> bool:
    if past.uncounted(received):
        return _too_early_uncounted(past, received, receives)
    return _before_hold_ended(past, received, receives)


def _before_hold_ended(past: Past, received: Received, receives: Sequence[Received]) -> bool:
    """with `receives` one higher and recorded before the earliest end of the hold it followed, no release of that hold
    that may have worked begun before"""
    followed = _followed_holds(past, received, receives)
    return bool(followed) and all(
        past.before_earliest(received.moment, past.ends(hold, received.moment)) and not _released(past, hold, received)
        for hold in followed
    )


def _followed_holds(past: Past, received: Received, receives: Sequence[Received]) -> list[Received]:
    if received.receives is None:
        return []
    return [
        hold
        for hold in receives
        if hold.receives == received.receives - 1
        and not past.before(received.moment, hold.started if hold.started is not None else LONG_AGO)
    ]


def _released(past: Past, hold: Received, received: Received) -> bool:
    """A release of that hold that may have worked may have begun before."""
    return any(
        release.may_have_worked and past.of_hold(release, hold) and past.possibly_before(release.begun, received.moment)
        for release in past.steps_of(hold.id, hold.subscription, "release")
    )


def _too_early_uncounted(past: Past, received: Received, receives: Sequence[Received]) -> bool:
    """An uncounted one: by a call begun after another receive of that copy was recorded, and itself recorded before
    the earliest end of that hold, with no release of that copy that may have worked begun between the two, and no
    `redriven`"""
    if received.started is None:
        return False
    for hold in receives:
        between = [
            release.begun
            for release in past.steps_of(hold.id, hold.subscription, "release")
            if release.may_have_worked and release.broker_id in (None, hold.broker_id)
        ] + past.redrives(hold.id, hold.subscription)
        if (
            hold is not received
            and past.before(hold.moment, received.started)
            and past.before_earliest(received.moment, past.ends(hold, received.moment))
            and not any(
                past.possibly_before(hold.moment, moment) and past.possibly_before(moment, received.moment)
                for moment in between
            )
        ):
            return True
    return False


def _after_delete(past: Past, received: Received) -> bool:
    """by a call begun after a delete of it had been answered `ok`, before the earliest end of its hold"""
    if received.started is None:
        return False
    for delete in past.deletes(received.id, received.subscription):
        holds = past.holds_of(delete)
        if (
            delete.outcome == "ok"
            and delete.answered is not None
            and past.before(delete.answered, received.started)
            and bool(holds)
            and all(hold.broker_id == received.broker_id for hold in holds)
            and all(past.before_earliest(delete.answered, past.ends(hold, delete.begun)) for hold in holds)
        ):
            return True
    return False


def early_redelivery(past: Past) -> list[Case]:
    """on a queue with `dedup_window_s`, the same copy: twice in one batch; or with `receives` one higher and recorded
    before the earliest end of the hold it followed, no release of that hold that may have worked begun before; or by a
    call begun after a delete of it had been answered `ok`, before the earliest end of its hold. An uncounted one
    instead of by its count: by a call begun after another receive of that copy was recorded, and itself recorded before
    the earliest end of that hold, with no release of that copy that may have worked begun between the two, and no
    `redriven`. Per receive"""
    return [Case(id=received.id, subscription=received.subscription) for received in _early(past)]


def unrecorded_receive(past: Past) -> list[Case]:
    """`receives` is k > 1 and no receive of that copy with k - 1 is recorded: a lost reply, or a consumer that died
    before writing. Legal. Per receive"""
    return [
        Case(id=id, subscription=name)
        for id, name in past.receives
        for receives in past.copies(id, name).values()
        for received in receives
        if received.receives is not None
        and received.receives > 1
        and not any(other.receives == received.receives - 1 for other in receives)
    ]


def stale_delete(past: Past) -> list[Case]:
    """a delete begun after the latest end of its hold. Per delete"""
    cases: list[Case] = []
    for step in past.facts.steps:
        if step.action != "delete" or past.subscription(step.subscription).kind != "queue":
            continue
        holds = past.holds_of(step)
        if holds and all(past.after_latest(step.begun, past.ends(hold, step.begun)) for hold in holds):
            cases.append(Case(id=step.id, subscription=step.subscription))
    return cases


# -- Effects -------------------------------------------------------------------------------------------------------


def effect_duplicate(past: Past) -> list[Case]:
    """applied more than once. Per extra one"""
    if not past.effects_kept():
        return []
    pairs = dict.fromkeys([*past.effects, *((one.id, one.subscription) for one in past.facts.read_back)])
    return [Case(id=id, subscription=name) for id, name in pairs for _ in range(past.applied(id, name) - 1)]


def effect_missing(past: Past) -> list[Case]:
    """m acked or received on s, s in `expect`, s drained, applied zero times with no unknown effect (below), and m not
    a dead `poison`"""
    if not past.effects_kept():
        return []
    return [
        Case(id=message.id, subscription=spec.name)
        for message, spec in past.expectations()
        if past.concerned(message.id, spec.name)
        and past.drained(spec.name)
        and past.applied(message.id, spec.name) == 0
        and not past.unknown_effect(message.id, spec.name)
        and not (message.poison and past.possibly_dead(message.id, spec.name))
        and not (message.poison and past.may_be_unidentified(message.id, spec.name))
    ]


def effect_lost(past: Past) -> list[Case]:
    """an `applied` record says so, and the store read back has none of it (an upsert that was applied twice and counts
    one is fine)"""
    return [
        Case(id=id, subscription=name)
        for id, name in past.effects
        if past.truth(name)
        and past.applied_effects(id, name)
        and past.applied(id, name) == 0
        and not past.shares_key(id, name)
    ]


# -- Order ---------------------------------------------------------------------------------------------------------


def _twins(past: Past) -> Iterable[tuple[Message, Message]]:
    """one producer, one group, both acked, seq(a) < seq(b)"""
    acked = [
        message
        for message in past.messages.values()
        if message.producer is not None
        and message.group is not None
        and message.seq is not None
        and past.acked(message.id)
    ]
    for a in acked:
        for b in acked:
            if (a.producer, a.group) == (b.producer, b.group) and (a.seq or 0) < (b.seq or 0):
                yield a, b


def nonmonotonic_send(past: Past) -> list[Case]:
    """one producer, one group, both acked, seq(a) < seq(b); a's last attempt ended before b's first began, or a before
    b in one `call` to an ordered queue or topic; but the answers number b before a (stream: in one partition). The
    service's fault"""
    late: dict[tuple[str, str], str] = {}
    for a, b in _twins(past):
        if not _numbered_before(b, a):
            continue
        placed = all(sent.partition is not None for sent in (*a.sends, *b.sends) if sent.outcome == "ok")
        in_turn = past.ended_before_began(a, b)
        for spec in (past.subscription(name) for name in a.expect & b.expect):
            # A number of a stream is one of its partition.
            if not spec.ordered_by or (spec.kind == "stream" and not placed):
                continue
            if in_turn or (spec.kind == "queue" and _before_in_one_call(a, b)):
                kind = a.id, spec.ordered_by
                late[kind] = min(spec.name, late.get(kind, spec.name))
    return [Case(id=id, subscription=name) for (id, _), name in late.items()]


def _before_in_one_call(a: Message, b: Message) -> bool:
    """a before b in one `call`: both answered `ok` there, and b stored by no other attempt."""
    for one in a.sends:
        for two in b.sends:
            together = one.outcome == two.outcome == "ok" and one.call is not None and one.call == two.call
            in_turn = one.entry is not None and two.entry is not None and one.entry < two.entry
            elsewhere = any(attempt.sent is None for attempt in b.attempts) or any(
                sent is not two and sent.outcome != "failed" for sent in b.sends
            )
            if together and in_turn and not elsewhere:
                return True
    return False


def _numbered_before(b: Message, a: Message) -> bool:
    """The answers number b before a (stream: in one partition)."""
    bs = [(sent.partition, sent.number) for sent in b.sends if sent.outcome == "ok" and sent.number is not None]
    us = [(sent.partition, sent.number) for sent in a.sends if sent.outcome == "ok" and sent.number is not None]
    return (
        bool(bs)
        and bool(us)
        and all(
            one_in == two_in and one is not None and two is not None and one < two
            for one_in, one in bs
            for two_in, two in us
        )
    )


def stored_out_of_order(past: Past) -> list[Case]:
    """one producer, one group, both acked (an unknown send may land at any time), seq(a) < seq(b), both received on an
    ordered s, but b before a by their received `broker_seq` (stream: in one partition). The producer's fault unless
    also `nonmonotonic-send`"""
    late: dict[tuple[str, str], Case] = {}
    for spec in past.ordered():
        for a, b in _twins(past):
            a_place, b_place = past.received_place(a.id, spec), past.received_place(b.id, spec)
            if (
                a_place is not None
                and b_place is not None
                and (spec.kind == "queue" or (a_place.partition is not None and a_place.partition == b_place.partition))
                and b_place.number < a_place.number
                and not past.in_doubt(a.id, spec.name)
                and not past.in_doubt(b.id, spec.name)
                and not _earlier_copy_may_have_died(past, a, spec, past.receives_at(b.id, spec.name)[0].moment)
            ):
                late[a.id, spec.name] = Case(id=a.id, subscription=spec.name)
    return list(late.values())


def _earlier_copy_may_have_died(past: Past, a: Message, spec: Subscription, moment: Moment) -> bool:
    """An attempt of a that was not answered may have stored an earlier copy, dead by then without a recorded
    receive."""
    return spec.kind == "queue" and may_have_landed_unnumbered(a) and past.possibly_died_by(a.id, spec.name, moment)


def _pairs(past: Past) -> Iterable[tuple[Message, Message, Subscription]]:
    """a before b, neither of them in doubt"""
    for spec in past.ordered():
        for id, befores in past.earlier(spec).items():
            for a in befores:
                if not past.in_doubt(a.id, spec.name) and not past.in_doubt(id, spec.name):
                    yield a, past.messages[id], spec


def nonmonotonic_delivery(past: Past) -> list[Case]:
    """a before b, both received, but first(b, s) before first(a, s); not if a is dead and some call that received it
    began before first(b, s)"""
    late: dict[tuple[str, str], Case] = {}
    for a, b, spec in _pairs(past):
        a_receives, b_receives = past.receives_at(a.id, spec.name), past.receives_at(b.id, spec.name)
        firsts_b = [received.moment for received in b_receives]
        if not a_receives or not past.one_before_all(firsts_b, [received.moment for received in a_receives]):
            continue
        if past.possibly_died_by(a.id, spec.name, firsts_b[0]):
            begun_before = any(not past.one_before_all(firsts_b, [_began(received)]) for received in a_receives)
            redriven_before = any(
                past.possibly_before(redriven, received.moment)
                for redriven in past.redrives(a.id, spec.name)
                for received in a_receives[:1]
            )
            if begun_before or redriven_before or _earlier_copy_may_have_died(past, a, spec, firsts_b[0]):
                continue
        late[a.id, spec.name] = Case(id=a.id, subscription=spec.name)
    return list(late.values())


def _began(received: Received) -> Moment:
    """When the call that received it began; if that is not known, it may have been at any time before."""
    return received.started if received.started is not None else LONG_AGO


def group_overtake(past: Past) -> list[Case]:
    """queue ordered by group: a before b, b received after first(a, s) in a batch in which a does not stand before it,
    and a proven still queued: no delete of a that may have worked was begun before that receive of b, and either a copy
    of a received before it is received again by a call begun after it, or a, not dead and never redriven, is deleted
    after it. Per receive of b"""
    overtaking: dict[int, Case] = {}
    for a, b, spec in _pairs(past):
        if spec.kind != "queue" or spec.ordered_by != "group":
            continue
        for received in past.receives_at(b.id, spec.name):
            if _overtakes(past, received, a, spec):
                overtaking[id(received)] = Case(id=b.id, subscription=spec.name)
    return list(overtaking.values())


def _overtakes(past: Past, received: Received, a: Message, spec: Subscription) -> bool:
    receives = past.receives_at(a.id, spec.name)
    deletes = past.possible_deletes(a.id, spec.name)
    if not any(past.before(one.moment, received.moment) for one in receives):
        return False
    if received.batch is not None and any(
        one.batch == received.batch and past.before(one.moment, received.moment) for one in receives
    ):
        return False
    if any(delete.may_have_worked and past.possibly_before(delete.begun, received.moment) for delete in deletes):
        return False
    return _received_again(past, received, a, spec) or _deleted_after(past, received, a, spec)


def _received_again(past: Past, received: Received, a: Message, spec: Subscription) -> bool:
    """a copy of a received before it is received again by a call begun after it"""
    redrives = past.redrives(a.id, spec.name)
    if spec.by_service and past.possibly_died_by(a.id, spec.name, received.moment):
        return False
    for receives in past.copies(a.id, spec.name).values():
        numbers = [one.number for one in receives if one.number is not None]
        behind = received.number is not None and any(number >= received.number for number in numbers)
        again = any(
            past.before(received.moment, two.moment if spec.by_service else _began(two))
            and all(past.before(two.moment, one) for one in redrives)
            for two in receives
        )
        if not behind and again and any(past.before(one.moment, received.moment) for one in receives):
            return True
    return False


def _deleted_after(past: Past, received: Received, a: Message, spec: Subscription) -> bool:
    """a, not dead and never redriven, is deleted after it"""
    return not past.possibly_died_by(a.id, spec.name, received.moment) and any(
        delete.outcome == "ok" and past.before(received.moment, delete.begun)
        for delete in past.deletes(a.id, spec.name)
    )


def effect_out_of_order(past: Past) -> list[Case]:
    """a before b, a never dead, both applied, and every handling of a that may have applied it (an `applied` effect's
    `started`; a receive without `effect` in its batch) began after b's first `applied` was recorded"""
    late: dict[tuple[str, str], Case] = {}
    for a, b, spec in _pairs(past):
        recorded = [effect.moment for effect in past.applied_effects(b.id, spec.name)]
        if not recorded or past.applied(a.id, spec.name) == 0:
            continue
        handlings = [
            effect.started if effect.started is not None else LONG_AGO
            for effect in past.applied_effects(a.id, spec.name)
        ] + [received.moment for received in past.without_effect(a.id, spec.name)]
        if not handlings or not past.one_before_all(recorded, handlings):
            continue
        if past.possibly_died_by(a.id, spec.name, recorded[0]) and (
            past.deaths(a.id, spec.name)
            or past.redrives(a.id, spec.name)
            # Of one that was applied and of which no receive is recorded nobody knows when it was first received.
            or not past.receives_at(a.id, spec.name)
            or any(past.possibly_before(_began(one), recorded[0]) for one in past.receives_at(a.id, spec.name))
            or _earlier_copy_may_have_died(past, a, spec, recorded[0])
        ):
            continue
        late[a.id, spec.name] = Case(id=a.id, subscription=spec.name)
    return list(late.values())


def dlq_gap(past: Past) -> list[Case]:
    """a before b, a ended dead, b received after a's last receive"""
    gaps: dict[tuple[str, str], Case] = {}
    for a, b, spec in _pairs(past):
        receives = past.receives_at(a.id, spec.name)
        if not receives or not past.surely_dead(a.id, spec.name):
            continue
        if any(
            all(past.before(one.moment, received.moment) for one in receives)
            for received in past.receives_at(b.id, spec.name)
        ):
            gaps[a.id, spec.name] = Case(id=a.id, subscription=spec.name)
    return list(gaps.values())


def child_before_parent(past: Past) -> list[Case]:
    """first receive of a record after the first receive of a record of the same group in a descendant of its
    partition"""
    late: dict[tuple[str, str], Case] = {}
    for spec in past.subscriptions.values():
        if spec.kind != "stream":
            continue
        records = [
            (message, receives)
            for message in past.messages.values()
            if message.group is not None
            for receives in past.copies(message.id, spec.name).values()
        ]
        for parent, parent_receives in records:
            for child, child_receives in records:
                up, down = parent_receives[0].partition, child_receives[0].partition
                if (
                    parent.group == child.group
                    and up is not None
                    and down is not None
                    and up in past.ancestors(spec.name, down)
                    and past.one_before_all(
                        [one.moment for one in child_receives], [one.moment for one in parent_receives]
                    )
                ):
                    late[parent.id, spec.name] = Case(id=parent.id, subscription=spec.name)
    return list(late.values())


def stale_checkpoint(past: Past) -> list[Case]:
    """a checkpoint `ok` at a position below one that had been `ok` on that partition before it began: a zombie that
    fencing let through. Per checkpoint"""
    checkpoints = [step for step in past.facts.steps if step.action == "checkpoint" and step.outcome == "ok"]
    return [
        Case(id=step.id, subscription=step.subscription)
        for step in checkpoints
        if any(_checkpoint_above(past, step, other) for other in checkpoints)
    ]


def _checkpoint_above(past: Past, step: Step, other: Step) -> bool:
    return (
        step.partition is not None
        and (step.subscription, step.partition) == (other.subscription, other.partition)
        and step.number is not None
        and other.number is not None
        and step.number < other.number
        and other.answered is not None
        and past.before(other.answered, step.begun)
    )


# -- Dead letters --------------------------------------------------------------------------------------------------


def poison_escaped(past: Past) -> list[Case]:
    """poison, acked or received on s, s in `expect` with `dead_letter` and no step, s drained, not dead on s"""
    return [
        Case(id=message.id, subscription=spec.name)
        for message, spec in past.expectations()
        if message.poison
        and spec.step is None
        and spec.dead_letter
        and past.concerned(message.id, spec.name)
        and past.drained(spec.name)
        and not past.possibly_dead(message.id, spec.name)
        and not past.may_be_unidentified(message.id, spec.name)
    ]


def over_received(past: Past) -> list[Case]:
    """received with `receives` above `max_receives` where there is a dead-letter queue. Per receive. Of a copy with a
    receive that has no `receives`, and that was never redriven, at least as many as its receives exceed
    `max_receives`"""
    cases: list[Case] = []
    for id, name in past.receives:
        spec = past.subscription(name)
        if not spec.dead_letter or spec.max_receives is None:
            continue
        sent_back = past.redrives(id, name) or past.perhaps_redriven(id, name)
        copies = list(past.copies(id, name).values())
        copies += [[received] for received in past.receives_at(id, name) if past.copy_of(received) is None]
        for receives in copies:
            counts = [received.receives for received in receives]
            over = sum(1 for count in counts if count is not None and count > spec.max_receives)
            if None in counts and not sent_back and not spec.by_service and past.copy_of(receives[0]) is not None:
                over = max(over, len(receives) - spec.max_receives)
            cases += [Case(id=id, subscription=name)] * over
    return cases


def _healthy_letters(past: Past) -> list[tuple[Case, bool]]:
    """dead, not poison; and whether a handler `failed` it at least once"""
    return [
        (
            Case(id=id, subscription=name),
            past.failed_by_handler(id, name),
        )
        for id, name in past.dead_of
        if past.intended(id)
        and not past.messages[id].poison
        and past.surely_dead(id, name)
        and not past.may_be_unidentified(id, name)
    ]


def healthy_dead(past: Past) -> list[Case]:
    """dead, not poison, and a handler `failed` it at least once"""
    return [case for case, failed in _healthy_letters(past) if failed]


def collateral_dead(past: Past) -> list[Case]:
    """dead, not poison, and a handler ... never did: it shared a batch with one that failed, or it was given back, or
    its visibility ran out. Where no consumer tells, only if it has an `effect` and each of its receives has one"""
    return [
        case
        for case, failed in _healthy_letters(past)
        if not failed and past.cause_told(case.id, case.subscription or "")
    ]


def untold_deaths(past: Past) -> list[Case]:
    """One that is neither leaves `dead-letter` unknown"""
    return [
        case
        for case, failed in _healthy_letters(past)
        if not failed and not past.cause_told(case.id, case.subscription or "")
    ]


# -- Functions -----------------------------------------------------------------------------------------------------


def reruns(past: Past) -> list[Received]:
    """Receives of what an invocation of another batch had reported done before: as the same copy, as far as both tell
    one"""
    return [
        received
        for id, name in past.receives
        for received in past.receives_at(id, name)
        if any(
            past.reported_done(done)
            and done.batch != received.batch
            and (None in (past.copy_of(done), past.copy_of(received)) or past.copy_of(done) == past.copy_of(received))
            and all(past.before(answer.moment, received.moment) for answer in past.answers_to(done))
            for done in past.receives_at(id, name)
        )
    ]


def batch_rerun(past: Past) -> list[Case]:
    """reported done by an invocation, and received again in another batch after each answer of it. Legal. Per
    receive"""
    return [Case(id=received.id, subscription=received.subscription) for received in reruns(past)]


def early_reruns(past: Past) -> list[Case]:
    """an `early-redelivery` of what was reported done"""
    again = {id(received) for received in reruns(past)}
    return [
        Case(id=received.id, subscription=received.subscription) for received in _early(past) if id(received) in again
    ]


def doubtful_reruns(past: Past) -> list[Case]:
    """A rerun of which nobody can tell whether it came too early: it names no copy, or one that was received but once,
    or it is uncounted."""
    early = {id(received) for received in _too_soon(past)}
    return [
        Case(id=received.id, subscription=received.subscription)
        for received in reruns(past)
        if id(received) not in early
        and past.subscription(received.subscription).kind == "queue"
        and past.subscription(received.subscription).dedup_window_ns is not None
        and (
            past.uncounted(received)
            or len(past.copies(received.id, received.subscription).get(past.copy_of(received) or ("", ""), [])) < 2
        )
    ]


def _short_deaths(past: Past) -> list[tuple[Case, bool]]:
    """dead on a queue with fewer invocations on record than `max_receives`; and whether each is on record"""
    found: list[tuple[Case, bool]] = []
    for id, name in past.dead_of:
        spec = past.subscription(name)
        recorded = [one for one in past.receives_at(id, name) if past.invoked.get((name, one.batch))]
        if (
            (spec.by_service or spec.all_invoked)
            and spec.seen_from != "nobody"
            and spec.kind == "queue"
            and spec.dead_letter
            and spec.max_receives is not None
            and len(recorded) < spec.max_receives
            and past.intended(id)
            and not past.may_be_unidentified(id, name)
        ):
            found.append((Case(id=id, subscription=name), spec.all_invoked))
    return found


def premature_death(past: Past) -> list[Case]:
    """dead on a queue with fewer recorded invocations than `max_receives`, where every invocation is recorded"""
    return [case for case, proven in _short_deaths(past) if proven]


def perhaps_premature(past: Past) -> list[Case]:
    """the same where an invocation may have gone unrecorded"""
    return [case for case, proven in _short_deaths(past) if not proven]


def _gone(past: Past) -> list[tuple[Case, bool]]:
    """settled by the service, s drained, received, or acked and expected, not dead, never redriven, and no
    invocation of it may have done it; and whether each failed it"""
    pairs = dict.fromkeys([*past.receives, *((message.id, spec.name) for message, spec in past.expectations())])
    found: list[tuple[Case, bool]] = []
    for id, name in pairs:
        spec = past.subscription(name)
        meant = id in past.messages and name in past.messages[id].expect
        invocations = past.invocations_of(id, name)
        if (
            spec.by_service
            and (past.received(id, name) or (past.acked(id) and meant))
            and past.drained(name)
            and not past.possibly_dead(id, name)
            and not past.redrives(id, name)
            and not past.in_doubt(id, name)
            and not any(past.may_have_done(one) for one in invocations)
        ):
            found.append((Case(id=id, subscription=name), all(past.invocation_failed(one) for one in invocations)))
    return found


def discarded(past: Past) -> list[Case]:
    """settled by the service, s drained, received or acked, every invocation of it failed it, or there was none, not
    dead and never redriven"""
    return [case for case, proven in _gone(past) if proven]


def perhaps_discarded(past: Past) -> list[Case]:
    """the same where an invocation is open"""
    return [case for case, proven in _gone(past) if not proven]


def concurrent_invocation(past: Past) -> list[Case]:
    """settled by the service, s with `ordered_by` (a stream only with `invocations: all`): b is first invoked while an
    invocation of another message a of its group is at work for certain: it began before, each of its answers comes
    after, and on a queue the earliest end that the hold of a has if it was left alone; a was received in no other batch
    before the first of those answers, was never dead nor redriven, and nobody recorded a delete of it that may have
    begun by then; b was received in no other batch before, and never redriven. All by more than `clock_error_ns`,
    whoever wrote it. Per invocation and group"""
    found: dict[tuple[str, str, str | None], Case] = {}
    for spec in past.ordered():
        if not spec.by_service or (spec.kind == "stream" and not spec.all_invoked):
            continue
        recorded = [
            one
            for one in past.receives_on.get(spec.name, [])
            if past.invoked.get((spec.name, one.batch))
            and one.id in past.messages
            and past.messages[one.id].group is not None
            and not past.in_doubt(one.id, spec.name)
        ]
        spans = [(one, span) for one in recorded if (span := _at_work(past, one, spec)) is not None]
        for b in recorded:
            start, group = past.began(b).time, past.messages[b.id].group
            again = any(
                one.moment.time <= start + past.error
                for one in past.receives_at(b.id, spec.name)
                if one.batch != b.batch
            )
            if again or past.redrives(b.id, spec.name) or _unread_since(past, spec, start):
                continue
            if any(
                past.messages[a.id].group == group and began + past.error < start and start + past.error < until
                for a, (began, until) in spans
            ):
                found[spec.name, group or "", b.batch] = Case(id=b.id, subscription=spec.name)
    return list(found.values())


def _at_work(past: Past, a: Received, spec: Subscription) -> tuple[int, int] | None:
    """From when until when an invocation holds a message for certain."""
    answers = past.answers_to(a)
    if not answers or past.deaths(a.id, spec.name) or past.redrives(a.id, spec.name):
        return None
    answered = min(answer.moment.time for answer in answers)
    elsewhere = [one.moment.time for one in past.receives_at(a.id, spec.name) if one.batch != a.batch]
    elsewhere += [step.begun.time for step in past.recorded_deletes(a.id, spec.name) if step.may_have_worked]
    if any(moment <= answered + past.error for moment in elsewhere):
        return None
    if spec.kind == "stream":
        return past.began(a).time, answered
    end = past.end_if_left_alone(a)
    return None if end is None else (past.began(a).time, min(answered, end))


def _unread_since(past: Past, spec: Subscription, moment: int) -> bool:
    """Nobody has read the dead letters since."""
    return (
        spec.dead_letter
        and not past.dead_letters_read
        and not any(moment + past.error < drained.moment.time for drained in past.drains.get(spec.name, []))
    )


# -- Nobody can tell -----------------------------------------------------------------------------------------------


def unidentified(past: Past) -> list[Case]:
    """a receive of which nobody can tell the message. Per receive"""
    return [Case(id="", subscription=one.subscription) for one in past.facts.unidentified if one.event == "received"]


# -- Nothing looked at ---------------------------------------------------------------------------------------------


def vacuous(past: Past) -> list[Case]:
    """nothing acked, nothing received, or a fault whose window (start to stop; to the end without one) touches no
    message's life (`due` to its last `sent`, `received`, `effect` or `settled`); with a clock error, touching has to be
    proven. Per reason"""
    reasons: list[Case] = []
    if not any(past.acked(id) for id in past.messages):
        reasons.append(Case(id="", note="nothing acked"))
    unheard = past.subscriptions and all(spec.seen_from == "nobody" for spec in past.subscriptions.values())
    if not past.facts.receives and not unidentified(past) and not unheard:
        reasons.append(Case(id="", note="nothing received"))
    lives = (
        [_life(past, message) for message in past.messages.values() if message.attempts] if past.facts.faults else []
    )
    for fault in past.facts.faults:
        stop = fault.stop if fault.stop is not None else NEVER
        if not any(
            past.surely_not_after(due, stop) and any(past.surely_not_after(fault.start, moment) for moment in moments)
            for due, moments in lives
        ):
            reasons.append(Case(id="", note=f"fault {fault.instance} touches no message"))
    return reasons


def _life(past: Past, message: Message) -> tuple[Moment, list[Moment]]:
    """Its `due`, or else its first `intended`, and every moment up to which it may have lasted."""
    begins = message.due or min((attempt.intended for attempt in message.attempts), key=at)
    moments = [begins, *(sent.moment for sent in message.sends)]
    moments += [received.moment for received in past.receives_of.get(message.id, [])]
    moments += [effect.moment for effect in past.facts.effects if effect.id == message.id]
    moments += [moment for id, moment in past.facts.settled if id == message.id]
    return begins, moments


# -- Large messages and schemas ------------------------------------------------------------------------------------


def dangling_reference(past: Past) -> list[Case]:
    """on a queue s, an object of m was gone by a record that is before every delete of m on s that may have worked was
    begun, by the times of both where one file has them; m expects s, or was received there, and is not in doubt on s.
    Per (message, subscription)"""
    places = {*past.receives, *((message.id, spec.name) for message, spec in past.expectations())}
    return [
        Case(id=id, subscription=name)
        for id, name in sorted(places)
        if past.subscription(name).kind == "queue"
        and not past.in_doubt(id, name)
        and any(
            all(
                past.before(replace(moment, line=None), replace(delete.begun, line=None))
                for delete in past.possible_deletes(id, name)
                if delete.may_have_worked
            )
            for moment in past.gone(id, name)
        )
    ]


def orphan(past: Past) -> list[Case]:
    """an object is without its message, and the objects are not bounded. Per message"""
    return [] if past.objects_are_bounded() else _orphans(past)


def orphan_bounded(past: Past) -> list[Case]:
    """the same where they are"""
    return _orphans(past) if past.objects_are_bounded() else []


def _orphans(past: Past) -> list[Case]:
    return [Case(id=id) for id in sorted(past.facts.leftover) if past.intended(id) and past.without_message(id)]


def corrupt_object(past: Past) -> list[Case]:
    """a `fetched` that is `ok` has `intact` false. Per record"""
    return [
        Case(id=one.id, subscription=one.subscription)
        for one in past.facts.fetched
        if one.outcome == "ok" and one.intact is False
    ]


def schema_bad(past: Past) -> list[Case]:
    """`schema` is `bad`. Per record"""
    return [Case(id=id, subscription=name) for id, name, said in past.schemas_told() if said == "bad"]


# -- Workflows (their words and rows are in `workflows`) -------------------------------------------------------------


def _per_message(row: Callable[[Past], list[str]]) -> Callable[[Past], list[Case]]:
    return lambda past: [Case(id=id) for id in row(past)]


def _per_task(row: Callable[[Past], list[workflows.Task]]) -> Callable[[Past], list[Case]]:
    return lambda past: [Case(id=task.id, subscription=task.step) for task in row(past)]


def _per_token(row: Callable[[Past], list[workflows.Token]]) -> Callable[[Past], list[Case]]:
    return lambda past: [Case(id=token.id, subscription=token.step) for token in row(past)]


def item_missing(past: Past) -> list[Case]:
    return [Case(id=id, subscription=step) for id, step in workflows.item_missing(past)]


ANOMALIES: Mapping[str, Callable[[Past], list[Case]]] = {
    "execution-duplicate": _per_message(workflows.execution_duplicate),
    "execution-missing": _per_message(workflows.execution_missing),
    "execution-unseen": _per_message(workflows.execution_unseen),
    "start-refused": _per_message(workflows.start_refused),
    "execution-repeated": _per_message(workflows.execution_repeated),
    "start-repeated": _per_message(workflows.start_repeated),
    "task-repeated": _per_task(workflows.task_repeated),
    "redrive-rerun": _per_task(workflows.redrive_rerun),
    "step-effect-duplicate": _per_task(workflows.step_effect_duplicate),
    "step-effect-missing": _per_task(workflows.step_effect_missing),
    "token-accepted-twice": _per_token(workflows.token_accepted_twice),
    "token-answered-again": _per_token(workflows.token_answered_again),
    "item-missing": item_missing,
    "cut-short": cut_short,
    "lost": lost,
    "unseen": unseen,
    "vanished": vanished,
    "lost-on-redrive": lost_on_redrive,
    "replay-missing": replay_missing,
    "fanout-missing": fanout_missing,
    "given-up": given_up,
    "recovered": recovered,
    "phantom": phantom,
    "corrupt": corrupt,
    "misrouted": misrouted,
    "send-duplicate": send_duplicate,
    "redelivery": redelivery,
    "early-redelivery": early_redelivery,
    "unrecorded-receive": unrecorded_receive,
    "stale-delete": stale_delete,
    "effect-duplicate": effect_duplicate,
    "effect-missing": effect_missing,
    "effect-lost": effect_lost,
    "nonmonotonic-send": nonmonotonic_send,
    "stored-out-of-order": stored_out_of_order,
    "nonmonotonic-delivery": nonmonotonic_delivery,
    "group-overtake": group_overtake,
    "effect-out-of-order": effect_out_of_order,
    "dlq-gap": dlq_gap,
    "child-before-parent": child_before_parent,
    "stale-checkpoint": stale_checkpoint,
    "poison-escaped": poison_escaped,
    "over-received": over_received,
    "healthy-dead": healthy_dead,
    "collateral-dead": collateral_dead,
    "batch-rerun": batch_rerun,
    "premature-death": premature_death,
    "dangling-reference": dangling_reference,
    "orphan": orphan,
    "orphan-bounded": orphan_bounded,
    "corrupt-object": corrupt_object,
    "schema-bad": schema_bad,
    "discarded": discarded,
    "concurrent-invocation": concurrent_invocation,
    "unidentified": unidentified,
    "vacuous": vacuous,
}
