"""Numbers with their unit: read as meant, and refused with what to write."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gameday.scenario import units


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.duration_s, "5s", 5.0),
        (units.duration_s, "15ms", 0.015),
        (units.duration_s, "2m", 120.0),
        (units.duration_s, "1.5 h", 5400.0),
        (units.rate_per_s, "150/s", 150.0),
        (units.rate_per_s, "90 / min", 1.5),
        (units.size_bytes, "512B", 512),
        (units.size_bytes, "2KiB", 2048),
        (units.size_bytes, "1.5KiB", 1536),
        (units.share, "10%", 0.1),
        (units.share, 0.1, 0.1),
        (units.share, "0.25", 0.25),
        (units.share, 1, 1.0),
    ],
)
def test_a_number_with_its_unit(read: Callable[[object], float], text: object, value: float) -> None:
    assert read(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (units.duration_s, 5, "5 has no unit; a duration is written like 5s, 15ms or 2m"),
        (units.duration_s, "5", "has no unit"),
        (units.duration_s, "5 parsecs", "no unit 'parsecs'"),
        (units.duration_s, "soon", "not a duration"),
        (units.duration_s, "-5s", "not a duration"),
        (units.duration_s, True, "not a duration"),
        (units.duration_s, None, "not a duration"),
        (units.rate_per_s, 150, "150 has no unit; a rate is written like 150/s or 20/min"),
        (units.rate_per_s, "150", "has no unit"),
        (units.rate_per_s, "150/fortnight", "per 'fortnight'"),
        (units.size_bytes, 512, "has no unit"),
        (units.size_bytes, "1KB", r"is 1000 bytes to some and 1024 to others; write 1KiB \(1024 bytes\) or 1000B"),
        (units.size_bytes, "1.5 kB", r"write 1.5KiB \(1536 bytes\) or 1500B"),
        (units.size_bytes, "2MB", r"write 2MiB \(2097152 bytes\) or 2000000B"),
        (units.size_bytes, "0.3B", "no whole number of bytes"),
        (units.share, "110%", "between 0 and 1"),
        (units.share, 3, "between 0 and 1"),
        (units.share, True, "not a share"),
        (units.share, "some", "not a share"),
    ],
)
def test_what_to_write_instead(read: Callable[[object], float], text: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(text)


def test_a_multiple_of_something_that_has_a_name() -> None:
    assert units.multiple("1.5x visibility_timeout", ("visibility_timeout",)) == 1.5
    assert units.multiple("8s", ("visibility_timeout",)) is None
    with pytest.raises(ValueError, match="nothing here is called 'visibility_timout'; known are visibility_timeout"):
        units.multiple("1.5x visibility_timout", ("visibility_timeout",))


@pytest.mark.parametrize("seconds", [0.0, 0.015, 5.0, 1e-6, 43200.0])
def test_what_is_written_back_is_read_again(seconds: float) -> None:
    assert units.duration_s(units.format_duration(seconds)) == pytest.approx(seconds)
