"""A Grafana to write to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboards.fake_grafana import FakeGrafana


@pytest.fixture
def server() -> Iterator[FakeGrafana]:
    server = FakeGrafana()
    yield server
    server.end()
    assert server.wrong == [], "calls that the reference does not have"
