"""The in-memory broker's services called as functions, on a clock that moves only when somebody waits."""

from __future__ import annotations

from gameday.conformance.base import Conditions
from transports.base import Answer, Call, CallFailed
from transports.memory.broker import LongPoll
from transports.memory.defects import defect
from transports.memory.services import SERVICES, World
from transports.memory.wire import Refused

_START_NS = 1_700_000_000_000_000_000
_STEP_NS = 50_000_000


def conditions(planted: str | None = None) -> Conditions:
    """A broker of its own, with that defect; slow probes cost nothing here."""
    world = World(defect=defect(planted) if planted else None)
    services = {name: spoken.make(world) for name, spoken in SERVICES.items()}
    now_ns = _START_NS

    def carry(call: Call) -> Answer:
        nonlocal now_ns
        # A call takes its time, as on a network: what is stamped by the clock is stamped in the order of the calls.
        now_ns += 1_000_000
        try:
            outcome = services[call.service].call(now_ns, call.operation, call.params)
            if isinstance(outcome, LongPoll):
                return answered(outcome)
        except Refused as refused:
            raise CallFailed(refused.code, refused.message, definite=refused.status < 500) from refused
        return outcome

    def answered(poll: LongPoll) -> Answer:
        nonlocal now_ns
        while now_ns < poll.until:
            now_ns += _STEP_NS
            if (answer := poll.ask(now_ns)) is not None:
                return answer
        return {}

    def wait(seconds: float) -> None:
        nonlocal now_ns
        now_ns += int(seconds * 1e9)

    return Conditions(carry=carry, wait=wait, now=lambda: (now_ns - _START_NS) / 1e9, slow=True)
