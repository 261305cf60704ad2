"""How far a number of a run could have come out otherwise: a bootstrap over blocks of time, and what it proves.

Messages that are neighbours in time wait in one queue behind each other, so their latencies go up and down together,
and to resample them one by one would take a single bad second for thousands of independent witnesses. So a run is cut
into twenty blocks, and whole blocks are drawn. Twenty, because the longest blocks leave the fewest neighbours that a
border cuts apart, and because fewer than that make the bounds much wider while more gain little (B. Schmeiser, "Batch
size effects in the analysis of simulation output", Operations Research 30(3), 1982: between 10 and 30).

The blocks of two runs are drawn in pairs, the fourth of one with the fourth of the other: the schedule, its shape and
its faults put the same there, so what they change in both runs is no noise. The draws come from a fixed seed, so the
same runs get the same answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import cache

BLOCKS = 20
DRAWS = 1000

Weights = Sequence[int]


@cache
def draws() -> Sequence[Weights]:
    """How often each block is in it, for each draw of as many blocks as there are."""
    dice = random.Random(1)
    drawn = []
    for _ in range(DRAWS):
        weights = [0] * BLOCKS
        for block in dice.choices(range(BLOCKS), k=BLOCKS):
            weights[block] += 1
        drawn.append(tuple(weights))
    return drawn


ALL: Weights = (1,) * BLOCKS


def spread(statistic: Callable[[Weights], float | None]) -> float:
    """The standard error of a statistic of the blocks. A draw in which it has no value (None) says nothing."""
    values = [value for weights in draws() if (value := statistic(weights)) is not None]
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    # Drawn blocks differ less than blocks do, by one degree of freedom.
    return math.sqrt(variance * BLOCKS / (BLOCKS - 1))


def doubt(excess: float, error: float) -> float:
    """How probable it is that noise alone makes an excess as large as this, if there is none: one side of Student's t.

    With so few blocks the error is itself only estimated; t has the wider tails that this asks for.
    """
    if error == 0:
        return 0.0 if excess > 0 else 1.0
    return _upper_tail(excess / error, BLOCKS - 1)


def errors_at(level: float) -> float:
    """How many standard errors to each side leave out no more than `level`, both sides together."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        if 2 * _upper_tail(middle, BLOCKS - 1) > level:
            low = middle
        else:
            high = middle
    return high


def _upper_tail(t: float, freedom: int) -> float:
    """P(T > t), for an odd number of degrees of freedom (Abramowitz and Stegun, 26.7.3)."""
    assert freedom % 2 == 1 and freedom > 1, freedom
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    term = total = cosine
    for k in range(3, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 0.5 - (angle + math.sin(angle) * total) / math.pi


def holm(doubts: Sequence[float], level: float) -> list[tuple[bool, float]]:
    """Which of several differences are proven, so that with no difference at all none is with 1 − `level`.

    Beside each, the level that it was held to: the smallest doubt to `level` divided by how many there are, and so on
    (S. Holm, 1979). Those after the first that is not proven are not proven either and are shown at its level.
    """
    result = [(False, level)] * len(doubts)
    proven = True
    held_to = level
    for place, number in enumerate(sorted(range(len(doubts)), key=lambda number: doubts[number])):
        if proven:
            held_to = level / (len(doubts) - place)
            proven = doubts[number] <= held_to
        result[number] = (proven, held_to)
    return result
