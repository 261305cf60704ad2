"""Carries out the checks (gameday/verify/checks/*.sql) on the tables that they read, be they of a whole run or of a
bucket of it."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from gameday.verify.load import Progress, in_a_line
from gameday.verify.registry import Check

# The rows that checks give: see gameday/verify/registry.py.
ROWS_FOUND = (
    "CREATE TABLE IF NOT EXISTS rows_found (anomaly VARCHAR, s VARCHAR, id VARCHAR, n BIGINT, note VARCHAR, "
    "other VARCHAR, other_s VARCHAR, line BIGINT, other_line BIGINT)"
)


def find(
    db: duckdb.DuckDBPyConnection, checks: Mapping[str, Check], missing: Mapping[str, str], tell: Progress
) -> dict[str, str]:
    """Run checks into the table `rows_found`. Those that could not be carried out, each with the reason.

    `missing`: the scripts that could not make their tables, each with the reason.
    """
    failed = {}
    db.execute(ROWS_FOUND)
    for name, check in checks.items():
        tell(f"checking {name}")
        try:
            db.execute(f"INSERT INTO rows_found BY NAME SELECT '{name}' AS anomaly, * FROM ({check.sql}\n)")
        except duckdb.Error as error:
            failed[name] = "; ".join([*missing.values(), in_a_line(error)])
    return failed
