"""Workflows: what executions, tasks and tokens may do, and what is whose fault.

Messages start executions of a Standard machine unless a case says otherwise; its steps are `pay`, which waits for an
answer, and `reserve`, one task for each item. Each case that breaks something has a twin that does not. Both judges are
asked, and must say the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.history.manifest import Claim
from tests.reference.judge import judge as reference
from tests.verify.agreement import shown
from tests.verify.handmade.builder import SECOND, Expected, History, check, judged_run, ns, queue

PAY = {"pay": queue(step="callback", promises="at-most-once")}
BOTH = {**PAY, "reserve": queue(step="task", per_item=True, promises="at-most-once")}
STANDARD = ["exactly-once-execution", "exactly-once-step-effect", "callback-once", "map-complete"]


def arn(id: str, again: str = "") -> str:
    return f"arn:{id}{again}"


class Flow(History):
    """A history of executions: that of a message is called after it."""

    def __init__(self, subs: Any = None, claims: Any = None, *, kind: str | None = "standard", **more: Any) -> None:
        asked = STANDARD if claims is None else claims
        manifest = {} if kind is None else {"workflow": kind}
        super().__init__(BOTH if subs is None else subs, asked, manifest=manifest, **more)

    def start(self, id: str, *, at: float, items: int | None = 1, **fields: Any) -> None:
        """A start, which is answered with the message's execution unless told otherwise."""
        self.send(id, at=at, **{"broker_id": arn(id), **fields})
        if items is not None:
            self.files["p1"][-2 if fields.get("outcome", "ok") is not None else -1].setdefault("items", items)

    def task(self, id: str, step: str, *, at: float, item: int | None = None, effect: str | None = "applied",
             execution: str | None = None, copy: str = "", **fields: Any) -> None:  # fmt: skip
        """A task is received at `at`, handled 50 ms later and its message deleted 100 ms later. `effect=None`: nobody
        tells what came of it."""
        told = {"execution": execution or arn(id), "item": item}
        told = {name: value for name, value in told.items() if value is not None}
        self.receive(id, at=at, sub=step, broker_id=f"{step}-{id}-{item}{copy}", **told, **fields)
        if effect is not None:
            self.step(id, step, at=at + 0.05, outcome=effect, **told)
        self.delete(id, at=at + 0.1, sub=step)

    def step(self, id: str, step: str, *, at: float, outcome: str = "applied", **fields: Any) -> None:
        held = self._handled[id, step]
        self.record(str(held["consumer"]), at, "step", id=id, subscription=step, consumer=held["consumer"],
                    batch=held["batch"], started=ns(at - 0.01), outcome=outcome, **fields)  # fmt: skip

    def answer(self, id: str, *, at: float, answer: str = "success", outcome: str | None = "ok", token: str = "",
               batch: str | None = None) -> None:  # fmt: skip
        """The token of the last receive of `pay` is sent back. `outcome=None`: nobody wrote what came of it."""
        held = self._handled[id, "pay"]
        told: dict[str, Any] = {"id": id, "subscription": "pay", "execution": held["execution"], "answer": answer}
        told |= {"token": token or f"t-{id}", "consumer": held["consumer"], "batch": batch or held["batch"]}
        self.record(str(held["consumer"]), at, "answering", **told)
        if outcome is not None:
            told |= {"started": ns(at), "outcome": outcome}
            self.record(str(held["consumer"]), at + 0.01, "answered", **told)

    def ended(self, id: str, *, at: float, status: str = "succeeded", started: float | None = 1.0,
              stopped: float | None = 3.0, again: str = "", **fields: Any) -> None:  # fmt: skip
        told = {
            "started": None if started is None else ns(started),
            "stopped": None if stopped is None else ns(stopped),
        }
        self.record("main", at, "execution", id=id, arn=arn(id, again), name=id, status=status, **told, **fields)

    def read(self, *, at: float = 15, drained: bool = True) -> None:
        """Everything was looked at."""
        self.mark("executions-read", at=at)
        if drained:
            self.drained(at=at)


def whole(*ids: str, items: int = 2, **more: Any) -> Flow:
    """Executions that did all that they should, nothing read at the end yet."""
    h = Flow(**more)
    for id in ids:
        h.start(id, at=1, items=items)
        h.task(id, "pay", at=2)
        h.answer(id, at=2.2)
        for item in range(items):
            h.task(id, "reserve", at=2.5 + item / 10, item=item)
        h.ended(id, at=14)
    return h


_NOT_ASKED = ("lost", "unseen", "fanout-missing")


