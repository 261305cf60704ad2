"""`python -m gameday.watch.observer --run RUN --port N`: the live view of a run, for Prometheus and for the terminal.

It follows the history files, serves `/metrics` and `/sd` on loopback, unless it is told another host, and reports a
snapshot twice a second:

    {"report": "ready", "port": …}
    {"report": "snapshot", …, "final": false}     gameday/watch/live.py tells what is in it

No process waits for it and nothing depends on it: it may die or start again at any time. It ends on SIGTERM, SIGINT and
at the end of its input, with a last snapshot of the whole history (`final` is true), exit code 0.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gameday.history import manifest as manifests
from gameday.history.errors import GamedayError, ProcessError
from gameday.history.events import Record
from gameday.history.writer import DIRECTORY
from gameday.processes import discovery
from gameday.processes.control import continue_when_orphaned, report, when_input_ends
from gameday.processes.exposition import LOOPBACK, Server
from gameday.watch.live import COUNTS, SEND_OUTCOMES, Live
from gameday.watch.meters import LATENCY_BUCKETS_S, Histogram
from gameday.watch.tail import Tail

POLL_S = 0.1
SNAPSHOT_S = 0.5
DUPLICATES = ("send-duplicate", "effect-duplicate")
ORDER_VIOLATIONS = ("nonmonotonic-delivery",)
SETTLE_ACTIONS = ("delete", "release", "extend", "checkpoint")

# By label values, a tuple of as many as there are labels.
Values = Mapping[Any, float]


class Observer:
    """Reads, counts and tells; reading and telling happen in different threads."""

    def __init__(self, run: Path) -> None:
        """Errors: NotARun."""
        self.live = Live(manifests.load(run))
        self.lock = threading.Lock()
        self.tail = Tail(run / DIRECTORY)
        self.records = 0

    def read(self) -> None:
        """One round. A file that was left behind is read on in the next one, which should follow at once."""
        found = self.tail.read()
        with self.lock:
            self._take(found)

    def finish(self) -> None:
        """Read what there still is; the counts are then those of the whole history."""
        self.read()
        while self.tail.behind:
            self.read()
        with self.lock:
            self._take(self.tail.rest())

    def report(self, *, final: bool) -> None:
        with self.lock:
            snapshot = self.live.snapshot()
        report("snapshot", final=final, records=self.records, unreadable=self.tail.unreadable, **snapshot)

    def _take(self, found: list[Record]) -> None:
        self.records += len(found)
        for record in found:
            self.live.observe(record)


class Metrics(Collector):
    """The state of the observer as Prometheus metrics, made when they are asked for."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def collect(self) -> Iterator[Metric]:
        with self._observer.lock:
            yield from self._run()
            yield from self._load()
            yield from self._subscriptions()
            yield from self._consumers()
            yield from self._counts()

    def _run(self) -> Iterator[Metric]:
        live, observer = self._observer.live, self._observer
        yield _gauge(
            "run_info",
            "The run that is observed.",
            {(live.manifest.run, live.manifest.target or "", str(live.manifest.seed)): 1},
            "run",
            "target",
            "seed",
        )
        yield _counter("history_records", "Records read from the history.", {(): observer.records})
        yield _counter("history_unreadable_lines", "Lines that are no record.", {(): observer.tail.unreadable})
        faults = {(name,): active for name, active in live.active_faults().items()}
        yield _gauge("fault_active", "Instances of a fault at work now.", faults, "fault")

    def _load(self) -> Iterator[Metric]:
        live = self._observer.live
        due = {} if live.scheduled is None else {(): live.scheduled}
        yield _counter("messages_scheduled", "Messages that the schedule wants sent by now.", due)
        yield _counter("messages_intended", "Messages with an attempt to send.", {(): live.intended})
        yield _counter("messages_acked", "Messages accepted by the broker.", {(): live.acked})
        yield _counter("send_attempts", "Attempts to send, retries included.", {(): live.attempts})
        sent = {(outcome,): live.sent[outcome] for outcome in SEND_OUTCOMES}
        yield _counter("messages_sent", "Attempts to send, by what became of them.", sent, "outcome")
        yield _histogram("send_lag_seconds", "From due to the first attempt.", {(): live.send_lag})
        yield _counter("errors", "Sends and settles that did not succeed.", live.errors, "where", "error")

    def _subscriptions(self) -> Iterator[Metric]:
        subs = self._observer.live.subs
        received = {(name,): sub.received for name, sub in subs.items()}
        yield _counter("messages_received", "Receives, redeliveries included.", received, "subscription")
        latency = {(name,): sub.latency for name, sub in subs.items()}
        yield _histogram("end_to_end_latency_seconds", "From due to the first receive.", latency, "subscription")
        backlog = {(name,): sub.backlog for name, sub in subs.items()}
        yield _gauge("backlog_messages", "Messages not settled yet.", backlog, "subscription")
        depth = {(name, state): n for name, sub in subs.items() for state, n in (sub.depth or {}).items()}
        yield _gauge("queue_messages", "The queue as the broker counts it.", depth, "subscription", "state")
        ages = {(name,): max(sub.behind_ms.values()) / 1_000 for name, sub in subs.items() if sub.behind_ms}
        yield _gauge("iterator_age_seconds", "How far the slowest reader of a stream is behind.", ages, "subscription")
        dead = {(name,): sub.dead for name, sub in subs.items()}
        yield _counter("dead_letters", "Messages found in the dead-letter queue.", dead, "subscription")

    def _consumers(self) -> Iterator[Metric]:
        live = self._observer.live
        effects = {(outcome,): count for outcome, count in live.effects.items()}
        yield _counter("effects", "Handled messages, by what the handler did.", effects, "outcome")
        settles = {(a, o): live.settles[a, o] for a in SETTLE_ACTIONS for o in SEND_OUTCOMES}
        yield _counter("settles", "Answers to deletes, releases, extensions.", settles, "action", "outcome")
        yield _counter("consumer_restarts", "Consumers started again.", {(): live.restarts})
        running = live.consumers_started - live.consumers_exited
        yield _gauge("consumers_running", "Consumer processes that run.", {(): running})

    def _counts(self) -> Iterator[Metric]:
        """What the verdict counts, too: each says how it may differ."""
        counts, told = self._observer.live.counts, {name: count.told for name, count in COUNTS.items()}
        yield _counter("redeliveries", told["redelivery"], {(): counts["redelivery"]})
        duplicates = {(kind,): counts[kind] for kind in DUPLICATES}
        help = " ".join(f"{kind}: {told[kind]}" for kind in DUPLICATES)
        yield _counter("duplicates", help, duplicates, "kind")
        disorder = {(kind,): counts[kind] for kind in ORDER_VIOLATIONS}
        help = " ".join(f"{kind}: {told[kind]}" for kind in ORDER_VIOLATIONS)
        yield _counter("order_violations", help, disorder, "kind")
        yield _counter("over_received", told["over-received"], {(): counts["over-received"]})
        yield _counter("misrouted", told["misrouted"], {(): counts["misrouted"]})
        forgotten = "Messages and groups that were too many to remember: from then on no count need be the verdict's."
        yield _counter("messages_forgotten", forgotten, {(): self._observer.live.forgotten})


