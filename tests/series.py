"""Long series of cases and long searches, cut for `make test`; `make series` plays each series whole.

It promises that a cut costs no power where it counts: what a slice leaves out runs in `make series`, of which `.ci/run`
runs everything that is cut here; and a search that begins with what is known goes on through all the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

T = TypeVar("T")
_WHOLE = "GAMEDAY_WHOLE_SERIES"


def series(part: Sequence[T], *, whole: Sequence[T]) -> Sequence[T]:
    """`part` of a series, or under `make series` the whole of it."""
    assert set(part) < set(whole), "a slice is a part of what it is cut from"
    return whole if os.environ.get(_WHOLE) else part


def sooner(known: Iterable[T], every: Iterable[T]) -> Iterator[T]:
    """A search that ends at the first find, begun where something was found before.

    Nothing rests on `known`: where it no longer shows what is sought, the search goes on and takes longer.
    """
    return chain(known, every)
