"""What the report shows of a run besides its verdict, read from the judge's tables and made small.

It promises that a run of a million messages comes to a few hundred points a line, because DuckDB counts them; that all
times are seconds since the load began; and that nothing here judges: counts of anomalies are the judge's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gameday.verify.bounds import Facts, Recovery, recovery_times
from gameday.verify.claims import late_bound_s
from gameday.verify.load import Loaded
from gameday.verify.registry import CHECKS

NS_PER_S = 1_000_000_000
# A line has no more points than this, and no bucket is shorter: half a second of a usual load is a number to look at.
_BUCKETS_MOST = 1000
_BUCKET_LEAST_S = 0.5
_SUBSCRIPTIONS_MOST = 6
FAULTS_MOST = 40
_GROUPS_MOST = 4
_ORDER_POINTS_MOST = 120
_ORDER_BEFORE = 20
# What says that a message of a group came in the wrong order, and what the picture of it is of.
_OF_ORDER: Mapping[str, str] = {
    "nonmonotonic-delivery": "received",
    "group-overtake": "received",
    "nonmonotonic-send": "received",
    "stored-out-of-order": "received",
    "child-before-parent": "received",
    "dlq-gap": "received",
    "effect-out-of-order": "applied",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line: a value for each bucket, None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Lines that share an axis. `bars`: they are counts that stand on the ground."""

    name: str
    title: str
    unit: str
    series: Sequence[Series]
    note: str = ""
    bars: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A fault window; `stop_s` None while nothing says that the harm is over. `number` counts from 1 by its start;
    `name`: what the judge calls it."""

    number: int
    name: str
    fault: str
    label: str
    targets: Sequence[str]
    start_s: float
    stop_s: float | None
    fired: int | None
    unproven: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """`length_s`: from the load's begin to the last thing that happened to a message. `found`: what was found when, by
    the name of the anomaly, as (bucket, count)."""

    started_ns: int
    length_s: float
    bucket_s: float
    panels: Sequence[Panel]
    found: Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """First receive − due of the messages that were due in a span, in seconds; `missing` were never received."""

    count: int
    missing: int
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultLatency:
    """Of one subscription: before, during and after one fault."""

    fault: int
    s: str
    before: Latency
    during: Latency
    after: Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPoint:
    """`sent`, `received`: its place among those of its group. `again`: it had been received before. `mark`: `broken`
    where the anomaly counts it, `other` where that is held against it."""

    id: str
    sent: int
    received: int
    again: bool
    mark: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPicture:
    """A group in which order was violated. `what`: received or applied; `left_out`: how many points are not shown."""

    s: str
    group: str
    anomalies: Mapping[str, int]
    what: str
    points: Sequence[OrderPoint]
    left_out: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What the figures are drawn from."""

    timeline: Timeline
    faults: Sequence[Fault]
    latencies: Sequence[FaultLatency]
    recoveries: Sequence[Recovery]
    orders: Sequence[OrderPicture]
    groups_violated: int
    subscriptions_left_out: int = 0


def read(run: Loaded) -> Model:
    """From the tables of a run whose anomalies were found (`judge.judging`)."""
    facts = Facts.read(run)
    start_ns, end_ns = _span(run)
    subscriptions = [s for (s,) in run.db.execute("SELECT s FROM subs ORDER BY declared DESC, s").fetchall()]
    shown = subscriptions[:_SUBSCRIPTIONS_MOST]
    faults = _faults(run, start_ns)
    orders, groups_violated = _orders(run)
    return Model(
        timeline=_timeline(run, start_ns, end_ns, shown),
        faults=faults,
        latencies=_latencies(run, faults[:FAULTS_MOST], start_ns, end_ns, shown),
        recoveries=[
            recovery
            for s in shown
            if facts.faults
            for recovery in recovery_times(
                run.db,
                s,
                run.manifest.subscriptions[s].visibility_timeout_s if s in run.manifest.subscriptions else None,
                facts,
                late_bound_s(run.manifest.claims),
            )
        ],
        orders=orders,
        groups_violated=groups_violated,
        subscriptions_left_out=len(subscriptions) - len(shown),
    )


