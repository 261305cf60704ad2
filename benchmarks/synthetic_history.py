"""Writes a synthetic history of any size: a FIFO queue, well behaved, as a run of that many events would leave it.

For measuring `gameday verify`, and nothing else: every message is sent once, received once, applied once and deleted.
Groups are interleaved, consumers receive batches of ten, and one message in fifty is redelivered after its hold; with
`again=N` one in N is, for measuring what it costs to say why.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from pathlib import Path

import orjson

NS = 1_000_000_000
EPOCH_NS = 1_764_000_000 * NS
EVENTS_PER_MESSAGE = 7
VISIBILITY_S = 5
REDELIVERED_ONE_IN = 50

Batch = list[tuple[int, str, str, int]]


def write(
    run: Path,
    *,
    events: int,
    groups: int = 1000,
    consumers: int = 4,
    hot: bool = False,
    redelivered_one_in: int = REDELIVERED_ONE_IN,
) -> int:
    """Fill `run`, a new directory; give the number of lines. `hot`: half of all messages belong to one group;
    `redelivered_one_in`: of so many messages one is received twice."""
    messages, redeliver_every = events // EVENTS_PER_MESSAGE, 10 * redelivered_one_in
    (run / "history").mkdir(parents=True)
    manifest = {
        "schema": 1,
        "run": "synthetic",
        "seed": 1,
        "clock_error_ns": 0,
        "broker_tick_ns": 1_000_000,
        "subscriptions": {
            "orders": {
                "kind": "queue",
                "ordered_by": "group",
                "visibility_timeout_s": VISIBILITY_S,
                "max_receives": 5,
                "dead_letter": True,
                "dedup_window_s": 300,
            }
        },
        "claims": [
            {"claim": name}
            for name in ("no-loss", "no-phantom", "exactly-once-delivery", "ordered-per-group", "exactly-once-effect")
        ]
        + [{"claim": "ordered-effects"}, {"claim": "lag", "p99_s": 3}],
        "scenario": {},
    }
    (run / "manifest.json").write_bytes(orjson.dumps(manifest))
    names = [f"orders-{n}.1" for n in range(1, consumers + 1)]
    files = {name: (run / "history" / f"{name}.jsonl").open("wb", buffering=1 << 20) for name in ("load", *names)}
    lines, end = 0, EPOCH_NS

    def put(file: str, event: str, at: int, fields: str) -> None:
        nonlocal lines
        lines += 1
        files[file].write(f'{{"event":"{event}","at":{at},"by":"{file}",{fields}}}\n'.encode())

    def receive(consumer: str, due: int, members: Batch, *, round: int) -> int:
        got = due + 8_000_000
        for n, id, group, _ in members:
            put(
                consumer,
                "received",
                got,
                f'"id":"{id}","subscription":"orders","consumer":"{consumer}","batch":"{members[0][1]}-{round}",'
                f'"started":{due + 5_000_000},"broker_id":"b-{n:032x}","broker_seq":"{n + 10**19}","group":"{group}",'
                f'"receives":{round},"enqueued":{due + 3_000_000},"hidden_s":{VISIBILITY_S},"intact":true',
            )
        return got

    def handle(consumer: str, due: int, members: Batch, *, round: int) -> None:
        nonlocal end
        got = receive(consumer, due, members, round=round)
        tail = f'"subscription":"orders","consumer":"{consumer}","batch":"{members[0][1]}-{round}"'
        for k, (n, id, _, _) in enumerate(members, start=1):
            done = got + k * 100_000
            put(consumer, "effect", done, f'"id":"{id}",{tail},"started":{done - 50_000},"outcome":"applied"')
            put(consumer, "settling", done, f'"id":"{id}",{tail},"broker_id":"b-{n:032x}","action":"delete"')
        answered = got + 2_000_000
        for n, id, _, _ in members:
            put(
                consumer,
                "settled",
                answered,
                f'"id":"{id}",{tail},"broker_id":"b-{n:032x}","action":"delete","started":{answered - 900_000},'
                f'"outcome":"ok"',
            )
            effects.append(id)
        end = max(end, answered)

    conductor = (run / "history" / "conductor.jsonl").open("wb", buffering=1 << 20)
    files["conductor"] = conductor
    for name in ("load", *names):
        put("conductor", "mark", EPOCH_NS, f'"name":"writer","file":"{name}.jsonl"')
    put("conductor", "mark", EPOCH_NS, '"name":"load-started"')
    step = NS // 2000
    seqs: Counter[str] = Counter()
    effects: list[str] = []
    held: dict[str, deque[tuple[int, Batch]]] = {name: deque() for name in names}
    for batch in range(0, messages, 10):
        due = EPOCH_NS + batch * step
        ids = range(batch, min(batch + 10, messages))
        members = []
        for n in ids:
            # A batch that will be redelivered has groups of its own, so that nothing overtakes it.
            group = f"r{n}" if batch % redeliver_every == 0 else "g0" if hot and n % 2 else f"g{n * 7919 % groups}"
            seqs[group] += 1
            members.append((n, f"m-{n:09d}", group, seqs[group]))
        for _, id, group, seq in members:
            put(
                "load",
                "intended",
                due + 1000,
                f'"id":"{id}","attempt":1,"producer":"load-1","group":"{group}","seq":{seq},"due":{due},'
                f'"expect":["orders"],"bytes":512,"poison":false',
            )
        for entry, (n, id, _, _) in enumerate(members):
            put(
                "load",
                "sent",
                due + 4_000_000,
                f'"id":"{id}","attempt":1,"started":{due + 2000},"outcome":"ok","broker_id":"b-{n:032x}",'
                f'"broker_seq":"{n + 10**19}","call":"load-1-{batch}","entry":{entry}',
            )
        consumer = names[(batch // 10) % consumers]
        while held[consumer] and held[consumer][0][0] <= due:
            handle(consumer, *held[consumer].popleft(), round=2)
        if batch % redeliver_every == 0:
            receive(consumer, due, members, round=1)
            held[consumer].append((due + (VISIBILITY_S + 1) * NS + step * 20, members))
        else:
            handle(consumer, due, members, round=1)
    for consumer in names:
        for due, members in held[consumer]:
            handle(consumer, due, members, round=2)
    end += 10 * NS
    put("conductor", "mark", end, f'"name":"load-stopped","scheduled":{messages}')
    put("conductor", "mark", end + 1, '"name":"drained","subscription":"orders","empty":true')
    for name in ("load", *names):
        put(name, "mark", end + 2, '"name":"closed"')
    for id in effects:
        put("conductor", "effects", end + 3, f'"id":"{id}","subscription":"orders","applied":1')
    put("conductor", "mark", end + 4, '"name":"effects-read","subscription":"orders"')
    put("conductor", "mark", end + 5, '"name":"closed"')
    for file in files.values():
        file.close()
    return lines


if __name__ == "__main__":
    one_in = [int(told.removeprefix("again=")) for told in sys.argv[3:] if told.startswith("again=")]
    lines = write(
        Path(sys.argv[1]),
        events=int(float(sys.argv[2])),
        hot="hot" in sys.argv[3:],
        redelivered_one_in=one_in[0] if one_in else REDELIVERED_ONE_IN,
    )
    print(lines, "lines")
