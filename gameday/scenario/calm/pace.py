"""How long things take in a calm run that is played beforehand: as the target's record has it, or as it was measured."""

from __future__ import annotations

from dataclasses import dataclass

from gameday.targets.products import Product

# A commit of SQLite on a disk that is not busy.
_COMMIT_S = 0.002


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """In seconds. `send`: a call that sends, from one to the next of the same user; `call`: any other call; `commit`: a
    step of a store that is a file."""

    send: float
    call: float
    commit: float = _COMMIT_S

    @classmethod
    def of(cls, product: Product) -> Pace:
        """As long as most calls take there."""
        return cls(send=product.call_s.likely, call=product.call_s.likely)