def _span(run: Loaded) -> tuple[int, int]:
    """When the load began (else the first record), and the last thing that happened to a message or by a fault."""
    row = run.db.execute(
        "SELECT coalesce(min(at_ns) FILTER (event = 'mark' AND name = 'load-started'), min(at_ns)), "
        "max(at_ns) FILTER (event IN ('intended', 'sent', 'received', 'effect', 'settled', 'dead', 'fault') "
        "                   OR name = 'load-stopped'), max(at_ns) FROM raw"
    ).fetchone()
    assert row is not None
    start_ns, end_ns, last_ns = row
    if start_ns is None:
        return 0, NS_PER_S
    return start_ns, max(end_ns or last_ns, start_ns + NS_PER_S)


def bucket_s(length_s: float) -> float:
    """The shortest of 0.5, 1, 2, 5, 10, … seconds of which there are not too many."""
    size, steps = _BUCKET_LEAST_S, (2.0, 2.0, 2.5)
    turn = 0
    while length_s / size > _BUCKETS_MOST:
        size *= steps[turn % 3]
        turn += 1
    return size


class _Buckets:
    """Counts by bucket, as lists as long as the timeline."""

    def __init__(self, run: Loaded, start_ns: int, end_ns: int) -> None:
        self.run = run
        self.start_ns = start_ns
        self.size_s = bucket_s((end_ns - start_ns) / NS_PER_S)
        self.size_ns = round(self.size_s * NS_PER_S)
        self.count = (end_ns - start_ns) // self.size_ns + 1

    def of(self, moment: str) -> str:
        """The SQL of the bucket of a time. What was before the load began stands in the first."""
        return f"least({self.count - 1}, greatest(0, ({moment} - {self.start_ns}) // {self.size_ns}))::INTEGER"

    def values(self, rows: Sequence[tuple[int, float | None]], empty: float | None = 0.0) -> list[float | None]:
        line: list[float | None] = [empty] * self.count
        for bucket, value in rows:
            line[bucket] = value
        return line

    def by_name(
        self, query: str, parameters: Sequence[object] = (), empty: float | None = 0.0
    ) -> dict[str, list[float | None]]:
        """Of a query that gives (name, bucket, value)."""
        rows: dict[str, list[tuple[int, float | None]]] = {}
        for name, bucket, value in self.run.db.execute(query, list(parameters)).fetchall():
            rows.setdefault(name, []).append((bucket, value))
        return {name: self.values(told, empty) for name, told in rows.items()}

    def rate(self, values: Sequence[float | None]) -> list[float | None]:
        """Counts by bucket as a number a second."""
        return [None if value is None else value / self.size_s for value in values]


def _timeline(run: Loaded, start_ns: int, end_ns: int, subscriptions: Sequence[str]) -> Timeline:
    buckets = _Buckets(run, start_ns, end_ns)
    many = len(subscriptions) > 1
    receives = _received(buckets)
    panels = [
        _rates(buckets, receives, subscriptions),
        *_lags(buckets, subscriptions, many),
        _backlog(buckets, subscriptions),
        Panel(
            name="redeliveries",
            title="Redeliveries",
            unit="",
            series=[Series(name=s, values=receives[s][1]) for s in subscriptions if s in receives]
            or [Series(name="none", values=buckets.values([]))],
            note="received again, early or not",
            bars=True,
        ),
        _effects(buckets),
    ]
    return Timeline(
        started_ns=start_ns,
        length_s=(end_ns - start_ns) / NS_PER_S,
        bucket_s=buckets.size_s,
        panels=panels,
        found=_found(buckets),
    )


