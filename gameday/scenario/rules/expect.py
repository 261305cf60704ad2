"""Rules about what a scenario expects of its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gameday.scenario.problems import no_such
from gameday.scenario.rules.draft import Complaint, Draft, Rule
from gameday.verify.registry import CHECKS


def expected_anomalies_exist(draft: Draft) -> Iterator[Complaint]:
    for number, anomaly in enumerate(draft.body.expect.anomalies if draft.body.expect else ()):
        if anomaly not in CHECKS:
            yield ("expect", "anomalies", number), no_such("anomaly", anomaly, CHECKS)


def expected_claims_are_claimed(draft: Draft) -> Iterator[Complaint]:
    claimed = [claim.key for claim in draft.claims]
    for name in draft.body.expect.claims if draft.body.expect else ():
        if name not in claimed:
            yield ("expect", "claims", name), f"it is not among the claims: {', '.join(claimed)}"


RULES: Sequence[Rule] = (expected_anomalies_exist, expected_claims_are_claimed)
