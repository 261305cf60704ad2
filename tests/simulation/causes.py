"""Whether the causes of a verdict are what really happened: the processes that ended or stood still, the calls that the
network struck, the defect that was planted; and the records in the order in which they were really written.

Each cause is asked here in another way than the judge asks it. One that is named and is not true is a complaint. So is
`broker` where no defect has struck that could have done it. What is `untold` is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gameday.history.clock import NS_PER_S
from gameday.verify.explaining import Explained
from gameday.verify.load import Loaded
from gameday.verify.registry import BROKER, UNTOLD
from tests.simulation.plan import HARMLESS, Counts
from tests.simulation.play import Written
from tests.simulation.truth import Truth

# Of a receive what tells it from every other one: its batch, its consumer and its copy.
Place = tuple[object, ...] | None
_PLACE = ("batch", "consumer", "broker_id", "broker_seq", "partition")
# What only the broker can do, by the kind of subject that it is of.
_BROKERS: Mapping[str, Sequence[str]] = {
    "redelivery": ("early-redelivery",),
    "loss": ("vanished", "replay-missing"),
    "overtake": ("group-overtake", "nonmonotonic-send"),
}
_SETTLES = ("DeleteMessageBatch", "ChangeMessageVisibilityBatch")


def places(run: Loaded) -> dict[int | None, Place]:
    """By the line of a subject its batch and its consumer, as the run's own records have them."""
    if not run.db.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'explained'").fetchall():
        return {}
    rows = run.db.execute(
        "SELECT line, batch, consumer, broker_id, broker_seq, part FROM raw "
        "WHERE line IN (SELECT line FROM explained WHERE run = ?)",
        [run.number],
    ).fetchall()
    return {line: tuple(None if each is None else each.removeprefix(run.tag) for each in told) for line, *told in rows}


def complaints(
    truth: Truth, document: Mapping[str, Any], why: Sequence[tuple[Explained, Place]], counts: Counts
) -> Iterator[str]:
    """What is wrong with the causes; how often which was right goes into `counts`."""
    tag_free = {cause for causes in document["causes"].values() for cause in causes}
    if {each.cause for each, _ in why} != tag_free:
        yield f"causes: the verdict has {tag_free}, and explained are { {each.cause for each, _ in why} }"
    asked = _Asked(truth)
    for each, place in why:
        counts.add(f"cause {each.what}: {each.cause}", each.n)
        if each.cause == UNTOLD:
            continue
        wrong = asked.wrong(each, place)
        if wrong is not None:
            counts.add(f"cause wrong {each.what}: {each.cause}", each.n)
            yield f"causes: {each.cause} of {each.what} {each.id.rpartition(chr(0xE001))[2]} on {_s(each)}: {wrong}"
    for kind, anomalies in _BROKERS.items():
        found = [name for name in anomalies if document["anomalies"][name]["count"]]
        # A subscription that was forgotten gets nothing from a replay either.
        if found and not {BROKER, "deployed-otherwise"} & document["causes"].get(kind, {}).keys():
            yield f"causes: {', '.join(found)} can only be the broker's, and no {kind} is"


def _s(each: Explained) -> str:
    return str(each.subscription).rpartition("\ue001")[2]