def both(h: History, tmp_path: Path, claims: dict[str, Expected], anomalies: dict[str, int] | None = None) -> None:
    """What the verdict must be, and that the reference judge says the same."""
    run = h.write(tmp_path / f"run-{len(list(tmp_path.iterdir()))}")
    document = judged_run(run).document
    # What a step misses violates nothing there, and is no concern of these cases.
    anomalies_told = {name: each for name, each in document["anomalies"].items() if name not in _NOT_ASKED}
    check({**document, "anomalies": anomalies_told}, claims, anomalies)
    assert shown(document) == shown(reference(run))


# -- what is legal


def test_executions_that_do_all_they_should(tmp_path: Path) -> None:
    h = whole("a", "b")
    h.read()
    checked = {"exactly-once-execution": 2, "exactly-once-step-effect": 6, "callback-once": 2, "map-complete": 4}
    both(h, tmp_path, {name: ("holds", count) for name, count in checked.items()})


def test_nothing_was_looked_at(tmp_path: Path) -> None:
    both(whole("a"), tmp_path, {**dict.fromkeys(STANDARD, "unknown"), "callback-once": "holds"})


def test_a_run_without_a_workflow(tmp_path: Path) -> None:
    h = Flow({"orders": queue()}, kind=None)
    h.send("a", at=1)
    h.take("a", at=2)
    h.read()
    both(h, tmp_path, dict.fromkeys(STANDARD, "unknown"))


def test_an_empty_history(tmp_path: Path) -> None:
    both(Flow(), tmp_path, dict.fromkeys(STANDARD, "unknown"), {"vacuous": 2})


# -- executions


@pytest.mark.parametrize("again, extra", [("", 0), ("-2", 1)])
def test_a_start_that_is_repeated(tmp_path: Path, again: str, extra: int) -> None:
    # The first answer was lost. The second names the same execution, or another one.
    h = Flow(PAY, ["exactly-once-execution"])
    h.start("a", at=1, outcome="unknown")
    h.start("a", at=2, broker_id=arn("a", again))
    h.task("a", "pay", at=3)
    h.ended("a", at=14)
    if again:
        h.ended("a", at=14, again=again)
    h.read()
    both(h, tmp_path, {"exactly-once-execution": "violated" if extra else "holds"}, {"execution-duplicate": extra})


def test_an_execution_that_nobody_was_answered_with_is_one_too_many(tmp_path: Path) -> None:
    h = Flow(PAY, ["exactly-once-execution"])
    h.start("a", at=1)
    h.task("a", "pay", at=2)
    h.ended("a", at=14)
    h.ended("a", at=14, again="-2")
    h.read()
    both(h, tmp_path, {"exactly-once-execution": "violated"}, {"execution-duplicate": 1})


def test_one_of_nobody_counts_for_nothing(tmp_path: Path) -> None:
    h = whole("a", claims=["exactly-once-execution"])
    h.ended("x", at=14)
    h.read()
    both(h, tmp_path, {"exactly-once-execution": ("holds", 1)})


@pytest.mark.parametrize("read, missing", [(15, 1), (None, 0), (0.5, 0)])
def test_an_accepted_start_without_an_execution(tmp_path: Path, read: float | None, missing: int) -> None:
    h = whole("a", claims=["exactly-once-execution"])
    h.start("b", at=1)
    if read:
        h.mark("executions-read", at=read)
    asked: dict[str, Expected] = {"exactly-once-execution": "violated" if missing else "unknown"}
    both(h, tmp_path, asked, {"execution-missing": missing})


def test_a_start_that_failed_needs_none(tmp_path: Path) -> None:
    h = whole("a", claims=["exactly-once-execution"])
    h.start("b", at=1, outcome="failed")
    h.read()
    both(h, tmp_path, {"exactly-once-execution": ("holds", 1)}, {"given-up": 1})


REFUSED = "ExecutionAlreadyExists: it does"


@pytest.mark.parametrize(
    "received, answered, redrives, proven",
    [
        (1.5, 2.5, 0, True),
        # It may have begun, or ended, during the call; or have been begun again.
        (2.005, 2.5, 0, False),
        (1.5, 2.005, 0, False),
        (1.5, 2.5, 1, False),
    ],
)
def test_a_start_that_was_refused(
    tmp_path: Path, received: float, answered: float, redrives: int, proven: bool
) -> None:
    h = Flow(PAY, ["exactly-once-execution"])
    h.start("a", at=1, outcome="unknown")
    h.start("a", at=2, outcome="failed")
    h.files["p1"][-1]["error"] = REFUSED
    h.task("a", "pay", at=received)
    h.answer("a", at=answered)
    h.ended("a", at=14, redrives=redrives)
    h.start("b", at=1)
    h.ended("b", at=14)
    h.read()
    asked: dict[str, Expected] = {"exactly-once-execution": "violated" if proven else "holds"}
    both(h, tmp_path, asked, {"start-refused": int(proven)})


