"""What one consumer process is told: written by the conductor as JSON, read by `python -m gameday.consumers --config`.

All incarnations of all slots of a subscription share one file; only the name differs, and that is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gameday.consumers.objects import Removal
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.errors import UsageError
from gameday.history.identity import Identification
from gameday.transports.base import ENVELOPE, Addresses
from gameday.transports.endpoint import Endpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlerProgram:
    """A handler of somebody else's: the command line that starts it and where, what it finds in its environment beside
    what every program does, which event it is asked with (None: a plain message), and how long an answer may take.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    event: str | None = None
    timeout_s: float

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "cwd": str(self.cwd)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> HandlerProgram:
        return cls(**{**document, "cwd": Path(document["cwd"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingConfig:
    """How a function is invoked, as an event source mapping does it. `function`: its name in the history.

    `batch` messages at most, gathered for `window_s`; `reserved` invocations at once, and what is above is throttled
    (None: none is); `partial`: the answer may say what failed; `timeout_s`: how long an invocation may take; `filter`:
    patterns of which a message must match one, if there are any. Of a stream: `retries` more tries of what failed, and
    for no longer than `max_age_s` (None: without end); `bisect` tries halves; a shard has `parallel` invocations at
    once; `on_failure`: what is given up is on record. `direct`: a topic or a bus invokes it, message by message, and
    tries again `retry_wait_s` later.
    """

    function: str
    batch: int = 10
    window_s: float = 0.0
    reserved: int | None = None
    partial: bool = True
    timeout_s: float = 3.0
    filter: Sequence[Mapping[str, Any]] = ()
    retries: int | None = None
    max_age_s: float | None = None
    bisect: bool = False
    parallel: int = 1
    on_failure: bool = False
    direct: bool = False
    retry_wait_s: float = 0.0

    def gives_up(self, *, tries: int, enqueued: int | None, now: int) -> bool:
        """Whether what has failed so often is not tried again; `enqueued`: since when it waits (ns, None: unknown)."""
        if self.retries is not None and tries > self.retries:
            return True
        return self.max_age_s is not None and enqueued is not None and now - enqueued > self.max_age_s * NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerConfig:
    """Durations in seconds.

    `pollers` receive at the same time, each `batch` messages at most; `concurrency` bounds the handlers at work in the
    whole process. `store` is {"kind": "sqlite", "path": …} or {"kind": "dynamodb", "table": …}. `heartbeat_s` is how
    often what is in hand gets its visibility timeout anew (None: never). `guard_expiry_s` is how long a mark of the
    guard `in-progress` keeps others away; no other guard needs it.

    `on_term`: what was received and not begun when a drain begins is "release"d, "finish"ed too, or "abandon"ed, which
    leaves it to expire. `after_failure`: what comes after a message that failed in its group, in the same batch, must
    "stop" or may "continue"; "fail-batch" fails the whole batch.

    Of a stream: `checkpoint` is "after" the effects of what it covers or, wrongly, "before" them; `children` "wait"
    until their parents are read to the end or, wrongly, are read "early"; a lease that was not renewed for `lease_s`
    may be taken over; `leases` says where they are kept, like `store`.

    `callback`: the token of a workflow's task is sent back "once" or, wrongly, "twice", "never", or with the work again
    and again until it is taken ("insist").

    `identification` says how a message is told from another. `foreign_hold_s`: on what was there before the run, how
    long a message of others is kept out of sight that is received; None: there is nothing of others.
    `removal`: whether consumers fetch what references name, and when they remove it (None: there are no references);
    `objects_expire_s`: how long an object lives, where that is played. `schema`: what is asked of what is received.
    `program` is a handler of somebody else's, in place of `handler`, `guard` and `store`; with a `mapping` it is a
    function, and invoked as one.

    `metrics_host` is the address that the process serves metrics of its own at; None: it counts nothing.
    """

    run_dir: Path
    run: str
    clock: Clock
    endpoint: Endpoint
    transport: str
    addresses: Addresses
    subscription: str
    visibility_timeout_s: float
    concurrency: int = 4
    pollers: int = 1
    batch: int = 10
    wait_s: int = 1
    handler: str = "reference"
    processing_time_s: float = 0.0
    guard: str = "transaction"
    guard_expiry_s: float | None = None
    store: Mapping[str, Any] = field(default_factory=dict)
    heartbeat_s: float | None = None
    drain_timeout_s: float = 20.0
    on_term: str = "release"
    after_failure: str = "stop"
    retry_delay_s: int = 0
    retry_delay_max_s: int | None = None
    callback: str = "once"
    checkpoint: str = "after"
    children: str = "wait"
    lease_s: float = 2.0
    leases: Mapping[str, Any] = field(default_factory=dict)
    identification: Identification = ENVELOPE
    foreign_hold_s: int | None = None
    removal: Removal | None = None
    objects_expire_s: float | None = None
    schema: Mapping[str, Any] | None = None
    seed: int = 0
    program: HandlerProgram | None = None
    mapping: MappingConfig | None = None
    metrics_host: str | None = None

    @property
    def hidden_s(self) -> int:
        """The visibility timeout in force: queues take whole seconds, so provisioning rounds up."""
        return math.ceil(self.visibility_timeout_s)

    def retry_after_s(self, receives: int) -> int:
        """How long a message stays hidden that failed at its `receives`-th receive: `retry_delay_s`, and where there is
        a `retry_delay_max_s` twice as long after each receive, up to that.
        """
        if self.retry_delay_max_s is None:
            return self.retry_delay_s
        # No delay has more than 31 bits, so doubling it more often changes nothing.
        return min(self.retry_delay_max_s, self.retry_delay_s << min(max(receives, 1) - 1, 31))

    def to_json(self) -> dict[str, Any]:
        program = None if self.program is None else self.program.to_json()
        return {**asdict(self), "run_dir": str(self.run_dir), "clock": str(self.clock), "program": program}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ConsumerConfig:
        """Errors: KeyError, TypeError or ValueError for what is no such document."""
        return cls(
            **{
                **document,
                "run_dir": Path(document["run_dir"]),
                "clock": Clock.parse(document["clock"]),
                "endpoint": Endpoint.from_json(document["endpoint"]),
                "addresses": Addresses.from_json(document["addresses"]),
                "identification": Identification.from_json(document.get("identification") or {}),
                "program": HandlerProgram.from_json(document["program"]) if document["program"] else None,
                "mapping": MappingConfig(**document["mapping"]) if document.get("mapping") else None,
            }
        )

    def save(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(self.to_json(), option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, path: Path) -> ConsumerConfig:
        """Errors: UsageError when the file cannot be read or is no such document."""
        try:
            return cls.from_json(orjson.loads(path.read_bytes()))
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is no consumer configuration: {error}") from error
