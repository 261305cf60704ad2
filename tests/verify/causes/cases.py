"""Histories for each cause: one that has its proof, and one that lacks it, with what is to be said of both.

On a queue a message is received at 2 s by c1 and is hidden for 5 s; whatever becomes of it then, c2 receives it again
at 8 s and deletes it, unless a case says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.verify.handmade.builder import History, Json, fifo, mapped, queue, stream

DELIVERY, EFFECTS = ["exactly-once-delivery"], ["exactly-once-effect"]
# By the kind of subject: each cause with how many subjects it is that of.
Told = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Case:
    """`of`: the cause that it is about; without its proof, where `lacks`. `told`: the causes of all there is."""

    of: str
    build: Callable[[], History]
    told: Told
    lacks: bool = False

    @property
    def name(self) -> str:
        return f"{'no-' if self.lacks else ''}{self.of}-{self.build.__name__}"


CASES: list[Case] = []


def case(of: str, *, lacks: bool = False, **told: str | Mapping[str, int]) -> Callable[[Callable[[], History]], Any]:
    """Of each kind of subject (its `-` a `_`) the cause, or how often which."""

    def add(build: Callable[[], History]) -> Callable[[], History]:
        each = {what.replace("_", "-"): {cause: 1} if isinstance(cause, str) else cause for what, cause in told.items()}
        CASES.append(Case(of, build, each, lacks))
        return build

    return add


def held(
    *,
    kind: Json | None = None,
    claims: Sequence[str] = (*DELIVERY, *EFFECTS),
    again: float | None = 8,
    effect: float | None = 8.05,
    then: Callable[[History], object] = lambda h: None,
    second: Mapping[str, Any] | None = None,
    first: Mapping[str, Any] | None = None,
    **manifest: Any,
) -> History:
    """A message that c1 holds from 2 s to 7 s: `then` says what it does with it; it comes again at `again`."""
    h = History({"orders": fifo() if kind is None else kind}, claims, **manifest)
    h.send("a", at=1, broker_seq="1")
    h.receive("a", at=2, **(first or {}))
    then(h)
    if again is not None:
        h.receive("a", at=again, **({"consumer": "c2"} | dict(second or {})))
        if effect is not None:
            h.effect("a", at=effect)
        h.delete("a", at=again + 0.1)
    h.drained(at=60)
    return h


def alive(h: History) -> None:
    """c1 lives on: it works on another message long after."""
    h.send("z", at=10, group="other", broker_seq="9")
    h.handle("z", at=11, consumer="c1")


def exited(h: History, at: float, code: int, consumer: str = "c1") -> None:
    h.mark("consumer-exited", at=at, consumer=consumer, slot="c", code=code)


def struck(fault: str) -> History:
    """c1 is named by that fault from 2.2 s to 7.2 s, and what the fault brings about is what became of its message."""

    def go(h: History) -> None:
        h.fault(2.2, 7.2, name=fault)
        match fault:
            case "full-disk":
                exited(h, 3, 1)
            case "scale":
                exited(h, 3, 0)
            case "store-down":
                h.effect("a", at=2.4, outcome="failed")
                alive(h)
            case "partition":
                h.delete("a", at=3, outcome="unknown")
            case _:
                h.effect("a", at=7.5)

    return held(then=go)


# Faults, each with the cause that it is proven to have brought about in `struck`; a kill would have ended c1.
BLAMED: Mapping[str, str] = {
    "full-disk": "holder-stopped",
    "scale": "holder-stopped",
    "store-down": "handler-failed",
    "partition": "delete-lost",
    "hold-in-flight": "visibility-expired",
    "clock-step": "visibility-expired",
    "stretch-processing": "visibility-expired",
}
NOT_BLAMED: Mapping[str, str] = {"kill-consumer": "visibility-expired", "deny": "visibility-expired"}


# Of redeliveries on queues.


@case("untold", redelivery="untold")
def nothing_says_why() -> History:
    return held()


@case("holder-killed", redelivery="holder-killed")
def a_signal_within_the_hold() -> History:
    return held(then=lambda h: exited(h, 3, -9))


@case("holder-killed", redelivery="holder-killed")
def a_fault_that_kills_it() -> History:
    return held(then=lambda h: h.fault(3, 4))


@case("holder-killed", lacks=True, redelivery="untold")
def a_signal_after_the_hold() -> History:
    return held(then=lambda h: exited(h, 7.5, -9))


@case("holder-killed", lacks=True, redelivery="never-finished")
def a_fault_that_it_survived() -> History:
    def survived(h: History) -> None:
        h.fault(3, 4)
        alive(h)

    return held(then=survived)


@case("holder-stopped", redelivery="holder-stopped")
def an_end_in_good_order() -> History:
    return held(then=lambda h: exited(h, 3, 0))


@case("holder-stopped", lacks=True, redelivery="untold")
def an_end_after_the_hold() -> History:
    return held(then=lambda h: exited(h, 7.5, 0))


@case("holder-stopped", lacks=True, redelivery="answer-late")
def an_end_after_it_came_again() -> History:
    """c1 got its answer when c2, who was given the message after it, was done with it."""
    h = History({"orders": fifo()}, [*DELIVERY, *EFFECTS])
    h.send("a", at=1, broker_seq="1")
    h.receive("a", at=8, consumer="c2", receives=2)
    h.effect("a", at=8.05)
    h.delete("a", at=8.1)
    h.receive("a", at=9, started=2, consumer="c1", receives=1)
    exited(h, 10, 0)
    h.drained(at=60)
    return h


@case("given-back", redelivery="given-back")
def released() -> History:
    return held(then=lambda h: h.release("a", at=2.5), again=3, effect=3.05)


@case("given-back", redelivery="given-back")
def released_and_then_killed() -> History:
    def go(h: History) -> None:
        h.release("a", at=2.5)
        exited(h, 2.7, -9)

    return held(then=go, again=3, effect=3.05)


@case("given-back", lacks=True, redelivery="untold")
def released_in_vain() -> History:
    return held(then=lambda h: h.release("a", at=2.5, outcome="failed"))


@case("handler-failed", redelivery="handler-failed")
def a_failed_effect() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4, outcome="failed")
        h.release("a", at=2.5)

    return held(then=go, again=3, effect=3.05)


@case("handler-failed", lacks=True, redelivery="given-back")
def failed_and_then_done_in_one_batch() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.3, outcome="failed")
        h.effect("a", at=2.4, outcome="skipped")
        h.release("a", at=2.5)

    return held(then=go, again=3, effect=3.05)


@case("handler-failed", effect_missing="handler-failed")
def failed_and_deleted() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4, outcome="failed")
        h.delete("a", at=2.5)

    return held(then=go, again=None)


def _with_mate(outcome: str, *, lives: bool = True) -> History:
    h = History({"orders": queue()}, ["no-loss"])
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10)
        h.receive(id, at=2, batch="the one")
    h.effect("b", at=2.4, outcome=outcome)
    h.effect("a", at=2.3)
    if outcome == "failed":
        h.release("b", at=2.5)
        h.handle("b", at=3)
    else:
        h.delete("b", at=2.5)
    if lives:
        h.send("z", at=10)
        h.handle("z", at=11)
    h.handle("a", at=8, consumer="c2", effect="skipped")
    h.drained(at=60)
    return h


@case("batch-mate-failed", redelivery={"batch-mate-failed": 1, "handler-failed": 1})
def its_mate_failed() -> History:
    return _with_mate("failed")


@case("batch-mate-failed", lacks=True, redelivery="not-deleted")
def its_mate_was_done() -> History:
    return _with_mate("applied")


@case("delete-refused", redelivery="delete-refused")
def a_delete_that_failed() -> History:
    return held(then=lambda h: h.delete("a", at=3, outcome="failed"))


@case("delete-lost", redelivery="delete-lost")
def a_delete_of_unknown_outcome() -> History:
    return held(then=lambda h: h.delete("a", at=3, outcome="unknown"))


@case("delete-lost", redelivery="delete-lost")
def a_delete_without_an_answer() -> History:
    return held(then=lambda h: h.delete("a", at=3, outcome=None))


@case("delete-lost", lacks=True, redelivery="holder-killed")
def killed_before_the_answer() -> History:
    def go(h: History) -> None:
        h.delete("a", at=3, outcome=None)
        exited(h, 3.1, -9)

    return held(then=go)


@case("delete-lost", redelivery="delete-lost")
def killed_after_the_answer() -> History:
    def go(h: History) -> None:
        h.delete("a", at=3, outcome="unknown")
        exited(h, 3.1, -9)

    return held(then=go)


@case("delete-slow", redelivery="delete-slow")
def a_delete_that_took_too_long() -> History:
    return held(then=lambda h: h.delete("a", at=6.9, ended=8.05))


@case("holder-paused", redelivery="holder-paused")
def stopped_over_the_end() -> History:
    def go(h: History) -> None:
        h.fault(3, 9, name="pause-consumer")
        h.delete("a", at=9.5)

    return held(then=go)


@case("holder-paused", lacks=True, redelivery="visibility-expired")
def stopped_long_before_the_end() -> History:
    def go(h: History) -> None:
        h.fault(3, 4, name="pause-consumer")
        h.delete("a", at=9.5)

    return held(then=go)


@case("heartbeat-lost", redelivery="heartbeat-lost")
def an_extension_without_an_answer() -> History:
    return held(then=lambda h: h.extend("a", at=5, hidden_s=0, outcome="failed"))


@case("heartbeat-late", redelivery="heartbeat-late")
def an_extension_after_the_end() -> History:
    return held(then=lambda h: h.extend("a", at=7.5, hidden_s=5, outcome="failed"))


@case("heartbeat-late", lacks=True, redelivery="untold")
def an_extension_in_time() -> History:
    return held(then=lambda h: h.extend("a", at=5, hidden_s=5), again=11, effect=11.05)


@case("receipt-stale", redelivery="receipt-stale")
def a_delete_after_the_end() -> History:
    return held(then=lambda h: h.delete("a", at=7.5, outcome="failed"))


@case("receipt-stale", lacks=True, redelivery="visibility-expired")
def a_delete_after_it_came_again() -> History:
    return held(then=lambda h: h.delete("a", at=9.5, outcome="failed"))


@case("visibility-expired", redelivery="visibility-expired", effect_duplicate="visibility-expired")
def an_effect_after_the_end() -> History:
    return held(then=lambda h: h.effect("a", at=7.5))


@case("not-deleted", redelivery="not-deleted")
def done_and_left() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.5)
        alive(h)

    return held(then=go, effect=None)


@case("not-deleted", lacks=True, redelivery="untold")
def done_and_nobody_knows_whether_it_lived_on() -> History:
    return held(then=lambda h: h.effect("a", at=2.5), effect=None)


@case("never-finished", redelivery="never-finished")
def left_in_hand() -> History:
    return held(then=alive)


@case("receive-unrecorded", redelivery="receive-unrecorded")
def the_broker_counts_one_more() -> History:
    return held(second={"receives": 3}, again=14, effect=14.05)


@case("answer-lost", redelivery="answer-lost")
def never_passed_on() -> History:
    def go(h: History) -> None:
        h.record("proxy", 2.1, "delivered", subscription="orders", consumer="c1", batch="c1-batch-1", outcome="failed")

    return held(then=go, kind=fifo(seen_from="wire"))


@case("answer-lost", lacks=True, redelivery="untold")
def passed_on_all_the_same() -> History:
    def go(h: History) -> None:
        for n, outcome in enumerate(("unknown", "ok")):
            about = {"subscription": "orders", "consumer": "c1", "batch": "c1-batch-1", "outcome": outcome}
            h.record("proxy", 2.1 + n / 10, "delivered", **about)

    return held(then=go, kind=fifo(seen_from="wire"))


def _recorded(at: float) -> History:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.receive("a", at=8, consumer="c2", receives=2)
    h.delete("a", at=8.1)
    h.receive("a", at=at, started=1.5, receives=1)
    h.delete("a", at=max(at, 8.2) + 0.5)
    h.drained(at=60)
    return h


@case("answer-late", redelivery="answer-late")
def recorded_after_it_had_come_back() -> History:
    return _recorded(8.5)


@case("answer-late", lacks=True, redelivery="visibility-expired")
def recorded_before_it_came_back() -> History:
    return _recorded(3.5)


@case("redriven", redelivery="redriven")
def sent_back() -> History:
    return held(then=lambda h: h.redriven("a", at=7.5), second={"receives": 1})


@case("replayed", redelivery="replayed")
def replayed() -> History:
    return held(kind=queue(), second={"replay": "r"})


@case("at-least-once", redelivery="at-least-once")
def too_early_on_a_standard_queue() -> History:
    return held(kind=queue(), again=4, effect=4.05)


@case("at-least-once", redelivery="at-least-once", effect_duplicate="at-least-once")
def after_its_delete_on_a_standard_queue() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4)
        h.delete("a", at=2.5)

    return held(kind=queue(), then=go)


@case("broker", redelivery="broker")
def too_early_on_a_fifo_queue() -> History:
    return held(again=4, effect=4.05)


@case("broker", redelivery="broker")
def after_its_delete_on_a_fifo_queue() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4)
        h.delete("a", at=2.5)

    return held(then=go, effect=None)


@case("broker", lacks=True, redelivery="delete-lost")
def after_a_delete_that_was_lost_on_a_fifo_queue() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4)
        h.delete("a", at=2.5, outcome="unknown")

    return held(then=go, effect=None)


@case("broker", lacks=True, redelivery="untold")
def too_early_while_a_call_without_a_name_may_have_given_it_back() -> History:
    def go(h: History) -> None:
        h.record("c1", 2.5, "settling", subscription="orders", consumer="c1", batch="c1-batch-1", action="release")

    return held(then=go, again=4, effect=4.05)


@case("broker", lacks=True, redelivery="untold")
def after_its_delete_with_another_one_without_a_name() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4)
        h.delete("a", at=2.5)
        h.record("c1", 2.6, "settling", subscription="orders", consumer="c1", batch="c1-batch-1", action="delete")

    return held(then=go, effect=None)


# Of functions.


def invoked(answer: Callable[[History, str], object], **sub: Any) -> History:
    h = History({"orders": mapped(**sub)}, ["no-loss"])
    h.send("a", at=1, broker_seq="1")
    answer(h, h.invoke("a", at=2, seen=True))
    h.work("a", at=9, seen=True, consumer="f2")
    h.drained(at=60)
    return h


@case("function-failed", redelivery="function-failed")
def a_batch_that_failed_as_a_whole() -> History:
    h = History({"orders": mapped()}, ["no-loss"])
    for n, id in enumerate("ab"):
        h.send(id, at=1 + n / 10, group=id)
    h.respond(h.invoke("a", "b", at=2, seen=True), at=3, outcome="failed")
    h.work("a", at=9, seen=True, consumer="f2")
    h.work("b", at=9, consumer="f2")
    h.drained(at=60)
    return h


@case("function-timeout", redelivery="function-timeout")
def an_answer_that_ran_out_of_time() -> History:
    def timed_out(h: History, batch: str) -> None:
        about = {"subscription": "orders", "function": "work", "request": f"r-{batch}", "batch": batch}
        h.record("f1", 6, "responded", **about, outcome="failed", error="it did not answer within 4 s")

    return invoked(timed_out)


@case("function-timeout", lacks=True, redelivery="handler-failed")
def an_answer_that_failed() -> History:
    return invoked(lambda h, batch: h.respond(batch, at=3, outcome="failed"))


@case("function-unanswered", redelivery="function-unanswered")
def no_answer() -> History:
    return invoked(lambda h, batch: None)


@case("function-throttled", redelivery="function-throttled")
def a_receive_that_came_to_no_invocation() -> History:
    h = History({"orders": mapped(invocations="all")}, ["no-loss"])
    h.send("a", at=1, broker_seq="1")
    h.receive("a", at=2, consumer="poller")
    h.work("a", at=9, seen=True)
    h.drained(at=60)
    return h


# Of streams.


def read_twice(then: Callable[[History], object], *, second: str = "c2", last: float | None = None) -> History:
    """c1 reads record 1 of shard 0 at 2 s, and `second` at 8 s."""
    h = History({"orders": stream()}, ["no-loss"])
    h.send("a", at=1, broker_seq="1", partition="0")
    h.send("b", at=1.1, broker_seq="2", partition="0")
    h.receive("a", at=2)
    then(h)
    h.receive("a", at=8, consumer=second)
    h.receive("b", at=8.1, consumer=second)
    if last is not None:
        h.receive("b", at=last, consumer="c1")
    h.effect("b", at=8.2)
    h.drained(at=60)
    return h


@case("checkpoint-behind", redelivery="checkpoint-behind")
def done_and_not_checkpointed() -> History:
    return read_twice(lambda h: h.effect("a", at=3))


@case("checkpoint-behind", redelivery="checkpoint-behind")
def read_again_by_the_same_one() -> History:
    return read_twice(lambda h: None, second="c1")


@case("checkpoint-lost", redelivery="checkpoint-lost")
def a_checkpoint_without_an_answer() -> History:
    def go(h: History) -> None:
        h.effect("a", at=3)
        h.checkpoint("a", at=4, partition="0", broker_seq="1", outcome="unknown")

    return read_twice(go)


@case("checkpoint-behind", lacks=True, redelivery="read-behind-checkpoint")
def a_checkpoint_that_worked() -> History:
    def go(h: History) -> None:
        h.effect("a", at=3)
        h.checkpoint("a", at=4, partition="0", broker_seq="1")

    return read_twice(go)


@case("lease-taken", redelivery={"lease-taken": 2})
def two_readers_at_once() -> History:
    return read_twice(lambda h: h.effect("a", at=3), last=9)


@case("holder-killed", redelivery="holder-killed")
def killed_with_a_shard_in_hand() -> History:
    return read_twice(lambda h: exited(h, 5, -9))


@case("batch-mate-failed", redelivery="batch-mate-failed", effect_missing="handler-failed")
def read_again_for_another_one() -> History:
    h = History({"orders": stream()}, ["no-loss"])
    for n, id in enumerate("ab", start=1):
        h.send(id, at=1 + n / 10, broker_seq=str(n), partition="0")
        h.receive(id, at=2, batch="the one")
    h.effect("b", at=3, outcome="failed")
    h.receive("a", at=8)
    h.drained(at=60)
    return h


# Of dead letters.


def died(*outcomes: str, poison: bool = False) -> History:
    h = History({"orders": queue(dead_letter=True, max_receives=len(outcomes))}, ["dead-letter"])
    h.send("a", at=1, poison=poison)
    for n, outcome in enumerate(outcomes):
        h.receive("a", at=2 + 6 * n, consumer=f"c{n}")
        if outcome == "killed":
            exited(h, 3 + 6 * n, -9, consumer=f"c{n}")
        else:
            h.effect("a", at=2.4 + 6 * n, outcome=outcome)
            h.release("a", at=2.5 + 6 * n)
    h.dead("a", at=40, receives=len(outcomes))
    h.drained(at=60)
    return h


def died_unseen(**dead: Any) -> History:
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, ["dead-letter"])
    h.send("a", at=1)
    h.dead("a", at=40, **dead)
    h.drained(at=60)
    return h


@case("receive-unrecorded", dead_letter="receive-unrecorded")
def died_of_a_receive_that_nobody_recorded() -> History:
    return died_unseen(receives=1)


@case("receive-unrecorded", lacks=True, dead_letter="untold")
def dead_and_nothing_counts_its_receives() -> History:
    return died_unseen()


@case("poison", dead_letter="poison", redelivery="handler-failed")
def a_poison_message() -> History:
    return died("failed", "failed", poison=True)


@case("poison", lacks=True, dead_letter="handler-failed", redelivery="handler-failed", effect_missing="dead-lettered")
def a_healthy_message() -> History:
    return died("failed", "failed")


@case("holder-killed", dead_letter="holder-killed", redelivery={"holder-killed": 2})
def killed_twice_and_failed_once() -> History:
    return died("killed", "killed", "failed")


@case("holder-killed", dead_letter="holder-killed")
def killed_at_its_only_receive() -> History:
    return died("killed")


@case("handler-failed", dead_letter="handler-failed", redelivery={"handler-failed": 1, "holder-killed": 1})
def killed_once_and_failed_twice() -> History:
    return died("killed", "failed", "failed")


# Of duplicates.


def copies(kind: Json, outcomes: Sequence[str], gap: float = 2, *, second: str | None = "b-a2") -> History:
    h = History({"orders": kind}, DELIVERY)
    for n, outcome in enumerate(outcomes):
        h.send("a", at=1 + n * gap, outcome=outcome, broker_id=f"b-a{n + 1}")
    h.take("a", at=5 + gap, broker_id="b-a1", enqueued=1.01)
    h.take("a", at=6 + gap, broker_id=second, enqueued=1.01 + gap)
    h.drained(at=60 + gap)
    return h


@case("send-retried", duplicate="send-retried")
def an_unknown_attempt() -> History:
    return copies(queue(), ["unknown", "ok"])


@case("send-retried", duplicate="send-retried")
def an_unknown_attempt_long_before() -> History:
    return copies(fifo(), ["unknown", "ok"], gap=301)


@case("send-retried", lacks=True, duplicate="broker")
def an_unknown_attempt_within_the_window() -> History:
    return copies(fifo(), ["unknown", "ok"])


@case("sent-twice", duplicate="sent-twice")
def two_accepted() -> History:
    return copies(queue(), ["ok", "ok"])


@case("broker-copy", duplicate="broker-copy")
def one_accepted() -> History:
    return copies(queue(), ["ok"])


@case("broker", duplicate="broker")
def one_accepted_and_two_on_a_fifo_queue() -> History:
    return copies(fifo(), ["ok"])


@case("broker-copy", lacks=True, duplicate="untold")
def one_refused_and_one_accepted() -> History:
    return copies(queue(), ["failed", "ok"])


# Of losses.


def gone(*, kind: Json | None = None, scenario: Json | None = None, **send: Any) -> History:
    h = History({"orders": kind or queue()}, ["no-loss"], manifest={"scenario": scenario or {}})
    h.send("a", at=1, **send)
    h.send("b", at=2)
    h.take("b", at=3)
    h.drained(at=60)
    return h


@case("broker", loss="broker")
def accepted_and_nowhere() -> History:
    return gone()


@case("broker", lacks=True, loss="untold")
def accepted_and_seen_by_a_proxy_alone() -> History:
    return gone(kind=queue(seen_from="wire"))


@case("broker", loss="broker")
def received_and_nowhere() -> History:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.receive("a", at=2)
    h.drained(at=60)
    return h


@case("at-most-once", loss="at-most-once")
def nobody_promised_it() -> History:
    return gone(kind=queue(promises="at-most-once"))


@case("deployed-otherwise", loss="deployed-otherwise")
def another_filter_is_deployed() -> History:
    entry = {"name": "orders", "deployed": {"filter": {"x": ["y"]}}}
    return gone(scenario={"topology": {"subscriptions": [entry]}})


@case("deduplicated", loss="deduplicated")
def answered_as_another_one() -> History:
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("b", at=0.5, broker_id="b-b", broker_seq="1")
    h.send("a", at=1, broker_id="b-b", broker_seq="1", group="other")
    h.take("b", at=3, broker_id="b-b")
    h.drained(at=60)
    return h


@case("deleted-unseen", loss="deleted-unseen")
def deleted_without_a_receive() -> History:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.settle("a", "delete", at=3, consumer="c1", batch="b1")
    h.send("b", at=2)
    h.take("b", at=3)
    h.drained(at=60)
    return h


@case("never-read", loss="never-read")
def a_shard_that_nobody_read() -> History:
    h = History({"orders": stream()}, ["no-loss"])
    h.send("a", at=1, broker_seq="1", partition="0", group="x")
    h.send("b", at=2, broker_seq="1", partition="1", group="y")
    h.receive("b", at=3)
    return h


@case("never-read", lacks=True, loss="untold")
def a_shard_that_was_read_before() -> History:
    h = History({"orders": stream()}, ["no-loss"])
    h.send("b", at=0.5, broker_seq="1", partition="0", group="y")
    h.send("a", at=1, broker_seq="2", partition="0", group="x")
    h.receive("b", at=3)
    return h


@case("redrive", loss="redrive")
def sent_back_and_not_seen() -> History:
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, ["no-loss"])
    h.send("a", at=1)
    h.receive("a", at=2)
    h.dead("a", at=20)
    h.redriven("a", at=21)
    h.drained(at=60)
    return h


# Of effects that are missing.


def unapplied(then: Callable[[History], object], kind: Json | None = None) -> History:
    h = History({"orders": kind or queue()}, ["at-least-once-effect"])
    h.send("a", at=1, broker_seq="1", partition=None if kind is None else "0")
    h.receive("a", at=2)
    then(h)
    h.drained(at=60)
    h.effects_read(at=61)
    return h


@case("delete-before-effect", effect_missing="delete-before-effect")
def deleted_first() -> History:
    return unapplied(lambda h: h.delete("a", at=2.5))


@case("mark-outlives", effect_missing="mark-outlives")
def skipped_and_never_applied() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4, outcome="skipped")
        h.delete("a", at=2.5)

    return unapplied(go)


@case("store-forgot", effect_missing="store-forgot")
def applied_and_not_there() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4)
        h.delete("a", at=2.5)

    return unapplied(go)


@case("checkpoint-before-effect", effect_missing="checkpoint-before-effect")
def checkpointed_first() -> History:
    return unapplied(lambda h: h.checkpoint("a", at=2.5, partition="0", broker_seq="1"), kind=stream())


@case("checkpoint-before-effect", lacks=True, effect_missing="untold")
def never_checkpointed() -> History:
    return unapplied(lambda h: None, kind=stream())


@case("broker", loss="broker", effect_missing="broker")
def lost_with_its_effect() -> History:
    h = gone()
    h.effects("b", at=60.5, applied=1)
    h.effects_read(at=61)
    return h


# Of effects that are there once more.


@case("guard-raced", redelivery="visibility-expired", effect_duplicate="visibility-expired")
def both_at_once() -> History:
    def go(h: History) -> None:
        h.effect("a", at=8.3, started=8.01)

    return held(then=go, effect=8.2)


@case("handled-twice", effect_duplicate="handled-twice")
def twice_in_one_handling() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.3)
        h.effect("a", at=2.4)
        h.delete("a", at=2.5)

    return held(then=go, again=None)


@case("delete-lost", redelivery="delete-lost", effect_duplicate={"delete-lost": 1})
def the_store_knows_of_one_more() -> History:
    def go(h: History) -> None:
        h.effect("a", at=2.4)
        h.delete("a", at=2.5, outcome="unknown")

    h = held(then=go, effect=None)
    h.effects("a", at=61, applied=2)
    h.effects_read(at=62)
    return h


# Of what came out of order.


def two(kind: Json | None = None, claims: Sequence[str] = ("ordered-per-group", "ordered-effects")) -> History:
    h = History({"orders": kind or fifo()}, claims)
    h.send("a", at=1, broker_seq="1")
    h.send("b", at=1.1, broker_seq="2")
    return h


@case("broker", overtake="broker")
def received_in_the_wrong_order() -> History:
    h = two(claims=["ordered-per-group"])
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=60)
    return h


@case("send-retried", overtake="send-retried")
def stored_by_a_second_attempt() -> History:
    h = History({"orders": fifo()}, ["ordered-per-group"])
    h.send("a", at=1, ended=1.5, outcome="unknown")
    h.send("b", at=1.6, broker_seq="1")
    h.send("a", at=2, broker_seq="2")
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=60)
    return h


@case("sends-crossed", overtake="sends-crossed")
def sent_before_the_answer() -> History:
    h = History({"orders": fifo()}, ["ordered-per-group"])
    h.send("a", at=1, ended=1.5, broker_seq="2")
    h.send("b", at=1.2, ended=1.4, broker_seq="1")
    h.take("b", at=3)
    h.take("a", at=4)
    h.drained(at=60)
    return h


@case("retry-overtook", overtake="retry-overtook", redelivery="handler-failed")
def failed_and_tried_again_later() -> History:
    h = two(claims=["ordered-effects"])
    h.receive("a", at=2, batch="the one")
    h.receive("b", at=2, batch="the one")
    h.effect("a", at=2.1, outcome="failed")
    h.effect("b", at=2.3)
    h.release("a", at=2.5)
    h.delete("b", at=2.5)
    h.handle("a", at=3, consumer="c2")
    h.drained(at=60)
    return h


@case("concurrent", overtake="concurrent")
def both_in_hand_at_once() -> History:
    h = two(claims=["ordered-effects"])
    h.receive("a", at=2, batch="the one")
    h.receive("b", at=2, batch="the one")
    h.effect("b", at=2.3)
    h.effect("a", at=2.5, started=2.4)
    for id in "ab":
        h.delete(id, at=2.6)
    h.drained(at=60)
    return h


@case("child-read-early", overtake="child-read-early")
def a_child_before_its_parent() -> History:
    h = History({"orders": stream()}, ["ordered-per-partition"])
    h.partition("0")
    h.partition("1", ["0"])
    h.send("a", at=1, broker_seq="1", partition="0")
    h.send("b", at=2, broker_seq="1", partition="1")
    h.receive("b", at=3)
    h.receive("a", at=4)
    h.drained(at=60)
    return h