def test_an_execution_that_is_nobody_s_refuses_nothing(tmp_path: Path) -> None:
    h = Flow(PAY, ["exactly-once-execution"])
    h.start("a", at=1, outcome="unknown")
    h.start("a", at=2, outcome="failed")
    h.files["p1"][-1]["error"] = REFUSED
    h.task("a", "pay", at=1.5, execution="arn:another's")
    h.record("c1", 2.5, "answered", id="a", subscription="pay", execution="arn:another's", token="t", answer="success",
             started=ns(2.4), outcome="ok")  # fmt: skip
    h.start("b", at=1)
    h.ended("b", at=14)
    h.read()
    both(h, tmp_path, {"exactly-once-execution": "holds"}, {"start-refused": 0})


def test_how_close_clocks_leave_a_refusal_open(tmp_path: Path) -> None:
    for error_s, proven in ((0.4, True), (0.6, False)):
        h = Flow(PAY, ["exactly-once-execution"], clock_error_s=error_s)
        h.start("a", at=1, outcome="unknown")
        h.start("a", at=2, outcome="failed")
        h.files["p1"][-1]["error"] = REFUSED
        h.task("a", "pay", at=1.5)
        h.answer("a", at=2.52)
        h.ended("a", at=14)
        h.start("b", at=1)
        h.ended("b", at=14)
        h.read(at=20)
        both(h, tmp_path, {"exactly-once-execution": "violated" if proven else "holds"}, {"start-refused": int(proven)})


def test_an_express_workflow_repeats_and_is_known_by_its_steps(tmp_path: Path) -> None:
    h = Flow(PAY, ["at-least-once-execution", "exactly-once-execution"], kind="express")
    h.start("a", at=1, broker_id="x1")
    h.start("a", at=1.5, broker_id="x2")
    h.task("a", "pay", at=2, execution="x1")
    h.task("a", "pay", at=2.5, execution="x2", copy="2")
    h.read()
    both(h, tmp_path, {"at-least-once-execution": ("holds", 1), "exactly-once-execution": "unknown"})


@pytest.mark.parametrize("drained", [True, False])
def test_an_express_start_of_which_nothing_came(tmp_path: Path, drained: bool) -> None:
    h = Flow(PAY, ["at-least-once-execution"], kind="express")
    h.start("a", at=1, broker_id="x1")
    h.task("a", "pay", at=2, execution="x1")
    h.start("b", at=1, broker_id="x2")
    h.read(drained=drained)
    asked: dict[str, Expected] = {"at-least-once-execution": "violated" if drained else "unknown"}
    both(h, tmp_path, asked, {"execution-unseen": int(drained)})


def test_an_express_start_that_leads_to_no_step_misses_none(tmp_path: Path) -> None:
    h = Flow(PAY, ["at-least-once-execution"], kind="express")
    h.start("a", at=1, broker_id="x1")
    h.task("a", "pay", at=2, execution="x1")
    h.start("b", at=1, broker_id="x2", expect=[])
    h.read()
    both(h, tmp_path, {"at-least-once-execution": ("holds", 1)}, {"execution-unseen": 0})


@pytest.mark.parametrize("seen_from, unseen", [("consumer", 1), ("nobody", 0)])
def test_a_start_may_have_come_to_a_step_that_nobody_sees(tmp_path: Path, seen_from: str, unseen: int) -> None:
    h = Flow({**PAY, "other": {**PAY["pay"], "seen_from": seen_from}}, ["at-least-once-execution"], kind="express")
    for id in ("a", "b"):
        h.start(id, at=1, expect=["pay"])
    h.task("a", "pay", at=2)
    h.read()
    both(h, tmp_path, {"at-least-once-execution": "violated" if unseen else "unknown"}, {"execution-unseen": unseen})


# -- starts that are waited for

WAITED = ["at-most-once-execution"]


def sync() -> Flow:
    """With one start that was done once."""
    h = Flow(PAY, WAITED, kind="express-sync")
    h.start("z", at=1)
    h.task("z", "pay", at=1.5)
    h.ended("z", at=2)
    return h


def test_a_start_that_is_waited_for_and_done_once(tmp_path: Path) -> None:
    h = sync()
    h.read()
    both(h, tmp_path, {"at-most-once-execution": ("holds", 1)})


@pytest.mark.parametrize("drained, verdict", [(True, "holds"), (False, "unknown")])
def test_a_start_without_an_answer_may_have_run_once(tmp_path: Path, drained: bool, verdict: str) -> None:
    h = sync()
    h.start("a", at=1, outcome="unknown")
    h.task("a", "pay", at=1.5)
    h.read(drained=drained)
    both(h, tmp_path, {"at-most-once-execution": (verdict, 2)})


