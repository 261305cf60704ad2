"""What a run looks like while it runs: counts that grow with every record, for the terminal and for Prometheus.

It is a view; the verdict is judged from the history alone. But the anomalies in `SHARED` are those of docs/history.md,
and once the whole history has been read (`finish`) their counts are the judge's. That does not hang on the order in
which the files were read: each count is a function of what is known about a message, worked out again when more
becomes known, and the one that compares messages (`nonmonotonic-delivery`) is worked out anew for groups whose receives
came out of order. `inexact` names the counts that this history does not let a stream know: those are lower bounds.

Records of several files are taken in turns: what is newer than anything seen `TURNS_BACK` turns ago waits, so that a
message is not taken for a phantom because its consumer's file was read before its producer's.

Memory: about a kilobyte a message. Above `MESSAGES_MAX` the oldest are forgotten, and every count is inexact.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from gameday.history.clock import NS_PER_S
from gameday.history.manifest import Manifest, Subscription
from gameday.watch.meters import Histogram, Plan, Rate
from gameday.watch.state import Copy, Fields, Group, Highs, Message, Pair, Place, Receive, Settle, nanoseconds

MESSAGES_MAX = 1_000_000
TURNS_BACK = 2
_ERRORS_MAX = 50

SHARED = (
    "recovered",
    "phantom",
    "corrupt",
    "misrouted",
    "send-duplicate",
    "redelivery",
    "early-redelivery",
    "unrecorded-receive",
    "over-received",
    "effect-duplicate",
    "nonmonotonic-delivery",
)
SEND_OUTCOMES = ("ok", "failed", "unknown")
EFFECT_OUTCOMES = ("applied", "skipped", "failed")


class Sub:
    """A subscription: its promises and what was counted on it."""

    def __init__(self, promise: Subscription) -> None:
        self.promise = promise
        self.visibility_ns = nanoseconds(promise.visibility_timeout_s)
        self.pairs: dict[str, Pair] = {}
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
        self.looked: int | None = None  # when the dead letters were last read
        self.duplicates_by_records = 0
        self.duplicates_by_store = 0
        self.read_back: Place | None = None
        self.last_by_file: dict[str, Place] = {}

    @property
    def backlog(self) -> int:
        """As last measured at the broker; where nobody measures, acked and neither deleted nor dead."""
        return sum(self.depth.values()) if self.depth is not None else max(0, self.expected_acked - self.settled)


class Live:
    """Feed it records with `observe`, call `turn` after each round of reading, `finish` at the end."""

    def __init__(self, manifest: Manifest, *, messages_max: int = MESSAGES_MAX) -> None:
        self.manifest = manifest
        self.subs = {name: Sub(promise) for name, promise in manifest.subscriptions.items()}
        self.messages: dict[str, Message] = {}
        self.counts: Counter[str] = Counter(dict.fromkeys(SHARED, 0))
        self.inexact: set[str] = set()
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
        self._messages_max = messages_max
        self._error_ns = manifest.clock_error_ns
        self._tick_ns = manifest.broker_tick_ns
        self._waiting: list[tuple[Place, Fields]] = []
        self._lines: Counter[str] = Counter()
        self._newest = 0
        self._horizons: deque[int] = deque([0] * TURNS_BACK, maxlen=TURNS_BACK)
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._disordered: set[tuple[str, str, str]] = set()
        self._takers: dict[str, Callable[[Fields, Place], None]] = {
            "intended": self._intended,
            "sent": self._sent,
            "received": self._received,
            "effect": self._effect,
            "settling": self._settling,
            "settled": self._settled,
            "dead": self._dead,
            "redriven": self._redriven,
            "effects": self._effects,
            "fault": self._fault,
            "mark": self._mark,
        }

    # Feeding.

    def observe(self, record: Fields, *, file: str) -> None:
        """Take note of a record of that file; records of one file come in the order of its lines."""
        line = self._lines[file]
        self._lines[file] = line + 1
        at = record["at"]
        if at > self._newest:
            self._newest = at
        self._waiting.append((Place(at, file, line), record))

    def turn(self) -> None:
        """A round of reading is over: count what cannot be overtaken by older records any more."""
        horizon = self._horizons.popleft()
        self._horizons.append(self._newest)
        self._count(horizon)

    def finish(self) -> None:
        """All has been read: from now on the counts in `SHARED` are the judge's, but for those in `inexact`."""
        self._count(self._newest)
        self._reorder()
        if any(self._doubtful(sub, pair) for sub in self.subs.values() for pair in sub.pairs.values()):
            self.inexact.add("nonmonotonic-delivery")

    def _doubtful(self, sub: Sub, pair: Pair) -> bool:
        """Whether the judge may excuse what looks late here: it may have died, or have been stored once more, unseen;
        or it is a phantom, whose place in a group nobody intended."""
        message = pair.message
        if sub.promise.ordered_by is None or pair.first is None:
            return False
        unsure = message.undecided or message.attempts != message.answered
        unread = sub.promise.dead_letter and (sub.looked is None or sub.looked <= pair.first.at + self._error_ns)
        died = pair.dead is not None or pair.redriven is not None
        return message.intended is None or (pair.late and (unsure or unread or died))

    def _count(self, horizon: int) -> None:
        if not self._waiting:
            return
        self._waiting.sort(key=lambda waiting: waiting[0])
        later = []
        for place, record in self._waiting:
            if place.at > horizon:
                later.append((place, record))
                continue
            taker = self._takers.get(record["event"])
            if taker is not None:
                taker(record, place)
            if place.at > self.now:
                self.now = place.at
        self._waiting = later

    # Producers.

    def _intended(self, record: Fields, place: Place) -> None:
        id = record.get("id")
        if id is None:
            return
        message = self._message(id)
        self.attempts += 1
        if message.intended is None:
            self.intended += 1
        if message.intended is None or place.at < message.intended:
            message.intended = place.at
        message.attempts |= _bit(record.get("attempt"))
        if message.due is None and (due := record.get("due")) is not None:
            message.due = due
        if message.group is None:
            message.group = record.get("group")
        if message.expect is None and (expect := record.get("expect")) is not None:
            message.expect = expect
            if message.acked:
                self._expect(message)
        if message.on:
            self._intended_late(id, message)

    def _intended_late(self, id: str, message: Message) -> None:
        """Its receives were counted before it was known what they should be."""
        self._revise_groups(message)
        for name in message.on:
            sub = self.subs[name]
            pair = sub.pairs[id]
            if pair.group != message.group:
                self._disordered |= {self._key(name, pair, pair.group), self._key(name, pair, message.group)}
            self._time(sub, pair)
            for copy in pair.copies:
                self._revise_copy(sub, pair, copy)
        self._revise(message)

    def _sent(self, record: Fields, place: Place) -> None:
        outcome = record.get("outcome")
        self.sent[outcome if outcome in SEND_OUTCOMES else "unknown"] += 1
        if outcome != "ok":
            self._error("send", record.get("error"))
        id = record.get("id")
        if id is None:
            return
        message = self._message(id)
        first_answer = not message.answered
        bit = _bit(record.get("attempt"))
        message.attempts |= bit
        message.answered |= bit
        if outcome == "ok":
            self.sent_rate.add(place.at)
            if not message.acked:
                message.acked = True
                self.acked += 1
                self._expect(message)
        elif outcome != "failed":
            message.undecided = True
        if first_answer and message.due is not None and (started := record.get("started")):
            self.send_lag.add(max(0, started - message.due) / NS_PER_S)
        if message.on:
            self._revise(message)

    def _expect(self, message: Message) -> None:
        for name in message.expect or ():
            self._sub(name).expected_acked += 1

    # Consumers.

    def _received(self, record: Fields, place: Place) -> None:
        id, name = record.get("id"), record.get("subscription")
        if id is None or name is None:
            return
        message, sub = self._message(id), self._sub(name)
        sub.received += 1
        sub.received_rate.add(place.at)
        self._active(sub, place)
        pair = self._pair(sub, id, message)
        receive = Receive(
            place=place,
            started=record.get("started"),
            batch=record.get("batch", ""),
            receives=record.get("receives"),
            hidden_ns=nanoseconds(record.get("hidden_s")),
            number=_number(record.get("broker_seq")),
        )
        if receive.started is not None:
            called = (receive.started, place.file)
            pair.called = called if pair.called is None else min(pair.called, called)
        self._receive_copy(sub, pair, receive, record)
        self._receive_content(message, record)
        most = sub.promise.max_receives
        if sub.promise.dead_letter and most is not None and (receive.receives or 0) > most:
            self._add("over-received", 1)
        elif sub.promise.dead_letter and receive.receives is None:
            self.inexact.add("over-received")
        if sub.promise.ordered_by is not None:
            self._receive_order(name, sub, pair, receive, record)
        if pair.first is None or place < pair.first:
            pair.first = place
        if name not in message.on:
            message.on += (name,)
            self._time(sub, pair)
            self._revise(message)

    def _receive_copy(self, sub: Sub, pair: Pair, receive: Receive, record: Fields) -> None:
        key = _copy_key(sub.promise.kind, record)
        copy = next((copy for copy in pair.copies if copy.key == key), None)
        if copy is None:
            copy = Copy(key, replayed=record.get("replay") is not None)
            pair.copies.append(copy)
        copy.receives.append(receive)
        if len(pair.copies) > 1:
            self._revise_copies(pair)
        if len(copy.receives) > 1 or (receive.receives or 1) > 1:
            self._revise_copy(sub, pair, copy)

    def _receive_content(self, message: Message, record: Fields) -> None:
        group = record.get("group")
        if record.get("intact") is False:
            self._add("corrupt", 1)
        elif group is not None and group != message.group:
            message.groups = message.groups or Counter()
            message.groups[group] += 1
            self._revise_groups(message)

    def _effect(self, record: Fields, place: Place) -> None:
        outcome = record.get("outcome")
        if outcome in EFFECT_OUTCOMES:
            self.effects[outcome] += 1
        pair = self._pair_of(record)
        if pair is None:
            return
        sub = self._sub(record["subscription"])
        self._active(sub, place)
        if outcome == "applied":
            pair.applied += 1
            if pair.applied > 1:
                sub.duplicates_by_records += 1

    def _effects(self, record: Fields, place: Place) -> None:
        pair = self._pair_of(record)
        if pair is not None:
            applied = record.get("applied") or 0
            sub = self._sub(record["subscription"])
            sub.duplicates_by_store += max(0, applied - 1) - max(0, pair.applied_in_store - 1)
            pair.applied_in_store = applied

    def _settling(self, record: Fields, place: Place) -> None:
        pair = self._pair_of(record)
        if pair is not None and record.get("action") != "checkpoint":
            pair.settles.append(Settle(record, began=place.at, file=place.file))
            self._settles_changed(record["subscription"], pair)

    def _settled(self, record: Fields, place: Place) -> None:
        action, outcome = record.get("action", ""), record.get("outcome", "unknown")
        self.settles[action, outcome] += 1
        if outcome != "ok":
            self._error("settle", record.get("error"))
        pair = self._pair_of(record)
        if pair is None or action == "checkpoint":
            return
        mine = (s for s in reversed(pair.settles) if s.action == action and s.batch == record.get("batch", ""))
        settle = next((s for s in mine if s.answered is None and s.copy == record.get("broker_id")), None)
        if settle is None:
            settle = Settle(record, began=record.get("started") or place.at, file=place.file)
            pair.settles.append(settle)
        settle.answered = place.at
        settle.ok = outcome == "ok"
        settle.failed = outcome == "failed"
        if settle.ok and action == "delete":
            self._over(self._sub(record["subscription"]), pair)
        self._settles_changed(record["subscription"], pair)

    def _settles_changed(self, name: str, pair: Pair) -> None:
        for copy in pair.copies:
            if len(copy.receives) > 1:
                self._revise_copy(self._sub(name), pair, copy)

    def _over(self, sub: Sub, pair: Pair) -> None:
        """It leaves the backlog, once."""
        if not pair.settled:
            pair.settled = True
            sub.settled += 1

    # Dead letters.

    def _dead(self, record: Fields, place: Place) -> None:
        pair = self._pair_of(record)
        if pair is None:
            return
        sub = self._sub(record["subscription"])
        if pair.dead is None:
            sub.dead += 1
        pair.dead = place if pair.dead is None else max(pair.dead, place)
        self._over(sub, pair)
        if pair.late:
            self._disordered.add(self._key(record["subscription"], pair, self._group_of(pair)))

    def _redriven(self, record: Fields, place: Place) -> None:
        pair = self._pair_of(record)
        if pair is None:
            return
        pair.redriven_last = place if pair.redriven_last is None else max(pair.redriven_last, place)
        if pair.redriven is None or place < pair.redriven:
            pair.redriven = place
            self._revise_copies(pair)
        if pair.number is not None or pair.dead is not None:
            self._disordered.add(self._key(record["subscription"], pair, self._group_of(pair)))

    # The run itself.

    def _fault(self, record: Fields, place: Place) -> None:
        active = self.faults.setdefault(str(record.get("fault")), set())
        if record.get("phase") == "start":
            active.add(str(record.get("instance")))
        else:
            active.discard(str(record.get("instance")))

    def _mark(self, record: Fields, place: Place) -> None:
        match record.get("name"):
            case "load-started":
                self.phase = "load"
                self._plan = _plan(record)
            case "load-stopped":
                self.phase = "draining"
                self.scheduled_total = record.get("scheduled")
            case "drained" if (name := record.get("subscription")) is not None:
                self._sub(name).drained = bool(record.get("empty"))
                self._sub(name).looked = max(place.at, self._sub(name).looked or 0)
                self.phase = "drained" if all(sub.drained for sub in self.subs.values()) else self.phase
            case "aborted":
                self.phase = "aborted"
            case "depth" if (name := record.get("subscription")) is not None:
                self._sub(name).depth = {key: int(record.get(key) or 0) for key in ("visible", "hidden", "delayed")}
            case "iterator-age" if (name := record.get("subscription")) is not None:
                self._sub(name).behind_ms[str(record.get("partition"))] = int(record.get("behind_ms") or 0)
            case "effects-read" if (name := record.get("subscription")) is not None:
                sub = self._sub(name)
                sub.read_back = place if sub.read_back is None else max(sub.read_back, place)
            case "consumer-started":
                self.consumers_started += 1
                slot = str(record.get("slot"))
                self.restarts += slot in self._slots
                self._slots.add(slot)
            case "consumer-exited":
                self.consumers_exited += 1
            case "partition" if record.get("parents"):
                # An ancestor's records come before its descendants': more than a stream of records can know.
                self.inexact.add("nonmonotonic-delivery")

    # What a record changes.

    def _message(self, id: str) -> Message:
        message = self.messages.get(id)
        if message is None:
            message = self.messages[id] = Message()
            if len(self.messages) > self._messages_max:
                self._forget()
        return message

    def _forget(self) -> None:
        oldest = next(iter(self.messages))
        del self.messages[oldest]
        for sub in self.subs.values():
            sub.pairs.pop(oldest, None)
        self.inexact.update(SHARED)

    def _sub(self, name: str) -> Sub:
        sub = self.subs.get(name)
        if sub is None:
            # Only the history knows it: nothing is promised on it.
            sub = self.subs[name] = Sub(Subscription())
        return sub

    def _pair(self, sub: Sub, id: str, message: Message) -> Pair:
        pair = sub.pairs.get(id)
        if pair is None:
            pair = sub.pairs[id] = Pair(message)
        return pair

    def _pair_of(self, record: Fields) -> Pair | None:
        id, name = record.get("id"), record.get("subscription")
        return None if id is None or name is None else self._pair(self._sub(name), id, self._message(id))

    def _active(self, sub: Sub, place: Place) -> None:
        last = sub.last_by_file.get(place.file)
        if last is None or place > last:
            sub.last_by_file[place.file] = place

    def _add(self, anomaly: str, count: int) -> None:
        self.counts[anomaly] += count

    def _error(self, where: str, error: str | None) -> None:
        what = (error or "no reason given").partition(":")[0][:60]
        key = (where, what)
        if key not in self.errors and len(self.errors) >= _ERRORS_MAX:
            key = (where, "other")
        self.errors[key] += 1

    def _time(self, sub: Sub, pair: Pair) -> None:
        due = pair.message.due
        if due is not None and pair.first is not None and not pair.timed:
            pair.timed = True
            sub.latency.add(max(0, pair.first.at - due) / NS_PER_S)

    def _revise(self, message: Message) -> None:
        """Count what a received message is in the light of its attempts."""
        intended = message.intended is not None
        # Of a message that was forgotten, nobody knows any more whether it was intended.
        phantom = int(message.failed or (not intended and "phantom" not in self.inexact))
        recovered = len(message.on) if intended and not message.acked and not message.failed else 0
        misrouted = 0 if message.expect is None else sum(name not in message.expect for name in message.on)
        self._add("phantom", phantom - message.phantom)
        self._add("recovered", recovered - message.recovered)
        self._add("misrouted", misrouted - message.misrouted)
        message.phantom, message.recovered, message.misrouted = phantom, recovered, misrouted

    def _revise_groups(self, message: Message) -> None:
        """Count the receives whose group is not the one intended, once it is known what was."""
        if message.groups is not None and message.intended is not None:
            wrong = 0 if message.group is None else message.groups.total() - message.groups[message.group]
            self._add("corrupt", wrong - message.regrouped)
            message.regrouped = wrong

    def _revise_copies(self, pair: Pair) -> None:
        redriven = pair.redriven
        before = sum(
            redriven is None or any(self._before(r.place, redriven) for r in copy.receives)
            for copy in pair.copies
            if copy.key and not copy.replayed
        )
        extra = max(0, before - 1)
        self._add("send-duplicate", extra - pair.extra)
        pair.extra = extra

    def _revise_copy(self, sub: Sub, pair: Pair, copy: Copy) -> None:
        if not copy.key:
            return  # A receive that names no copy proves nothing of any.
        numbers = {receive.receives for receive in copy.receives}
        unrecorded = sum((r.receives or 1) > 1 and (r.receives or 1) - 1 not in numbers for r in copy.receives)
        ordered = sorted(copy.receives)
        early = [False] * len(ordered)
        if len(ordered) > 1 and sub.promise.kind == "queue" and sub.promise.dedup_window_s is not None:
            early = [self._is_early(sub, pair, copy, ordered, n) for n in range(len(ordered))]
            told = {(receive.receives, receive.batch) for receive in ordered}
            if None in numbers or len(numbers) < len(told):
                # The judge sees of a receive without a count what no count is needed for.
                self.inexact.update(("early-redelivery", "redelivery"))
        redelivered = len(ordered) - 1 - early.count(True)
        self._add("unrecorded-receive", unrecorded - copy.unrecorded)
        self._add("early-redelivery", early.count(True) - copy.early)
        self._add("redelivery", redelivered - copy.redelivered)
        copy.unrecorded, copy.early, copy.redelivered = unrecorded, early.count(True), redelivered

    def _is_early(self, sub: Sub, pair: Pair, copy: Copy, ordered: list[Receive], n: int) -> bool:
        receive = ordered[n]
        if any(earlier.batch == receive.batch for earlier in ordered[:n]):
            return True
        at, file = receive.place.at, receive.place.file
        followed = [
            r
            for r in ordered
            if receive.receives is not None
            and r.receives == receive.receives - 1
            and not (r.started is not None and at + self._gap(file, r.place.file) < r.started)
        ]
        if followed and all(self._ends_after(sub, pair, copy, hold, at, file) for hold in followed):
            return True
        return any(
            settle.ok
            and settle.answered is not None
            and receive.started is not None
            and settle.answered + self._gap(settle.file, file) < receive.started
            and any(
                (end := self._earliest_end(sub, pair, copy, hold, settle.began, settle.file)) is not None
                and settle.answered < end
                for hold in ordered
                if hold.batch == settle.batch
            )
            for settle in self._settles_of(pair, copy, "delete")
        )

    def _ends_after(self, sub: Sub, pair: Pair, copy: Copy, hold: Receive, at: int, file: str) -> bool:
        """Whether the hold surely lasted until then: nothing released it, and its earliest end is later."""
        end = self._earliest_end(sub, pair, copy, hold, at, file)
        return (
            end is not None
            and at + self._gap(hold.place.file, file) < end
            and not any(
                settle.batch == hold.batch and not settle.failed and settle.began <= at + self._gap(settle.file, file)
                for settle in self._settles_of(pair, copy, "release")
            )
        )

    def _earliest_end(self, sub: Sub, pair: Pair, copy: Copy, hold: Receive, at: int, file: str) -> int | None:
        """The earliest end of a hold, as the extensions begun before `at` left it; None when nothing tells."""
        hidden_ns = sub.visibility_ns if hold.hidden_ns is None else hold.hidden_ns
        if hold.started is None or hidden_ns is None:
            return None
        # The producer's clock may be ahead of the consumer's.
        sent = hold.started if pair.message.intended is None else pair.message.intended - self._error_ns
        end = max(hold.started, sent) + hidden_ns - self._tick_ns
        extends = [s for s in self._settles_of(pair, copy, "extend") if s.batch == hold.batch and not s.failed]
        for extend in sorted(extends, key=lambda extend: extend.began):
            gap = self._gap(extend.file, file)
            if extend.began > at + gap or (extend.file == file and extend.began == at):
                continue
            longer_ns = sub.visibility_ns if extend.hidden_ns is None else extend.hidden_ns
            moved = extend.began + (longer_ns or 0) - self._tick_ns
            proven = extend.ok and extend.answered is not None and extend.answered < end and extend.began + gap < at
            end = moved if proven else min(end, moved)
        return end

    def _settles_of(self, pair: Pair, copy: Copy, action: str) -> Iterator[Settle]:
        return (s for s in pair.settles if s.action == action and s.copy in (None, copy.key))

    # Order.

    def _group_of(self, pair: Pair) -> str | None:
        return pair.group if pair.message.group is None else pair.message.group

    def _key(self, name: str, pair: Pair, group: str | None) -> tuple[str, str, str]:
        return name, group or "", pair.part

    def _receive_order(self, name: str, sub: Sub, pair: Pair, receive: Receive, record: Fields) -> None:
        if pair.group is None:
            pair.group = record.get("group")
        place, number = receive.place, receive.number
        if pair.redriven is not None and not self._before(place, pair.redriven):
            number = None
        first = pair.first is None
        if first:
            pair.part = str(record.get("partition", "")) if sub.promise.kind == "stream" else ""
        lower = number is not None and (pair.number is None or number < pair.number)
        if lower:
            pair.number = number
        group = self._group_of(pair)
        if group is None:
            return
        key = self._key(name, pair, group)
        earlier = pair.first is not None and place < pair.first
        if not first and (lower or earlier or (pair.late and pair.dead is not None)):
            self._disordered.add(key)
        elif first and number is None:
            # Other rules tell the order of what has no number; here only the numbers are compared.
            self.inexact.add("nonmonotonic-delivery")
        elif first:
            self._take_place(key, pair, place)

    def _take_place(self, key: tuple[str, str, str], pair: Pair, place: Place) -> None:
        """The first receive of a message, the latest of its group so far: is it late?"""
        assert pair.number is not None
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group()
        if group.latest is not None and place < group.latest:
            self._disordered.add(key)
            return
        group.latest = place
        here = group.by_file.setdefault(place.file, Highs())
        anywhere, same_file = group.highs.first_above(pair.number), here.first_above(pair.number)
        if not self._is_dead(pair):
            late = same_file is not None or (anywhere is not None and anywhere + self._error_ns < place.at)
        elif pair.called is None:
            late = False
        else:
            # A dead letter may have been received by a call that was under way already, its record written late.
            called, caller = pair.called
            late = (anywhere is not None and anywhere + self._error_ns < called) or (
                same_file is not None and same_file < called and caller == place.file
            )
        self._add("nonmonotonic-delivery", late - pair.late)
        pair.late = late
        group.highs.add(pair.number, place.at)
        here.add(pair.number, place.at)

    def _is_dead(self, pair: Pair) -> bool:
        if pair.dead is None:
            return False
        return pair.redriven_last is None or not self._before(pair.dead, pair.redriven_last)

    def _reorder(self) -> None:
        """Work out anew the groups whose first receives did not come in order, or changed afterwards."""
        if not self._disordered:
            return
        members: dict[tuple[str, str, str], list[Pair]] = {key: [] for key in self._disordered}
        for name, sub in self.subs.items():
            if sub.promise.ordered_by is None:
                continue
            for pair in sub.pairs.values():
                if pair.first is not None and (group := self._group_of(pair)) is not None:
                    members.get(self._key(name, pair, group), []).append(pair)
        self._disordered = set()
        for key, pairs in members.items():
            self._groups[key] = Group()
            for pair in sorted(pairs, key=lambda pair: pair.first or Place(0, "", 0)):
                self._revise_number(pair)
                if pair.number is not None and pair.first is not None:
                    self._take_place(key, pair, pair.first)
                    continue
                self.inexact.add("nonmonotonic-delivery")
                self._add("nonmonotonic-delivery", -pair.late)
                pair.late = False

    def _revise_number(self, pair: Pair) -> None:
        """The smallest under which it was received before it was first redriven."""
        pair.number = min(
            (
                receive.number
                for copy in pair.copies
                for receive in copy.receives
                if receive.number is not None and (pair.redriven is None or self._before(receive.place, pair.redriven))
            ),
            default=None,
        )

    # Time.

    def _gap(self, file: str, other: str) -> int:
        return 0 if file == other else self._error_ns

    def _before(self, one: Place, other: Place) -> bool:
        """Proven to be earlier: by the line within a file, by more than the clocks' error between two."""
        return one.line < other.line if one.file == other.file else one.at + self._error_ns < other.at

    # Telling.

    def shared(self) -> dict[str, int]:
        """The counts of `SHARED`, those in `inexact` left out."""
        counts = {**self.counts, "effect-duplicate": self.effect_duplicates()}
        return {name: counts[name] for name in SHARED if name not in self.inexact}

    def anomalies(self) -> dict[str, int]:
        """All counts of `SHARED`; those in `inexact` are lower bounds."""
        return {**self.counts, "effect-duplicate": self.effect_duplicates()}

    def effect_duplicates(self) -> int:
        """By the store where it was read back after the last receive and effect, else by the records."""
        return sum(
            sub.duplicates_by_store if self._is_read_back(sub) else sub.duplicates_by_records
            for sub in self.subs.values()
        )

    def _is_read_back(self, sub: Sub) -> bool:
        mark = sub.read_back
        return mark is not None and all(self._before(last, mark) for last in sub.last_by_file.values())

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
            "anomalies": self.anomalies(),
            "inexact": sorted(self.inexact),
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


def _bit(attempt: object) -> int:
    return 1 << attempt if isinstance(attempt, int) and 0 <= attempt < 10_000 else 1


def _copy_key(kind: str, record: Fields) -> str:
    """On a queue the broker's id, on a stream the place in its partition; empty when the record does not say."""
    if kind == "queue":
        return str(record.get("broker_id") or "")
    partition, number = record.get("partition"), _number(record.get("broker_seq"))
    return "" if partition is None or number is None else f"{partition}:{number}"


def _faults_of(manifest: Manifest) -> list[str]:
    """The faults that the scenario plans, so that their metrics are there before they strike."""
    planned = manifest.scenario.get("chaos")
    if not isinstance(planned, list):
        return []
    return [str(step["fault"]) for step in planned if isinstance(step, dict) and "fault" in step]
