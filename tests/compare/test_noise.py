"""The bounds themselves: what textbooks print, and what a bootstrap must say of what is known."""

from __future__ import annotations

import math
import random

import pytest

from gameday.compare.noise import ALL, BLOCKS, DRAWS, Weights, doubt, draws, errors_at, holm, spread


def test_every_draw_takes_as_many_blocks_as_there_are() -> None:
    assert len(draws()) == DRAWS
    assert {sum(weights) for weights in draws()} == {BLOCKS}
    assert len(set(draws())) > DRAWS * 0.99


def test_the_tails_are_those_of_students_t() -> None:
    """Of 19 degrees of freedom, as tables have them."""
    assert errors_at(0.05) == pytest.approx(2.093, abs=5e-4)
    assert errors_at(0.01) == pytest.approx(2.861, abs=5e-4)
    assert doubt(3.883, 1.0) == pytest.approx(0.0005, rel=2e-3)
    assert doubt(-3.883, 1.0) == pytest.approx(0.9995, rel=1e-5)
    assert (doubt(1e-9, 0.0), doubt(0.0, 0.0)) == (0.0, 1.0)


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    dice = random.Random(3)
    blocks = [dice.gauss(10, 2) for _ in range(BLOCKS)]
    mean = sum(blocks) / BLOCKS
    known = math.sqrt(sum((value - mean) ** 2 for value in blocks) / (BLOCKS - 1) / BLOCKS)

    def drawn(weights: Weights) -> float:
        return math.fsum(weight * value for weight, value in zip(weights, blocks, strict=True)) / BLOCKS

    assert drawn(ALL) == pytest.approx(mean)
    # A thousand draws know it to about two per cent.
    assert spread(drawn) == pytest.approx(known, rel=0.08)


def test_holm_holds_the_smallest_doubt_to_the_hardest_level() -> None:
    assert holm([0.5, 0.002, 0.004], 0.01) == [(False, 0.01), (True, 0.01 / 3), (True, 0.01 / 2)]
    # 0.004 is no proof beside two others; and what comes after it is none either.
    assert holm([0.004, 0.0045, 0.9], 0.01) == [(False, 0.01 / 3)] * 3
    assert holm([0.009], 0.01) == [(True, 0.01)]
    assert holm([], 0.01) == []
