"""The live page: what the observer knows, drawn in a browser while the run goes on, with an operator's buttons.

It stands beside Locust's own web page and not in it: Locust knows the load alone, runs headless under the run's clock,
and does not see what consumers do. `Board` keeps what the page draws, a sample for every snapshot and bounded however
long the run is; `orders` decides whether a request may command. It promises that a page without the token can change
nothing, and neither can another site that the operator's browser has open.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import orjson

from gameday.history.clock import NS_PER_S

# In the run directory, what the observer is told of the run; in its environment, the token of its operator.
TOLD = "observer.json"
TOKEN = "GAMEDAY_OPERATOR_TOKEN"
SAMPLES_MAX = 1_200
_POINTS_MAX = 400
_BANDS_MAX = 200
HTML = files("gameday.watch").joinpath("page.html").read_bytes()
# The page runs its own script and asks its own server, and nobody may show it inside another page.
HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the observer is told of the run besides its history, as JSON.

    `against`: of each claim, by its key, the anomalies that speak against it; `bounds`: its bounds in seconds.
    `faults`: the entries of `chaos`, each with its name and what the scenario says of it. `operator`: whether there is
    one.
    """

    against: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bounds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    faults: Sequence[Mapping[str, str]] = ()
    operator: bool = False

    @classmethod
    def read(cls, text: str) -> Told:
        return cls(**orjson.loads(text)) if text else cls()

    def __str__(self) -> str:
        return orjson.dumps(self).decode()


@dataclass(kw_only=True, slots=True)
class _Band:
    fault: str
    instance: str
    start_s: float
    stop_s: float | None = None


class Board:
    """Feed it with `sample`, twice a second; `state` is what the page asks for."""

    def __init__(self, told: Told, *, run: str, target: str | None) -> None:
        self._told = told
        self._run = run
        self._target = target
        self._first_ns: int | None = None
        self._samples: deque[dict[str, Any]] = deque(maxlen=SAMPLES_MAX)
        self._bands: dict[str, _Band] = {}
        self._latest: Mapping[str, Any] = {}
        self._at_work: Mapping[str, Sequence[str]] = {}

    def sample(self, snapshot: Mapping[str, Any], at_work: Mapping[str, Iterable[str]]) -> None:
        """`snapshot`: see gameday/watch/live.py. `at_work`: of each fault the instances that strike now."""
        self._latest, self._at_work = snapshot, {fault: list(those) for fault, those in at_work.items()}
        at_ns = snapshot["at"]
        if not at_ns:
            return
        if self._first_ns is None:
            self._first_ns = at_ns
        at_s = (at_ns - self._first_ns) / NS_PER_S
        if self._samples and at_s <= self._samples[-1]["at_s"]:
            self._samples.pop()
        subscriptions = snapshot["subscriptions"]
        self._samples.append(
            {
                "at_s": round(at_s, 2),
                "scheduled_per_s": snapshot["scheduled_per_s"],
                "acked_per_s": snapshot["acked_per_s"],
                "received_per_s": {name: sub["received_per_s"] for name, sub in subscriptions.items()},
                "backlog": {name: sub["backlog"] for name, sub in subscriptions.items()},
                "lag_p99_s": {name: (sub["latency_s"] or {}).get("p99") for name, sub in subscriptions.items()},
            }
        )
        self._note_bands(at_s)

    def _note_bands(self, at_s: float) -> None:
        now = {instance: fault for fault, those in self._at_work.items() for instance in those}
        for instance, fault in now.items():
            self._bands.setdefault(instance, _Band(fault=fault, instance=instance, start_s=at_s))
        for band in self._bands.values():
            if band.instance not in now and band.stop_s is None:
                band.stop_s = at_s
        while len(self._bands) > _BANDS_MAX:
            del self._bands[next(iter(self._bands))]

    def _seconds(self, at_ns: int) -> float | None:
        """Since the first record."""
        return None if self._first_ns is None else (at_ns - self._first_ns) / NS_PER_S

    def state(self, notes: Iterable[Mapping[str, Any]]) -> bytes:
        """JSON. `notes`: what the run has told people, each with its `at` and `text`."""
        step = -(-len(self._samples) // _POINTS_MAX) or 1
        samples = list(self._samples)[::-1][::step][::-1]
        latest = self._latest
        counts = latest.get("counts", {})
        return orjson.dumps(
            {
                "run": self._run,
                "target": self._target,
                "phase": latest.get("phase", "starting"),
                "latest": latest,
                "claims": [
                    {
                        "key": key,
                        "bounds": self._told.bounds.get(key, {}),
                        "against": {name: counts[name] for name in names if counts.get(name)},
                        "counted": [name for name in names if name in counts],
                    }
                    for key, names in self._told.against.items()
                ],
                "samples": samples,
                "bands": list(self._bands.values()),
                "faults": [{**entry, "at_work": self._at_work.get(entry["fault"], [])} for entry in self._told.faults],
                "notes": [{"at_s": self._seconds(note["at"]), "text": note["text"]} for note in notes],
                "operator": self._told.operator,
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What of a request decides whether it may command. `origin` is None where a browser sends none."""

    host: str
    origin: str | None
    authorization: str
    content_type: str
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: str
    text: str
    order: Mapping[str, Any] | None = None


def orders(request: Request, *, token: str | None, hosts: Sequence[str]) -> Answer:
    """Whether it may command, and the order that it is.

    A foreign site cannot read the token, cannot set these headers without asking first (which nobody answers), and is
    refused by its origin besides; a name that was made to point here is refused by its host.
    """
    if token is None:
        return Answer(status="403 Forbidden", text="this run has no operator; start it with --operator")
    if request.host not in hosts:
        return Answer(status="403 Forbidden", text=f"asked for as {request.host!r}, which is not this server")
    if request.origin is not None and request.origin not in {f"http://{host}" for host in hosts}:
        return Answer(status="403 Forbidden", text="asked for by a page of another site")
    given = request.authorization.removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), token.encode()):
        return Answer(status="401 Unauthorized", text="no token, or a wrong one; open the address that the run printed")
    if request.content_type.partition(";")[0].strip() != "application/json":
        return Answer(status="415 Unsupported Media Type", text="an order is application/json")
    try:
        order = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        return Answer(status="400 Bad Request", text=f"not JSON: {error}")
    match order:
        case {"do": "begin", "entry": int(entry)} if not isinstance(entry, bool):
            return Answer(status="202 Accepted", text="begun", order={"do": "begin", "entry": entry})
        case {"do": "end", "instance": str(instance)}:
            return Answer(status="202 Accepted", text="ended", order={"do": "end", "instance": instance})
    return Answer(
        status="400 Bad Request",
        text='an order is {"do": "begin", "entry": NUMBER} or {"do": "end", "instance": NAME}',
    )