def _counter(name: str, help: str, values: Values, *labels: str) -> Metric:
    metric = CounterMetricFamily(f"gameday_{name}", help, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric


def _gauge(name: str, help: str, values: Values, *labels: str) -> Metric:
    metric = GaugeMetricFamily(f"gameday_{name}", help, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric


def _histogram(name: str, help: str, values: Mapping[Any, Histogram], *labels: str) -> Metric:
    metric = HistogramMetricFamily(f"gameday_{name}", help, labels=labels)
    for key, histogram in values.items():
        below, buckets = 0, []
        for bound, count in zip((*map(str, LATENCY_BUCKETS_S), "+Inf"), histogram.buckets, strict=True):
            below += count
            buckets.append((bound, below))
        metric.add_metric(key, buckets, histogram.sum_s)
    return metric


def observe(run: Path, host: str, port: int, over: threading.Event) -> None:
    """Until `over` is set. Errors: NotARun; ProcessError when the port is not free."""
    observer = Observer(run)

    def targets(reached_at: str, port: int) -> tuple[str, bytes]:
        ours = discovery.Scraped(process="observer", role="observer", host=host, port=port, labels={})
        listed = [ours, *discovery.found(run)]
        name = observer.live.manifest.run
        return "application/json", orjson.dumps([each.target(name, reached_at) for each in listed])

    try:
        server = Server(Metrics(observer).collect, host=host, port=port, pages={"/sd": targets})
    except OSError as error:
        raise ProcessError(
            f"cannot serve /metrics on {host}:{port}: {error.strerror}; --port 0 takes any free one"
        ) from error
    try:
        report("ready", port=server.port)
        next_snapshot = time.monotonic()
        while not over.wait(0 if observer.tail.behind else POLL_S):
            observer.read()
            if time.monotonic() >= next_snapshot:
                observer.report(final=False)
                next_snapshot = time.monotonic() + SNAPSHOT_S
        observer.finish()
        observer.report(final=True)
    finally:
        server.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gameday.watch.observer", description="The live view of a run.")
    parser.add_argument("--run", type=Path, required=True, help="the run directory")
    parser.add_argument("--host", default=LOOPBACK, help="address that /metrics and /sd are served at")
    parser.add_argument("--port", type=int, default=0, help="of /metrics; 0 takes any free one")
    arguments = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    continue_when_orphaned()
    when_input_ends(over.set)
    try:
        observe(arguments.run, arguments.host, arguments.port, over)
    except GamedayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
