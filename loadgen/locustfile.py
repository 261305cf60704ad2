"""What Locust loads: `locust -f loadgen/locustfile.py`, alone, with `--processes N`, as `--master` or as `--worker`.

The conductor starts it headless with `GAMEDAY_LOAD` naming a LoadConfig; so may anybody. What is sent is the
configuration's business, and so is the number of users, unless `--users` says otherwise; they end by themselves.

Other locustfiles may be named beside it (`-f loadgen/locustfile.py,web.py`). Locust then shares its users among the
classes as always; the rate is the schedule's, however many of them are ours. The run ends with the load, unless
`--run-time` or a load shape says how long, or somebody watches in the browser: then the other users go on.

In the statistics each API call is a request under its own name. `due to accepted` times each accepted message from
the moment it was due, so that a broker which makes the load wait does not look fast; it is a row of its own and not
counted among the requests, which have carried these messages already.

Locust prints its own `--help` before it has read any locustfile; `--gameday-help` prints it with our options.

Locust looks for modules in the current directory first. What is imported here is ours and the libraries' all the same,
whatever stands there; other locustfiles find what they did.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import signal
import socket
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Any, get_args

import gevent
import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
from locust import User, events, runners, stats
from locust.exception import StopUser
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

_theirs = {str(Path(place).absolute()) for place in (".", *os.environ.get("PYTHONPATH", "").split(os.pathsep))}
_path = sys.path[:]
sys.path.sort(key=lambda place: str(Path(place).absolute()) in _theirs)
sys.path.insert(
    0, str(next(place for place in Path(__file__).resolve().parents if (place / "gameday/cli.py").exists()))
)

from gameday.history.errors import UsageError
from gameday.loadgen.buckets import bucket
from gameday.loadgen.config import Here, LoadConfig
from gameday.loadgen.lanes import NS_PER_MS
from gameday.loadgen.lead import STDIN, Lead
from gameday.loadgen.node import Node
from gameday.loadgen.sender import Sample
from gameday.processes.control import continue_when_orphaned, die_with_parent
from gameday.transports.endpoint import CarrierName

# Locust takes out again what it put in front.
sys.path[:] = _path

_LOOPBACK = "127.0.0.1"
_SPAWN_RATE_MAX = 100
_WORKERS_END_WITHIN_S = 10
_lead: Lead | None = None
_node: Node | None = None


def send(user: Any) -> None:
    """The only task: a user's whole life, after which the user is gone."""
    assert _node is not None, "`init` made it"
    _node.live()
    raise StopUser


class GamedayUser(User):  # type: ignore[misc]  # Locust ships no types
    """One lane of the schedule: one call at a time, its groups are nobody else's."""

    tasks = [send]  # noqa: RUF012  # Locust's own way to name tasks


def _arguments(parser: Any) -> None:
    # Locust calls this before it forks, so that what is decided here holds for its workers too.
    if any(argument.split("=")[0] == "--processes" for argument in sys.argv):
        _keep_to_ourselves(parser)
    # Locust's web page shows the parser's own arguments to everyone who may open it, but not those of a group.
    group = parser.add_argument_group("gameday", "The fixed-rate load of loadgen/locustfile.py")
    group.add_argument("--gameday-help", action="help", help="this help; Locust's own does not know these options")
    group.add_argument(
        "--gameday-load",
        metavar="FILE",
        env_var="GAMEDAY_LOAD",
        default="",
        help="the load's configuration, a JSON file that `gameday run` writes as load.json into its run directory",
    )
    group.add_argument(
        "--gameday-queue-url",
        metavar="URL",
        default="",
        help="without a configuration: the SQS queue to send to; the history goes to runs/locust-TIME",
    )
    group.add_argument("--gameday-here", metavar="FILE", default="", help="of a worker that `gameday host` starts")
    group.add_argument("--gameday-rate", metavar="N", type=float, default=10.0, help="messages per second (10)")
    group.add_argument("--gameday-seconds", metavar="N", type=float, default=60.0, help="how long it sends (60)")
    group.add_argument(
        "--gameday-carrier",
        choices=get_args(CarrierName),
        default="fast",
        help="of a queue that is given: who carries the calls, gameday's own carrier or boto3 (fast)",
    )


