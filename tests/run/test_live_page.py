"""The live page of a real run, driven in a real Chromium as an operator drives it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.chromium import chromium, serious
from tests.commanded import COMMAND, wait_until

SCENARIO = """
name: by-hand
transport: sqs
topology: {visibility_timeout: 5s, subscriptions: [{name: orders}]}
load: {shape: constant, rate: 50/s, duration: 20s, payload: 64B}
consumers: {processes: 1, concurrency: 2, guard: transaction}
chaos:
  - {at: 19s, fault: lose-delete, share: 100%}
claims: [no-loss, exactly-once-effect, {claim: lag, p99: 2s}]
"""
DEADLINE_S = 120


def address(told: Path) -> str:
    """What the run prints for its operator."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := re.search(r"http://127\.0\.0\.1:\d+/#token=[\w-]+", told.read_text())) is None:
        assert time.monotonic() < deadline, told.read_text()
        time.sleep(0.05)
    return found[0]


@pytest.mark.live
def test_counters_move_and_a_fault_is_begun_seen_and_ended(tmp_path: Path) -> None:
    (tmp_path / "by-hand.yaml").write_text(SCENARIO)
    told = tmp_path / "told"
    complaints: list[str] = []
    with chromium() as browser, told.open("wb") as file:
        run = subprocess.Popen(
            [*COMMAND, "run", "by-hand.yaml", "--target", "memory", "--out", "run", "--operator"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        try:
            url = address(told)
            page = browser.new_page()
            page.set_default_timeout(DEADLINE_S * 1_000)
            page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
            page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            ours = url.partition("#")[0]
            page.on("request", lambda asked: None if asked.url.startswith(ours) else complaints.append(asked.url))
            page.goto(url)
            assert "token" not in page.url
            accepted = page.locator("dt:text-is('accepted') + dd")
            wait_until(lambda: int(accepted.inner_text().replace(",", "")) > 20, "the counter moves", DEADLINE_S)
            page.get_by_role("button", name="begin lose-delete").click()
            page.get_by_text("● at work").wait_for()
            assert serious(page) == []
            page.get_by_role("button", name="end lose-delete-by-hand-1.1").click()
            page.get_by_text("○ not now").wait_for()
            page.get_by_text("operator: lose-delete-by-hand-1.1 is ended").wait_for()
            assert page.locator("#lag rect").count() >= 1, "the fault is a band in the chart"
            page.close()
            run.wait(DEADLINE_S)
        finally:
            run.kill()
            run.wait()
    assert complaints == []
    records = [json.loads(line) for line in (tmp_path / "run/history/conductor.jsonl").read_text().splitlines()]
    by_hand = [r["phase"] for r in records if r["event"] == "fault" and r["instance"] == "lose-delete-by-hand-1.1"]
    assert by_hand == ["start", "stop"]
