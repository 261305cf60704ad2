"""How a whole run proves each fault: a scenario that holds for who is correct, and who is broken and must be caught.

Data and nothing else: tests/chaos/proven.py plays it, and docs/faults.md is written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

QUEUE = """\
name: proven
transport: sqs
topology: {visibility_timeout: 1s, max_receives: null}
load: {rate: 40/s, duration: 4s, groups: 20}
consumers: {processes: 2, concurrency: 16, processing_time: 200ms, restart_delay: 200ms}
claims: [all-accepted, no-loss, at-least-once-effect, exactly-once-effect]
"""
STREAM = """\
name: proven
transport: kinesis
topology: {shards: 4}
load: {rate: 100/s, duration: 5s, groups: 40}
consumers: {processes: 2, concurrency: 2, processing_time: 20ms, lease: 1s, restart_delay: 200ms}
claims: [all-accepted, no-loss, ordered-per-partition, at-least-once-effect, exactly-once-effect]
"""
FIFO = """\
name: proven
transport: sqs-fifo
topology: {visibility_timeout: 5s, dedup_window: 1s}
load: {rate: 60/s, duration: 6s, give_up: 20s, groups: 20, users: 4}
consumers: {processes: 2}
claims: [all-accepted, no-loss, exactly-once-delivery, ordered-per-group, exactly-once-effect]
"""
FUNCTION = """\
name: proven
transport: sqs
topology: {visibility_timeout: 2s, max_receives: 20}
load: {rate: 20/s, duration: 6s, groups: 20}
consumers:
  lambda:
    function: {path: SCENARIOS/functions/orders.py, env: {TABLE: "orders-{run}", ONCE: "1"}}
    concurrency: 4
    timeout: 1s
effects: {dynamodb: {table: "orders-{run}", key: order, times: times}}
claims: [all-accepted, no-loss, at-least-once-effect, exactly-once-effect, no-premature-death]
"""
WORKFLOW = """\
name: proven
transport: stepfunctions
topology: {visibility_timeout: 4s, workflow: {machine: SCENARIOS/machines/pay.json}}
load: {rate: 10/s, duration: 6s, groups: 4, users: 2}
consumers: {processes: 1, concurrency: 40}
claims:
  - all-accepted
  - exactly-once-execution
  - exactly-once-step-effect
  - callback-once
  - {claim: no-hung-execution, within: 60s}
drain_timeout: 6s
"""
# Our own readers ask for a new iterator, whatever their settings: this is a program that knows nothing of gameday.
PROGRAM = """\
name: proven
transport: kinesis
topology: {shards: 1}
load: {rate: 10/s, duration: 5s, groups: 20}
consumers:
  command: [PYTHON, WORKER]
  env: {VARIANT: correct, THREADS: "1", GAMEDAY_EFFECTS: "{effects}"}
  processes: 1
  ready: {log: polling}
claims: [all-accepted, no-loss, {claim: lag, max: 4s, during: all}]
drain_timeout: 4s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """`scenario`: what is played, as YAML, with places to fill in (`placed` in tests/chaos/proven.py); `chaos`: its
    faults. `broken`: what `--set` changes for who must be caught, and `who` that is. `violates`: the claim that is
    violated then, by `anomaly` (None: by its bounds). `causes`: the cause that is named, by the kind of what is
    explained; empty where what was found is of no kind that has causes."""

    scenario: str
    chaos: str
    broken: tuple[str, ...]
    who: str
    violates: str
    anomaly: str | None
    causes: Mapping[str, str] = field(default_factory=dict)
    # What `--set` changes for both.
    sets: tuple[str, ...] = ()

    def overrides(self, *, broken: bool) -> list[str]:
        """What `--set` says of a run."""
        return [f"chaos=[{self.chaos}]", *self.sets, *(self.broken if broken else ())]


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """`why` no run on the broker in memory proves it, and the `test` that does."""

    why: str
    test: str


