"""An answer that is not there yet: who asked for it is told when it is."""

from __future__ import annotations

from collections.abc import Callable

from gameday.emulator.wire import Answer


class Held:
    """`end` gives the answer; whoever `tell` names is told it, at once where it is there already."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self._tell: Callable[[Answer], None] | None = None

    def end(self, answer: Answer) -> None:
        if self.answer is None:
            self.answer = answer
            if self._tell is not None:
                self._tell(answer)

    def tell(self, tell: Callable[[Answer], None]) -> None:
        self._tell = tell
        if self.answer is not None:
            tell(self.answer)