def _received(buckets: _Buckets) -> dict[str, tuple[list[float | None], list[float | None]]]:
    """By subscription: all receives, and those of a message that had been received before."""
    rows = buckets.run.db.execute(
        f"SELECT x.s, {buckets.of('x.at_ns')} AS bucket, count(*), count(*) FILTER (x.line <> p.first.line) "
        "FROM rx x JOIN pairs p ON p.s = x.s AND p.id = x.id GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    found: dict[str, tuple[list[float | None], list[float | None]]] = {}
    for s, bucket, receives, again in rows:
        lines = found.setdefault(s, (buckets.values([]), buckets.values([])))
        lines[0][bucket], lines[1][bucket] = receives, again
    return found


def _rates(
    buckets: _Buckets, receives: Mapping[str, tuple[list[float | None], list[float | None]]], s: Sequence[str]
) -> Panel:
    scheduled = buckets.by_name(
        f"SELECT 'scheduled', {buckets.of('due_ns')} AS bucket, count(*) FROM messages WHERE due_ns IS NOT NULL "
        "AND intended_ns IS NOT NULL GROUP BY ALL"
    )
    sent = buckets.by_name(
        "SELECT CASE WHEN outcome = 'ok' THEN 'sent' ELSE 'not accepted' END AS kind, "
        f"{buckets.of('at_ns')} AS bucket, count(*) FROM raw WHERE event = 'sent' GROUP BY ALL ORDER BY ALL"
    )
    lines = dict(scheduled)
    lines |= {name: sent[name] for name in ("sent", "not accepted") if name in sent}
    for name in s:
        if name in receives:
            lines[f"received ({name})" if len(s) > 1 else "received"] = receives[name][0]
    return Panel(
        name="rate",
        title="Rate",
        unit="/s",
        series=[Series(name=name, values=buckets.rate(values)) for name, values in lines.items()],
        note="messages due, accepted by the service, and received, each second",
    )


def _lags(buckets: _Buckets, subscriptions: Sequence[str], many: bool) -> list[Panel]:
    """One panel for each subscription."""
    panels = []
    for s in subscriptions:
        rows = buckets.run.db.execute(
            f"SELECT {buckets.of('due_ns')} AS bucket, quantile_disc(greatest(first.at_ns - due_ns, 0), [0.5, 0.99]), "
            "max(greatest(first.at_ns - due_ns, 0)) "
            "FROM pairs WHERE s = ? AND received AND due_ns IS NOT NULL GROUP BY bucket ORDER BY bucket",
            [s],
        ).fetchall()
        if rows:
            lines = {
                "p50": [(bucket, found[0] / NS_PER_S) for bucket, found, _ in rows],
                "p99": [(bucket, found[1] / NS_PER_S) for bucket, found, _ in rows],
                "max": [(bucket, most / NS_PER_S) for bucket, _, most in rows],
            }
            panels.append(
                Panel(
                    name=f"lag-{s}",
                    title=f"Lag of {s}" if many else "Lag",
                    unit="s",
                    series=[Series(name=name, values=buckets.values(told, empty=None)) for name, told in lines.items()],
                    note="from due to received, by when the message was due",
                )
            )
    return panels


def _backlog(buckets: _Buckets, subscriptions: Sequence[str]) -> Panel:
    """What was accepted and had not left yet. A message leaves a queue by its delete, or by its death; a stream, where
    nothing is deleted, when it is received."""
    moved = buckets.by_name(
        f"SELECT s, {buckets.of('at_ns')} AS bucket, sum(n)::BIGINT FROM ("
        "SELECT s, least(coalesce(sent.ended.ns, intended_ns), first.at_ns) AS at_ns, 1 AS n "
        "FROM pairs WHERE acked AND expected "
        "UNION ALL "
        "SELECT s, CASE WHEN kind = 'stream' THEN first.at_ns WHEN deleted THEN first_delete.at_ns "
        "WHEN dead THEN last.at_ns END, -1 FROM pairs WHERE acked AND expected"
        ") WHERE at_ns IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    series = []
    for s in subscriptions:
        total, line = 0.0, []
        for change in moved.get(s, buckets.values([])):
            total += change or 0.0
            line.append(max(0.0, total))
        series.append(Series(name=s, values=line))
    return Panel(
        name="backlog",
        title="Backlog",
        unit="",
        series=series,
        note="accepted, and not yet deleted nor dead (of a stream: not yet received)",
    )


def _effects(buckets: _Buckets) -> Panel:
    lines = buckets.by_name(
        f"SELECT outcome, {buckets.of('at_ns')} AS bucket, count(*) FROM effect_records "
        "WHERE outcome IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    order = [name for name in ("applied", "skipped", "failed") if name in lines]
    return Panel(
        name="effects",
        title="Effects",
        unit="/s",
        series=[Series(name=name, values=buckets.rate(lines[name])) for name in order],
        note="what the handlers did, each second; skipped: a guard found it done",
    )


def _found(buckets: _Buckets) -> dict[str, list[tuple[int, int]]]:
    """When each anomaly that is not legal was met first, as far as its rows tell a record or a message."""
    illegal = [name for name, check in CHECKS.items() if not check.legal]
    rows = buckets.run.db.execute(
        f"SELECT anomaly, {buckets.of('at_ns')} AS bucket, sum(n)::BIGINT FROM ("
        "SELECT f.anomaly, f.n, coalesce(r.at_ns, m.due_ns, m.intended_ns) AS at_ns "
        "FROM found f LEFT JOIN raw r ON r.line = f.line LEFT JOIN messages m ON m.id = f.id "
        f"WHERE f.n > 0 AND f.anomaly IN ({', '.join('?' * len(illegal))})"
        ") WHERE at_ns IS NOT NULL GROUP BY ALL ORDER BY ALL",
        illegal,
    ).fetchall()
    found: dict[str, list[tuple[int, int]]] = {}
    for anomaly, bucket, count in rows:
        found.setdefault(anomaly, []).append((bucket, count))
    return found


def _faults(run: Loaded, start_ns: int) -> list[Fault]:
    rows = run.db.execute(
        # By the name that the judge has for it, too.
        "SELECT fault || ' ' || coalesce(instance, ''), fault, label, targets, start_ns, stop_ns, fired, "
        "coalesce(unproven, false) FROM faults ORDER BY start_ns, 1"
    ).fetchall()
    return [
        Fault(
            number=number,
            name=name or "",
            fault=fault or "fault",
            label=label or "",
            targets=tuple(targets or ()),
            start_s=(start - start_ns) / NS_PER_S,
            stop_s=None if stop is None else (stop - start_ns) / NS_PER_S,
            fired=fired,
            unproven=unproven,
        )
        for number, (name, fault, label, targets, start, stop, fired, unproven) in enumerate(rows, start=1)
    ]


# Latency around faults


def spans(faults: Sequence[Fault], end_s: float) -> list[tuple[float, float, float, float]]:
    """Of each fault four moments in seconds: since when is before, its start, its stop, until when is after.

    Before: since the last other fault was over, or since the load began. After: until the next one begins. Where
    another one is on at the start or the stop, there is no before or no after: the two moments are one.
    """
    found = []
    for fault in faults:
        stop_s = end_s if fault.stop_s is None else fault.stop_s
        others = [(o.start_s, end_s if o.stop_s is None else o.stop_s) for o in faults if o is not fault]
        since_s = max((min(stop, fault.start_s) for start, stop in others if start <= fault.start_s), default=0.0)
        on = any(start <= stop_s < stop for start, stop in others)
        until_s = stop_s if on else min((start for start, _ in others if start > stop_s), default=end_s)
        found.append((max(0.0, since_s), fault.start_s, stop_s, max(stop_s, until_s)))
    return found


def _latencies(
    run: Loaded, faults: Sequence[Fault], start_ns: int, end_ns: int, subscriptions: Sequence[str]
) -> list[FaultLatency]:
    if not faults:
        return []
    run.db.execute("CREATE OR REPLACE TEMP TABLE phases (number INTEGER, phase INTEGER, from_ns BIGINT, to_ns BIGINT)")
    rows = []
    for fault, moments in zip(faults, spans(faults, (end_ns - start_ns) / NS_PER_S), strict=True):
        edges = [start_ns + round(moment * NS_PER_S) for moment in moments]
        rows += [(fault.number, phase, begin, end) for phase, (begin, end) in enumerate(pairwise(edges))]
    run.db.executemany("INSERT INTO phases VALUES (?, ?, ?, ?)", rows)
    found = run.db.execute(
        "SELECT p.s, f.number, f.phase, count(lag_ns), count(*) - count(lag_ns), "
        "quantile_disc(lag_ns, [0.5, 0.9, 0.99]), max(lag_ns) "
        "FROM (SELECT s, due_ns, CASE WHEN received THEN greatest(first.at_ns - due_ns, 0) END AS lag_ns FROM pairs "
        "      WHERE expected AND (acked OR received) AND NOT dead AND due_ns IS NOT NULL) p "
        "JOIN phases f ON p.due_ns >= f.from_ns AND p.due_ns < f.to_ns GROUP BY ALL"
    ).fetchall()
    by_phase: dict[tuple[str, int, int], Latency] = {}
    for s, number, phase, count, missing, quantiles, most in found:
        p50, p90, p99, top = [value / NS_PER_S for value in (*quantiles, most)] if count else [None] * 4
        by_phase[s, number, phase] = Latency(count=count, missing=missing, p50_s=p50, p90_s=p90, p99_s=p99, max_s=top)
    nothing = Latency(count=0, missing=0)
    return [
        FaultLatency(
            fault=fault.number,
            s=s,
            before=by_phase.get((s, fault.number, 0), nothing),
            during=by_phase.get((s, fault.number, 1), nothing),
            after=by_phase.get((s, fault.number, 2), nothing),
        )
        for fault in faults
        for s in subscriptions
    ]


# Order


def _orders(run: Loaded) -> tuple[list[OrderPicture], int]:
    """The groups in which most was violated, and in how many anything was."""
    run.db.execute(
        "CREATE OR REPLACE TEMP TABLE disordered AS "
        "SELECT p.s, p.grp, f.anomaly, f.id, f.other, f.n FROM found f "
        "JOIN pairs p ON p.id = f.id AND (f.s IS NULL OR p.s = f.s) "
        f"WHERE f.n > 0 AND p.grp IS NOT NULL AND p.received AND f.anomaly IN ({', '.join('?' * len(_OF_ORDER))})",
        list(_OF_ORDER),
    )
    groups = run.db.execute("SELECT s, grp FROM disordered GROUP BY s, grp ORDER BY sum(n) DESC, s, grp").fetchall()
    return [_order(run, s, group) for s, group in groups[:_GROUPS_MOST]], len(groups)


def _order(run: Loaded, s: str, group: str) -> OrderPicture:
    """Around the first violation: only what is shown leaves the tables, for one group may hold half of all messages."""
    found = run.db.execute(
        "SELECT anomaly, sum(n)::BIGINT FROM disordered WHERE s = ? AND grp = ? GROUP BY anomaly ORDER BY anomaly",
        [s, group],
    ).fetchall()
    what = "applied" if all(_OF_ORDER[anomaly] == "applied" for anomaly, _ in found) else "received"
    moments = (
        "SELECT id, line, at_ns FROM rx WHERE s = $s"
        if what == "received"
        else "SELECT id, line, at_ns FROM effect_records WHERE s = $s AND outcome = 'applied'"
    )
    run.db.execute(
        "CREATE OR REPLACE TEMP TABLE places_in_group AS "
        "WITH members AS ("
        # The order of one producer is its seq; where several wrote to the group, the order in which they meant to.
        "  SELECT id, row_number() OVER (ORDER BY CASE WHEN least_producer = greatest_producer THEN seq END, "
        "                                intended_ns, id) AS sent "
        "  FROM (SELECT id, sent.seq AS seq, intended_ns, min(sent.producer) OVER () AS least_producer, "
        "               max(sent.producer) OVER () AS greatest_producer "
        "        FROM pairs WHERE s = $s AND grp = $g)"
        "), counted AS (SELECT DISTINCT id FROM disordered WHERE s = $s AND grp = $g"
        "), against AS (SELECT DISTINCT other AS id FROM disordered WHERE s = $s AND grp = $g AND other IS NOT NULL) "
        "SELECT m.id, m.sent, row_number() OVER (ORDER BY x.at_ns, x.line) AS received, "
        "row_number() OVER (PARTITION BY m.id ORDER BY x.at_ns, x.line) > 1 AS again, "
        "CASE WHEN c.id IS NOT NULL THEN 'broken' WHEN a.id IS NOT NULL THEN 'other' ELSE '' END AS mark "
        f"FROM members m JOIN ({moments}) x ON x.id = m.id "
        "LEFT JOIN counted c ON c.id = m.id LEFT JOIN against a ON a.id = m.id",
        {"s": s, "g": group},
    )
    row = run.db.execute(
        "SELECT count(*), coalesce(min(received) FILTER (mark = 'broken'), 1) FROM places_in_group"
    ).fetchone()
    assert row is not None
    total, first = row
    begin = max(1, first - _ORDER_BEFORE) if total > _ORDER_POINTS_MOST else 1
    rows = run.db.execute(
        "SELECT id, sent, received, again, mark FROM places_in_group WHERE received BETWEEN ? AND ? ORDER BY received",
        [begin, begin + _ORDER_POINTS_MOST - 1],
    ).fetchall()
    return OrderPicture(
        s=s,
        group=group,
        anomalies=dict(found),
        what=what,
        points=[
            OrderPoint(id=id, sent=sent, received=received, again=again, mark=mark)
            for id, sent, received, again, mark in rows
        ],
        left_out=total - len(rows),
    )
