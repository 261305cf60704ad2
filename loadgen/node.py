"""The load in one sending process: its users' lanes, their shared history file, and what the lead tells them.

A process is Locust's local runner or one of its workers. It promises that each user works on one lane that no other
user of the run has; that on every way out the calls in flight are finished and recorded, and the file is closed,
before the lead hears `done`; and that what goes wrong here is told to the lead and never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
import orjson
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore
from gevent.queue import SimpleQueue

from gameday.history import events
from gameday.history.clock import Clock
from gameday.history.errors import HistoryError, UsageError
from gameday.history.writer import DIRECTORY, Writer
from gameday.loadgen.carriers import Carrier, carrier_for, store_for
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Feed, Lane, Tally
from gameday.loadgen.meters import Meters
from gameday.loadgen.sender import Sample, Sender
from gameday.processes.discovery import Exposed
from gameday.transports.carriers.calls import count_calls

logger = logging.getLogger(__name__)

# A call ends at the latest with the carrier's read timeout; this much longer is patience enough.
FINISH_WITHIN_S = 15.0


class SharedByLanes:
    """What the lanes of one process share, made when the first of them is assigned. Errors: HistoryError."""

    def __init__(self, config: LoadConfig, writer: str, count: Callable[[Sample], None]) -> None:
        self.config = config
        self.clock = Clock.parse(config.clock)
        directory = Path(config.run_dir) / DIRECTORY
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{writer}.jsonl"
        if path.exists() and path.stat().st_size:
            raise HistoryError(f"{path} holds a load already; one run directory is one run, so name another one")
        self.writer = Writer(run=Path(config.run_dir), name=writer, clock=self.clock)
        self.count, self._exposed = _metered(config, writer, count)
        self.carrier: Carrier = carrier_for(config)
        # Objects are shared: a message that is sent again finds its own there.
        self.store = store_for(config, self.writer, self.clock)
        self.source = config.source()
        self.lanes: dict[int, Lane] = {}
        self.feed: Feed | None = None

    def add_lane(self, number: int) -> Lane:
        lane = self.lanes[number] = self.config.lane()
        return lane

    def close(self) -> None:
        """Errors: HistoryError."""
        if self._exposed is not None:
            self._exposed.withdraw()
            self.writer.write(events.mark("calls", calls=count_calls().used()))
        self.writer.close()


def _metered(
    config: LoadConfig, process: str, count: Callable[[Sample], None]
) -> tuple[Callable[[Sample], None], Exposed | None]:
    """`count`, and the metrics of this process with it."""
    if config.metrics_host is None:
        return count, None
    meters, calls = Meters(), count_calls()

    def both(sample: Sample) -> None:
        meters.sent(sample)
        count(sample)

    exposed = Exposed(
        Path(config.run_dir),
        lambda: (*meters.collect(), *calls.collect()),
        process=process,
        role="load",
        host=config.metrics_host,
        labels={},
    )
    return both, exposed


class Node:
    """`writer` is the name of this process's history file, asked for when it is known. `told` makes of the lead's
    configuration this process's own. `before_done` is called once all calls are counted and before the lead hears
    `done`."""

    def __init__(
        self,
        runner: Any,
        *,
        writer: Callable[[], str],
        count: Callable[[Sample], None],
        told: Callable[[LoadConfig], LoadConfig] = lambda config: config,
        before_done: Callable[[], None] = lambda: None,
    ) -> None:
        self._runner = runner
        self._told = told
        self._writer = writer
        self._count = count
        self._before_done = before_done
        self._assigned = SimpleQueue()
        self._start: AsyncResult = AsyncResult()
        self._stopping = Event()
        self._idle = Event()
        self._idle.set()
        self._active = 0
        self._shared: SharedByLanes | None = None
        # Looking for credentials may switch to another user, which must not make it twice.
        self._making = BoundedSemaphore()
        for name, listener in {
            "lane": self._on_lane,
            "start": self._on_start,
            "stop": self._on_stop,
        }.items():
            runner.register_message(f"gameday-{name}", listener)

    def live(self) -> None:
        """The life of one user: it gets a lane, stands by, sends and ends. A user without a lane ends at once."""
        self._say("join", {"writer": self._writer()})
        number: int | None = self._assigned.get()
        if number is None:
            return
        try:
            assert self._shared is not None, "a lane is assigned with the configuration"
            lane = self._shared.add_lane(number)
            carry = self._shared.carrier.for_one_user()
            self._say("standing-by")
            gevent.wait([self._start, self._stopping], count=1)
            if self._shared.feed is not None:
                sender = Sender(
                    config=self._shared.config,
                    number=number,
                    lane=lane,
                    writer=self._shared.writer,
                    clock=self._shared.clock,
                    carry=carry,
                    count=self._shared.count,
                    source=self._shared.source,
                    store=self._shared.store,
                    start_ns=self._start.get() if self._start.ready() else 0,
                )
                sender.run(self._shared.feed, self._wait)
        except (HistoryError, UsageError) as error:
            self._say("failed", str(error))
        except Exception as error:
            logger.exception("a user of the load failed")
            self._say("failed", f"a user of the load failed: {error!r}")
        finally:
            self._left()

    def finish(self) -> None:
        """Finish the calls in flight, record them and close the file."""
        self._stopping.set()
        if not self._idle.wait(timeout=FINISH_WITHIN_S):
            logger.error("calls are still in flight after %s s; their outcome stays unknown", FINISH_WITHIN_S)

    def _wait(self, seconds: float) -> bool:
        return bool(self._stopping.wait(timeout=seconds) if seconds > 0 else self._stopping.is_set())

    def _left(self) -> None:
        self._active -= 1
        if self._active or self._idle.is_set():
            return
        tally = Tally()
        if self._shared is not None:
            for lane in self._shared.lanes.values():
                lane.stop()
                tally.add(lane.tally)
            try:
                self._shared.close()
            except HistoryError as error:
                self._say("failed", str(error))
        self._before_done()
        self._say("done", {"tally": asdict(tally)})
        self._idle.set()

    def _say(self, name: str, data: object = None) -> None:
        self._runner.send_message(f"gameday-{name}", data)

    def _on_lane(self, msg: Any, **_: object) -> None:
        number = msg.data["lane"]
        if number is not None:
            self._active += 1
            self._idle.clear()
            with self._making:
                if self._shared is None and (failure := self._make(msg.data["config"])):
                    self._say("failed", failure)
                    self._left()
                    number = None
        self._assigned.put(number)

    def _make(self, config: str) -> str | None:
        """Why it cannot be made."""
        try:
            own = self._told(LoadConfig.from_json(orjson.loads(config)))
            self._shared = SharedByLanes(own, self._writer(), self._count)
        except (HistoryError, UsageError) as error:
            return str(error)
        except Exception as error:
            logger.exception("the load cannot begin")
            return f"the load cannot begin: {error!r}"
        return None

    def _on_start(self, msg: Any, **_: object) -> None:
        if self._shared is not None:
            schedule = self._shared.config.schedule(self._shared.source)
            self._shared.feed = Feed(schedule.messages(msg.data), self._shared.lanes)
        self._start.set(msg.data)

    def _on_stop(self, **_: object) -> None:
        self._stopping.set()
