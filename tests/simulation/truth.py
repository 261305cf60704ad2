"""What a verdict must say of a simulated run, from what really happened.

Nothing here knows how the judge decides. For each claim two questions are put to the truth: must it not hold (somebody
was harmed, and the history shows it), and may it be violated at all. A claim that holds although it must not is a miss;
one that is violated although it may not be is a wrong blame. Truth is what the store applied, what the broker kept to
the end, and the records in the order in which they were really written, whatever the writers' clocks said. How far
clocks may differ is taken from what the history tells of it, and that is held to how far they did.

*Correct* is a run in which the broker has no defect, and consumers and producers are none of `plan.BROKEN`: handler
`reference`, guard `transaction`, checkpoints after the work, children after their parents, retries in order, what comes
after a failure in its group held back, subscriptions deployed as meant. Whatever is killed, paused, lost or delayed
then, no claim may be violated but those that its victims really broke: `lag`; `all-accepted` where a message was
refused to the end; the effect claims and `dead-letter` where a message that is no poison died of too many receives.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

from gameday.consumers.effects import Key
from gameday.history.clock import NS_PER_S, drift_ns
from gameday.history.events import Record
from gameday.history.manifest import Subscription
from tests.simulation.plan import HARMLESS
from tests.simulation.play import Played, Written

# Why a claim is unknown where nothing went wrong: a subscription got nothing that it speaks of.
_IDLE = ("nothing there to check", "no message to judge", "nothing was received")
Pair = tuple[str, str]  # (subscription, message id)
_MAX_LAG_NS = 3 * NS_PER_S
# More than any two times of a run are apart by.
_ANY_TIME_NS = 10**15
# What needs no clock.
_WITHOUT_CLOCKS = ("no-phantom", "all-accepted")
ORDERED = ("ordered-per-group", "ordered-per-partition")
# What else than a defect may bring a group out of its order.
_DISORDERLY = ("unordered-retry", "dedup-reuse", "children-early")
_DISORDERLY_EFFECTS = (*_DISORDERLY, "continue", "none", "check-then-act", "claim-first", "in-progress", "delete-first",
                       "checkpoint-before")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as its producer knows it. `answered`: each attempt that was intended has its `sent`."""

    first: Written
    attempts: int
    outcomes: Sequence[Written]

    @property
    def record(self) -> Record:
        return self.first.record

    @property
    def due(self) -> int:
        return int(self.record["due"])  # type: ignore[arg-type]

    @property
    def begun(self) -> int:
        """When its send really had begun and it was due."""
        started = [int(each.record["started"]) + each.when - each.at for each in self.outcomes]  # type: ignore[arg-type]
        return max(self.due, self.first.when, min(started, default=0))

    @property
    def expect(self) -> Sequence[str]:
        return self.first.record["expect"]  # type: ignore[return-value]

    @property
    def answered(self) -> bool:
        return len(self.outcomes) == self.attempts

    @property
    def acked(self) -> bool:
        return any(each.record["outcome"] == "ok" for each in self.outcomes)

    @property
    def failed(self) -> bool:
        return self.answered and all(each.record["outcome"] == "failed" for each in self.outcomes)


