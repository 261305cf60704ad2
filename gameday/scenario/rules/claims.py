"""Rules about what is claimed: whether the transport ever promises it, and whether the run could show anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.history.manifest import Claim
from gameday.scenario.claims import CLAIMS
from gameday.scenario.rules.draft import Complaint, Draft, Rule


def every_claim_can_show_something(draft: Draft) -> Iterator[Complaint]:
    if not draft.promises:
        # The transport is wrong already, and other rules say so.
        return
    for number, claim in enumerate(draft.claims):
        rules = (_never_promised, _of_another_workflow, _not_everywhere, _shows_nothing)
        if why := next((why for rule in rules if (why := rule(draft, claim)) is not None), None):
            yield ("claims", number), why


def _never_promised(draft: Draft, claim: Claim) -> str | None:
    facts = CLAIMS[claim.claim]
    if any(map(facts.promised, draft.promises.values())):
        return None
    instead = f", or use the transport {draft.sibling}" if draft.sibling else ""
    return f"{draft.body.transport} never promises {claim.claim}: {facts.unpromised}. Remove the claim{instead}"


def _of_another_workflow(draft: Draft, claim: Claim) -> str | None:
    wanted, workflow = CLAIMS[claim.claim].of_workflow, draft.body.topology.workflow
    if wanted is None or workflow is None or workflow.type == wanted:
        return None
    return (
        f"{claim.claim} speaks of workflows of the type {wanted} alone, and topology.workflow.type is {workflow.type}: "
        "of an Express execution nobody can ask what became of it, one that is waited for is carried out once at most, "
        "and a Standard one exactly once. Remove the claim, or change the type"
    )


def _not_everywhere(draft: Draft, claim: Claim) -> str | None:
    facts = CLAIMS[claim.claim]
    without = [name for name, promise in draft.promises.items() if not facts.promised(promise)]
    if not facts.of_every_subscription or not without:
        return None
    return (
        f"it speaks of every subscription, and {', '.join(without)} never promises it: {facts.unpromised}. Remove the "
        "claim, or make that queue FIFO"
    )


def _shows_nothing(draft: Draft, claim: Claim) -> str | None:
    facts, handler = CLAIMS[claim.claim], draft.handler
    if facts.of_effects and handler is not None and not handler.has_effects:
        return f"{claim.claim} can show nothing: the handler {draft.body.consumers.handler} has no effects"
    if facts.of_replays and not draft.body.topology.replay:
        return (
            f"{claim.claim} can show nothing: nothing is replayed. Remove the claim, or add replay: true to `topology`"
        )
    workflow = draft.body.topology.workflow
    if facts.of_redrives and not (workflow is not None and workflow.redrive):
        return (
            f"{claim.claim} can show nothing: nothing is redriven. Remove the claim, or add redrive: true to "
            "`topology.workflow`"
        )
    if facts.of_faults and not draft.chaos:
        return (
            f"{claim.claim} can show nothing: there is no fault to recover from. Remove the claim, or add one to "
            "`chaos`"
        )
    return None


RULES: Sequence[Rule] = (every_claim_can_show_something,)
