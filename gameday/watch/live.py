"""What a run looks like while it runs: counts that grow with every record, for the terminal and for Prometheus.

It is a view; the verdict is judged from the history alone. Every count costs the same for each record, however long
the history is, and never falls. What it takes to tell a redelivery that came too early from a legal one, or a message
that was late from one that died, is left to the judge: `COUNTS` says how each count may differ from the verdict's.

Records come in the order of their times, as `Tail` gives them: else a message may seem to come after one that it came
before.

Where a proxy records receives (`seen_from: wire`) and leaves out which message they are of, the answer to its send
tells; until that is on record they wait. What no answer tells is counted as received, and in nothing else.

Memory: about half a kilobyte a message. At most `MESSAGES_MAX` messages, and as many groups of each subscription, are
remembered: those that came up last. What is forgotten is counted in `forgotten`, and from then on counts only roughly.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gameday.history.clock import NS_PER_S
from gameday.history.events import Record
from gameday.history.manifest import Manifest, Subscription
from gameday.watch.meters import Histogram, Plan, Rate
from gameday.watch.state import Message, Recent, Seen
from gameday.watch.unsettled import Hands, Unsettled

MESSAGES_MAX = 1_000_000
_ERRORS_MAX = 50
_NOTES_MAX = 200
_TENANT_CLASSES_MAX = 20
# Of which claims which bounds are of latencies.
LATENCY_BOUNDS: Mapping[str, Sequence[str]] = {"lag": ("p50_s", "p99_s", "max_s"), "fair": ("quiet_p99_s",)}
SEND_OUTCOMES = ("ok", "failed", "unknown")
EFFECT_OUTCOMES = ("applied", "skipped", "failed")
_ABOUT_A_COPY = frozenset(("received", "settled", "dead", "redriven"))
PHASES = ("starting", "load", "draining", "drained", "aborted")
Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """One that the verdict has, too: of these anomalies together. `told` is what is counted and how it may differ;
    `least` and `most`: whether the live count may be lower, or higher, than the verdict's in any history. Where it
    hangs on the history, `Live.open_counts` tells."""

    anomalies: tuple[str, ...]
    told: str
    least: bool = False
    most: bool = False


COUNTS: Mapping[str, Count] = {
    "redelivery": Count(
        anomalies=("redelivery", "early-redelivery"),
        told="Receives of a copy received before. The verdict tells those that came too early apart; where others use "
        "the queue, too, it may count fewer.",
    ),
    "send-duplicate": Count(
        anomalies=("send-duplicate",),
        told="Copies of a message besides its first, those of a replay or after a redrive left out. Where hosts have "
        "clocks of their own, or others use the queue, too, it may differ from the verdict's.",
    ),
    "effect-duplicate": Count(
        anomalies=("effect-duplicate",),
        told="Times that an effect was applied besides the first: by the consumers' records or by the store once it is "
        "read back, whichever says more; where effects stand elsewhere, by what was read back there. Never lower than "
        "the verdict's, which believes the store even where it says less.",
        most=True,
    ),
    "nonmonotonic-delivery": Count(
        anomalies=("nonmonotonic-delivery",),
        told="First receives with a lower number than one received before in the group. Equal to the verdict's "
        "where all writers have one clock, each message of the subscription has one copy with a number, partitions do "
        "not split, nothing died or was redriven, and the dead letters were looked at after the last that came late. "
        "Else it may be higher or lower.",
    ),
    "over-received": Count(
        anomalies=("over-received",),
        told="Receives above the redrive policy's most, by the broker's count. The verdict also sees some that the "
        "broker does not count; where others use the queue, too, it may count fewer.",
        least=True,
    ),
    "misrouted": Count(
        anomalies=("misrouted",),
        told="Messages received on a subscription that should not get them.",
    ),
}


def differences(
    counts: Mapping[str, int], anomalies: Mapping[str, Any], open_counts: Collection[str] = ()
) -> list[str]:
    """Where live counts differ from those of verdict.json by more than `COUNTS` says; not in `open_counts`, for which
    this history promises nothing (`Live.open_counts`)."""
    found = []
    for name, count in COUNTS.items():
        if name in open_counts:
            continue
        live, judged = counts[name], sum(anomalies[anomaly]["count"] for anomaly in count.anomalies)
        if (live < judged and not count.least) or (live > judged and not count.most):
            found.append(f"the live view counts {live} {name}, the verdict {judged}")
    return found


class Sub:
    """A subscription: its promises and what was counted on it."""

    def __init__(self, promise: Subscription, *, groups_max: int, latency_bounds: Sequence[float] = ()) -> None:
        self.promise = promise
        self.received = 0
        self.received_rate = Rate()
        self._latency_bounds = latency_bounds
        self.latency = Histogram(latency_bounds)
        # Of tenants' messages, by class.
        self.tenants: dict[str, Histogram] = {}
        # Of each count of `COUNTS` how many, and the latest message with its time.
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, tuple[str, int]] = {}
        self.effects: Counter[str] = Counter(dict.fromkeys(EFFECT_OUTCOMES, 0))
        self.settles: Counter[tuple[str, str]] = Counter()
        self.unsettled = Unsettled(
            promise.max_receives if promise.dead_letter else None, fifo=promise.ordered_by is not None
        )
        self.running = self.restarts = 0
        self.redriven = False
        self.depth: dict[str, int] | None = None
        # In the dead-letter queue now, as the broker counts them.
        self.dead_waiting: int | None = None
        # By partition, as their readers tell it.
        self.behind_ms: dict[str, int] = {}
        self.expected_acked = 0
        self.settled = 0
        self.dead = 0
        self.drained = False
        # The highest number received so far and when, by group and partition.
        self.highest: Recent[tuple[int, int]] = Recent(groups_max)
        # Something was seen that makes the order in numbers another than the verdict's.
        self.order_open = False
        # One came late, and nobody has looked at the dead letters since.
        self.late_unread = False
        # A queue where messages of others were met: they may have had some of ours.
        self.shared = False

    def took(self, message: Message, id: str, at: int) -> None:
        """A message was first received at that moment."""
        if message.due is None:
            return
        seconds = max(0, at - message.due) / NS_PER_S
        self.latency.add(seconds, id, at)
        if (name := message.tenant_class) is not None:
            if name not in self.tenants and len(self.tenants) >= _TENANT_CLASSES_MAX:
                name = "other"
            if name not in self.tenants:
                self.tenants[name] = Histogram(self._latency_bounds)
            self.tenants[name].add(seconds, id, at)

    @property
    def backlog(self) -> int:
        """As last measured at the broker; where nobody measures, acked and neither deleted nor dead."""
        return sum(self.depth.values()) if self.depth is not None else max(0, self.expected_acked - self.settled)

    @property
    def iterator_age_s(self) -> float | None:
        """Of a stream's reader that is furthest behind."""
        return max(self.behind_ms.values()) / 1_000 if self.behind_ms else None

    def oldest_s(self, now: int) -> float:
        """How old the oldest message is that nobody is done with; a stream's is its iterator age."""
        return (self.iterator_age_s or 0.0) if self.promise.kind == "stream" else self.unsettled.oldest_s(now)

    def cloudwatch_oldest_s(self, now: int) -> float:
        """As SQS tells CloudWatch: nothing in an empty queue."""
        empty = self.depth is not None and not any(self.depth.values())
        return 0.0 if empty else self.unsettled.cloudwatch_oldest_s(now)


