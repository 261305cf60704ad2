"""What two processes say to each other where a message may get lost on its way, as between two hosts.

Each end numbers what it says, and says it again with every letter until the other end has told that it is there. It
promises that what one end says is heard at the other once and in order, however many letters are lost, come twice or
late, if only some arrive. Pure: whoever has a letter to send or has got one does so by itself, in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

Said = dict[str, Any]
# Of so many no letter gets too long; what comes after them waits for the next one.
_MOST = 200


class Letters:
    """One end."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Said]] = deque()
        self._number = 0
        self._heard = 0

    def say(self, said: Said) -> None:
        self._number += 1
        self._kept.append((self._number, said))

    @property
    def all_heard(self) -> bool:
        """Whether the other end has told that it has everything."""
        return not self._kept

    def letter(self) -> dict[str, Any]:
        """The next letter: what has not been heard yet, and how far this end has heard the other."""
        return {"heard": self._heard, "says": [[number, said] for number, said in list(self._kept)[:_MOST]]}

    def hear(self, letter: Mapping[str, Any]) -> list[Said]:
        """What is new in a letter. Errors: KeyError, TypeError or ValueError for what is no letter."""
        while self._kept and self._kept[0][0] <= letter["heard"]:
            self._kept.popleft()
        new = []
        for number, said in letter["says"]:
            if number == self._heard + 1:
                self._heard = number
                new.append(said)
        return new
