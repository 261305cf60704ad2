"""What Lambda documents of event source mappings of queues, and a function's owner stands on.

Sources, under docs.aws.amazon.com/lambda/latest/dg: with-sqs.html, services-sqs-errorhandling.html,
services-sqs-configure.html, services-sqs-parameters.html, with-sqs-filtering.html, configuration-concurrency.html. The
function (gameday/conformance/probe_function.py) keeps a journal of its invocations in a queue of the probe's own.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gameday.conformance.base import ROLE, Bench, Probe, Undecided, Violated, claim, mostly
from gameday.conformance.probe_function import WARM
from gameday.conformance.queues import ProbeQueue, numbered, texts
from gameday.transports.base import Call, CallFailed

_CODE = Path(__file__).resolve().parents[1] / "probe_function.py"
_TIMEOUT_S = 3
# As short as a function's timeout lets it be, so that what failed is there again soon.
_HIDDEN_S = 6
# Who is done so long before that has had its messages deleted by then.
_SPARE_S = 2.0
_QUIET_S = 3.0
# AWS takes seconds to apply a concurrency.
_APPLIES_S = 10.0
# Two environments may read clocks that differ.
_CLOCKS_DIFFER_S = 0.05
# Of a parameter that cannot be (API reference, CreateEventSourceMapping; ValidationException where a model says so).
_REFUSALS = ("InvalidParameterValueException", "ValidationException")
# As few environments as a mapping may have (API reference, ScalingConfig).
_FEW = {"MaximumConcurrency": 2}
_WANTED, _OTHER = "wanted", "other"


@dataclass(slots=True)
class Invocation:
    """In seconds; `ended` is None while that is not in the journal. `received`: when the first of its messages was."""

    bodies: Sequence[str]
    began: float
    received: float
    ended: float | None = None

    @property
    def in_time(self) -> bool:
        """Whether it was over well before its messages turned visible again."""
        return self.ended is not None and self.ended < self.received + _HIDDEN_S - _SPARE_S


class Function:
    """A function made for one probe, with a journal; `answer` and `takes_s` as probe_function.py has them."""

    def __init__(self, bench: Bench, *, answer: str = "all", takes_s: float = 0.0) -> None:
        self.bench = bench
        self.name = bench.name("function")
        self._journal = ProbeQueue(bench)
        self._began: dict[str, Invocation] = {}
        self._ended: dict[str, float] = {}
        told = {"ANSWER": answer, "TAKES_S": str(takes_s), "JOURNAL": self._journal.url}
        bench.call(
            "lambda",
            "CreateFunction",
            FunctionName=self.name,
            Runtime="python3.12",
            Role=ROLE,
            Handler=f"{_CODE.stem}.handler",
            Code={"ZipFile": _packed()},
            Timeout=_TIMEOUT_S,
            Environment={"Variables": told},
        )
        bench.afterwards("lambda", "DeleteFunction", FunctionName=self.name)
        bench.ready(
            lambda: bench.call("lambda", "GetFunctionConfiguration", FunctionName=self.name)["State"] == "Active",
            "the function",
        )
        # A message that waits for its environment to start is hidden for less long.
        bench.call("lambda", "Invoke", FunctionName=self.name, Payload=orjson.dumps(WARM))

    def mapping(self, queue: ProbeQueue, **params: Any) -> Call:
        """The call that maps the queue to the function."""
        given = {"FunctionName": self.name, "EventSourceArn": queue.arn, "ScalingConfig": _FEW, **params}
        return Call("lambda", "CreateEventSourceMapping", given)

    def map(self, queue: ProbeQueue, **params: Any) -> str:
        """The id of the mapping, which is in the state that was asked for."""
        id: str = self.bench.carry(self.mapping(queue, **params))["UUID"]
        self.bench.afterwards("lambda", "DeleteEventSourceMapping", UUID=id)
        self._settled(id, on=params.get("Enabled", True))
        return id

    def enable(self, id: str, on: bool) -> None:
        self.bench.call("lambda", "UpdateEventSourceMapping", UUID=id, Enabled=on)
        self._settled(id, on=on)

    def reserve(self, concurrency: int) -> None:
        self.bench.call(
            "lambda", "PutFunctionConcurrency", FunctionName=self.name, ReservedConcurrentExecutions=concurrency
        )
        self.bench.let_apply(_APPLIES_S)

    def invocations(self) -> list[Invocation]:
        """All that the journal tells by now, in the order in which they began."""
        while entries := self._journal.receive(wait_s=0):
            for entry in map(orjson.loads, texts(entries)):
                name = entry["invocation"]
                if "ended" in entry:
                    self._ended[name] = entry["ended"]
                else:
                    self._began[name] = Invocation(
                        bodies=[record["body"] for record in entry["records"]],
                        began=entry["began"],
                        received=min(record["received"] for record in entry["records"]),
                    )
            self._journal.settle(entries)
        for name, invocation in self._began.items():
            invocation.ended = self._ended.get(name)
        return sorted(self._began.values(), key=lambda invocation: invocation.began)

    def times(self) -> Counter[str]:
        """How often each body was handed over."""
        return Counter(body for invocation in self.invocations() for body in invocation.bodies)

    def until(self, enough: Callable[[Counter[str]], bool], otherwise: str) -> Counter[str]:
        """How often each was, once that is enough. Errors: Violated."""

        def look() -> Counter[str] | None:
            times = self.times()
            return times if enough(times) else None

        return self.bench.until(look, otherwise)

    def until_handed_over(self, bodies: Sequence[str], *, times: int = 1) -> Counter[str]:
        """Errors: Violated, where one of them is not handed over so often."""
        how = "handed over" if times == 1 else f"handed over {times} times"
        return self.until(
            lambda seen: all(seen[body] >= times for body in bodies), f"not all of {', '.join(bodies)} were {how}"
        )

    def _settled(self, id: str, *, on: bool) -> None:
        wanted = "Enabled" if on else "Disabled"
        self.bench.ready(
            lambda: self.bench.call("lambda", "GetEventSourceMapping", UUID=id)["State"] == wanted,
            f"a mapping {wanted}",
        )


def delivered_and_deleted(bench: Bench) -> None:
    """A mapping hands over what its queue holds, and deletes what is done (guide, "Using Lambda with Amazon SQS")."""
    _is_done_once(bench, answer="all")


def empty_answer(bench: Bench) -> None:
    """An answer that is empty or null is success of the batch (guide, "Implementing partial batch responses")."""
    _is_done_once(bench, answer="nothing")


def _is_done_once(bench: Bench, *, answer: str) -> None:
    function, bodies = Function(bench, answer=answer), numbered("m", 5)
    queue = _queue(bench)
    function.map(queue, FunctionResponseTypes=["ReportBatchItemFailures"])
    queue.send_batch(bodies)
    function.until_handed_over(bodies)
    _let_come_again(bench)
    _once(function, bodies)


def partial_failure(bench: Bench) -> None:
    """What is reported failed comes again, and nothing else (guide, "Implementing partial batch responses")."""
    function, good, bad = Function(bench, answer="some"), numbered("good", 3), numbered("bad", 3)
    queue = _queue(bench)
    queue.send_batch([*good, *bad])
    function.map(queue, FunctionResponseTypes=["ReportBatchItemFailures"])
    function.until_handed_over([*good, *bad])
    function.until_handed_over(bad, times=2)
    _once(function, good)


def unknown_identifier(bench: Bench) -> None:
    """An identifier that is not in the batch fails all of it (guide, "Implementing partial batch responses")."""
    _comes_again(bench, answer="unknown")


def exception(bench: Bench) -> None:
    """A batch whose invocation fails comes again (guide, "Handling errors for an SQS event source in Lambda")."""
    _comes_again(bench, answer="raises")


def _comes_again(bench: Bench, *, answer: str) -> None:
    function, bodies = Function(bench, answer=answer), numbered("m", 3)
    queue = _queue(bench)
    function.map(queue, FunctionResponseTypes=["ReportBatchItemFailures"])
    queue.send_batch(bodies)
    function.until_handed_over(bodies)
    function.until_handed_over(bodies, times=2)


def batch_size(bench: Bench) -> None:
    """An invocation has `BatchSize` messages at most (guide, "Lambda parameters for Amazon SQS")."""
    function, bodies = Function(bench), numbered("m", 10)
    queue = _queue(bench)
    queue.send_batch(bodies)
    function.map(queue, BatchSize=3)
    function.until_handed_over(bodies)
    largest = max(len(invocation.bodies) for invocation in function.invocations())
    claim(largest <= 3, f"an invocation had {largest} messages, and BatchSize is 3")
    if largest == 1:
        raise Undecided("no invocation had more than one message")


def fifo_order(bench: Bench) -> None:
    """Messages of a group are handed over in their order (guide, "Using Lambda with Amazon SQS", FIFO queues)."""
    function = Function(bench, takes_s=0.1)
    queue = _queue(bench, fifo=True)
    groups = {group: numbered(group, 5) for group in ("a", "b")}
    for group, bodies in groups.items():
        queue.send_batch(bodies, group=group)
    function.map(queue, BatchSize=3, FunctionResponseTypes=["ReportBatchItemFailures"])
    every = [body for bodies in groups.values() for body in bodies]
    function.until_handed_over(every)
    seen = list(dict.fromkeys(body for invocation in function.invocations() for body in invocation.bodies))
    for group, bodies in groups.items():
        got = [body for body in seen if body in bodies]
        claim(got == bodies, f"the group {group} was handed over as {', '.join(got)}")


def fifo_one_at_a_time(bench: Bench) -> None:
    """A group has one invocation at a time (guide, "Configuring scaling behavior for SQS event source mappings")."""
    function = Function(bench, takes_s=0.5)
    queue, bodies = _queue(bench, fifo=True), numbered("a", 5)
    queue.send_batch(bodies)
    function.map(queue, BatchSize=1)
    function.until_handed_over(bodies)

    def ended() -> list[Invocation] | None:
        every = function.invocations()
        return every if all(invocation.ended is not None for invocation in every) else None

    until, in_time = 0.0, True
    for invocation in bench.until(ended, "not every invocation ended"):
        early_s = until - invocation.began
        if early_s > _CLOCKS_DIFFER_S and not in_time:
            raise Undecided("an invocation ended only when its messages turned visible again")
        claim(
            early_s <= _CLOCKS_DIFFER_S,
            f"{', '.join(invocation.bodies)} began {early_s:.2f} s before one of the same group ended",
        )
        assert invocation.ended is not None
        if invocation.ended > until:
            until, in_time = invocation.ended, invocation.in_time


def filtered(bench: Bench) -> None:
    """What no pattern of a mapping matches is deleted, and no function sees it (guide, "Using event filtering with an
    Amazon SQS event source")."""
    function = Function(bench)
    queue = _queue(bench)
    bodies = {kind: [orjson.dumps({"kind": kind, "n": n}).decode() for n in range(3)] for kind in (_WANTED, _OTHER)}
    queue.send_batch([*bodies[_OTHER], *bodies[_WANTED]])
    pattern = orjson.dumps({"body": {"kind": [_WANTED]}}).decode()
    id = function.map(queue, FilterCriteria={"Filters": [{"Pattern": pattern}]})
    function.until_handed_over(bodies[_WANTED])
    _let_come_again(bench)
    seen = function.times()
    claim(not any(seen[body] for body in bodies[_OTHER]), "the function saw what its filter does not match")
    function.enable(id, False)
    # Nobody else receives now.
    left = texts(queue.watch(_HIDDEN_S + 2.0))
    mostly(sum(body in left for body in bodies[_OTHER]), 3, "messages that the filter does not match were not deleted")


def timeout_above_visibility(bench: Bench) -> None:
    """A mapping is refused whose function may outlast its queue's visibility timeout (guide, "Creating and configuring
    an Amazon SQS event source mapping")."""
    function = Function(bench)
    function.map(_queue(bench))
    _refused(function, _queue(bench, hidden_s=_TIMEOUT_S - 1), "a visibility timeout below the function's timeout")


def fifo_batch_above_ten(bench: Bench) -> None:
    """A batch of a FIFO queue has 10 messages at most (guide, "Lambda parameters for Amazon SQS")."""
    function = Function(bench)
    function.map(_queue(bench, fifo=True), BatchSize=10)
    _refused(function, _queue(bench, fifo=True), "a BatchSize of 11 on a FIFO queue", BatchSize=11)


def fifo_window(bench: Bench) -> None:
    """A FIFO queue has no batching window (guide, "Lambda parameters for Amazon SQS")."""
    function = Function(bench)
    function.map(_queue(bench), MaximumBatchingWindowInSeconds=1)
    queue = _queue(bench, fifo=True)
    _refused(function, queue, "a batching window on a FIFO queue", MaximumBatchingWindowInSeconds=1)


def batch_without_window(bench: Bench) -> None:
    """A batch above 10 needs a window of a second (guide, "Lambda parameters for Amazon SQS")."""
    function = Function(bench)
    function.map(_queue(bench), BatchSize=11, MaximumBatchingWindowInSeconds=1)
    _refused(function, _queue(bench), "a BatchSize of 11 without a batching window", BatchSize=11)


def _refused(function: Function, queue: ProbeQueue, what: str, **params: Any) -> None:
    """Errors: Violated, where the mapping is made after all."""
    try:
        made = function.bench.carry(function.mapping(queue, **params))
    except CallFailed as failed:
        if failed.code in _REFUSALS:
            return
        raise
    function.bench.afterwards("lambda", "DeleteEventSourceMapping", UUID=made["UUID"])
    raise Violated(f"a mapping with {what} was made")


def reserved_zero(bench: Bench) -> None:
    """A function with a reserved concurrency of 0 is not invoked (guide, "Configuring reserved concurrency")."""
    function = Function(bench)
    queue = _queue(bench)
    function.reserve(0)
    function.map(queue)
    queue.send("m")
    bench.wait(_QUIET_S)
    claim(not function.times(), "a function with a reserved concurrency of 0 was invoked")
    function.reserve(5)
    function.until_handed_over(["m"])


def disabled(bench: Bench) -> None:
    """A mapping that is disabled hands over nothing (API reference, UpdateEventSourceMapping, Enabled)."""
    function = Function(bench)
    queue = _queue(bench)
    id = function.map(queue, Enabled=False)
    queue.send("m")
    bench.wait(_QUIET_S)
    claim(not function.times(), "a mapping that says Disabled handed over a message")
    function.enable(id, True)
    function.until_handed_over(["m"])


def dead_letter(bench: Bench) -> None:
    """What a function fails goes to the dead-letter queue after maxReceiveCount receives (guide, "Handling errors for
    an SQS event source in Lambda")."""
    function, dead = Function(bench, answer="raises"), ProbeQueue(bench)
    queue = ProbeQueue(bench, hidden_s=_HIDDEN_S, dead_letters=dead, max_receives=2)
    function.map(queue)
    queue.send("m")
    function.until_handed_over(["m"])
    dead.collect(["m"])
    times = function.times()["m"]
    claim(times <= 2, f"a message was handed over {times} times, and its maxReceiveCount is 2")


def _queue(bench: Bench, *, fifo: bool = False, hidden_s: int = _HIDDEN_S) -> ProbeQueue:
    return ProbeQueue(bench, fifo=fifo, hidden_s=hidden_s)


def _let_come_again(bench: Bench) -> None:
    """Wait until what was not deleted has been handed over once more."""
    bench.wait(_HIDDEN_S + 2.0)


def _once(function: Function, bodies: Sequence[str]) -> None:
    """Errors: Violated, where most were handed over again; Undecided, where some were, or they were done too late."""
    first: dict[str, Invocation] = {}
    times = Counter[str]()
    for invocation in function.invocations():
        for body in invocation.bodies:
            first.setdefault(body, invocation)
            times[body] += 1
    again = [body for body in bodies if times[body] > 1]
    if late := [body for body in again if not first[body].in_time]:
        raise Undecided(f"{', '.join(late)}: the function was done only when its messages turned visible again")
    mostly(len(again), len(bodies), "messages that were done were handed over again")


def _packed() -> bytes:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(_CODE, _CODE.name)
    return code.getvalue()


PROBES: Mapping[str, Probe] = {
    "delivered-and-deleted": delivered_and_deleted,
    "empty-answer": empty_answer,
    "partial-failure": partial_failure,
    "unknown-identifier": unknown_identifier,
    "exception": exception,
    "batch-size": batch_size,
    "fifo-order": fifo_order,
    "fifo-one-at-a-time": fifo_one_at_a_time,
    "filtered": filtered,
    "timeout-above-visibility": timeout_above_visibility,
    "fifo-batch-above-ten": fifo_batch_above_ten,
    "fifo-window": fifo_window,
    "batch-without-window": batch_without_window,
    "reserved-zero": reserved_zero,
    "disabled": disabled,
    "dead-letter": dead_letter,
}
