"""What a scenario must know of each claim: what it takes to claim it, how bounds are written, what leaves it unknown.

It promises one record for each claim that the manifest knows; tests/scenario/test_claims.py holds it to that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from gameday.history.manifest import BOUNDS, Claim, Subscription, WorkflowKind
from gameday.scenario import claim_notes
from gameday.scenario.outlook import Outlook
from gameday.verify.claims import RULES

# A scenario's bound carries its unit in the value, the manifest's in the name.
BOUND_KEYS = {
    "p50": "p50_s",
    "p99": "p99_s",
    "max": "max_s",
    "grace": "grace_s",
    "within": "within_s",
    "quiet_p99": "quiet_p99_s",
    "duration_p50": "duration_p50_s",
    "duration_p99": "duration_p99_s",
    "duration_max": "duration_max_s",
}
# Those of them that something is measured by.
_MEASURED = (
    *("p50", "p99", "max", "within", "quiet_p99", "times_baseline"),
    *("duration_p50", "duration_p99", "duration_max"),
)


def _always(promise: Subscription) -> bool:
    return True


_is_step = RULES["exactly-once-step-effect"].covers
_NO_WORKFLOW = "its messages start no workflow"


def _nothing(outlook: Outlook, claim: Claim) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimFacts:
    """`promised`: whether a subscription promises it; `unpromised`: why a transport does not, in words.

    `of_every_subscription`: each must promise it. `of_effects`, `of_replays`, `of_redrives` (of executions),
    `of_faults`: without these it can show nothing. `of_workflow`: it speaks of workflows of that kind alone.
    `without_receives`: it shows something although nobody records who receives what. `looks_at`: what must be there on
    a subscription, for it to check anything: what was "received", what is "meant" for it, or None where it looks at all
    that was sent. `notes`: what leaves it unknown and can be reckoned beforehand. `example`: a bound, where it says
    nothing without one.
    """

    promised: Callable[[Subscription], bool] = _always
    unpromised: str = ""
    of_every_subscription: bool = False
    of_effects: bool = False
    of_replays: bool = False
    of_redrives: bool = False
    of_faults: bool = False
    without_receives: bool = False
    looks_at: Literal["received", "meant"] | None = "meant"
    notes: Callable[[Outlook, Claim], Iterator[str]] = _nothing
    example: str = ""
    of_workflow: WorkflowKind | None = None


CLAIMS: Mapping[str, ClaimFacts] = {
    "all-accepted": ClaimFacts(looks_at=None, without_receives=True),
    "no-loss": ClaimFacts(),
    "no-phantom": ClaimFacts(looks_at="received"),
    "exactly-once-delivery": ClaimFacts(
        promised=lambda promise: promise.dedup_window_s is not None,
        unpromised="it delivers at least once, and has no deduplication window",
        of_every_subscription=True,
    ),
    "at-least-once-effect": ClaimFacts(of_effects=True, without_receives=True),
    "exactly-once-effect": ClaimFacts(of_effects=True, without_receives=True),
    "ordered-per-group": ClaimFacts(
        promised=lambda promise: promise.ordered_by == "group",
        unpromised="it keeps no order by group",
        looks_at="received",
        notes=claim_notes.order,
    ),
    "ordered-per-partition": ClaimFacts(
        promised=lambda promise: promise.ordered_by == "partition",
        unpromised="it has no partitions",
        looks_at="received",
        notes=claim_notes.order,
    ),
    "ordered-effects": ClaimFacts(
        promised=lambda promise: promise.ordered_by is not None,
        unpromised="it keeps no order",
        of_effects=True,
        looks_at="received",
        notes=claim_notes.order,
    ),
    "fanout-complete": ClaimFacts(),
    "replay-complete": ClaimFacts(of_replays=True),
    "filter-correct": ClaimFacts(
        promised=lambda promise: promise.filtered,
        unpromised="no subscription has a filter",
        looks_at=None,
    ),
    "dead-letter": ClaimFacts(
        promised=lambda promise: promise.dead_letter,
        unpromised="there is no dead-letter queue (a stream has none, and a queue needs topology.max_receives)",
        notes=claim_notes.dead_letter,
    ),
    "batch-isolation": ClaimFacts(
        promised=RULES["batch-isolation"].covers,
        unpromised="it invokes no function, or has no deduplication window",
        looks_at="received",
    ),
    "esm-ordered": ClaimFacts(
        promised=RULES["esm-ordered"].covers,
        unpromised="no service settles it, or it keeps no order",
        looks_at="received",
        notes=claim_notes.order,
    ),
    "no-premature-death": ClaimFacts(
        promised=RULES["no-premature-death"].covers,
        unpromised="it invokes no function, or has no dead-letter queue",
    ),
    "discard-accounted": ClaimFacts(
        promised=RULES["discard-accounted"].covers,
        unpromised="no service settles it",
    ),
    "no-dangling-reference": ClaimFacts(looks_at="received"),
    "no-orphan": ClaimFacts(),
    "payload-intact": ClaimFacts(looks_at="received"),
    "schema-conformant": ClaimFacts(looks_at="received"),
    "exactly-once-execution": ClaimFacts(
        promised=_is_step,
        unpromised=_NO_WORKFLOW,
        of_workflow="standard",
        looks_at=None,
        without_receives=True,
    ),
    "at-least-once-execution": ClaimFacts(promised=_is_step, unpromised=_NO_WORKFLOW, of_workflow="express"),
    "at-most-once-execution": ClaimFacts(
        promised=RULES["at-most-once-execution"].covers,
        unpromised="its messages start no workflow, or each step of it may be asked for again",
        of_workflow="express-sync",
        looks_at="received",
    ),
    "redrive-no-rerun": ClaimFacts(
        promised=RULES["redrive-no-rerun"].covers,
        unpromised="its messages start no workflow, or one in which nothing comes behind a step that has no Retry",
        of_workflow="standard",
        of_redrives=True,
        looks_at="received",
    ),
    "exactly-once-step-effect": ClaimFacts(
        promised=_is_step, unpromised=_NO_WORKFLOW, of_effects=True, looks_at="received"
    ),
    "callback-once": ClaimFacts(
        promised=RULES["callback-once"].covers,
        unpromised="no task of a workflow waits for an answer there",
        looks_at="received",
    ),
    "no-hung-execution": ClaimFacts(
        promised=_is_step, unpromised=_NO_WORKFLOW, of_workflow="standard", looks_at=None, example="within: 30s"
    ),
    "execution-lag": ClaimFacts(
        promised=_is_step, unpromised=_NO_WORKFLOW, looks_at=None, without_receives=True, example="duration_p99: 10s"
    ),
    "map-complete": ClaimFacts(
        promised=RULES["map-complete"].covers,
        unpromised="no task of a map sends there",
        of_workflow="standard",
        looks_at="received",
    ),
    "lag": ClaimFacts(notes=claim_notes.lag, example="p99: 3s"),
    "recovery": ClaimFacts(of_faults=True, notes=claim_notes.recovery, example="within: 15s"),
    "fair": ClaimFacts(notes=claim_notes.fair, example="times_baseline: 5"),
}


def short_bound(bound: str) -> str:
    """A bound as a scenario calls it: `p99` for `p99_s`."""
    return next((short for short, long in BOUND_KEYS.items() if long == bound), bound)


def needs_bound(claim: str) -> bool:
    """Whether the claim says nothing without one."""
    return any(kind is float for kind in BOUNDS[claim].values())


def is_measured(written: Collection[str]) -> bool:
    """Whether there is a bound among the keys that something is measured by."""
    return any(key in written for key in _MEASURED)