def test_a_start_that_was_refused_is_sent_again(tmp_path: Path) -> None:
    h = sync()
    h.start("a", at=1, outcome="failed")
    h.start("a", at=2)
    h.task("a", "pay", at=2.5)
    h.read()
    both(h, tmp_path, {"at-most-once-execution": ("holds", 2)})


@pytest.mark.parametrize("first, blamed", [("unknown", "start-repeated"), ("failed", "execution-repeated")])
def test_two_executions_are_somebody_s_fault(tmp_path: Path, first: str, blamed: str) -> None:
    # Who starts again after a lost answer has asked for both; of a start that was refused nobody asked for the first.
    h = sync()
    h.start("a", at=1, outcome=first)
    h.start("a", at=2)
    h.task("a", "pay", at=1.5, execution=arn("a", "-1"))
    h.task("a", "pay", at=2.5, copy="2")
    h.read()
    both(h, tmp_path, {"at-most-once-execution": "violated"}, {blamed: 1})


def test_of_three_executions_each_start_but_one_and_what_nobody_started(tmp_path: Path) -> None:
    h = sync()
    h.start("a", at=1, outcome="unknown")
    h.start("a", at=2)
    for n in range(3):
        h.task("a", "pay", at=2.5 + n / 10, execution=arn("a", f"-{n}" if n else ""), copy=str(n))
    h.read()
    both(h, tmp_path, {"at-most-once-execution": "violated"}, {"start-repeated": 1, "execution-repeated": 1})


@pytest.mark.parametrize(
    "again, verdict, found",
    [
        ({"broker_id": "another"}, "violated", 1),
        # The same message once more, or nobody knows which.
        ({"receives": 2}, "holds", 0),
        ({"broker_id": "another", "omit": ["broker_id"]}, "unknown", 0),
    ],
)
def test_a_task_that_was_asked_for_twice(tmp_path: Path, again: dict[str, Any], verdict: str, found: int) -> None:
    h = sync()
    h.start("a", at=1)
    h.task("a", "pay", at=1.5)
    h.receive("a", at=8, sub="pay", execution=arn("a"), **{"broker_id": "pay-a-None", **again})
    h.read()
    both(h, tmp_path, {"at-most-once-execution": verdict}, {"task-repeated": found})


def test_what_its_machine_may_ask_for_again_shows_nothing(tmp_path: Path) -> None:
    h = Flow({"pay": queue(step="task", promises="at-most-once", retried=True)}, WAITED, kind="express-sync")
    h.start("a", at=1)
    h.task("a", "pay", at=1.5)
    h.task("a", "pay", at=2.5, copy="2", effect="skipped")
    h.read()
    both(h, tmp_path, {"at-most-once-execution": ("unknown", 0)})


# -- redrives

PACK = {
    "pay": queue(step="callback", promises="at-most-once", followed_by=["ship"]),
    "ship": queue(step="task", promises="at-most-once"),
}


def steer(h: Flow, id: str, *, at: float, outcome: str | None = "ok", action: str = "redrive", of: str = "") -> None:
    told = {"id": id, "arn": of or arn(id), "action": action, "call": f"steer-{at}"}
    h.record("main", at, "steering", **told)
    if outcome is not None:
        h.record("main", at + 0.01, "steered", **told, started=ns(at), outcome=outcome)


def failed(h: Flow, id: str) -> None:
    """An execution that has come to the second step, and failed there."""
    h.start(id, at=1)
    h.task(id, "pay", at=2)
    h.answer(id, at=2.2)
    h.task(id, "ship", at=3, effect="failed")
    h.ended(id, at=5, status="failed")


def redriven(again: str | None, *, at: float = 8, outcome: str | None = "ok", steered: float = 6) -> Flow:
    """One that was redriven; `again` is what was asked for once more."""
    h = Flow(PACK, ["redrive-no-rerun"])
    failed(h, "a")
    steer(h, "a", at=steered, outcome=outcome)
    if again is not None:
        h.task("a", again, at=at, copy="2", effect="skipped" if again == "pay" else "applied")
    h.ended("a", at=14, redrives=1)
    h.read()
    return h


@pytest.mark.parametrize("outcome", ["ok", "unknown", None])
def test_a_redrive_that_goes_on(tmp_path: Path, outcome: str | None) -> None:
    both(redriven("ship", outcome=outcome), tmp_path, {"redrive-no-rerun": ("holds", 1)})


def test_a_redrive_that_begins_at_the_beginning(tmp_path: Path) -> None:
    both(redriven("pay"), tmp_path, {"redrive-no-rerun": "violated"}, {"redrive-rerun": 1})


@pytest.mark.parametrize(
    "case",
    [
        # What came before the redrive is none of its doing.
        {"at": 4},
        # Nothing behind the step had been asked for by then, so it may not have been over.
        {"steered": 2.5},
    ],
)
def test_what_is_not_proven_of_a_redrive_blames_nobody(tmp_path: Path, case: dict[str, Any]) -> None:
    checked = 1 if "at" in case else 0
    verdict = "holds" if checked else "unknown"
    both(redriven("pay", **case), tmp_path, {"redrive-no-rerun": (verdict, checked)})


