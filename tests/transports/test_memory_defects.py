"""Each planted defect does its one harm, and a correct broker beside it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from history import envelope
from history.clock import NS_PER_S
from transports.memory.defects import DEFECTS, defect
from transports.memory.queues import Conduct, Draft, FifoQueue, Redrive, Settings

S = NS_PER_S


def queue_with(conduct: Conduct) -> FifoQueue:
    dead = FifoQueue(arn="dlq", settings=Settings(), conduct=conduct)
    settings = Settings(visibility_ns=10 * S, redrive=Redrive(dead_letter=dead, max_receives=2))
    return FifoQueue(arn="q", settings=settings, conduct=conduct)


def send(queue: FifoQueue, count: int, *, now: int = 0) -> list[int]:
    """Send orders 1, 2, … of one group; the sequence numbers answered."""
    sequences = []
    for n in range(1, count + 1):
        body = envelope.pack(id=str(n), run="r", group="g", timestamp_ns=0, payload_bytes=0).decode()
        sequences.append(int(queue.send(now, Draft(body=body, group="g", dedup_id=str(n))).sequence or 0))
    return sequences


def receive(queue: FifoQueue, *, now: int = 0, most: int = 10) -> list[str]:
    read = [envelope.unpack(m.draft.body) for m in queue.receive(now, most=most)]
    return [r.id if r and r.intact else "corrupt" for r in read]


def lost(queue: FifoQueue) -> bool:
    send(queue, 4)
    return receive(queue) == ["1", "3"]


def forgotten(queue: FifoQueue) -> bool:
    send(queue, 1)
    return receive(queue) == ["1"] and receive(queue, now=10 * S) == []


def copied(queue: FifoQueue) -> bool:
    send(queue, 2)
    taken = queue.receive(0, most=10)
    return len(taken) == 3 and len({m.accepted.message_id for m in taken}) == 3


def reordered(queue: FifoQueue) -> bool:
    send(queue, 4)
    return receive(queue) == ["2", "1", "4", "3"]


def overtaken(queue: FifoQueue) -> bool:
    send(queue, 2)
    return [receive(queue, most=1), receive(queue, most=1)] == [["1"], ["2"]]


def early(queue: FifoQueue) -> bool:
    send(queue, 1)
    return receive(queue) == ["1"] and receive(queue, now=5 * S) == ["1"]


def forgot_id(queue: FifoQueue) -> bool:
    send(queue, 1)
    queue.delete(0, queue.receive(0, most=1)[0].receipt)
    send(queue, 1, now=S)
    return receive(queue, now=S) == ["1"]


def misnumbered(queue: FifoQueue) -> bool:
    sequences = send(queue, 4)
    return sequences != sorted(sequences)


def never_dead(queue: FifoQueue) -> bool:
    send(queue, 1)
    return all(receive(queue, now=n * 10 * S) == ["1"] for n in range(5))


def corrupted(queue: FifoQueue) -> bool:
    send(queue, 2)
    return receive(queue) == ["1", "corrupt"]


def haunted(queue: FifoQueue) -> bool:
    send(queue, 2)
    return receive(queue) == ["1", "2", "phantom-2"]


HARM: dict[str, tuple[str, Callable[[FifoQueue], bool]]] = {
    "lose": ("lose:2", lost),
    "forget-in-flight": ("forget-in-flight", forgotten),
    "duplicate-copy": ("duplicate-copy:2", copied),
    "reorder": ("reorder:2", reordered),
    "overtake": ("overtake", overtaken),
    "early-redelivery": ("early-redelivery:0.5", early),
    "dedup-forgets-after-delete": ("dedup-forgets-after-delete", forgot_id),
    "misnumber": ("misnumber:2", misnumbered),
    "no-dead-letter": ("no-dead-letter", never_dead),
    "corrupt-body": ("corrupt-body:2", corrupted),
    "phantom": ("phantom:2", haunted),
}


@pytest.mark.parametrize("name", [name for name, kind in DEFECTS.items() if issubclass(kind, Conduct)])
def test_a_defect_does_its_harm_and_a_correct_broker_does_not(name: str) -> None:
    text, harmed = HARM[name]
    broken = defect(text)
    assert isinstance(broken, Conduct)
    assert harmed(queue_with(broken))
    assert not harmed(queue_with(Conduct()))


@pytest.mark.parametrize("text", ["nope", "lose:0", "lose:x", "lose:1.5", "overtake:3", "early-redelivery:2", "lose:"])
def test_a_wrong_defect_is_an_error_that_says_what_is_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"defect"):
        defect(text)
