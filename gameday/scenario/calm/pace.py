"""How long things take in a calm run that is played beforehand: as the target's record has it, or as was measured."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gameday.targets.products import Product

# A commit of SQLite on a disk that is not busy.
_COMMIT_S = 0.002
# Most calls take less than the mean, and some far more: the sigma of a log-normal distribution, as was seen.
_SIGMA = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """In seconds, on average. `send`: a call that sends; `call`: any other call; `commit`: a step of a store that is a
    file."""

    send: float
    call: float
    commit: float = _COMMIT_S

    @classmethod
    def of(cls, product: Product) -> Pace:
        """As long as calls take there."""
        return cls(send=product.call_s.likely, call=product.call_s.likely)


def drawn(mean_s: float, chance: random.Random) -> float:
    """How long one of them takes."""
    return mean_s * chance.lognormvariate(-_SIGMA * _SIGMA / 2, _SIGMA)