def test_who_else_redrove_it_nobody_knows(tmp_path: Path) -> None:
    h = redriven("pay", outcome="failed")
    both(h, tmp_path, {"redrive-no-rerun": ("unknown", 0)})


def test_a_step_that_is_retried_may_come_again(tmp_path: Path) -> None:
    h = redriven("pay")
    h.manifest["subscriptions"]["pay"]["retried"] = True
    both(h, tmp_path, {"redrive-no-rerun": ("unknown", 0)})


def test_clocks_that_are_too_far_apart_prove_no_order(tmp_path: Path) -> None:
    for error_s, verdict in ((0.5, "violated"), (3.5, "unknown")):
        h = Flow(PACK, ["redrive-no-rerun"], clock_error_s=error_s)
        failed(h, "a")
        steer(h, "a", at=6)
        h.task("a", "pay", at=8, copy="2", effect="skipped")
        h.ended("a", at=14, redrives=1)
        h.read(at=25)
        both(h, tmp_path, {"redrive-no-rerun": verdict}, {"redrive-rerun": int(verdict == "violated")})


# -- executions that were stopped on purpose


def cut(*, outcome: str | None = "ok", action: str = "stop", received: bool = False, of: str = "") -> Flow:
    """One execution that did all it should, and one that came to no step, and was stopped."""
    h = Flow(PAY, ["no-loss", "exactly-once-execution", {"claim": "no-hung-execution", "within_s": 5}])
    h.start("a", at=1)
    h.task("a", "pay", at=2)
    h.ended("a", at=14)
    h.start("b", at=1)
    if received:
        h.task("b", "pay", at=2)
    steer(h, "b", at=3, outcome=outcome, action=action, of=of)
    h.ended("b", at=14, status="aborted", stopped=3.2)
    h.read()
    return h


def told_of_loss(h: History, tmp_path: Path) -> dict[str, int]:
    document = judged_run(h.write(tmp_path / "loss")).document
    assert shown(document) == shown(reference(tmp_path / "loss"))
    return {name: document["anomalies"][name]["count"] for name in ("cut-short", "lost", "unseen")}


@pytest.mark.parametrize("outcome", ["ok", "unknown", None])
def test_what_was_stopped_on_purpose_is_nobody_s_loss(tmp_path: Path, outcome: str | None) -> None:
    h = cut(outcome=outcome)
    asked: dict[str, Expected] = {"no-loss": ("holds", 1), "exactly-once-execution": ("holds", 2)}
    # It shows nothing of how long it would have taken.
    both(h, tmp_path, {**asked, "no-hung-execution": ("holds", 1)})
    assert told_of_loss(h, tmp_path) == {"cut-short": 1, "lost": 0, "unseen": 0}


@pytest.mark.parametrize("case", [{"outcome": "failed"}, {"action": "redrive"}, {"of": "arn:somebody's"}])
def test_what_was_not_stopped_is_missed(tmp_path: Path, case: dict[str, Any]) -> None:
    # A step is promised a message at most once, so nobody is blamed, and nothing is known.
    h = cut(**case)
    both(h, tmp_path, {"no-loss": ("unknown", 2), "no-hung-execution": ("holds", 2)})
    assert told_of_loss(h, tmp_path) == {"cut-short": 0, "lost": 1, "unseen": 0}


def test_what_a_stopped_execution_had_asked_for_counts(tmp_path: Path) -> None:
    h = cut(received=True)
    both(h, tmp_path, {"no-loss": ("holds", 2)})
    assert told_of_loss(h, tmp_path) == {"cut-short": 0, "lost": 0, "unseen": 0}


def test_one_that_was_stopped_when_it_had_taken_too_long_did(tmp_path: Path) -> None:
    h = cut()
    h.ended("b", at=14.5, status="aborted", stopped=9.0)
    both(h, tmp_path, {"no-hung-execution": ("violated", 2)})


def test_one_that_was_stopped_and_ended_otherwise_counts(tmp_path: Path) -> None:
    # Redriven, or done when it was stopped.
    h = cut()
    h.ended("b", at=14.5, stopped=4.0)
    both(h, tmp_path, {"no-hung-execution": ("holds", 2)})


# -- effects of tasks


def test_a_task_that_was_applied_twice(tmp_path: Path) -> None:
    # Asked for again, by a Retry: another message, the same task.
    h = whole("a")
    h.task("a", "pay", at=3, copy="2")
    h.read()
    both(
        h,
        tmp_path,
        {"exactly-once-step-effect": "violated", "exactly-once-execution": "holds"},
        {"step-effect-duplicate": 1},
    )