@dataclass
class Truth:
    played: Played
    of: dict[str, list[Written]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for written in self.played.records:
            self.of[str(written.record["event"])].append(written)

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        return self.played.manifest.subscriptions

    @cached_property
    def clocks_told(self) -> dict[str, list[Written]]:
        """The `clock` marks of each host that wrote anything."""
        told: dict[str, list[Written]] = {w.host: [] for w in self.played.records if w.host is not None}
        for w in self.of["mark"]:
            if w.record["name"] == "clock":
                told[str(w.record["host"])].append(w)
        return told

    @cached_property
    def unsynchronised(self) -> set[str]:
        """Hosts of whose clock the history does not say how far it may be off."""
        return {
            host
            for host, marks in self.clocks_told.items()
            if not marks or any("error_ns" not in w.record for w in marks)
        }

    @cached_property
    def error_ns(self) -> int:
        """How far the times of two writers may be apart, by what the history says."""
        if self.unsynchronised:
            return _ANY_TIME_NS
        errors = []
        for host, marks in self.clocks_told.items():
            after_ns = max(w.at for w in self.played.records if w.host == host) - max(w.at for w in marks)
            worst_ns = max(int(w.record["error_ns"]) for w in marks)  # type: ignore[arg-type]
            errors.append(worst_ns + max(0, math.ceil(after_ns / 1000)))
        return self.played.plan.clock_error_ns + sum(sorted(errors)[-2:])

    @property
    def known_drained(self) -> bool:
        """Whether the history shows it: without clocks nobody knows that a look came after all that was sent."""
        return self.played.drained and not self.unsynchronised

    @cached_property
    def clocks_belied(self) -> list[str]:
        """Where a host's times were further from the conductor's than its marks say, or its marks allow far more than
        the network and the clocks do."""
        plan, belied = self.played.plan, []
        slack_ns = plan.clock_error_ns // 2 + 1
        for planned in plan.hosts:
            steady = planned.known == "measured" and planned.step_at_s is None
            if steady and planned.name in self.unsynchronised:
                belied.append(f"{planned.name} is steady and is measured, and nobody knows how far it is off")
            marks = [w for w in self.clocks_told.get(planned.name, ()) if isinstance(w.record.get("error_ns"), int)]
            written = [w for w in self.played.records if w.host == planned.name]
            worst_ns = max((int(str(w.record["error_ns"])) for w in marks), default=0)
            since = 0
            for mark in marks:
                # A step while it is measured is known to the mark after it alone; the judge takes the worst of all.
                error_ns = int(str(mark.record["error_ns"])) if planned.step_at_s is None else worst_ns
                off_ns = max((abs(w.at - w.when) for w in written if since <= w.at <= mark.at), default=0)
                if off_ns > error_ns + slack_ns and planned.name not in self.unsynchronised:
                    belied.append(f"{planned.name} is off by {off_ns} ns, and its marks say {error_ns}")
                passed_ns = mark.when - written[0].when
                most_ns = 4 * (round(plan.latency_s[1] * NS_PER_S) + 100 * plan.step_ns) + 2 * drift_ns(
                    passed_ns + 2 * NS_PER_S
                )
                if planned.step_at_s is None and error_ns > most_ns:
                    belied.append(f"{planned.name} is known to {most_ns} ns, and a mark says {error_ns}")
                since = mark.at
        return belied

    @cached_property
    def sent(self) -> dict[str, Sent]:
        firsts: dict[str, Written] = {}
        attempts: dict[str, int] = defaultdict(int)
        outcomes: dict[str, list[Written]] = defaultdict(list)
        for written in self.of["intended"]:
            id = str(written.record["id"])
            firsts.setdefault(id, written)
            attempts[id] += 1
        for written in self.of["sent"]:
            outcomes[str(written.record["id"])].append(written)
        return {id: Sent(first, attempts[id], outcomes[id]) for id, first in firsts.items()}

    @cached_property
    def received(self) -> dict[Pair, list[Written]]:
        return self._by_pair("received")

    @cached_property
    def live(self) -> dict[Pair, list[Written]]:
        """What was received otherwise than from a replay."""
        found = {pair: [w for w in all if "replay" not in w.record] for pair, all in self.received.items()}
        return {pair: all for pair, all in found.items() if all}

    @cached_property
    def dead(self) -> set[Pair]:
        """Found dead, and not sent back since."""
        last: dict[Pair, str] = {}
        for written in self.played.records:
            if written.record["event"] in ("dead", "redriven"):
                last[_pair(written.record)] = str(written.record["event"])
        return {pair for pair, event in last.items() if event == "dead"}

    @cached_property
    def redriven(self) -> dict[Pair, list[Written]]:
        return self._by_pair("redriven")

    @cached_property
    def lost(self) -> set[Pair]:
        return {
            (s, id)
            for id, sent in self.sent.items()
            if sent.acked
            for s in sent.expect
            if (s, id) not in self.live and (s, id) not in self.dead and (s, id) not in self.redriven
        }

    @cached_property
    def vanished(self) -> set[Pair]:
        """Received, and then nowhere, though nobody ever began to delete it, or in vain."""
        refused = {
            (w.by, w.record["batch"], w.record["id"]) for w in self.of["settled"] if _is_refused_delete(w.record)
        }
        deleted = {
            _pair(w.record)
            for w in self.of["settling"]
            if w.record["action"] == "delete" and (w.by, w.record["batch"], w.record["id"]) not in refused
        }
        return {
            pair
            for pair in self.received
            if self.subscriptions[pair[0]].kind == "queue"
            and pair not in deleted
            and pair not in self.dead
            and pair not in self.redriven
        }

    @cached_property
    def lost_on_redrive(self) -> set[Pair]:
        lost = set()
        for pair, all in self.redriven.items():
            since = all[-1].place
            again = [*self.received.get(pair, ()), *self._by_pair("dead").get(pair, ())]
            # The looks at the dead letters before a redrive are records too.
            if not any(w.place > since for w in again):
                lost.add(pair)
        return lost

    @cached_property
    def phantoms(self) -> set[str]:
        return {id for _, id in self.received if id not in self.sent or self.sent[id].failed}

    @cached_property
    def corrupt(self) -> list[Written]:
        def changed(record: Record) -> bool:
            sent = self.sent.get(str(record["id"]))
            group = record.get("group")
            return record.get("intact") is False or bool(sent and group is not None and group != sent.record["group"])

        return [w for w in self.of["received"] if changed(w.record)]

    @cached_property
    def misrouted(self) -> set[Pair]:
        return {(s, id) for s, id in self.received if id in self.sent and s not in self.sent[id].expect}

    @cached_property
    def missing_effects(self) -> set[Pair]:
        return {
            (s, id)
            for id, sent in self.sent.items()
            for s in sent.expect
            if (sent.acked or (s, id) in self.received)
            and not self._applied(s, id)
            and not (sent.record.get("poison") and (s, id) in self.dead)
        }

    @cached_property
    def doubled_effects(self) -> dict[Pair, int]:
        return {(k.subscription, k.id): n - 1 for k, n in self.played.effects.applied.items() if n > 1}

    @cached_property
    def copies(self) -> dict[Pair, list[Written]]:
        """The first receive of each copy where there are several; a queue's, before anything was redriven."""
        found = {}
        for pair, all in self.live.items():
            until = self.redriven[pair][0].place if pair in self.redriven else None
            firsts: dict[object, Written] = {}
            for w in all:
                copy = w.record.get("broker_id") or (w.record.get("partition"), w.record.get("broker_seq"))
                if until is None or w.place < until:
                    firsts.setdefault(copy, w)
            if len(firsts) > 1:
                found[pair] = list(firsts.values())
        return found

    @cached_property
    def early(self) -> list[Written]:
        """Received again while it certainly was still hidden: the holder had done nothing about it."""
        settled = {(w.by, w.record["batch"], w.record["id"]): w for w in reversed(self.of["settling"])}
        found = []
        by_copy: dict[tuple[str, object], list[Written]] = defaultdict(list)
        for w in self.of["received"]:
            if self.subscriptions[str(w.record["subscription"])].kind == "queue":
                by_copy[str(w.record["subscription"]), w.record.get("broker_id")].append(w)
        error_ns = self.error_ns + self.played.manifest.broker_tick_ns
        for all in by_copy.values():
            for before, after in pairwise(all):
                first, second = before.record, after.record
                if int(second["receives"]) != int(first["receives"]) + 1:  # type: ignore[arg-type]
                    continue
                action = settled.get((before.by, first["batch"], first["id"]))
                if action is not None and action.place <= after.place:
                    continue
                hidden_ns = round(float(first["hidden_s"]) * NS_PER_S)  # type: ignore[arg-type]
                begun_ns = max(int(first["started"]), self.sent_at(str(first["id"])))  # type: ignore[arg-type]
                if after.at < begun_ns + hidden_ns - 2 * error_ns:
                    found.append(after)
        return found

    def sent_at(self, id: str) -> int:
        return self.sent[id].first.at if id in self.sent else 0

    @cached_property
    def inverted(self) -> list[tuple[str, str, str]]:
        """(s, a, b): a certainly came before b, and b was certainly received first."""
        return list(self._inverted())

    @cached_property
    def inverted_across_hosts(self) -> list[tuple[str, str, str]]:
        """Those of `inverted` that two hosts have received."""
        host = {pair: all[0].host for pair, all in self.received.items()}
        return [(s, a, b) for s, a, b in self.inverted if host[s, a] != host[s, b]]

    def _inverted(self) -> Iterator[tuple[str, str, str]]:
        firsts = {pair: all[0] for pair, all in self.received.items()}
        for s, a, b in self._to_be_in_order():
            if (s, a) in firsts and (s, b) in firsts and self._before(firsts[s, b], firsts[s, a]):
                yield s, a, b

    @cached_property
    def misnumbered(self) -> list[tuple[str, str, str]]:
        """(s, a, b): a certainly came before b, but what the service tells says the opposite."""
        found = []
        for s, a, b in self._to_be_in_order():
            one, other = self.sent[a].outcomes[0].record, self.sent[b].outcomes[0].record
            if _numbers_opposed(one, other):
                found.append((s, a, b))
        return found

    @cached_property
    def misplaced(self) -> list[tuple[str, str, str]]:
        """(s, a, b): a has the lower number in its group, both were accepted, and s has b before a."""
        groups: dict[object, list[str]] = defaultdict(list)
        for id, sent in self.sent.items():
            if sent.acked:
                groups[sent.record["producer"], sent.record["group"]].append(id)
        found = []
        for s, promised in self.subscriptions.items():
            if promised.ordered_by is None:
                continue
            for all in groups.values():
                numbered = [(id, copies) for id in all if (copies := self._numbered(s, id))]
                for n, (a, one) in enumerate(numbered):
                    for b, other in numbered[n + 1 :]:
                        if len({partition for partition, _ in (*one, *other)}) == 1 and min(one) > min(other):
                            found.append((s, a, b))
        return found

    def _numbered(self, s: str, id: str) -> set[tuple[str, int]]:
        """Partition and number of each copy that was received before any was sent back."""
        until = self.redriven[s, id][0].place if (s, id) in self.redriven else len(self.played.records)
        return {
            (str(w.record.get("partition")), int(str(w.record["broker_seq"])))
            for w in self.received.get((s, id), ())
            if "broker_seq" in w.record and w.place < until
        }

    @cached_property
    def overtaken(self) -> list[tuple[str, str, str]]:
        """(s, a, b): b was received while a, which came before it, had been received and was deleted only later."""
        deletes: dict[Pair, Written] = {}
        for w in self.of["settling"]:
            if w.record["action"] == "delete":
                deletes.setdefault(_pair(w.record), w)
        # Only a delete that was done proves that it was there till then.
        done = {
            _pair(w.record)
            for w in self.of["settled"]
            if w.record["action"] == "delete" and w.record["outcome"] == "ok"
        }
        found = []
        for s, a, b in self._to_be_in_order():
            if self.subscriptions[s].ordered_by != "group" or (s, a) not in self.received or (s, a) not in done:
                continue
            first = self.received[s, a][0]
            batches = {(w.by, w.record["batch"]): w.place for w in self.received[s, a]}
            for w in self.received.get((s, b), ()):
                behind = batches.get((w.by, w.record["batch"]), w.place) < w.place
                if not behind and self._before(first, w) and self._before(w, deletes[s, a]):
                    found.append((s, a, b))
        return found

    def _before(self, one: Written, other: Written) -> bool:
        """Whether the history proves that one was written before the other."""
        if one.by == other.by:
            return one.place < other.place
        return one.place < other.place and one.at + self.error_ns < other.at

    def _to_be_in_order(self) -> Iterator[tuple[str, str, str]]:
        """(s, a, b) of all pairs whose order on s is certain, and neither was stored twice, dead or sent back."""
        exempt = {*self.dead, *self.redriven, *self.copies}
        for a, b in self._in_order():
            for s, promised in self.subscriptions.items():
                if promised.ordered_by is not None and not {(s, a), (s, b)} & exempt:
                    yield s, a, b

    def _in_order(self) -> Iterator[tuple[str, str]]:
        """(a, b): of one producer and group, each accepted at its first attempt, a before b was begun."""
        groups: dict[object, list[Sent]] = defaultdict(list)
        for sent in self.sent.values():
            if sent.attempts == 1 and sent.acked:
                groups[sent.record["producer"], sent.record["group"]].append(sent)
        for all in groups.values():
            for n, a in enumerate(all):
                for b in all[n + 1 :]:
                    one, other = a.outcomes[0].record, b.outcomes[0].record
                    same_partition = one.get("partition") == other.get("partition")
                    answered_before = a.outcomes[0].by == b.first.by and a.outcomes[0].place < b.first.place
                    if same_partition and answered_before:
                        yield str(a.record["id"]), str(b.record["id"])

    @cached_property
    def effects_inverted(self) -> bool:
        """Whether the store applied anything of a group in another order than it was sent."""
        place: dict[Key, int] = {}
        for n, key in enumerate(self.played.effects.order):
            place.setdefault(key, n)
        highest: dict[object, int] = {}
        for key in sorted(place, key=lambda key: place[key]):
            if key.id in self.sent:
                record = self.sent[key.id].record
                group = key.subscription, record["producer"], record["group"]
                if int(record["seq"]) < highest.get(group, 0):  # type: ignore[arg-type]
                    return True
                highest[group] = int(record["seq"])  # type: ignore[arg-type]
        return False

    @cached_property
    def effects_certainly_inverted(self) -> bool:
        """Whether b's effect was recorded before the first call that received a, which came before it, was begun."""
        applied: dict[Pair, Written] = {}
        for w in self.of["effect"]:
            if w.record["outcome"] == "applied":
                applied.setdefault(_pair(w.record), w)
        for s, a, b in self._to_be_in_order():
            if (s, a) not in applied or (s, b) not in applied or not self._applied(s, a):
                continue
            begun = min(int(w.record["started"]) for w in self.received[s, a])  # type: ignore[arg-type]
            really = applied[s, b].place < self.received[s, a][0].place
            if really and applied[s, b].at + self.error_ns < begun:
                return True
        return False

    @cached_property
    def escaped(self) -> set[Pair]:
        return {
            (s, id)
            for id, sent in self.sent.items()
            if sent.record.get("poison")
            for s in sent.expect
            if self.subscriptions[s].dead_letter
            and (sent.acked or (s, id) in self.received)
            and (s, id) not in self.dead
        }

    @cached_property
    def healthy_dead(self) -> set[Pair]:
        failed = {_pair(w.record) for w in self.of["effect"] if w.record["outcome"] == "failed"}
        return {
            (s, id)
            for s, id in self.dead
            if id in self.sent and not self.sent[id].record.get("poison") and (s, id) in failed
        }

    @cached_property
    def over_received(self) -> list[Written]:
        return [
            w
            for w in self.of["received"]
            if (promised := self.subscriptions[str(w.record["subscription"])]).dead_letter
            and int(w.record["receives"]) > (promised.max_receives or 0)  # type: ignore[arg-type]
        ]

    @cached_property
    def replay_missing(self) -> set[Pair]:
        ended = {w.record["replay"] for w in self.of["mark"] if w.record.get("outcome") == "ok"}
        missing = set()
        for replay in (w.record for w in self.of["mark"] if w.record["name"] == "replay-started"):
            if replay["replay"] not in ended:
                continue
            since, until = int(replay["since"]), int(replay["until"])  # type: ignore[arg-type]
            for id, sent in self.sent.items():
                covered = (
                    min(sent.due, sent.first.at) >= since + self.error_ns
                    and sent.answered
                    and sent.outcomes[-1].at <= until - self.error_ns
                )
                for s in sent.expect if sent.acked and covered else ():
                    again = [w for w in self.received.get((s, id), ()) if w.record.get("replay") == replay["replay"]]
                    if not again and (s, id) not in self.dead:
                        missing.add((s, id))
        return missing

    def lags_ns(self, *, since: Literal["due", "begun"]) -> list[int]:
        """Of every message: from when it was due, or from when its send had begun and it was due."""
        last = max(w.when for w in self.played.records)
        lags = []
        for id, sent in self.sent.items():
            for s in sent.expect:
                if (s, id) in self.dead or not (sent.acked or (s, id) in self.received):
                    continue
                first = min((w.when for w in self.received.get((s, id), ())), default=last)
                lags.append(first - (sent.begun if since == "begun" else sent.due))
        return lags

    def _applied(self, s: str, id: str) -> int:
        return self.applied.get((s, id), 0)

    @cached_property
    def applied(self) -> dict[Pair, int]:
        return {(key.subscription, key.id): n for key, n in self.played.effects.applied.items()}

    def _by_pair(self, event: str) -> dict[Pair, list[Written]]:
        found: dict[Pair, list[Written]] = defaultdict(list)
        for written in self.of[event]:
            found[_pair(written.record)].append(written)
        return dict(found)


def _pair(record: Record) -> Pair:
    return str(record["subscription"]), str(record["id"])


def _numbers_opposed(one: Record, other: Record) -> bool:
    """Whether the numbers of two that came one after the other say the opposite."""
    if one.get("partition") != other.get("partition") or "broker_seq" not in one or "broker_seq" not in other:
        return False
    return int(str(one["broker_seq"])) > int(str(other["broker_seq"]))


def _is_refused_delete(record: Record) -> bool:
    return record["action"] == "delete" and record["outcome"] == "failed"


@dataclass(frozen=True, slots=True)
class Expected:
    """`must`: why a claim cannot hold (empty: it can); `may`: whether it can be violated."""

    must: object
    may: object


def expected(truth: Truth) -> dict[str, Expected]:
    """By claim."""
    played, plan = truth.played, truth.played.plan
    sound = plan.planted is None or plan.planted.partition(":")[0] in HARMLESS
    drained = played.drained
    filtered = {s for s, promised in truth.subscriptions.items() if promised.filtered}
    lost = truth.lost if drained else set()
    gone = [*lost, *(truth.vanished if drained else ())]
    gone_sometime = [*truth.lost, *truth.vanished]
    lost_on_redrive = truth.lost_on_redrive if drained else ()
    fifo = {s for s, promised in truth.subscriptions.items() if promised.dedup_window_s is not None}
    twice = [pair for pair in truth.copies if pair[0] in fifo]
    early = [w for w in truth.early if str(w.record["subscription"]) in fifo]
    # An order is read from the numbers that the service tells; told wrongly they are the harm themselves.
    wrongly_told = [*truth.misnumbered, *truth.misplaced]
    inverted = wrongly_told or truth.inverted
    may_invert = inverted or not sound or plan.broken in _DISORDERLY
    # What an at-most-once subscription never got is nobody's fault, and is left unknown.
    missing = [
        (s, id)
        for s, id in (truth.missing_effects if drained else ())
        if truth.subscriptions[s].promises == "at-least-once" or (s, id) in truth.received
    ]
    effects_wrong = [*missing, *truth.doubled_effects]
    undelivered = [*(truth.escaped if drained else ()), *truth.healthy_dead, *truth.over_received]
    lags, since_begun = truth.lags_ns(since="due"), truth.lags_ns(since="begun")
    error_ns = 2 * truth.error_ns
    given_up = [id for id, sent in truth.sent.items() if sent.failed]
    lost_filtered = [pair for pair in truth.lost if pair[0] in filtered]
    misrouted = [pair for pair in truth.misrouted if pair[0] in filtered]
    return {
        "all-accepted": Expected(given_up, given_up),
        "no-loss": Expected([*gone, *lost_on_redrive], [*gone_sometime, *truth.lost_on_redrive]),
        "no-phantom": Expected([*truth.phantoms, *truth.corrupt], [*truth.phantoms, *truth.corrupt]),
        "fanout-complete": Expected(lost, truth.lost),
        "filter-correct": Expected([*misrouted, *(lost_filtered if drained else ())], [*misrouted, *lost_filtered]),
        "exactly-once-delivery": Expected([*twice, *early, *gone], [*twice, *gone_sometime, not sound or ""]),
        "ordered-per-group": Expected([*inverted, *truth.overtaken], may_invert),
        "ordered-per-partition": Expected(inverted, may_invert),
        "ordered-effects": Expected(
            truth.effects_certainly_inverted and drained and not wrongly_told,
            truth.effects_inverted or not sound or plan.broken in _DISORDERLY_EFFECTS,
        ),
        "at-least-once-effect": Expected(missing, truth.missing_effects),
        "exactly-once-effect": Expected(effects_wrong, [*truth.missing_effects, *truth.doubled_effects]),
        "dead-letter": Expected(undelivered, [*truth.escaped, *undelivered]),
        "replay-complete": Expected(truth.replay_missing if drained else (), truth.replay_missing),
        "lag": Expected(
            any(lag > _MAX_LAG_NS + error_ns for lag in lags),
            any(lag > _MAX_LAG_NS - error_ns for lag in since_begun),
        ),
    }


def complaints(truth: Truth, document: Mapping[str, Any]) -> list[str]:
    """What is wrong with a verdict, and with the parts themselves. `document` is the object of verdict.json."""
    played, plan = truth.played, truth.played.plan
    found = [*played.failures]
    found += failures_of_the_parts(truth)
    if played.failures:
        return found
    if document["damaged"]:
        found.append(f"damaged: {document['damaged']}")
    error_ns = None if truth.unsynchronised else truth.error_ns
    if document["clock_error_ns"] != error_ns:
        found.append(f"clocks: may differ by {error_ns} ns, and the judge says {document['clock_error_ns']}")
    wanted = expected(truth)
    for claim in document["claims"]:
        want = wanted[claim["claim"]]
        if claim["verdict"] == "holds" and want.must:
            found.append(f"missed: {claim['claim']} holds, but {_brief(want.must)}")
        if claim["verdict"] == "violated" and not _any(want.may):
            counts = {name: n for name, n in claim["anomalies"].items() if n}
            found.append(f"wrong blame: {claim['claim']} is violated by {counts}")
        effect = claim["claim"].endswith("-effect")
        if effect and truth.known_drained and claim["verdict"] == "unknown" and want.must:
            found.append(f"not found: {claim['claim']} is unknown, but {_brief(want.must)}: {claim['why']}")
        if claim["verdict"] == "holds" and truth.unsynchronised and claim["claim"] not in _WITHOUT_CLOCKS:
            found.append(f"missed: {claim['claim']} holds, but nobody knows the clocks of {truth.unsynchronised}")
        if claim["claim"] in ORDERED and claim["verdict"] == "unknown" and truth.inverted and truth.known_drained:
            found.append(f"not found: {claim['claim']} is unknown, but {_brief(truth.inverted)}: {claim['why']}")
        disturbed = plan.hosts or plan.faults or plan.planted or plan.broken or plan.clock_error_ns or played.refused
        undisturbed = not disturbed and not _never_fits(played)
        idle = any(why.partition(": ")[2].startswith(_IDLE) for why in claim["why"])
        # A load may fall behind by itself, and then nobody is blamed for it.
        late = claim["claim"] == "lag" and want.must and not want.may
        if undisturbed and claim["verdict"] == "unknown" and claim["checked"] and not idle and not late:
            found.append(f"nothing happened, and {claim['claim']} is unknown: {claim['why']}")
    found += _of_counts(truth, document)
    return found


def _correct(truth: Truth) -> bool:
    plan = truth.played.plan
    return plan.broken is None and (plan.planted is None or plan.planted.partition(":")[0] in HARMLESS)


def _of_counts(truth: Truth, document: Mapping[str, Any]) -> Iterator[str]:
    """Anomalies of which the truth knows the number."""
    played = truth.played
    given_up = sum(sent.failed for sent in truth.sent.values())
    wanted = {
        "phantom": len(truth.phantoms),
        "corrupt": len(truth.corrupt),
        "misrouted": len(truth.misrouted),
        "given-up": given_up,
        "over-received": len(truth.over_received),
        "healthy-dead": len(truth.healthy_dead),
    }
    if truth.known_drained:
        wanted |= {"lost": len(truth.lost), "vanished": len(truth.vanished), "poison-escaped": len(truth.escaped)}
        wanted["lost-on-redrive"] = len(truth.lost_on_redrive)
        if truth.of["effects"] or truth.of["effect"]:
            wanted["effect-missing"] = len(truth.missing_effects)
    # A run that ended badly may not have read the store, and what no consumer recorded is then known to nobody.
    if any(written.record["name"] == "effects-read" for written in truth.of["mark"]):
        wanted["effect-duplicate"] = sum(truth.doubled_effects.values())
    for name, n in wanted.items():
        counted = document["anomalies"][name]["count"]
        if truth.unsynchronised and name == "effect-duplicate" and counted < n:
            # Nobody knows that the store was read after all that was done.
            continue
        if counted != n:
            yield f"count: {name} is {counted}, and should be {n}"
    if not played.refused and given_up != played.tally.failed:
        yield f"count: the lanes say that {played.tally.failed} failed, the records {given_up}"


def _never_fits(played: Played) -> bool:
    """It did not drain because a batch that is settled as a whole may never be done within its visibility timeout,
    where the store is slow."""
    return not played.drained and played.scenario.after_failure == "fail-batch"


def failures_of_the_parts(truth: Truth) -> Iterator[str]:
    """What correct parts promise whatever happens."""
    played = truth.played
    for belied in truth.clocks_belied:
        yield f"parts: clocks: {belied}"
    if not _correct(truth) or played.failures or played.refused:
        return
    if not played.drained:
        # A send that the network held up may arrive when everybody has gone home.
        late = any(fault.kind == "late-request" and fault.part == "send" for fault in played.plan.faults)
        if not late and not _never_fits(played) and played.plan.planted is None:
            yield "parts: the run did not drain"
        return
    for name, pairs in {
        "lost": truth.lost,
        "vanished": truth.vanished,
        "lost on redrive": truth.lost_on_redrive,
        "misrouted": truth.misrouted,
        "escaped": truth.escaped,
        "not replayed": truth.replay_missing,
        "applied twice": truth.doubled_effects,
        "never applied": {pair for pair in truth.missing_effects if pair not in truth.dead},
        "received too often": truth.over_received,
        "phantoms": truth.phantoms,
        "corrupt": truth.corrupt,
        "in the wrong order": truth.inverted,
        "numbered in the wrong order": truth.misnumbered,
        "stored in the wrong order": truth.misplaced,
        "overtaken": truth.overtaken,
        "twice in a FIFO queue": [
            pair for pair in truth.copies if truth.subscriptions[pair[0]].dedup_window_s is not None
        ],
    }.items():
        if pairs:
            yield f"parts: {name}: {_brief(pairs)}"
    if (
        truth.effects_inverted
        and not (truth.dead or truth.redriven)
        and all(s.ordered_by for s in truth.subscriptions.values())
    ):
        yield "parts: effects of a group in the wrong order"


def _any(may: object) -> bool:
    return any(may) if isinstance(may, list) else bool(may)


def _brief(harmed: object) -> str:
    if isinstance(harmed, Written):
        return str(dict(harmed.record))
    if isinstance(harmed, bool):
        return "it does not"
    listed = sorted(str(each.record if isinstance(each, Written) else each) for each in harmed)  # type: ignore[attr-defined]
    return f"{len(listed)}: {'; '.join(listed[:3])}"
