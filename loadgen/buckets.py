"""How finely Locust keeps the response times that its percentiles are told from.

Locust rounds them to two digits, up to 5 % from the truth and more below 10 ms. It promises 1 % at most, from 1 ms on,
with 175 different times for each power of ten, so that what a worker tells the master stays small.
"""

from __future__ import annotations

import math

_LEAST_MS = 1.0


def bucket(response_time: float) -> float:
    """The time, in ms, that it is counted as. Below 1 ms to the hundredth of one."""
    if response_time < _LEAST_MS:
        return round(max(response_time, 0.0), 2)
    power = math.floor(math.log10(response_time))
    unit = 10.0**power
    step = unit * (0.02 if response_time < 2 * unit else 0.04 if response_time < 5 * unit else 0.1)
    # Rounded again, for the product of two fractions is no short number.
    found = round(round(response_time / step) * step, 2)
    return int(found) if found >= 100 else found