def test_a_task_of_a_message_that_nobody_saw_come_was_applied_twice(tmp_path: Path) -> None:
    # What was asked for at most once may not come at all; but it may not be done twice.
    h = Flow(PAY, ["exactly-once-step-effect"])
    for id in ("a", "b"):
        h.start(id, at=1)
        h.ended(id, at=14)
    h.task("a", "pay", at=2)
    h.read()
    for id, applied in (("a", 1), ("b", 2)):
        h.record("main", 61, "steps", id=id, subscription="pay", execution=arn(id), applied=applied)
    h.mark("steps-read", at=62, subscription="pay")
    asked: dict[str, Expected] = {"exactly-once-step-effect": "violated"}
    both(h, tmp_path, asked, {"step-effect-duplicate": 1})


def test_a_guard_that_skips_the_second_time(tmp_path: Path) -> None:
    h = whole("a")
    h.task("a", "pay", at=3, copy="2", effect="skipped")
    h.read()
    both(h, tmp_path, {"exactly-once-step-effect": ("holds", 3)})


def test_items_and_executions_are_tasks_of_their_own(tmp_path: Path) -> None:
    h = whole("a", "b", items=3)
    h.read()
    both(h, tmp_path, {"exactly-once-step-effect": ("holds", 8)})


@pytest.mark.parametrize("status, missing", [("succeeded", 1), ("failed", 0), ("running", 0), (None, 0)])
def test_a_task_without_an_effect(tmp_path: Path, status: str | None, missing: int) -> None:
    # A guard said that it had been done, and it had not.
    h = Flow(PAY, ["exactly-once-step-effect"])
    h.start("a", at=1)
    h.task("a", "pay", at=2, effect="skipped")
    if status:
        h.ended("a", at=14, status=status)
    h.read()
    asked: dict[str, Expected] = {"exactly-once-step-effect": "violated" if missing else ("holds", 1)}
    both(h, tmp_path, asked, {"step-effect-missing": missing, "execution-missing": int(status is None)})


@pytest.mark.parametrize("how", ["failed", "failure", "dead", "undrained"])
def test_a_task_that_failed_misses_nothing(tmp_path: Path, how: str) -> None:
    # The workflow caught it, or went on without it.
    h = Flow({"pay": {**PAY["pay"], "dead_letter": True, "max_receives": 1}}, ["exactly-once-step-effect"])
    h.start("a", at=1)
    h.task("a", "pay", at=2, effect="failed" if how == "failed" else "skipped")
    if how == "failure":
        h.answer("a", at=2.2, answer="failure")
    if how == "dead":
        h.dead("a", at=10)
    h.ended("a", at=14)
    h.read(drained=how != "undrained")
    asked: dict[str, Expected] = {"exactly-once-step-effect": "unknown" if how == "undrained" else "holds"}
    both(h, tmp_path, asked, {"collateral-dead": 1} if how == "dead" else {})


def test_a_consumer_that_died_leaves_a_task_unknown_until_it_is_read_back(tmp_path: Path) -> None:
    for applied in (None, 0, 1, 2):
        h = Flow(PAY, ["exactly-once-step-effect"])
        h.start("a", at=1)
        h.task("a", "pay", at=2, effect=None)
        h.start("b", at=1)
        h.task("b", "pay", at=2)
        h.ended("a", at=14)
        h.ended("b", at=14)
        h.read()
        if applied is not None:
            for id, count in (("a", applied), ("b", 1)):
                told = {"id": id, "subscription": "pay", "execution": arn(id), "applied": count}
                h.record("main", 16, "steps", **told)
            h.mark("steps-read", at=17, subscription="pay")
        verdict = {None: "unknown", 1: "holds"}.get(applied, "violated")
        found = {0: {"step-effect-missing": 1}, 2: {"step-effect-duplicate": 1}}.get(applied or 0)
        both(h, tmp_path, {"exactly-once-step-effect": verdict}, found if applied is not None else {})


def test_a_store_that_was_read_too_early_tells_nothing(tmp_path: Path) -> None:
    h = whole("a", claims=["exactly-once-step-effect"])
    h.mark("steps-read", at=1.5, subscription="pay")
    h.read()
    both(h, tmp_path, {"exactly-once-step-effect": ("holds", 3)})


# -- tokens


def test_a_token_that_is_sent_back_again_by_who_has_its_answer(tmp_path: Path) -> None:
    h = whole("a")
    h.answer("a", at=2.4, outcome="failed")
    h.read()
    both(h, tmp_path, {"callback-once": "violated"}, {"token-answered-again": 1})


