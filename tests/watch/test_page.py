"""The live page: what it is told, bounded however long the run is, and who may command."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gameday.history.clock import NS_PER_S
from gameday.watch.page import HTML, SAMPLES_MAX, Board, Request, Told, orders

EPOCH = 1_700_000_000 * NS_PER_S
HOSTS = ("127.0.0.1:9000", "localhost:9000")
RIGHT: dict[str, Any] = {
    "host": "127.0.0.1:9000",
    "origin": "http://127.0.0.1:9000",
    "authorization": "Bearer secret",
    "content_type": "application/json",
    "body": b'{"do": "begin", "entry": 1}',
}
TOLD = Told(
    against={"no-loss": ["lost"], "exactly-once-effect": ["effect-duplicate", "effect-missing"]},
    bounds={"lag": {"p99_s": 2.0}},
    faults=[{"fault": "kill-consumer", "told": "pick 1"}],
    operator=True,
)


def snapshot(at_s: float, **counts: int) -> dict[str, Any]:
    return {
        "at": EPOCH + round(at_s * NS_PER_S),
        "phase": "load",
        "scheduled_per_s": 50.0,
        "acked_per_s": 49.0,
        "subscriptions": {"orders": {"received_per_s": 48.0, "backlog": 3, "latency_s": {"p99": 0.5}}},
        "counts": {"effect-duplicate": 0, "redelivery": 0, **counts},
    }


def state(board: Board) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(board.state([{"at": EPOCH + NS_PER_S, "text": "a note"}]))
    return told


def test_what_speaks_against_a_claim() -> None:
    board = Board(TOLD, run="r", target="memory")
    board.sample(snapshot(0), {})
    claims = {claim["key"]: claim for claim in state(board)["claims"]}
    assert claims["no-loss"] == {"key": "no-loss", "bounds": {}, "against": {}, "counted": []}
    assert claims["exactly-once-effect"]["counted"] == ["effect-duplicate"]
    board.sample(snapshot(1, **{"effect-duplicate": 3}), {})
    claims = {claim["key"]: claim for claim in state(board)["claims"]}
    assert claims["exactly-once-effect"]["against"] == {"effect-duplicate": 3}


def test_a_fault_is_a_band_from_its_start_to_its_stop() -> None:
    board = Board(TOLD, run="r", target=None)
    board.sample(snapshot(0), {"kill-consumer": []})
    board.sample(snapshot(1), {"kill-consumer": ["kill-consumer-1"]})
    now = state(board)
    assert now["faults"] == [{"fault": "kill-consumer", "told": "pick 1", "at_work": ["kill-consumer-1"]}]
    assert now["bands"] == [{"fault": "kill-consumer", "instance": "kill-consumer-1", "start_s": 1.0, "stop_s": None}]
    board.sample(snapshot(2.5), {"kill-consumer": []})
    assert state(board)["bands"][0]["stop_s"] == 2.5
    assert state(board)["faults"][0]["at_work"] == []


def test_notes_and_samples_count_from_the_first_record() -> None:
    board = Board(TOLD, run="r", target=None)
    assert state(board)["phase"] == "starting"
    board.sample(snapshot(0), {})
    assert state(board)["notes"] == [{"at_s": 1.0, "text": "a note"}]
    assert state(board)["samples"][0]["lag_p99_s"] == {"orders": 0.5}


def test_it_stays_bounded_and_keeps_the_latest() -> None:
    board = Board(TOLD, run="r", target=None)
    for n in range(3 * SAMPLES_MAX):
        board.sample(snapshot(n / 2), {"kill-consumer": [f"kill-consumer-{n}"]})
    told = state(board)
    assert len(told["samples"]) <= 400
    assert told["samples"][-1]["at_s"] == (3 * SAMPLES_MAX - 1) / 2
    assert len(told["bands"]) <= 200
    assert told["bands"][-1]["stop_s"] is None


def test_told_survives_its_file() -> None:
    assert Told.read(str(TOLD)) == TOLD
    assert Told.read("") == Told()


@pytest.mark.parametrize(
    "body, order",
    [
        (b'{"do": "begin", "entry": 1}', {"do": "begin", "entry": 1}),
        (b'{"do": "end", "instance": "kill-consumer-1"}', {"do": "end", "instance": "kill-consumer-1"}),
    ],
)
@pytest.mark.parametrize("origin", ["http://127.0.0.1:9000", None])
def test_an_operator_commands(body: bytes, order: dict[str, Any], origin: str | None) -> None:
    answer = orders(Request(**RIGHT | {"body": body, "origin": origin}), token="secret", hosts=HOSTS)
    assert (answer.status, answer.order) == ("202 Accepted", order)


@pytest.mark.parametrize(
    "wrong, status",
    [
        ({"authorization": "Bearer guessed"}, "401"),
        ({"authorization": ""}, "401"),
        ({"origin": "http://evil.example"}, "403"),
        ({"origin": "null"}, "403"),
        ({"host": "evil.example:9000"}, "403"),
        ({"content_type": "text/plain"}, "415"),
        ({"content_type": "application/x-www-form-urlencoded"}, "415"),
        ({"body": b"{"}, "400"),
        ({"body": b'{"do": "begin", "entry": true}'}, "400"),
        ({"body": b'{"do": "rm"}'}, "400"),
        ({"body": b"[]"}, "400"),
    ],
)
def test_nobody_else_does(wrong: dict[str, Any], status: str) -> None:
    answer = orders(Request(**RIGHT | wrong), token="secret", hosts=HOSTS)
    assert (answer.status[:3], answer.order) == (status, None)


def test_without_an_operator_nothing_can_be_ordered() -> None:
    answer = orders(Request(**RIGHT), token=None, hosts=HOSTS)
    assert answer.order is None
    assert "--operator" in answer.text


def test_the_page_asks_nobody_else() -> None:
    assert b"http://" not in HTML.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in HTML
    assert b"innerHTML" not in HTML
