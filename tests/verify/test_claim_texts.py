"""Every claim is explained in plain words, in one place, and the explanations are fit to be shown."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from gameday.history.manifest import BOUNDS
from gameday.verify.claim_texts import CLAIM_TEXTS
from gameday.verify.registry import CHECKS


def test_every_claim_is_explained() -> None:
    assert set(CLAIM_TEXTS) == set(BOUNDS)


@pytest.mark.parametrize("name", CLAIM_TEXTS)
def test_an_explanation_has_all_its_parts(name: str) -> None:
    for part, text in asdict(CLAIM_TEXTS[name]).items():
        assert text == text.strip() and text.endswith((".", ")")), f"{part} is no sentence: {text}"
        assert "\n" not in text and "  " not in text
    assert len(CLAIM_TEXTS[name].summary) <= 110, "a summary is one line"


@pytest.mark.parametrize("name", CLAIM_TEXTS)
def test_what_an_explanation_names_exists(name: str) -> None:
    """A hyphenated word in backticks is a claim, an anomaly, or a handler or guard."""
    known = {*CLAIM_TEXTS, *CHECKS, "given-up", "no-op", "claim-first"}
    told = " ".join(asdict(CLAIM_TEXTS[name]).values())
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", told)) <= known