def test_a_message_that_comes_again_is_answered_again(tmp_path: Path) -> None:
    # The consumer was killed after its answer; the next one cannot know.
    h = whole("a", claims=["callback-once"])
    h.answer("a", at=8, outcome="failed", batch="another")
    h.read()
    both(h, tmp_path, {"callback-once": ("holds", 1)})


@pytest.mark.parametrize(
    "outcome, verdict, checked",
    [("ok", "violated", 2), ("failed", "holds", 2), ("unknown", "holds", 1), (None, "holds", 1)],
)
def test_a_token_that_is_accepted_again(tmp_path: Path, outcome: str | None, verdict: str, checked: int) -> None:
    # Where one answer is unknown, nobody knows whether both were accepted, and the other token alone is looked at.
    h = whole("a", "b", claims=["callback-once"])
    h.answer("a", at=8, outcome=outcome, batch="another")
    h.read()
    found = {"token-accepted-twice": int(outcome == "ok")}
    both(h, tmp_path, {"callback-once": (verdict, checked)}, found)


def test_each_attempt_has_a_token_of_its_own(tmp_path: Path) -> None:
    h = whole("a", claims=["callback-once"])
    h.answer("a", at=2.4, token="second")
    h.read()
    both(h, tmp_path, {"callback-once": ("holds", 2)})


# -- executions that hang


@pytest.mark.parametrize(
    "status, stopped, verdict",
    [
        ("succeeded", 6.0, "holds"),
        ("succeeded", 6.5, "violated"),
        ("aborted", 6.5, "violated"),
        ("succeeded", None, "unknown"),
        # Last seen at 14 s, and answered at 1.01 s.
        ("running", None, "violated"),
    ],
)
def test_how_long_an_execution_took(tmp_path: Path, status: str, stopped: float | None, verdict: str) -> None:
    h = Flow(PAY, [{"claim": "no-hung-execution", "within_s": 5}])
    h.start("a", at=1)
    h.task("a", "pay", at=2)
    h.ended("a", at=14, status=status, stopped=stopped)
    h.read()
    both(h, tmp_path, {"no-hung-execution": (verdict, 1)})


def test_one_that_runs_still_and_not_for_long(tmp_path: Path) -> None:
    for read, verdict in ((True, "unknown"), (False, "unknown")):
        h = Flow(PAY, [{"claim": "no-hung-execution", "within_s": 20}])
        h.start("a", at=1)
        h.task("a", "pay", at=2)
        h.ended("a", at=14, status="running", stopped=None)
        if read:
            h.read()
        both(h, tmp_path, {"no-hung-execution": verdict})


def test_the_last_record_of_an_execution_is_what_is_known(tmp_path: Path) -> None:
    h = Flow(PAY, [{"claim": "no-hung-execution", "within_s": 5}])
    h.start("a", at=1)
    h.task("a", "pay", at=2)
    h.ended("a", at=13, status="running", stopped=None)
    h.ended("a", at=14)
    h.read()
    both(h, tmp_path, {"no-hung-execution": ("holds", 1)})


# -- how soon executions were started, and how long they took


def many(n: int = 100, *, slow: int = 0, **bounds: float) -> Flow:
    """Each was accepted 10 ms after it was due and took 2 s; the `slow` ones were due 5 s before, refused once, and
    took 6 s."""
    h = Flow(PAY, [{"claim": "execution-lag", **bounds}])
    for number in range(n):
        id, late = f"m{number}", number < slow
        if late:
            h.start(id, at=6, due=5, outcome="failed")
        h.start(id, at=10, **({} if late else {"due": 10}))
        h.ended(id, at=30, started=10, stopped=16 if late else 12)
    h.task("m0", "pay", at=11)
    h.read(at=31)
    return h


@pytest.mark.parametrize(
    "case, verdict",
    [
        # 1 of 100 is slow: the 99th is not, the 100th is.
        ({"slow": 1, "p99_s": 1, "duration_p99_s": 3}, "holds"),
        ({"slow": 2, "p99_s": 1}, "violated"),
        ({"slow": 2, "duration_p99_s": 3}, "violated"),
        ({"slow": 1, "max_s": 3}, "violated"),
        ({"slow": 1, "duration_max_s": 5.9}, "violated"),
        ({"slow": 1, "duration_max_s": 6}, "holds"),
        # From due it took 5.01 s, and 4 s from when it was first sent: between, the load was late.
        ({"slow": 1, "max_s": 3.9}, "violated"),
        ({"slow": 1, "max_s": 4.5}, "unknown"),
        ({"slow": 1, "max_s": 5.1}, "holds"),
        ({"slow": 60, "p50_s": 1}, "violated"),
        ({"slow": 40, "p50_s": 1, "duration_p50_s": 3}, "holds"),
    ],
)
def test_how_long_starts_and_executions_took(tmp_path: Path, case: dict[str, Any], verdict: str) -> None:
    both(many(**case), tmp_path, {"execution-lag": (verdict, 100)})


