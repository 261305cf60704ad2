"""Carries out functions of ours in processes of their own, several at once: judging is work for many cores, and neither
the reader nor a database of each bucket should wait for the others.

A process gets one function and one argument, gives what the function gives or the error that it raised, and ends. All
are gone when the results are there, or when whoever asked for them stops asking.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from typing import TypeVar

from gameday.history.errors import HistoryError, UsageError

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], *, jobs: int
) -> Iterator[Result]:
    """The results in the order in which they come; `jobs`: how many processes there are at once.

    The function is one of a module, by its name. Errors: HistoryError and UsageError of the
    function; HistoryError for a process that died.
    """
    running = _Running()

    def one(argument: Argument) -> Result:
        # No module of the user's is taken for one of ours: scripts/gameday has the same care.
        command = [sys.executable, "-P", "-m", "gameday.verify.workers"]
        process = running.start(command)
        told, _ = process.communicate(pickle.dumps((function, argument)))
        if process.returncode:
            raise HistoryError(f"a process of --jobs died ({process.returncode}); fewer of them need less memory")
        result: Result | HistoryError | UsageError = pickle.loads(told)
        if isinstance(result, (HistoryError, UsageError)):
            raise result
        return result

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        waiting = [pool.submit(one, argument) for argument in arguments]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            running.stop()


class _Running:
    """The processes that were started, of which none outlives its pool."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopped = False

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise HistoryError("judging was stopped")
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._processes.append(process)
            return process

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                if process.poll() is None:
                    process.terminate()


def main() -> None:
    # Ctrl-C at the terminal comes to all of them, and is for whoever started them to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What it has made for the moment it puts away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    function, argument = pickle.load(sys.stdin.buffer)
    try:
        result = function(argument)
    except (HistoryError, UsageError) as error:
        result = (HistoryError if isinstance(error, HistoryError) else UsageError)(str(error))
    sys.stdout.buffer.write(pickle.dumps(result))


if __name__ == "__main__":
    main()
