"""On Spark a history has the verdict that it has judged whole, to the byte: where pyspark and Java are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.verify.spark import in_spark
from tests.verify.jobs import differing, random

# Half a gigabyte that only this needs: `make soak` on a machine that has it (docs/judging.md).
pytestmark = [pytest.mark.series, pytest.mark.soak]


def test_random_histories(tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    with in_spark() as engine:
        assert differing(random(range(20), tmp_path, retold=False), {"Spark": engine}) == []
