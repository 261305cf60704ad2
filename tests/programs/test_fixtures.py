"""The recorded exchanges are whole, and README.md tells of them what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from tests.programs.programs import HERE, PROGRAMS
from tests.programs.tap import FIXTURES, operation

FIXTURE_NAMES = sorted(path.stem for path in FIXTURES.iterdir())
PROTOCOLS = {
    "application/x-amz-json-1.0": "JSON 1.0",
    "application/x-amz-json-1.1": "JSON 1.1",
    "application/x-amz-cbor-1.1": "CBOR 1.1",
    "application/x-www-form-urlencoded; charset=utf-8": "query",
}


class Said(NamedTuple):
    start: str
    headers: Mapping[str, str]
    body: str


def said(raw: str) -> Said:
    head, _, body = raw.partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Said(start, headers, body)


def row(name: str) -> list[str]:
    section = (HERE / "README.md").read_text().partition("## What they say on the wire")[2]
    (found,) = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_each_program_has_one() -> None:
    assert set(PROGRAMS) <= set(FIXTURE_NAMES)


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_what_readme_tells_of_it(name: str) -> None:
    exchanges = [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").read_text().splitlines()]
    assert exchanges
    _, protocol, operations, sends_to, _ = row(name)
    for exchange in exchanges:
        asked, answered = said(exchange["request"]), said(exchange["answer"])
        assert asked.start == "POST / HTTP/1.1"
        assert answered.start.startswith("HTTP/1.1 ")
        for one in (asked, answered):
            assert len(one.body) == int(one.headers["content-length"]), "whole, and nothing of the next"
        assert not {"expect", "transfer-encoding", "content-encoding"} & set(asked.headers)
        assert "close" not in asked.headers.get("connection", "") + answered.headers.get("connection", "")
        assert PROTOCOLS[asked.headers["content-type"]] in protocol
        assert f"`{operation(exchange['request'].encode('latin-1')).rpartition('.')[2]}`" in operations
        assert f"`{exchange['to']}`" in sends_to