class Live:
    """Feed it records with `observe`, in the order of their times."""

    def __init__(self, manifest: Manifest, *, messages_max: int = MESSAGES_MAX) -> None:
        self.manifest = manifest
        self._messages_max = messages_max
        self._latency_bounds = _latency_bounds(manifest)
        self.subs: dict[str, Sub] = {}
        for name, promise in manifest.subscriptions.items():
            self._add_sub(name, promise)
        self.messages: Recent[Message] = Recent(messages_max)
        # By kind of subscription and name of a copy: the message that an answer said it was of, and what came before.
        self._named = _nameless(manifest) or any(each.seen_from == "wire" for each in manifest.subscriptions.values())
        self._names: Recent[str] = Recent(messages_max)
        self._untold: Recent[list[Fields]] = Recent(messages_max)
        # Whose effects are read back under a key.
        self._keys: Recent[str] = Recent(messages_max)
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.now = 0
        self.phase = "starting"
        self.intended = 0
        # Of the loads that are over; `_loading`: one is not.
        self._scheduled: int | None = None
        self._loading = False
        self._plan: Plan | None = None
        self.attempts = 0
        self.acked = 0
        self.sent: Counter[str] = Counter(dict.fromkeys(SEND_OUTCOMES, 0))
        self.sent_rate = Rate()
        self.send_lag = Histogram()
        # By where, subscription (none for a send) and kind.
        self.errors: Counter[tuple[str, str, str]] = Counter()
        self.notes: deque[dict[str, Any]] = deque(maxlen=_NOTES_MAX)
        # Of each fault the strikes at work, with the slots that each has hit.
        self.faults: dict[str, dict[str, list[str]]] = {name: {} for name in _faults_of(manifest)}
        self.strikes: Counter[tuple[str, str]] = Counter()
        self.hands = Hands()
        # Writers have different clocks, by the manifest or by their hosts.
        self._clocks_differ = manifest.clock_error_ns != 0
        # By consumer.
        self._slots: dict[str, str] = {}
        self._filled: set[str] = set()
        self._takers: dict[str, Callable[[Fields], None]] = {
            "intended": self._intended,
            "sent": self._sent,
            "received": self._received,
            "effect": self._effect,
            "effects": self._effects,
            "settled": self._settled,
            "dead": self._dead,
            "redriven": self._redriven,
            "fault": self._fault,
            "mark": self._mark,
        }

    # Feeding.

    def observe(self, record: Record) -> None:
        """Count a record, as the reader gives it."""
        fields: Fields = record
        if fields["at"] > self.now:
            self.now = fields["at"]
        taker = self._takers.get(fields["event"])
        if taker is not None:
            if self._named and fields.get("id") is None and fields["event"] in _ABOUT_A_COPY:
                fields = self._told(fields)
            taker(fields)

    def _told(self, record: Fields) -> Fields:
        """With the message that it is of; one of which nobody knows that yet waits for the answer to its send."""
        kind = self._sub(str(record.get("subscription"))).promise.kind
        copy = _copy(kind, record)
        if copy is None:
            return record
        id = self._names.get((kind, copy))
        if id is not None:
            return {**record, "id": id}
        untold = self._untold.get((kind, copy))
        if untold is None:
            self._untold.put((kind, copy), [record])
        else:
            untold.append(record)
        return record

    def _tell(self, id: str, sent: Fields) -> None:
        """What an answer names is of this message, if none named it before; what waited for it comes late."""
        for kind in ("queue", "stream"):
            copy = _copy(kind, sent)
            if copy is None or self._names.get((kind, copy)) is not None:
                continue
            self._names.put((kind, copy), id)
            waited = self._untold.get((kind, copy)) or []
            for record in waited:
                self._sub(str(record.get("subscription"))).order_open = True
                if record["event"] == "received":
                    self._received_message({**record, "id": id})
                else:
                    self._takers[record["event"]]({**record, "id": id})
            waited.clear()

    # Producers.

    def _intended(self, record: Fields) -> None:
        id = record.get("id")
        if id is None:
            return
        message = self._message(id)
        if (key := record.get("key")) is not None:
            self._keys.put(key, id)
        self.attempts += 1
        if not message.intended:
            message.intended = True
            self.intended += 1
        if message.due is None:
            message.due = record.get("due")
        if message.group is None:
            message.group = record.get("group")
        if message.tenant_class is None:
            message.tenant_class = record.get("tenant_class")
        if message.expect is None and (expect := record.get("expect")) is not None:
            message.expect = expect
            if message.acked:
                self._expect(id, message, record["at"])
            for name, seen in message.on.items():
                if seen.received and name not in expect:
                    self._found("misrouted", name, id, record["at"])
        self._time_what_was_early(id, message)

    def _time_what_was_early(self, id: str, message: Message) -> None:
        """What was received before anybody knew when it was due."""
        if message.due is None:
            return
        for name, seen in message.on.items():
            if seen.untimed is not None:
                self._sub(name).took(message, id, seen.untimed)
                seen.untimed = None

    def _sent(self, record: Fields) -> None:
        outcome = record.get("outcome")
        self.sent[outcome if outcome in SEND_OUTCOMES else "unknown"] += 1
        if outcome != "ok":
            self._error("send", "", record.get("error"))
        id = record.get("id")
        if id is None:
            return
        message = self._message(id)
        if not message.tried and message.due is not None and (started := record.get("started")):
            self.send_lag.add(max(0, started - message.due) / NS_PER_S, id, started)
        message.tried = True
        if outcome == "ok":
            self.sent_rate.add(record["at"])
            if not message.acked:
                message.acked = True
                self.acked += 1
                self._expect(id, message, record["at"])
            if self._named:
                self._tell(id, record)

    def _expect(self, id: str, message: Message, at: int) -> None:
        for name in message.expect or ():
            sub, seen = self._sub(name), message.on.get(name)
            sub.expected_acked += 1
            # A fast consumer is done before the answer to the send is on record.
            if sub.promise.kind == "queue" and not (seen is not None and seen.settled):
                sub.unsettled.accepted(id, at)

    # Consumers.

    def _received(self, record: Fields) -> None:
        name = record.get("subscription")
        if name is None:
            return
        sub = self._sub(name)
        sub.received += 1
        sub.received_rate.add(record["at"])
        if record.get("id") is not None:
            self._received_message(record)

    def _received_message(self, record: Fields) -> None:
        id, name = record["id"], record["subscription"]
        message, sub = self._message(id), self._sub(name)
        seen = self._seen(message, name)
        most = sub.promise.max_receives
        if sub.promise.dead_letter and most is not None and (record.get("receives") or 0) > most:
            self._found("over-received", name, id, record["at"])
        sub.unsettled.received(id, record.get("receives"))
        if (consumer := record.get("consumer")) is not None:
            self.hands.received(name, id, consumer, str(record.get("batch")))
        self._receive_copy(sub, seen, record)
        if seen.received:
            return
        seen.received = True
        if message.due is not None:
            sub.took(message, id, record["at"])
        elif not message.intended:
            seen.untimed = record["at"]
        if message.expect is not None and name not in message.expect:
            self._found("misrouted", name, id, record["at"])
        if sub.promise.ordered_by is not None:
            self._receive_number(sub, message, record)

    def _receive_copy(self, sub: Sub, seen: Seen, record: Fields) -> None:
        copy = _copy(sub.promise.kind, record)
        if copy is None:
            sub.order_open = True
            return  # A receive that names no copy proves nothing of any.
        sub.order_open = sub.order_open or bool(seen.copies and copy not in seen.copies)
        if copy in seen.copies:
            self._found("redelivery", record["subscription"], record["id"], record["at"])
        elif seen.redriven or record.get("replay") is not None:
            # Asked for, and no duplicate; what comes of it again is a redelivery all the same.
            seen.copies = (copy, *seen.copies)
        else:
            # A workflow sends to a step as often as it likes.
            if seen.sent_copy and sub.promise.step is None:
                self._found("send-duplicate", record["subscription"], record["id"], record["at"])
            seen.sent_copy = True
            seen.copies = (copy, *seen.copies)

    def _receive_number(self, sub: Sub, message: Message, record: Fields) -> None:
        number, group = _number(record.get("broker_seq")), message.group
        if number is None or group is None:
            sub.order_open = True
            return
        key = (group, record.get("partition") if sub.promise.kind == "stream" else None)
        highest = sub.highest.get(key)
        if highest is None or number > highest[0]:
            sub.highest.put(key, (number, record["at"]))
        else:
            self._found("nonmonotonic-delivery", record["subscription"], record["id"], record["at"])
            sub.late_unread = True
            # Of two at the same moment, in different files, nobody knows which was first.
            sub.order_open = sub.order_open or record["at"] == highest[1]

    def _effect(self, record: Fields) -> None:
        outcome, name = record.get("outcome"), record.get("subscription")
        seen = self._seen_of(record)
        if seen is None or name is None:
            return
        sub = self._sub(name)
        if outcome in EFFECT_OUTCOMES:
            sub.effects[outcome] += 1
        # A message of a queue that failed is let go, one of a stream is tried again where it stands.
        if (outcome == "failed") == (sub.promise.kind == "queue"):
            self.hands.let_go(name, record["id"], consumer=record.get("consumer"))
        if outcome == "applied":
            seen.applied += 1
            if sub.promise.effects_from is None:
                self._applied(record, seen, seen.applied)

    def _effects(self, record: Fields) -> None:
        if record.get("id") is None and (key := record.get("key")) is not None:
            id = self._keys.get(key) or (key if self.messages.get(key) is not None else None)
            record = {**record, "id": id}
        seen = self._seen_of(record)
        if seen is not None:
            self._applied(record, seen, record["applied"])

    def _applied(self, record: Fields, seen: Seen, times: int) -> None:
        if times > seen.most_applied:
            if (more := times - max(1, seen.most_applied)) > 0:
                self._found("effect-duplicate", record["subscription"], record["id"], record["at"], more)
            seen.most_applied = times

    def _settled(self, record: Fields) -> None:
        seen = self._seen_of(record)
        if seen is None:
            return
        id, name = record["id"], record["subscription"]
        action, outcome = record.get("action", ""), record.get("outcome", "unknown")
        self._sub(name).settles[action, outcome] += 1
        if action == "checkpoint":
            self.hands.let_batch_go(str(record.get("consumer")), str(record.get("batch")))
        elif action != "extend":
            self.hands.let_go(name, id, consumer=record.get("consumer"))
        if outcome != "ok":
            self._error("settle", name, record.get("error"))
        elif action == "delete":
            self._over(name, id, seen)

    def _over(self, name: str, id: str, seen: Seen) -> None:
        """It leaves the backlog, once."""
        if not seen.settled:
            seen.settled = True
            self._sub(name).settled += 1
            self._sub(name).unsettled.over(id)

    # Dead letters.

    def _dead(self, record: Fields) -> None:
        seen = self._seen_of(record)
        if seen is None:
            return
        self._sub(record["subscription"]).order_open = True
        if not seen.dead:
            seen.dead = True
            self._sub(record["subscription"]).dead += 1
        self._over(record["subscription"], record["id"], seen)

    def _redriven(self, record: Fields) -> None:
        seen = self._seen_of(record)
        if seen is not None:
            seen.redriven = True
            self._sub(record["subscription"]).redriven = True
            self._sub(record["subscription"]).order_open = True

    # The run itself.

    def _fault(self, record: Fields) -> None:
        fault, instance = str(record.get("fault")), str(record.get("instance"))
        active = self.faults.setdefault(fault, {})
        if record.get("phase") == "start":
            active[instance] = [self._slots.get(target, target) for target in record.get("targets") or ()]
            self.strikes.update((fault, slot) for slot in active[instance])
        else:
            active.pop(instance, None)

    def _mark(self, record: Fields) -> None:
        match record.get("name"):
            case "load-started":
                self.phase = "load"
                self._plan = _plan(record)
                self._loading = True
            case "load-stopped":
                self.phase = "draining"
                if (scheduled := record.get("scheduled")) is not None:
                    self._scheduled = (self._scheduled or 0) + int(scheduled)
                    self._loading = False
            case "drained" if (name := record.get("subscription")) is not None:
                self._sub(name).drained = bool(record.get("empty"))
                self._sub(name).late_unread = False
                self.phase = "drained" if all(sub.drained for sub in self.subs.values()) else self.phase
            case "aborted":
                self.phase = "aborted"
            case "writer" if record.get("host") is not None:
                self._clocks_differ = True
            case "foreign" if (name := record.get("subscription")) is not None:
                self._sub(name).shared = self._sub(name).promise.kind == "queue"
            case "note":
                self.notes.append({"at": record["at"], "text": str(record.get("text"))})
            case "depth" if (name := record.get("subscription")) is not None:
                self._sub(name).depth = {key: int(record.get(key) or 0) for key in ("visible", "hidden", "delayed")}
                if "dead_letters" in record:
                    self._sub(name).dead_waiting = int(record["dead_letters"] or 0)
            case "iterator-age" if (name := record.get("subscription")) is not None:
                self._sub(name).behind_ms[str(record.get("partition"))] = int(record.get("behind_ms") or 0)
            case "consumer-started":
                consumer, slot = str(record.get("consumer")), str(record.get("slot"))
                name = _subscription_of(slot)
                self._sub(name).running += 1
                self._sub(name).restarts += slot in self._filled
                self._filled.add(slot)
                self._slots[consumer] = slot
                self.hands.began(name, consumer)
            case "consumer-exited":
                self._sub(_subscription_of(str(record.get("slot")))).running -= 1
                self.hands.ended(str(record.get("consumer")))
            case "partition" if record.get("parents") and (name := record.get("subscription")) is not None:
                self._sub(name).order_open = True

    # What is remembered.

    def _message(self, id: str) -> Message:
        message = self.messages.get(id)
        if message is None:
            message = Message()
            self.messages.put(id, message)
        return message

    def _sub(self, name: str) -> Sub:
        sub = self.subs.get(name)
        if sub is None:
            # Only the history knows it: nothing is promised on it.
            sub = self._add_sub(name, Subscription())
        return sub

    def _add_sub(self, name: str, promise: Subscription) -> Sub:
        sub = self.subs[name] = Sub(promise, groups_max=self._messages_max, latency_bounds=self._latency_bounds)
        return sub

    def _seen(self, message: Message, name: str) -> Seen:
        seen = message.on.get(name)
        if seen is None:
            seen = message.on[name] = Seen()
        return seen

    def _seen_of(self, record: Fields) -> Seen | None:
        id, name = record.get("id"), record.get("subscription")
        return None if id is None or name is None else self._seen(self._message(id), name)

    def _found(self, count: str, name: str, id: str, at: int, times: int = 1) -> None:
        """One more, or several, of what `COUNTS` tells of: this message on this subscription."""
        sub = self._sub(name)
        self.counts[count] += times
        sub.counts[count] += times
        sub.latest[count] = (id, at)

    def _error(self, where: str, subscription: str, error: str | None) -> None:
        what = (error or "no reason given").partition(":")[0][:60]
        key = (where, subscription, what)
        if key not in self.errors and len(self.errors) >= _ERRORS_MAX:
            key = (where, subscription, "other")
        self.errors[key] += 1

    # Telling.

    @property
    def forgotten(self) -> int:
        """Messages and groups that were too many to remember."""
        return self.messages.forgotten + sum(sub.highest.forgotten for sub in self.subs.values())

    @property
    def open_counts(self) -> set[str]:
        """The counts that may be lower or higher than the verdict's in this history, as their `told` says."""
        if self.forgotten:
            return set(COUNTS)
        found = set()
        ordered = [sub for sub in self.subs.values() if sub.promise.ordered_by is not None]
        if any(sub.order_open or (sub.promise.dead_letter and sub.late_unread) for sub in ordered):
            found.add("nonmonotonic-delivery")
        if self._clocks_differ:
            # Whether a copy came of a redrive hangs on the times of two writers.
            found |= {"nonmonotonic-delivery", "send-duplicate"}
        if any(sub.shared for sub in self.subs.values()):
            # The verdict takes nothing for one of these where somebody else may have had the message.
            found |= {"redelivery", "send-duplicate", "over-received"}
        return found

    @property
    def scheduled(self) -> int | None:
        """How many messages are due by now, sent or not; None where the history does not tell the schedule."""
        if self._loading and self._plan is not None:
            return (self._scheduled or 0) + math.floor(self._plan.due_by(self.now) + 0.5)
        if self._scheduled is not None and not self._loading:
            return self._scheduled
        return None if self.intended or self.phase != "starting" else 0

    def active_faults(self) -> dict[str, int]:
        """How many instances of each fault are at work, idle ones included."""
        return {name: len(instances) for name, instances in self.faults.items()}

    def snapshot(self) -> dict[str, Any]:
        """What the terminal shows, ready for JSON. Rates are a second's, over the last few seconds."""
        subs = self.subs.values()
        errors: Counter[str] = Counter()
        for (where, _, what), count in self.errors.items():
            errors[f"{where}: {what}"] += count
        return {
            "at": self.now,
            "phase": self.phase,
            "scheduled": self.scheduled,
            "scheduled_per_s": None if self._plan is None else self._plan.per_s(self.now),
            "intended": self.intended,
            "acked": self.acked,
            "acked_per_s": self.sent_rate.per_s(self.now),
            "attempts": self.attempts,
            "sent": dict(self.sent),
            "send_lag_s": self.send_lag.quantiles(),
            "subscriptions": {
                name: {
                    "received": sub.received,
                    "received_per_s": sub.received_rate.per_s(self.now),
                    "backlog": sub.backlog,
                    "depth": sub.depth,
                    "latency_s": sub.latency.quantiles(),
                    "oldest_s": sub.oldest_s(self.now),
                    "iterator_age_s": sub.iterator_age_s,
                    "dead_letters": sub.dead if sub.dead_waiting is None else max(sub.dead, sub.dead_waiting),
                    "points": {
                        "after-receive": sub.received,
                        "after-effect": sub.effects["applied"] + sub.effects["skipped"],
                        "after-delete": sub.settled,
                    },
                    "dead": sub.dead,
                    "drained": sub.drained,
                }
                for name, sub in self.subs.items()
            },
            "effects": {outcome: sum(sub.effects[outcome] for sub in subs) for outcome in EFFECT_OUTCOMES},
            "counts": dict(self.counts),
            "forgotten": self.forgotten,
            "consumers": {
                "running": sum(sub.running for sub in subs),
                "restarts": sum(sub.restarts for sub in subs),
            },
            "faults": {name: active for name, active in self.active_faults().items() if active},
            "errors": dict(errors.most_common()),
        }