def test_a_quantile_of_few_is_not_told(tmp_path: Path) -> None:
    both(many(99, p99_s=1), tmp_path, {"execution-lag": ("unknown", 99)})
    both(many(99, max_s=1), tmp_path, {"execution-lag": ("holds", 99)})


@pytest.mark.parametrize("status, at, verdict", [("running", 20, "violated"), ("running", 12, "unknown")])
def test_an_execution_that_runs_has_taken_that_long(tmp_path: Path, status: str, at: float, verdict: str) -> None:
    h = Flow(PAY, [{"claim": "execution-lag", "duration_max_s": 5}])
    h.start("a", at=10)
    h.task("a", "pay", at=11)
    h.ended("a", at=at, status=status, started=10, stopped=None)
    h.read(at=31)
    both(h, tmp_path, {"execution-lag": (verdict, 1)})


def test_what_a_redrive_added_is_nobody_s_fault(tmp_path: Path) -> None:
    for redrives, verdict in ((0, "violated"), (1, "unknown")):
        h = Flow(PAY, [{"claim": "execution-lag", "duration_max_s": 5}])
        h.start("a", at=1)
        h.task("a", "pay", at=2)
        h.ended("a", at=14, stopped=13, redrives=redrives)
        h.read()
        both(h, tmp_path, {"execution-lag": (verdict, 1)})


def test_one_that_was_stopped_on_purpose_is_left_out(tmp_path: Path) -> None:
    h = Flow(PAY, [{"claim": "execution-lag", "duration_max_s": 5}])
    for id in ("a", "b"):
        h.start(id, at=1)
        h.task(id, "pay", at=2)
        h.ended(id, at=14, status="aborted" if id == "b" else "succeeded", stopped=13 if id == "b" else 3)
    steer(h, "b", at=12, action="stop")
    h.read()
    both(h, tmp_path, {"execution-lag": ("holds", 1)})


@pytest.mark.parametrize("lost", ["answer", "record"])
def test_what_nobody_knows_keeps_it_from_holding(tmp_path: Path, lost: str) -> None:
    for bound, verdict in (("max_s", "unknown" if lost == "answer" else "holds"), ("duration_max_s", "unknown")):
        h = Flow(PAY, [{"claim": "execution-lag", bound: 5}], kind="express-sync")
        h.start("a", at=1)
        h.task("a", "pay", at=2)
        h.ended("a", at=3)
        h.start("b", at=1, outcome="unknown" if lost == "answer" else "ok")
        h.read()
        both(h, tmp_path, {"execution-lag": verdict})


def test_of_an_express_workflow_nobody_tells(tmp_path: Path) -> None:
    h = Flow(PAY, [{"claim": "execution-lag", "max_s": 5}], kind="express")
    h.start("a", at=1)
    h.task("a", "pay", at=2)
    h.read()
    both(h, tmp_path, {"execution-lag": ("unknown", 0)})


def test_clocks_that_differ_leave_a_start_open(tmp_path: Path) -> None:
    # Of one producer's own times nothing is taken off.
    for producer, verdict in (("p1", "violated"), ("p2", "unknown")):
        h = Flow(PAY, [{"claim": "execution-lag", "max_s": 3}], clock_error_s=2)
        h.start("a", at=6, outcome="failed")
        h.start("a", at=10, producer=producer, items=None)
        h.task("a", "pay", at=13)
        h.ended("a", at=25)
        h.read(at=30)
        both(h, tmp_path, {"execution-lag": (verdict, 1)})


# -- items


@pytest.mark.parametrize(
    "status, told, verdict", [("succeeded", 3, "violated"), ("failed", 3, "unknown"), ("succeeded", None, "unknown")]
)
def test_an_item_that_nobody_was_asked_for(tmp_path: Path, status: str, told: int | None, verdict: str) -> None:
    h = Flow(claims=["map-complete"])
    h.start("a", at=1, items=told)
    h.task("a", "pay", at=2)
    for item in (0, 2):
        h.task("a", "reserve", at=2.5, item=item)
    h.ended("a", at=14, status=status)
    h.read()
    found = {"item-missing": int(verdict == "violated")}
    both(h, tmp_path, {"map-complete": verdict}, found)


def test_a_map_that_nobody_saw_the_end_of(tmp_path: Path) -> None:
    h = whole("a", items=1, claims=["map-complete"])
    h.start("b", at=1)
    h.ended("b", at=14)
    h.read(drained=False)
    both(h, tmp_path, {"map-complete": "unknown"})


def test_bounds_are_seconds() -> None:
    assert Claim(claim="no-hung-execution", bounds={"within_s": 5}).seconds("within_s") == 5
    assert SECOND == 10**9
