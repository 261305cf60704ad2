"""What a scenario knows of each claim fits what the manifest and the judge know of it."""

from __future__ import annotations

import pytest

from gameday.history.manifest import BOUNDS, Subscription
from gameday.scenario.claims import CLAIMS, needs_bound
from gameday.verify.claims import RULES


def test_every_claim_has_its_facts() -> None:
    assert CLAIMS.keys() == BOUNDS.keys()


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_may_be_unpromised_has_a_reason_and_what_needs_a_bound_an_example(claim: str) -> None:
    facts = CLAIMS[claim]
    assert bool(facts.unpromised) is not facts.promised(Subscription())
    assert bool(facts.example) is needs_bound(claim)


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_the_load_alone_decides_looks_at_no_subscription(claim: str) -> None:
    rule = RULES.get(claim)
    assert not (rule and rule.of_the_load and CLAIMS[claim].looks_at)
