"""What a step measured, from its own record: how late it was, what gave way, and where it was stuck.

It promises never to lay to the broker what our own load did not send in time: a load that is late while its calls are
answered at once is late by itself. What names the bottleneck is a reading of symptoms and no verdict.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday.history.clock import NS_PER_S
from gameday.history.errors import HistoryError
from gameday.history.reader import parse
from gameday.history.writer import DIRECTORY
from gameday.verify.bounds import QUANTILES, Ruling, rank, seconds
from gameday.verify.notes import LATE_SHARE

# A call that takes longer keeps a load from its schedule.
_SLOW_CALL_S = 0.1
# Fewer than this more that wait are no growth.
_GROWTH_LEAST = 10
_GROWTH_SHARE = 0.02
# Of the time of a consumer, in calls that ask for messages: above it, it waits for the broker.
_WAITING_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """The backlog of a subscription: messages that were accepted and not received yet when half of the load was over,
    and at its end; how many were received a second in that half, and which share of that time each consumer spent in
    calls that ask for messages."""

    subscription: str
    half: int
    end: int
    received_per_s: float
    asking: float

    @property
    def grew(self) -> bool:
        return self.end - self.half > max(_GROWTH_LEAST, _GROWTH_SHARE * self.end)

    @property
    def grew_steadily(self) -> bool:
        """As where more comes in than goes out all the time; where somebody stood still for a while it leaps."""
        return self.grew and self.half * 3 >= self.end


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A claim that did not hold, by its key, and why."""

    claim: str
    verdict: Ruling
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One step. `p99_s`: of lag, on the subscription where it is longest; None where nothing was received. `late`:
    messages whose send began more than 0.1 s after they were due; `missed`: that were never sent. `refused`: attempts
    that were not accepted, by what was answered; `call_p99_s`: how long a send call took."""

    rate_per_s: float
    directory: str
    verdict: Ruling
    again: bool
    took_s: float
    p99_s: float | None
    broken: tuple[Broken, ...]
    intended: int
    late: int
    missed: int
    refused: Mapping[str, int]
    attempts: int
    call_p99_s: float
    waiting: tuple[Waiting, ...]

    @property
    def load_was_late(self) -> bool:
        return self.late > LATE_SHARE * self.intended or self.missed > 0

    @property
    def gave_way(self) -> list[Broken]:
        """The claims that made the verdict."""
        return [each for each in self.broken if each.verdict == self.verdict]

    @property
    def clear(self) -> bool:
        """Whether what broke is no matter of luck: a claim without a clock is broken, or the backlog grew all the
        time although the load was in time."""
        violated = [each.claim.split()[0] for each in self.broken if each.verdict == "violated"]
        if not violated:
            return False
        steadily = not self.load_was_late and any(each.grew_steadily for each in self.waiting)
        return steadily or any(claim not in ("lag", "recovery") for claim in violated)

    @property
    def bottleneck(self) -> list[str]:
        """Where it was stuck, a sentence each; none where nothing is to be seen."""
        return [*self._load(), *self._consumers()]

    def _load(self) -> Iterator[str]:
        refused = sum(self.refused.values())
        if refused > LATE_SHARE * self.attempts:
            (most, _), *_ = Counter(self.refused).most_common(1)
            yield (
                f"the broker took no more: {refused:,} of {self.attempts:,} attempts to send were not accepted, most "
                f"often for {most}"
            )
        if not self.load_was_late:
            return
        parts = [f"{self.late:,} of {self.intended:,} sends began late"] * bool(self.late)
        parts += [f"{self.missed:,} messages were never sent"] * bool(self.missed)
        told = f"{' and '.join(parts)}, send calls took {self.call_p99_s:.3g} s (p99)"
        if refused > LATE_SHARE * self.attempts:
            yield f"behind those the load was late: {told}"
        elif self.call_p99_s > _SLOW_CALL_S:
            yield f"sends were answered slowly, by the broker or because this machine is busy: {told}"
        else:
            yield (
                f"the load itself, not the broker, was late: {told}. More load.processes or load.users may send more, "
                "or a larger machine"
            )

    def _consumers(self) -> Iterator[str]:
        for each in self.waiting:
            if not each.grew:
                continue
            told = (
                f"{each.subscription}: the backlog grew from {each.half:,} to {each.end:,} in the second half of the "
                f"load, while {each.received_per_s:.4g}/s were received and consumers spent {each.asking:.0%} of the "
                "time asking for messages"
            )
            asked = each.asking >= _WAITING_SHARE
            yield f"{told}: {'the broker gave no more' if asked else 'they are at work, and too few or too slow'}"


def measure(
    run: Path, document: Mapping[str, Any], *, rate_per_s: float, again: bool, took_s: float, shown: str
) -> Measured:
    """Of a run that was judged: `document` is the object of verdict.json, `shown` how its directory is told people.

    Errors: HistoryError.
    """
    totals = document["totals"]
    record = _Record.read(run)
    lags = [quantiles["p99"] for quantiles in document["latency_s"].values()]
    return Measured(
        rate_per_s=rate_per_s,
        directory=shown,
        verdict=document["verdict"],
        again=again,
        took_s=took_s,
        p99_s=max(lags, default=None),
        broken=tuple(_broken(document)),
        intended=totals["intended"],
        late=totals["late"],
        missed=0 if totals["scheduled"] is None else max(0, totals["scheduled"] - totals["intended"]),
        refused=record.refused,
        attempts=record.attempts,
        call_p99_s=record.call_p99_s,
        waiting=tuple(record.waiting()),
    )


def _broken(document: Mapping[str, Any]) -> Iterator[Broken]:
    """The worst first."""
    for verdict in ("violated", "unknown"):
        for claim in document["claims"]:
            if claim["verdict"] == verdict:
                counted = [f"{count:,} {name}" for name, count in claim["anomalies"].items() if count]
                yield Broken(claim=claim["key"], verdict=verdict, why="; ".join([*claim["why"], *counted]))


@dataclass(kw_only=True, slots=True)
class _Record:
    """What the files of a run tell of its sends and its receives. Times in ns of the run's clock."""

    start_ns: int
    stop_ns: int
    accepted: Mapping[str, tuple[int, tuple[str, ...]]]
    received: Mapping[str, Mapping[str, int]]
    polls: Mapping[str, Mapping[str, tuple[str, int, int]]]
    refused: Mapping[str, int]
    attempts: int
    call_p99_s: float

    @classmethod
    def read(cls, run: Path) -> _Record:
        """Errors: HistoryError."""
        start_ns = stop_ns = 0
        expect: dict[str, tuple[str, ...]] = {}
        accepted_at: dict[str, int] = {}
        received: defaultdict[str, dict[str, int]] = defaultdict(dict)
        polls: defaultdict[str, dict[str, tuple[str, int, int]]] = defaultdict(dict)
        refused: Counter[str] = Counter()
        attempts = 0
        calls: dict[str, int] = {}
        for record in _records(run):
            match record["event"]:
                case "intended":
                    if "expect" in record:
                        expect[record["id"]] = tuple(record["expect"])
                case "sent":
                    attempts += 1
                    if record["outcome"] == "ok":
                        earlier = accepted_at.get(record["id"], record["at"])
                        accepted_at[record["id"]] = min(earlier, record["at"])
                    else:
                        refused[_named(record.get("error"))] += 1
                    if "started" in record:
                        calls[record.get("call") or f"{record['id']} {attempts}"] = record["at"] - record["started"]
                case "received":
                    times = received[record["subscription"]]
                    id = record.get("id") or record.get("broker_id") or ""
                    times[id] = min(times.get(id, record["at"]), record["at"])
                    if record.get("batch") and "started" in record:
                        polls[record["subscription"]][record["batch"]] = record["by"], record["started"], record["at"]
                case "mark" if record.get("name") == "load-started":
                    start_ns = record["start"]
                    # The load says that it is over when its last call is, and by then a backlog may be gone.
                    stop_ns = start_ns + round(record["schedule"][-1][0] * NS_PER_S)
                case _:
                    pass
        took = sorted(calls.values())
        return cls(
            start_ns=start_ns,
            stop_ns=stop_ns,
            accepted={id: (at, expect.get(id, ())) for id, at in accepted_at.items()},
            received=received,
            polls=polls,
            refused=dict(refused),
            attempts=attempts,
            call_p99_s=seconds(took[rank(QUANTILES["p99_s"], len(took)) - 1]) if took else 0.0,
        )

    def waiting(self) -> Iterator[Waiting]:
        half_ns = (self.start_ns + self.stop_ns) // 2
        lasted_s = seconds(max(1, self.stop_ns - half_ns))
        for s, times in sorted(self.received.items()):
            polls = self.polls[s].values()
            asking_ns = sum(max(0, min(ended, self.stop_ns) - max(began, half_ns)) for _, began, ended in polls)
            consumers = len({by for by, _, ended in polls if ended >= half_ns}) or 1
            yield Waiting(
                subscription=s,
                half=self._waiting_at(s, times, half_ns),
                end=self._waiting_at(s, times, self.stop_ns),
                received_per_s=sum(half_ns < at <= self.stop_ns for at in times.values()) / lasted_s,
                asking=min(1.0, seconds(asking_ns) / lasted_s / consumers),
            )

    def _waiting_at(self, s: str, times: Mapping[str, int], moment_ns: int) -> int:
        return sum(
            at <= moment_ns and s in expect and times.get(id, moment_ns + 1) > moment_ns
            for id, (at, expect) in self.accepted.items()
        )


def _named(error: object) -> str:
    """What a failed attempt was answered, without what is of that call alone."""
    return str(error).partition(":")[0] if error else "no reason given"


def _records(run: Path) -> Iterator[Mapping[str, Any]]:
    try:
        for path in sorted((run / DIRECTORY).glob("*.jsonl")):
            with path.open("rb") as file:
                # What is damaged or torn, the verdict has told.
                yield from (record for line in file if isinstance(record := parse(line), dict))
    except OSError as error:
        raise HistoryError(f"cannot read {run}: {error.strerror}") from error
