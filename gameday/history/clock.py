"""One clock for all processes of a machine.

The conductor reads the epoch once and hands (epoch, monotonic) to every process; a time is that epoch plus what the
monotonic clock has moved since. No step of the wall clock moves it, and CLOCK_MONOTONIC is one per machine, so records
of different processes compare exactly. Processes of another host have a pair of their own, with that host's monotonic
clock: how it is found, and how far it may be off, is told in gameday/processes/clock_sync.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

NS_PER_S = 1_000_000_000
# What a record or a manifest may say. Beyond TIME_MAX (the year 2116) no sum of two times fits a machine integer.
TIME_MAX = 2**62
SECONDS_MAX = 1e9
# How far a host's clock may be told to be off (9 years), and what stands for "nobody knows" (36 years): with twice that
# on top no time overflows a machine integer.
ERROR_MAX = 2**58
ERROR_UNKNOWN = 2**60
# How fast the clocks of two hosts may drift apart, in millionths. The rate of CLOCK_MONOTONIC is adjusted by NTP: the
# kernel allows MAXFREQ, 500 ppm (include/linux/timex.h), and ntpd slews by no more than that, so that two differ by
# twice as much. Oscillators alone are far better, 100 ppm at worst. Only chrony may slew faster, while it corrects a
# large offset (maxslewrate).
DRIFT_PPM = 1000
# 2001-01-01. A time of a run is later; what is not was written in another unit.
TIME_MIN = 978_307_200 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Clock:
    """`epoch_ns` and `monotonic_ns` were read at the same moment."""

    epoch_ns: int
    monotonic_ns: int

    @classmethod
    def start(cls) -> Clock:
        return cls(epoch_ns=time.time_ns(), monotonic_ns=time.monotonic_ns())

    @classmethod
    def parse(cls, text: str) -> Clock:
        """Read what `str(clock)` wrote: two integers and a colon."""
        epoch, _, monotonic = text.partition(":")
        return cls(epoch_ns=int(epoch), monotonic_ns=int(monotonic))

    def __str__(self) -> str:
        return f"{self.epoch_ns}:{self.monotonic_ns}"

    def now_ns(self) -> int:
        return self.epoch_ns + time.monotonic_ns() - self.monotonic_ns


def drift_ns(passed_ns: int) -> int:
    """How far two hosts' clocks may have drifted apart in that time, rounded up. A time before zero is none."""
    return -(-max(0, passed_ns) * DRIFT_PPM // 1_000_000)
