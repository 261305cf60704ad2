"""The load as a whole: hands out the lanes, keeps the common start, sums up, and speaks with the conductor.

It lives in Locust's local runner or in its master. It promises that the load starts for all users at one moment, when
all of them stand by; that `done` is reported once, after every sending process has closed its history file; and that
a sending process which vanished ends the load with an exit code that says so.

Where the sending processes are on other hosts one may vanish: that is reported as `lost`, the others go on, and what
it had to send and did not tell of counts as missed. Then Locust's master also carries letters between the conductor
and the hosts (gameday/processes/remote.py), answers who asks for the time, and lives until the conductor says `end`:

    {"do": "letter", "node": …, "letter": {…}}   to that host; what a host sends is {"report": "letter", …} likewise
    {"do": "lost", "writer": …}                  the sending process with that history file has ended
    {"do": "end"}

With a conductor (standard input is a pipe) start and stop come from there, as told in gameday/processes/control.py; the
end of its input stops the load. Without one the load starts by itself, and ends with an exit code above 0 when nothing
was sent.

Other user classes may run beside ours. How many users of our class there are is Locust's to decide (`--users`,
weights, `fixed_count`), so lanes are handed out when it has spawned them all: a lane without a user would never send.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import gevent
import orjson
from gevent.event import AsyncResult, Event
from gevent.socket import wait_read

from gameday.history.clock import Clock
from gameday.history.errors import RunError
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Tally
from gameday.loadgen.node import FINISH_WITHIN_S
from gameday.processes import proc
from gameday.processes.control import report

logger = logging.getLogger(__name__)

STDIN = 0
# Time for the start to reach every worker before the first message is due.
HEAD_START_NS = 100_000_000
_LOOK_FOR_LOST_NODES_S = 1.0


class Lead:
    """`user_class` is the name of the class whose users send; `present` tells whether a sending process, named as
    Locust names it, is still there."""

    def __init__(
        self,
        environment: Any,
        *,
        config: LoadConfig,
        user_class: str,
        conducted: bool,
        present: Callable[[str], bool],
    ) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._config = config
        self._user_class = user_class
        self._clock = Clock.parse(config.clock)
        self._conducted = conducted
        self._present = present
        # The nodes of users that ask for a lane before it is known how many lanes there are.
        self._asking: list[str] = []
        self._lanes: int | None = None
        self._handed_out = 0
        self._standing_by = 0
        self._nodes: set[str] = set()
        # Which node writes which history file.
        self._writers: dict[str, str] = {}
        self._done: set[str] = set()
        self._tally = Tally()
        self._failure: str | None = None
        self._begun = False
        self._leaving = False
        self._ready = Event()
        self._stopping = Event()
        self._news = Event()
        self._finished = Event()
        self._start: AsyncResult = AsyncResult()
        for name, listener in {
            "join": self._on_join,
            "standing-by": self._on_standing_by,
            "done": self._on_done,
            "failed": self._on_failed,
            "letter": self._on_letter,
        }.items():
            self._runner.register_message(f"gameday-{name}", listener)
        environment.events.spawning_complete.add_listener(self._on_spawned)
        if conducted:
            gevent.spawn(self._listen)

    def begin(self) -> None:
        """Locust starts its users. A second time in one process there is nothing to send."""
        if self._begun:
            logger.error("this run is over and its history is closed; start Locust again for another run")
            return
        self._begun = True
        if self._hosted:
            # Locust without a head ends with its last worker.
            self._environment.parsed_options.headless = False
        gevent.spawn(self._conduct)

    def stop(self) -> None:
        """End early: calls in flight are finished, what was not sent counts as missed."""
        self._stopping.set()
        self._answer_asking()
        self._tell("stop")

    def finish(self) -> None:
        """Stop and wait until everything is recorded and reported; Locust is going to end without being asked to."""
        self._leaving = True
        if self._begun:
            self.stop()
            if not self._finished.wait(timeout=FINISH_WITHIN_S + 5):
                self._fail("the load did not come to its end; its history may lack the last records")
                self._set_exit_code()

    def _conduct(self) -> None:
        gevent.wait([self._ready, self._stopping], count=1)
        if not self._stopping.is_set():
            if self._conducted:
                report("ready")
            else:
                self._start.set(self._clock.now_ns() + HEAD_START_NS)
            gevent.wait([self._start, self._stopping], count=1)
        if self._start.ready() and not self._stopping.is_set():
            self._tell("start", self._start.get())
        while waiting := self._nodes - self._done:
            self._news.clear()
            if self._news.wait(timeout=_LOOK_FOR_LOST_NODES_S):
                continue
            for node in waiting:
                if not self._present(node):
                    self._lose(node)
        self._report()
        self._set_exit_code()
        self._finished.set()
        if not self._leaving and not self._hosted:
            self._end_locust()

    def _lose(self, node: str) -> None:
        """What it has sent and not told stands in its history file."""
        if node in self._done:
            return
        self._done.add(node)
        self._news.set()
        if self._hosted and self._start.ready():
            report("lost", writer=self._writers[node])
        else:
            self._fail(f"the sending process {node} vanished; its history file tells how far it came")

    def _report(self) -> None:
        scheduled = self._config.schedule().total
        summary = {"scheduled": scheduled, **asdict(self._tally), "missed": scheduled - self._tally.intended}
        if self._conducted:
            report("done", **summary)
        logger.info("load done: %s", ", ".join(f"{count} {name}" for name, count in summary.items()))

    def _set_exit_code(self) -> None:
        if self._failure is None and not self._conducted and not self._tally.acked:
            # A conductor judges that itself.
            self._failure = "no message of the load was accepted"
            logger.error(self._failure)
        if self._failure is not None:
            self._environment.process_exit_code = RunError.exit_code
        elif self._conducted:
            # Failed calls are what chaos is for; without a conductor Locust's own --exit-code-on-error decides.
            self._environment.process_exit_code = 0

    def _end_locust(self) -> None:
        options = self._environment.parsed_options
        headless = options is None or options.headless
        told = self._environment.shape_class is not None or (options is not None and options.run_time)
        if self._failure is None and self._others() and (told or not headless):
            logger.info("the other users go on until %s", "their time is over" if told else "somebody stops them")
        elif headless:
            self._runner.quit()
        else:
            self._runner.stop()

    def _end(self) -> None:
        self.finish()
        self._runner.quit()

    def _others(self) -> list[str]:
        """The other user classes that have users."""
        counts = self._runner.target_user_classes_count
        return [name for name, count in counts.items() if count and name != self._user_class]

    def _fail(self, why: str) -> None:
        self._failure = why
        logger.error(why)
        if self._conducted:
            report("failed", why=why)

    @property
    def _hosted(self) -> bool:
        """Whether the sending processes are on other hosts."""
        return self._config.patience_s is not None

    def _tell(self, name: str, data: object = None, node: str | None = None) -> None:
        self._runner.send_message(f"gameday-{name}", data, node)

    def _on_spawned(self, **_: object) -> None:
        """All users are there, or on their way. Whoever comes later has nothing to send: the lanes are drawn once."""
        if not self._begun or self._lanes is not None:
            return
        lanes = self._runner.target_user_classes_count.get(self._user_class, 0)
        if not lanes and self._environment.shape_class is not None:
            # It may want more users yet, and some of them may be ours.
            return
        self._lanes = lanes
        if not lanes:
            users = ", ".join(f"{count} {name}" for name, count in self._runner.target_user_classes_count.items())
            self._fail(f"no {self._user_class} was started ({users}), so nothing can be sent; raise --users")
            self.stop()
        else:
            self._config = replace(self._config, users=lanes)
            if lanes > self._config.groups and (self._config.own is None or self._config.own.group is None):
                logger.warning(
                    "%d users but %d groups: a group belongs to one user, so some users have nothing to send",
                    lanes,
                    self._config.groups,
                )
        self._answer_asking()

    def _answer_asking(self) -> None:
        while self._asking:
            self._hand_out(self._asking.pop(0))

    def _on_letter(self, msg: Any, **_: object) -> None:
        """Answered at once: the less time that takes, the better the clock of the host is known."""
        self._tell("time", {"sent": msg.data["sent"], "there": self._clock.now_ns()}, msg.node_id)
        report("letter", node=msg.node_id, letter=msg.data)

    def _on_join(self, msg: Any, **_: object) -> None:
        self._writers[msg.node_id] = msg.data["writer"]
        if self._lanes is None and not self._stopping.is_set():
            self._asking.append(msg.node_id)
        else:
            self._hand_out(msg.node_id)

    def _hand_out(self, node: str) -> None:
        """A lane to one user of the node, or word that there is none for it."""
        number = None
        if not self._stopping.is_set() and not self._finished.is_set() and self._handed_out < (self._lanes or 0):
            number = self._handed_out
            self._handed_out += 1
            self._nodes.add(node)
        self._tell("lane", {"lane": number, "config": orjson.dumps(self._config.to_json()).decode()}, node)

    def _on_standing_by(self, **_: object) -> None:
        self._standing_by += 1
        if self._standing_by == self._lanes:
            self._ready.set()

    def _on_done(self, msg: Any, **_: object) -> None:
        if msg.node_id in self._done:
            return
        self._tally.add(Tally(**msg.data["tally"]))
        self._done.add(msg.node_id)
        self._news.set()

    def _on_failed(self, msg: Any, **_: object) -> None:
        self._fail(msg.data)
        self.stop()

    def _listen(self) -> None:
        """Obey the conductor until the input ends."""
        pending = b""
        while True:
            wait_read(STDIN)
            data = os.read(STDIN, 65536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._obey(line)
        logger.info("the conductor is gone: stopping")
        # The kernel has woken this process alone, if they were stopped.
        proc.signal_session(os.getpid(), signal.SIGCONT)
        self.stop()
        if self._hosted:
            self._end()

    def _obey(self, line: bytes) -> None:
        try:
            command = orjson.loads(line)
            do = command["do"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            logger.error("not a command: %r", line)
            return
        match do:
            case "start":
                self._start.set(command["at"])
            case "stop":
                self.stop()
            case "letter":
                self._tell("letter", command["letter"], command["node"])
            case "lost":
                for node in [node for node, writer in self._writers.items() if writer == command["writer"]]:
                    self._lose(node)
            case "end":
                gevent.spawn(self._end)
            case _:
                logger.error("the load knows no command %r", do)
