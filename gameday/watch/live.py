"""What a run looks like while it runs: counts that grow with every record, for the terminal and for Prometheus.

It is a view; the verdict is judged from the history alone. Every count costs the same for each record, however long
the history is, and never falls. What it takes to tell a redelivery that came too early from a legal one, or a message
that was late from one that died, is left to the judge: `COUNTS` says how each count may differ from the verdict's.

Records come in the order of their times, as `Tail` gives them: else a message may seem to come after one that it came
before.

Memory: about half a kilobyte a message. At most `MESSAGES_MAX` messages, and as many groups of each subscription, are
remembered: those that came up last. What is forgotten is counted in `forgotten`, and from then on counts only roughly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gameday.history.clock import NS_PER_S
from gameday.history.events import Record
from gameday.history.manifest import Manifest, Subscription
from gameday.watch.meters import Histogram, Plan, Rate
from gameday.watch.state import Message, Recent, Seen

MESSAGES_MAX = 1_000_000
_ERRORS_MAX = 50
SEND_OUTCOMES = ("ok", "failed", "unknown")
EFFECT_OUTCOMES = ("applied", "skipped", "failed")
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
        told="Receives of a copy received before. The verdict tells those that came too early apart.",
    ),
    "send-duplicate": Count(
        anomalies=("send-duplicate",),
        told="Copies of a message besides its first, those of a replay or after a redrive left out.",
    ),
    "effect-duplicate": Count(
        anomalies=("effect-duplicate",),
        told="Times that an effect was applied besides the first: by the consumers' records or by the store once it is "
        "read back, whichever says more. Never lower than the verdict's, which believes the store even where it says "
        "less.",
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
        "broker does not count.",
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

    def __init__(self, promise: Subscription, *, groups_max: int) -> None:
        self.promise = promise
        self.received = 0
        self.received_rate = Rate()
        self.latency = Histogram()
        self.depth: dict[str, int] | None = None
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

    @property
    def backlog(self) -> int:
        """As last measured at the broker; where nobody measures, acked and neither deleted nor dead."""
        return sum(self.depth.values()) if self.depth is not None else max(0, self.expected_acked - self.settled)


class Live:
    """Feed it records with `observe`, in the order of their times."""

    def __init__(self, manifest: Manifest, *, messages_max: int = MESSAGES_MAX) -> None:
        self.manifest = manifest
        self._messages_max = messages_max
        self.subs = {name: Sub(promise, groups_max=messages_max) for name, promise in manifest.subscriptions.items()}
        self.messages: Recent[Message] = Recent(messages_max)
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.now = 0
        self.phase = "starting"
        self.intended = 0
        self.scheduled_total: int | None = None
        self._plan: Plan | None = None
        self.attempts = 0
        self.acked = 0
        self.sent: Counter[str] = Counter(dict.fromkeys(SEND_OUTCOMES, 0))
        self.sent_rate = Rate()
        self.send_lag = Histogram()
        self.effects: Counter[str] = Counter(dict.fromkeys(EFFECT_OUTCOMES, 0))
        self.settles: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.faults: dict[str, set[str]] = {name: set() for name in _faults_of(manifest)}
        self.consumers_started = self.consumers_exited = self.restarts = 0
        self._slots: set[str] = set()
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
            taker(fields)

    # Producers.

    def _intended(self, record: Fields) -> None:
        id = record.get("id")
        if id is None:
            return
        message = self._message(id)
        self.attempts += 1
        if not message.intended:
            message.intended = True
            self.intended += 1
        if message.due is None:
            message.due = record.get("due")
        if message.group is None:
            message.group = record.get("group")
        if message.expect is None and (expect := record.get("expect")) is not None:
            message.expect = expect
            if message.acked:
                self._expect(message)
            self.counts["misrouted"] += sum(seen.received and name not in expect for name, seen in message.on.items())
        if message.due is not None:
            for name, seen in message.on.items():
                if seen.untimed is not None:
                    self._sub(name).latency.add(max(0, seen.untimed - message.due) / NS_PER_S)
                    seen.untimed = None

    def _sent(self, record: Fields) -> None:
        outcome = record.get("outcome")
        self.sent[outcome if outcome in SEND_OUTCOMES else "unknown"] += 1
        if outcome != "ok":
            self._error("send", record.get("error"))
        id = record.get("id")
        if id is None:
            return
        message = self._message(id)
        if not message.tried and message.due is not None and (started := record.get("started")):
            self.send_lag.add(max(0, started - message.due) / NS_PER_S)
        message.tried = True
        if outcome == "ok":
            self.sent_rate.add(record["at"])
            if not message.acked:
                message.acked = True
                self.acked += 1
                self._expect(message)

    def _expect(self, message: Message) -> None:
        for name in message.expect or ():
            self._sub(name).expected_acked += 1

    # Consumers.

    def _received(self, record: Fields) -> None:
        id, name = record.get("id"), record.get("subscription")
        if id is None or name is None:
            return
        message, sub = self._message(id), self._sub(name)
        seen = self._seen(message, name)
        sub.received += 1
        sub.received_rate.add(record["at"])
        most = sub.promise.max_receives
        if sub.promise.dead_letter and most is not None and (record.get("receives") or 0) > most:
            self.counts["over-received"] += 1
        self._receive_copy(sub, seen, record)
        if seen.received:
            return
        seen.received = True
        if message.due is not None:
            sub.latency.add(max(0, record["at"] - message.due) / NS_PER_S)
        elif not message.intended:
            seen.untimed = record["at"]
        if message.expect is not None and name not in message.expect:
            self.counts["misrouted"] += 1
        if sub.promise.ordered_by is not None:
            self._receive_number(sub, message, record)

    def _receive_copy(self, sub: Sub, seen: Seen, record: Fields) -> None:
        copy = _copy(sub.promise.kind, record)
        if copy is None:
            sub.order_open = True
            return  # A receive that names no copy proves nothing of any.
        sub.order_open = sub.order_open or bool(seen.copies and copy not in seen.copies)
        if copy in seen.copies:
            self.counts["redelivery"] += 1
        elif seen.redriven or record.get("replay") is not None:
            # Asked for, and no duplicate; what comes of it again is a redelivery all the same.
            seen.copies = (copy, *seen.copies)
        else:
            self.counts["send-duplicate"] += seen.sent_copy
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
            self.counts["nonmonotonic-delivery"] += 1
            sub.late_unread = True
            # Of two at the same moment, in different files, nobody knows which was first.
            sub.order_open = sub.order_open or record["at"] == highest[1]

    def _effect(self, record: Fields) -> None:
        outcome = record.get("outcome")
        if outcome in EFFECT_OUTCOMES:
            self.effects[outcome] += 1
        seen = self._seen_of(record)
        if seen is not None and outcome == "applied":
            seen.applied += 1
            self._applied(seen, seen.applied)

    def _effects(self, record: Fields) -> None:
        seen = self._seen_of(record)
        if seen is not None:
            self._applied(seen, record["applied"])

    def _applied(self, seen: Seen, times: int) -> None:
        if times > seen.most_applied:
            self.counts["effect-duplicate"] += times - max(1, seen.most_applied)
            seen.most_applied = times

    def _settled(self, record: Fields) -> None:
        action, outcome = record.get("action", ""), record.get("outcome", "unknown")
        self.settles[action, outcome] += 1
        if outcome != "ok":
            self._error("settle", record.get("error"))
        elif action == "delete" and (seen := self._seen_of(record)) is not None:
            self._over(record["subscription"], seen)

    def _over(self, name: str, seen: Seen) -> None:
        """It leaves the backlog, once."""
        if not seen.settled:
            seen.settled = True
            self._sub(name).settled += 1

    # Dead letters.

    def _dead(self, record: Fields) -> None:
        seen = self._seen_of(record)
        if seen is None:
            return
        self._sub(record["subscription"]).order_open = True
        if not seen.dead:
            seen.dead = True
            self._sub(record["subscription"]).dead += 1
        self._over(record["subscription"], seen)

    def _redriven(self, record: Fields) -> None:
        seen = self._seen_of(record)
        if seen is not None:
            seen.redriven = True
            self._sub(record["subscription"]).order_open = True

    # The run itself.

    def _fault(self, record: Fields) -> None:
        active = self.faults.setdefault(str(record.get("fault")), set())
        if record.get("phase") == "start":
            active.add(str(record.get("instance")))
        else:
            active.discard(str(record.get("instance")))

    def _mark(self, record: Fields) -> None:
        match record.get("name"):
            case "load-started":
                self.phase = "load"
                self._plan = _plan(record)
            case "load-stopped":
                self.phase = "draining"
                self.scheduled_total = record.get("scheduled")
            case "drained" if (name := record.get("subscription")) is not None:
                self._sub(name).drained = bool(record.get("empty"))
                self._sub(name).late_unread = False
                self.phase = "drained" if all(sub.drained for sub in self.subs.values()) else self.phase
            case "aborted":
                self.phase = "aborted"
            case "depth" if (name := record.get("subscription")) is not None:
                self._sub(name).depth = {key: int(record.get(key) or 0) for key in ("visible", "hidden", "delayed")}
            case "iterator-age" if (name := record.get("subscription")) is not None:
                self._sub(name).behind_ms[str(record.get("partition"))] = int(record.get("behind_ms") or 0)
            case "consumer-started":
                self.consumers_started += 1
                slot = str(record.get("slot"))
                self.restarts += slot in self._slots
                self._slots.add(slot)
            case "consumer-exited":
                self.consumers_exited += 1
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
            sub = self.subs[name] = Sub(Subscription(), groups_max=self._messages_max)
        return sub

    def _seen(self, message: Message, name: str) -> Seen:
        seen = message.on.get(name)
        if seen is None:
            seen = message.on[name] = Seen()
        return seen

    def _seen_of(self, record: Fields) -> Seen | None:
        id, name = record.get("id"), record.get("subscription")
        return None if id is None or name is None else self._seen(self._message(id), name)

    def _error(self, where: str, error: str | None) -> None:
        what = (error or "no reason given").partition(":")[0][:60]
        key = (where, what)
        if key not in self.errors and len(self.errors) >= _ERRORS_MAX:
            key = (where, "other")
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
        ordered = [sub for sub in self.subs.values() if sub.promise.ordered_by is not None]
        settled = self.manifest.clock_error_ns == 0 and not any(
            sub.order_open or (sub.promise.dead_letter and sub.late_unread) for sub in ordered
        )
        return set() if settled else {"nonmonotonic-delivery"}

    @property
    def scheduled(self) -> int | None:
        """How many messages are due by now, sent or not; None where the history does not tell the schedule."""
        if self.scheduled_total is not None:
            return self.scheduled_total
        if self._plan is not None:
            return math.floor(self._plan.due_by(self.now) + 0.5)
        return None if self.intended or self.phase != "starting" else 0

    def active_faults(self) -> dict[str, int]:
        """How many instances of each fault are at work, idle ones included."""
        return {name: len(instances) for name, instances in self.faults.items()}

    def snapshot(self) -> dict[str, Any]:
        """What the terminal shows, ready for JSON. Rates are a second's, over the last few seconds."""
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
                    "dead": sub.dead,
                    "drained": sub.drained,
                }
                for name, sub in self.subs.items()
            },
            "effects": dict(self.effects),
            "counts": dict(self.counts),
            "forgotten": self.forgotten,
            "consumers": {"running": self.consumers_started - self.consumers_exited, "restarts": self.restarts},
            "faults": {name: active for name, active in self.active_faults().items() if active},
            "errors": {f"{where}: {what}": count for (where, what), count in self.errors.most_common()},
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


def _copy(kind: str, record: Fields) -> str | None:
    """On a queue the broker's id, on a stream the place in its partition; None when the record does not say."""
    if kind == "queue":
        return record.get("broker_id")
    partition, number = record.get("partition"), _number(record.get("broker_seq"))
    return None if partition is None or number is None else f"{partition}:{number}"


def _faults_of(manifest: Manifest) -> list[str]:
    """The faults that the scenario plans, so that their metrics are there before they strike."""
    planned = manifest.scenario.get("chaos")
    if not isinstance(planned, list):
        return []
    return [str(step["fault"]) for step in planned if isinstance(step, dict) and "fault" in step]
