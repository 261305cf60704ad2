"""Every claim is explained in plain words, in one place, and the explanations are fit to be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict

import pytest

from gameday.history.claim_texts import CLAIM_TEXTS
from gameday.verify.claims import RULES
from gameday.verify.registry import CHECKS

# What is judged by the clock, and so by no rule of anomalies.
BY_THE_CLOCK = {"lag", "recovery", "fair", "no-hung-execution", "execution-lag"}


def words(name: str) -> Mapping[str, str]:
    return {part: text for part, text in asdict(CLAIM_TEXTS[name]).items() if part != "bounds"}


def test_every_claim_is_explained_and_judged() -> None:
    assert set(CLAIM_TEXTS) == RULES.keys() | BY_THE_CLOCK


@pytest.mark.parametrize("name", CLAIM_TEXTS)
def test_an_explanation_has_all_its_parts(name: str) -> None:
    for part, text in words(name).items():
        assert text == text.strip() and text.endswith((".", ")")), f"{part} is no sentence: {text}"
        assert "\n" not in text and "  " not in text
    assert len(CLAIM_TEXTS[name].summary) <= 110, "a summary is one line"


@pytest.mark.parametrize("name", CLAIM_TEXTS)
def test_what_an_explanation_names_exists(name: str) -> None:
    """A hyphenated word in backticks is a claim, an anomaly, or a handler or guard."""
    known = {*CLAIM_TEXTS, *CHECKS, "given-up", "no-op", "claim-first"}
    told = " ".join(words(name).values())
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", told)) <= known
