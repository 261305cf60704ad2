"""The errors that a person may meet, each with the exit code that the command line ends with.

    GamedayError
    ├── UsageError          2   bad flags, bad scenario
    │   └── NotARun         2   a directory that cannot be judged: no manifest, another schema, a claim nobody knows
    ├── RunError            4   the run itself could not be done
    │   ├── TargetError     4   no endpoint, no credentials, the emulator died
    │   │   └── TargetLacks 5   the target cannot do what the scenario asks for
    │   ├── ProcessError    4   a process of ours could not start or died for good
    │   └── HistoryError    4   a record could not be written (a full disk)
    └── Interrupted       130   Ctrl-C or SIGTERM

Every message names what was wrong, where, and what to do. Nothing else may reach the user as a traceback.
"""

from __future__ import annotations


class GamedayError(Exception):
    """An error with a message fit for a person; `exit_code` is what the command ends with."""

    exit_code = 4


class UsageError(GamedayError):
    exit_code = 2


class NotARun(UsageError):
    """The directory is no run that can be judged."""


class RunError(GamedayError):
    exit_code = 4


class TargetError(RunError):
    pass


class TargetLacks(TargetError):
    """Known before the run; `gameday run` on a target that can do it is another matter."""

    exit_code = 5


class ProcessError(RunError):
    pass


class HistoryError(RunError):
    pass


class Interrupted(GamedayError):
    exit_code = 130