def _keep_to_ourselves(parser: Any) -> None:
    """Master and workers of one command: on loopback, on a port that no other load has, and none outlives the other."""
    with socket.create_server((_LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    parser.set_defaults(master_bind_host=_LOOPBACK, master_bind_port=port, master_host=_LOOPBACK, master_port=port)
    # All of them may be stopped for a while, and the kernel tells a worker when its master has ended.
    runners.MASTER_HEARTBEAT_TIMEOUT = math.inf
    os.register_at_fork(after_in_child=lambda: die_with_parent(signal.SIGTERM))


def _init(environment: Any, **_: object) -> None:
    global _lead, _node
    runner, options = environment.runner, environment.parsed_options
    if isinstance(runner, WorkerRunner):
        _node = _worker(environment, runner, options)
        return
    chosen = GamedayUser in environment.user_classes
    if not chosen and not (options.gameday_load or options.gameday_queue_url):
        # Other users were chosen by name, and nobody asks for ours.
        return
    config = _config(options, chosen=chosen)
    # The conductor always writes a configuration.
    conducted = bool(options.gameday_load) and _is_pipe(STDIN)
    if conducted:
        continue_when_orphaned()
    if options.num_users is None:
        options.num_users = config.users
    if options.spawn_rate is None:
        options.spawn_rate = min(options.num_users, _SPAWN_RATE_MAX)
    distributed = isinstance(runner, MasterRunner)
    if config.patience_s is not None:
        runners.HEARTBEAT_LIVENESS = math.ceil(config.patience_s / runners.HEARTBEAT_INTERVAL)
    if options.processes:
        atexit.register(_outlive_workers)
    _lead = Lead(
        environment,
        config=config,
        user_class=GamedayUser.__name__,
        conducted=conducted,
        present=(lambda node: node in runner.clients and runner.clients[node].state != STATE_MISSING)
        if distributed
        else (lambda node: True),
    )
    if not distributed:
        _node = Node(runner, writer=lambda: "load", count=_count(environment))


def _worker(environment: Any, runner: Any, options: Any) -> Node:
    report = partial(_report_counted, environment, runner)
    if not options.gameday_here:
        return Node(runner, writer=lambda: f"load-{runner.worker_index}", count=_count(environment), before_done=report)
    try:
        here = Here.load(Path(options.gameday_here))
    except UsageError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    # `gameday host` is killed, too.
    die_with_parent(signal.SIGTERM)
    runners.MASTER_HEARTBEAT_TIMEOUT = math.ceil(here.patience_s)
    return Node(runner, writer=lambda: here.writer, count=_count(environment), told=here.told, before_done=report)


def _report_counted(environment: Any, runner: Any) -> None:
    """What was counted since the last report. Locust's master waits half a second for its workers' last one, which is
    short on a busy machine."""
    data: dict[str, Any] = {}
    environment.events.report_to_master.fire(client_id=runner.client_id, data=data)
    runner.send_message("stats", data)


def _test_start(environment: Any, **_: object) -> None:
    # In the browser the classes are chosen for each test.
    if _lead is not None and GamedayUser in environment.user_classes:
        _lead.begin()
    # Ctrl-C would strike whichever user runs, between a call and its record; so it ends the load in order instead.
    gevent.signal_handler(signal.SIGINT, environment.runner.quit)


def _test_stopping(**_: object) -> None:
    _finish()


def _quitting(**_: object) -> None:
    _finish()


def _finish() -> None:
    if _lead is not None:
        _lead.finish()
    if _node is not None:
        _node.finish()


def _outlive_workers() -> None:
    """Locust's own wait at the end takes a worker that still runs for one that is gone."""
    with gevent.Timeout(_WORKERS_END_WITHIN_S, False):
        for worker in psutil.Process().children():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)


def _config(options: Any, *, chosen: bool) -> LoadConfig:
    try:
        if not chosen:
            raise UsageError(
                f"the options say what {GamedayUser.__name__} sends, but it is not among the users that were chosen; "
                "name it, too, or leave the options out"
            )
        if options.gameday_load:
            return LoadConfig.load(Path(options.gameday_load))
        if options.gameday_queue_url:
            return LoadConfig.for_queue(
                options.gameday_queue_url,
                rate_per_s=options.gameday_rate,
                duration_s=options.gameday_seconds,
                carrier=options.gameday_carrier,
            )
        raise UsageError(
            "GAMEDAY_LOAD is not set: it names the load's configuration, which `gameday run` writes as load.json into "
            "the run directory (or give a queue with --gameday-queue-url; --gameday-help tells more)"
        )
    except UsageError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _is_pipe(descriptor: int) -> bool:
    """Whether a conductor holds the other end: a terminal, a file and /dev/null are none."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _count(environment: Any) -> Any:
    """What turns a call into Locust's statistics."""
    fire = environment.events.request.fire
    statistics = environment.stats

    def count(sample: Sample) -> None:
        failed = [outcome.error or outcome.outcome for outcome in sample.outcomes if outcome.outcome != "ok"]
        fire(
            request_type=sample.call.service,
            name=sample.call.operation,
            response_time=(sample.ended - sample.started) / NS_PER_MS,
            response_length=sample.bytes,
            exception=RuntimeError(failed[0].partition(":")[0]) if failed else None,
            context={},
        )
        # Not fired: what is fired is counted in the total, where the call stands for its messages.
        messages = statistics.get("due to accepted", "message")
        for attempt, outcome in zip(sample.attempts, sample.outcomes, strict=True):
            if outcome.outcome == "ok":
                messages.log((sample.ended - attempt.message.due) / NS_PER_MS, 0)

    return count


if stats.bucket_response_time.__module__ == stats.__name__:
    # Nobody else has chosen.
    stats.bucket_response_time = bucket
events.init_command_line_parser.add_listener(_arguments)
events.init.add_listener(_init)
events.test_start.add_listener(_test_start)
events.test_stopping.add_listener(_test_stopping)
events.quitting.add_listener(_quitting)
