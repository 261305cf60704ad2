"""What `make test` leaves out, because it is slow and a faster test shows its main point. `make series` runs it.

It promises that nothing is given up: what is left out is marked, `make series` selects the mark, and CI a part of it,
another one at each commit; what even that leaves out `make soak` runs.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

# Of a test.
in_series = pytest.mark.series
# Of one of the series whose subject other tests of CI meet as well: `make soak` alone runs it, every night for example.
in_soak = pytest.mark.soak


def series(*cases: Any) -> list[Any]:
    """Cases of a `parametrize` that show once more what others show; a tuple is a case of several arguments."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=in_series) for case in cases]


def soak(*cases: Any) -> list[Any]:
    """Likewise, of those that `make soak` alone runs."""
    return [pytest.param(case, marks=(in_series, in_soak)) for case in cases]


def part_of(test: str, parts: int) -> int:
    """In which of so many parts, from 1, a test of this id is; always the same, whatever other tests there are."""
    return zlib.crc32(test.encode()) % parts + 1


def sooner(known: Iterable[T], every: Iterable[T]) -> Iterator[T]:
    """A search that ends at the first find, begun where something was found before.

    Nothing rests on `known`: where it no longer shows what is sought, the search goes on and takes longer.
    """
    return chain(known, every)
