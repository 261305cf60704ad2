"""Markdown as GitHub and GitLab read it, for texts that anybody may have written: ids, subscriptions, errors.

It promises that no such text becomes markup: no cell ends early, nothing turns bold, no tag and no mention is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# What begins or ends markup inside a line: of Markdown, of HTML, a mention, a reference, a formula.
_SPECIAL = re.compile(r"[\\`*_\[\]<>&|~#@$!]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_FENCE = re.compile(r"`{3,}")


def escaped(text: str) -> str:
    """On one line, and nothing but text: an entity is never structure (CommonMark 0.31, 2.5)."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", _UNPRINTABLE.sub(" ", text))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; the cells are texts that are escaped here."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(escaped(cell) for cell in row)} |"


def collapsed(title: str, text: str) -> Iterator[str]:
    """A block of code that opens when its title is clicked on."""
    fence = "`" * max([3, *(len(found[0]) + 1 for found in _FENCE.finditer(text))])
    # Without the empty lines the code would be taken for HTML.
    yield from ["<details>", f"<summary>{escaped(title)}</summary>", "", f"{fence}text", text, fence, "", "</details>"]