DELETES_FIRST = ("consumers.handler=delete-first",)
UNGUARDED = ("consumers.guard=none",)
CLAIMS_FIRST = ("consumers.guard=claim-first",)
WHO_DELETES_FIRST = "a consumer that deletes before it works"
WHO_IS_UNGUARDED = "a consumer without a guard"
WHO_CLAIMS_FIRST = "a guard that puts its mark before the work"


def twice(cause: str, chaos: str, *sets: str, scenario: str = QUEUE) -> Proof:
    """An effect that a consumer without a guard has twice."""
    return Proof(
        scenario=scenario,
        chaos=chaos,
        sets=sets,
        broken=UNGUARDED,
        who=WHO_IS_UNGUARDED,
        violates="exactly-once-effect",
        anomaly="effect-duplicate",
        causes={"effect-duplicate": cause},
    )


def never(cause: str, broken: tuple[str, ...], who: str, chaos: str, *sets: str, scenario: str = QUEUE) -> Proof:
    """An effect that never comes."""
    return Proof(
        scenario=scenario,
        chaos=chaos,
        sets=sets,
        broken=broken,
        who=who,
        violates="at-least-once-effect",
        anomaly="effect-missing",
        causes={"effect-missing": cause},
    )


DEL = "operation: delete, share: 30%"