def _number(digits: object) -> int | None:
    return int(digits) if isinstance(digits, str) and digits.isascii() and digits.isdigit() else None


def _plan(mark: Fields) -> Plan | None:
    """The schedule that `load-started` tells; None where it tells none, or none that can be read."""
    start, points = mark.get("start"), mark.get("schedule")
    if type(start) is not int or not isinstance(points, list) or not points:
        return None
    try:
        return Plan(start, [(float(seconds), float(due)) for seconds, due in points])
    except (TypeError, ValueError):
        return None


def _nameless(manifest: Manifest) -> bool:
    """Whether the run's messages are the user's own and tell no id."""
    load = manifest.scenario.get("load")
    message = load.get("message") if isinstance(load, Mapping) else None
    return isinstance(message, Mapping) and message.get("id") is None


def _copy(kind: str, record: Fields) -> str | None:
    """On a queue the broker's id, on a stream the place in its partition; None when the record does not say."""
    if kind == "queue":
        return record.get("broker_id")
    partition, number = record.get("partition"), _number(record.get("broker_seq"))
    return None if partition is None or number is None else f"{partition}:{number}"


def _subscription_of(slot: str) -> str:
    """`orders-2` is a slot of `orders`."""
    return slot.rpartition("-")[0]


def _latency_bounds(manifest: Manifest) -> list[float]:
    """Those that the scenario's claims speak of, so that a chart tells exactly how much is above them."""
    found = (claim.seconds(bound) for claim in manifest.claims for bound in LATENCY_BOUNDS.get(claim.claim, ()))
    return [bound for bound in found if bound]


def _faults_of(manifest: Manifest) -> list[str]:
    """The faults that the scenario plans, so that their metrics are there before they strike."""
    planned = manifest.scenario.get("chaos")
    if not isinstance(planned, list):
        return []
    return [str(step["fault"]) for step in planned if isinstance(step, dict) and "fault" in step]