class _Asked:
    """The same questions, put to what happened."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.played = truth.played
        plan = truth.played.plan
        self.defect = None if plan.planted is None else plan.planted.partition(":")[0]
        self.met = self.played.struck > 0 and self.defect not in HARMLESS

    def wrong(self, each: Explained, place: Place) -> str | None:
        """Why that cause is not true; None where it is."""
        s, id = _s(each), each.id.rpartition("\ue001")[2]
        if each.cause == BROKER:
            return None if self.met else f"no defect has struck ({self.defect}, {self.played.struck} times)"
        if each.what == "redelivery":
            if place is None:
                return "it has no record"
            return self.of_return(each, s, id, place)
        return self.of_message(each, s, id)

    # Redeliveries.

    def of_return(self, each: Explained, s: str, id: str, place: Place) -> str | None:
        assert place is not None
        received = self.truth.received[s, id]
        again = next(w for w in received if tuple(w.record.get(name) for name in _PLACE) == place)
        hold = self.hold_before(again, received)
        if each.cause == "receive-unrecorded":
            return None if hold is None else "the receive before it is on record"
        if each.cause == "redriven":
            return None if (s, id) in self.truth.redriven else "nobody sent it back"
        if hold is None:
            # It was written down so late that the next one stands before it.
            later = int(str(again.record["receives"])) + 1 if "receives" in again.record else None
            hold, again = again, next((w for w in received if w.record.get("receives") == later), again)
            if hold is again:
                return "the receive before it is not on record"
        asked: Callable[[Written, Written], object] = getattr(self, each.cause.replace("-", "_"), lambda h, r: None)
        return None if asked(hold, again) else f"that is not so of the hold of {hold.by} in {hold.record['batch']}"

    def hold_before(self, again: Written, received: Sequence[Written]) -> Written | None:
        """The receive that the broker counts before it; on a stream the last one before it."""
        record = again.record
        if "receives" not in record:
            same = ("partition", "broker_seq")
            before = [w for w in received if w.place < again.place and all(w.record[k] == record[k] for k in same)]
            return before[-1] if before else None
        before = [w for w in received if w.record["broker_id"] == record["broker_id"] and w is not again]
        one_less = [w for w in before if w.record["receives"] == int(str(record["receives"])) - 1]
        return max(one_less, key=lambda w: (w.place < again.place, w.place)) if one_less else None

    def records(self, event: str, hold: Written) -> list[Written]:
        about = ("subscription", "id", "batch")
        return [
            w for w in self.truth.of[event] if w.by == hold.by and all(w.record[k] == hold.record[k] for k in about)
        ]

    def settling(self, hold: Written, action: str) -> list[Written]:
        return [w for w in self.records("settling", hold) if w.record["action"] == action]

    def asked_at(self, hold: Written) -> int:
        """When the call began that received it."""
        return int(str(hold.record["started"])) + hold.when - hold.at

    def end(self, hold: Written) -> int:
        """When its hold may have ended that nobody extended."""
        return self.asked_at(hold) + round(float(str(hold.record.get("hidden_s", 0))) * NS_PER_S)

    def ended(self, hold: Written, again: Written, *, killed: bool) -> bool:
        when, was_killed = self.played.ends.get(hold.by, (None, False))
        return when is not None and was_killed == killed and hold.when <= when <= again.when

    def holder_killed(self, hold: Written, again: Written) -> bool:
        return self.ended(hold, again, killed=True)

    def holder_stopped(self, hold: Written, again: Written) -> bool:
        return self.ended(hold, again, killed=False)

    def holder_paused(self, hold: Written, again: Written) -> bool:
        return any(
            name == hold.by and since <= again.when and until >= self.asked_at(hold)
            for name, since, until in self.played.pauses
        )

    def handler_failed(self, hold: Written, again: Written) -> bool:
        told = self.records("effect", hold)
        return bool(told) and told[-1].record["outcome"] == "failed"

    def batch_mate_failed(self, hold: Written, again: Written) -> bool:
        failed = [
            w
            for w in self.truth.of["effect"]
            if w.record["batch"] == hold.record["batch"] and w.by == hold.by and w.record["outcome"] == "failed"
        ]
        return any(w.record["id"] != hold.record["id"] for w in failed) and not self.settling(hold, "delete")

    def given_back(self, hold: Written, again: Written) -> bool:
        return any(w.place < again.place for w in self.settling(hold, "release"))

    def struck(self, hold: Written, again: Written, *fates: str) -> bool:
        return any(
            each.who == hold.by and each.operation in _SETTLES and hold.when <= each.when <= again.when
            and (each.fate in fates or not fates)
            for each in self.played.strikes
        )  # fmt: skip

    def delete_lost(self, hold: Written, again: Written) -> bool:
        """Its call was struck, or its process was."""
        return bool(self.settling(hold, "delete")) and (
            self.struck(hold, again)
            or self.ended(hold, again, killed=True)
            or self.holder_paused(hold, again)
            or not any(w.place < again.place for w in self.records("settled", hold) if w.record["action"] == "delete")
        )

    def delete_refused(self, hold: Written, again: Written) -> bool:
        refused = any(
            w.record["action"] == "delete" and w.record["outcome"] == "failed" for w in self.records("settled", hold)
        )
        return refused and (self.struck(hold, again) or self.met or self.defect in HARMLESS)

    def delete_slow(self, hold: Written, again: Written) -> bool:
        answers = [w for w in self.records("settled", hold) if w.record["action"] == "delete"]
        return bool(answers) and answers[0].when > min(self.end(hold), int(str(again.record["started"]))) - NS_PER_S

    def heartbeat_lost(self, hold: Written, again: Written) -> bool:
        """Its call was struck, or its process was, or on a slow way it came too late and was refused."""
        return bool(self.settling(hold, "extend")) and (
            self.struck(hold, again)
            or self.holder_paused(hold, again)
            or self.met
            or any(
                w.record["action"] == "extend" and w.record["outcome"] == "failed"
                for w in self.records("settled", hold)
            )
        )

    def answer_late(self, hold: Written, again: Written) -> bool:
        return again.place < hold.place

    def lived_past_its_end(self, hold: Written, again: Written) -> bool:
        when, _ = self.played.ends.get(hold.by, (None, False))
        return again.when >= self.end(hold) - NS_PER_S and (when is None or when >= self.end(hold) - NS_PER_S)

    heartbeat_late = receipt_stale = visibility_expired = not_deleted = never_finished = lived_past_its_end

    def checkpoint_lost(self, hold: Written, again: Written) -> bool:
        """One had been begun, whose call the network struck, or whose process ended."""
        shard = hold.record["partition"]
        begun = [
            w
            for w in self.truth.of["settling"]
            if w.record["action"] == "checkpoint" and w.record["partition"] == shard and w.place < again.place
            and w.record["subscription"] == hold.record["subscription"]
            and int(str(w.record["broker_seq"])) >= int(str(hold.record["broker_seq"]))
        ]  # fmt: skip
        refused = {
            (w.by, w.record["broker_seq"])
            for w in self.truth.of["settled"]
            if w.record["action"] == "checkpoint"
            and w.record["outcome"] == "failed"
            and w.record["subscription"] == hold.record["subscription"]
        }
        return any((w.by, w.record["broker_seq"]) not in refused for w in begun)

    def checkpoint_behind(self, hold: Written, again: Written) -> bool:
        return not self.checkpoint_lost(hold, again)

    def read_behind_checkpoint(self, hold: Written, again: Written) -> bool:
        return self.checkpoint_lost(hold, again)

    def lease_taken(self, hold: Written, again: Written) -> bool:
        shard = hold.record["partition"]
        about = hold.record["subscription"], shard
        read = [w for w in self.truth.of["received"] if (w.record["subscription"], w.record.get("partition")) == about]
        late = [w for w in read if w.by == hold.by and w.place > again.place]
        early = [w for w in read if w.by == again.by and w.place < hold.place]
        return hold.by != again.by and bool(late or early)

    def at_least_once(self, hold: Written, again: Written) -> bool:
        """A Standard queue may; our broker does so only with a defect."""
        return self.met

    def replayed(self, hold: Written, again: Written) -> bool:
        return self.played.replayed

    # Messages.

    def of_message(self, each: Explained, s: str, id: str) -> str | None:
        asked: Callable[[str, str], bool] | None = getattr(self, f"is_{each.cause.replace('-', '_')}", None)
        if asked is None:
            # A cause of a redelivery that explains an effect or a death.
            return None if (s, id) in self.truth.received else "it was never received"
        return None if asked(s, id) else "that is not so"

    def is_poison(self, s: str, id: str) -> bool:
        return bool(self.truth.sent[id].record.get("poison"))

    def is_send_retried(self, s: str, id: str) -> bool:
        return self.truth.sent[id].attempts > 1

    def is_sent_twice(self, s: str, id: str) -> bool:
        return sum(w.record["outcome"] == "ok" for w in self.truth.sent[id].outcomes) > 1

    def is_broker_copy(self, s: str, id: str) -> bool:
        return self.truth.sent[id].attempts == 1 and self.met

    def is_sends_crossed(self, s: str, id: str) -> bool:
        return self.played.plan.broken == "unordered-retry" or bool(self.truth.misplaced)

    def is_dead_lettered(self, s: str, id: str) -> bool:
        return (s, id) in self.truth.dead

    def is_deduplicated(self, s: str, id: str) -> bool:
        return self.played.plan.broken == "dedup-reuse" or self.met

    def is_deployed_otherwise(self, s: str, id: str) -> bool:
        return self.played.plan.broken in ("forgotten", "wrong-filter")

    def is_at_most_once(self, s: str, id: str) -> bool:
        return self.truth.subscriptions[s].promises == "at-most-once"

    def is_redrive(self, s: str, id: str) -> bool:
        return (s, id) in self.truth.redriven

    def is_delete_before_effect(self, s: str, id: str) -> bool:
        return self.played.plan.broken in ("delete-first", "no-op") or self.met

    def is_checkpoint_before_effect(self, s: str, id: str) -> bool:
        return self.played.plan.broken == "checkpoint-before" or self.met

    def is_mark_outlives(self, s: str, id: str) -> bool:
        return self.played.plan.broken in ("claim-first", "in-progress")

    def is_child_read_early(self, s: str, id: str) -> bool:
        return self.played.plan.broken == "children-early" or self.met

    def is_retry_overtook(self, s: str, id: str) -> bool:
        return any(w.record["outcome"] == "failed" for w in self.truth.of["effect"])