PROOFS: Mapping[str, Proof | Elsewhere] = {
    "kill-consumer": never("delete-before-effect", DELETES_FIRST, WHO_DELETES_FIRST, "{at: 1s, fault: kill-consumer}"),
    "rolling-restart": never(
        "delete-before-effect",
        DELETES_FIRST,
        WHO_DELETES_FIRST,
        "{at: 1s, fault: rolling-restart, signal: KILL}",
    ),
    # In good order, but with less time than the work takes.
    "scale": never(
        "delete-before-effect",
        DELETES_FIRST,
        WHO_DELETES_FIRST,
        "{at: 1s, for: 1500ms, fault: scale}",
        "consumers.processing_time=400ms",
        "consumers.drain_timeout=100ms",
    ),
    "pause-consumer": twice("holder-paused", "{at: 1s, for: 2500ms, fault: pause-consumer}"),
    "stretch-processing": twice(
        "visibility-expired", "{at: 1s, for: 2s, fault: stretch-processing, to: 2x visibility_timeout, share: 20%}"
    ),
    "fail-handler": never(
        "mark-outlives", CLAIMS_FIRST, WHO_CLAIMS_FIRST, "{at: 1s, for: 2s, fault: fail-handler, share: 50%}"
    ),
    "crash-at": twice("holder-killed", "{at: 1s, fault: crash-at, point: after-effect, nth: 5, pick: 100%}"),
    "throttle-function": Proof(
        scenario=FUNCTION,
        chaos="{at: 1s, for: 4500ms, fault: throttle-function}",
        broken=("topology.max_receives=1",),
        who="a queue that lets a message be received once",
        violates="no-premature-death",
        anomaly="premature-death",
        causes={"dead-letter": "function-throttled"},
    ),
    "disable-mapping": Proof(
        scenario=FUNCTION,
        chaos="{at: 1s, for: 4s, fault: disable-mapping}",
        sets=(
            "consumers.lambda.concurrency=2",
            "consumers.lambda.batch=5",
            "load.duration=12s",
            "claims=[no-loss, {claim: lag, max: 2500ms}, {claim: recovery, within: 3s}]",
        ),
        broken=("consumers.lambda.function.env.TAKES_S='0.09'",),
        who="a function that is hardly faster than its load, and so never catches up",
        violates="recovery",
        anomaly=None,
    ),
    "function-error": never(
        "dead-lettered",
        ("topology.max_receives=1",),
        "a queue that lets a message be received once",
        "{at: 1s, for: 3s, fault: function-error, share: 50%}",
        scenario=FUNCTION,
    ),
    "function-timeout": Proof(
        scenario=FUNCTION,
        chaos="{at: 1s, for: 3s, fault: function-timeout, share: 50%}",
        broken=("consumers.lambda.function.env.ONCE=''",),
        who="a function that books whatever it is given",
        violates="exactly-once-effect",
        anomaly="effect-duplicate",
        causes={"effect-duplicate": "function-timeout"},
    ),
    "cold-start": Proof(
        scenario=FUNCTION,
        chaos="{at: 1s, for: 3s, fault: cold-start, takes: 3s, share: 30%}",
        sets=("consumers.lambda.concurrency=10",),
        broken=("consumers.lambda.function.env.ONCE=''",),
        who="a function that books whatever it is given",
        violates="exactly-once-effect",
        anomaly="effect-duplicate",
        causes={"effect-duplicate": "visibility-expired"},
    ),
    "deploy": never(
        "handler-failed",
        ("chaos=[{at: 1s, for: 4s, fault: deploy, handler: orders.swallows}]",),
        "a new version that says of what failed that it is done",
        "{at: 1s, for: 4s, fault: deploy, handler: orders.handler}",
        "consumers.lambda.function.env.FLAKY='50'",
        # What waits for the new version to start is still its own then, and is much.
        "consumers.lambda.window=1s",
        "topology.visibility_timeout=8s",
        scenario=FUNCTION,
    ),
    "lose-send-reply": twice("send-retried", "{at: 1s, for: 2s, fault: lose-send-reply, share: 50%}"),
    "lose-delete": twice("delete-lost", "{at: 1s, for: 2s, fault: lose-delete, share: 30%}"),
    "throttle-sends": Proof(
        scenario=FIFO,
        chaos="{at: 1s, for: 3s, fault: throttle-sends, share: 30%}",
        broken=("load.retry=unordered",),
        who="a producer whose retries hold nothing of their group back",
        violates="ordered-per-group",
        anomaly="stored-out-of-order",
        causes={"overtake": "send-retried"},
    ),
    "throttle-starts": Proof(
        scenario=WORKFLOW,
        chaos="{at: 200ms, for: 2s, fault: throttle-starts, share: 60%}",
        broken=("load.retry=none",),
        who="a producer that does not try again",
        violates="all-accepted",
        anomaly="given-up",
    ),
    "late-callback": Proof(
        scenario=WORKFLOW,
        chaos="{at: 500ms, fault: late-callback, by: 2s, share: 40%}",
        sets=("topology.workflow.machine=SCENARIOS/machines/impatient.json",),
        broken=UNGUARDED,
        who=WHO_IS_UNGUARDED,
        violates="exactly-once-step-effect",
        anomaly="step-effect-duplicate",
    ),
    "double-callback": Proof(
        scenario=WORKFLOW,
        chaos="{at: 500ms, for: 4s, fault: double-callback, share: 50%}",
        sets=UNGUARDED,
        broken=("consumers.callback=insist",),
        who="a worker that does its work again when its token is refused",
        violates="exactly-once-step-effect",
        anomaly="step-effect-duplicate",
    ),
    "stop-execution": Proof(
        scenario=WORKFLOW,
        chaos="{at: 2s, fault: stop-execution, pick: 3}",
        sets=(*UNGUARDED, "consumers.processing_time=500ms"),
        broken=("consumers.callback=insist",),
        who="a worker that does its work again when its token is refused",
        violates="exactly-once-step-effect",
        anomaly="step-effect-duplicate",
    ),
    "reshard": Proof(
        scenario=STREAM,
        chaos="{at: 1s, for: 3s, fault: stretch-processing, to: 2s, share: 20%}, {at: 2s, fault: reshard}",
        sets=("topology.shards=1", "consumers.processes=3", "consumers.concurrency=8"),
        broken=("consumers.children=early",),
        who="a reader that does not wait for the parents of a shard",
        violates="ordered-per-partition",
        anomaly="child-before-parent",
        causes={"overtake": "child-read-early"},
    ),
    "throttle": twice("delete-refused", f"{{at: 1s, for: 2s, fault: throttle, {DEL}}}"),
    "api-error": twice("delete-lost", f"{{at: 1s, for: 2s, fault: api-error, {DEL}}}"),
    "deny": twice("delete-refused", f"{{at: 1s, for: 2s, fault: deny, {DEL}}}"),
    "latency": twice("delete-slow", "{at: 1s, for: 2s, fault: latency, operation: delete, by: 1500ms}"),
    "blackhole": twice("delete-lost", f"{{at: 1s, for: 2s, fault: blackhole, {DEL}}}"),
    "reset": twice("delete-lost", f"{{at: 1s, for: 2s, fault: reset, {DEL}}}"),
    "lose-request": twice("delete-lost", f"{{at: 1s, for: 2s, fault: lose-request, {DEL}}}"),
    "lose-answer": Proof(
        scenario=QUEUE,
        chaos="{at: 1s, for: 2s, fault: lose-answer, operation: receive, share: 30%}",
        sets=("topology.max_receives=10",),
        broken=("topology.max_receives=1",),
        who="a queue that lets a message be received once",
        violates="at-least-once-effect",
        anomaly="effect-missing",
        causes={"effect-missing": "dead-lettered", "dead-letter": "receive-unrecorded"},
    ),
    "partial-batch": twice("delete-lost", f"{{at: 1s, for: 2s, fault: partial-batch, {DEL}}}"),
    "slow-body": twice(
        "answer-late",
        "{at: 1s, for: 2s, fault: slow-body, operation: receive, by: 1500ms, pick: 1}",
        "consumers.pollers=4",
    ),
    "duplicate-delivery": twice("at-least-once", "{at: 1s, for: 2s, fault: duplicate-delivery, share: 30%}"),
    "late-delete": twice("at-least-once", "{at: 1s, for: 2s, fault: late-delete, share: 30%}"),
    "expire-iterator": Proof(
        scenario=PROGRAM,
        chaos="{at: 1500ms, for: 1s, fault: expire-iterator}",
        broken=("consumers.env.VARIANT=gives-up",),
        who="a program whose first error of a read is its last",
        violates="lag",
        anomaly=None,
    ),
    "impair-queue": twice("delete-refused", "{at: 1s, for: 1500ms, fault: impair-queue, actions: [DeleteMessage]}"),
    "fis": Elsewhere(
        why="only AWS has its Fault Injection Service, which a server plays in the test",
        test="tests/run/test_fis_run.py",
    ),
    "partition": twice("delete-lost", "{at: 1s, for: 2500ms, fault: partition}"),
    "slow-store": Proof(
        scenario=QUEUE,
        chaos="{at: 1s, for: 2s, fault: slow-store, takes: 1500ms, share: 30%}",
        broken=("consumers.guard=check-then-act",),
        who="a guard that looks first and writes afterwards",
        violates="exactly-once-effect",
        anomaly="effect-duplicate",
        causes={"effect-duplicate": "visibility-expired"},
    ),
    "store-down": never(
        "mark-outlives", CLAIMS_FIRST, WHO_CLAIMS_FIRST, "{at: 1s, for: 2s, fault: store-down, share: 50%}"
    ),
    "freeze-producer": twice(
        "send-retried",
        "{at: 1s, for: 1s, fault: lose-send-reply, share: 100%}, {at: 1500ms, for: 2500ms, fault: freeze-producer}",
        scenario=FIFO,
    ),
    "hold-in-flight": twice("visibility-expired", "{at: 1s, for: 2500ms, fault: hold-in-flight}"),
    "clock-step": twice(
        "visibility-expired",
        "{at: 2s, for: 2s, fault: clock-step, by: 60s, direction: behind, pick: 100%}",
        "consumers.processing_time=1500ms",
        "consumers.heartbeat=300ms",
        "consumers.concurrency=40",
    ),
    "full-disk": never(
        "delete-before-effect", DELETES_FIRST, WHO_DELETES_FIRST, "{at: 1s, for: 1500ms, fault: full-disk}"
    ),
}
