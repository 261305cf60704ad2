"""YAML that remembers its lines, and overrides on top of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.history.errors import UsageError
from gameday.scenario import document

TEXT = """\
name: x
load:
  rate: 5/s
chaos:
  - {at: 1s, fault: kill-consumer}
  - at: 2s
    fault: pause-consumer
"""


def test_every_value_knows_its_line() -> None:
    read = document.parse(TEXT, name="x.yaml")
    assert read.where(("name",)) == "x.yaml:1"
    assert read.where(("load", "rate")) == "x.yaml:3"
    assert read.where(("chaos", 0, "fault")) == "x.yaml:5"
    assert read.where(("chaos", 1, "fault")) == "x.yaml:7"
    # What is not there stands where the thing that it is missing from stands.
    assert read.where(("load", "duration")) == "x.yaml:2"
    assert read.where(("nowhere",)) == "x.yaml:1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nname: y\n", "x.yaml:2: `name` is written twice"),
        ("load: {rate: 1/s, rate: 2/s}", "x.yaml:1: `rate` is written twice"),
        ("a: [1,\nb: 2", "x.yaml:2: not YAML"),
        ("a: *nobody", "x.yaml:1: not YAML"),
        ("- a\n- b\n", "x.yaml:1: this is no YAML mapping"),
        ("", "x.yaml:1: this is no YAML mapping"),
        ("? [a]\n: b\n", "x.yaml:1: a key must be plain text"),
        ("a: &a [*a]\n", "x.yaml: nested too deep, or an alias"),
        ("? [a]\n: b\n", "x.yaml:1: a key must be plain text"),
        ("a: 1\nb: !!timestamp 2024-01-01\n", "x.yaml:2: not YAML: could not determine a constructor"),
        ("a: 1\nb: [010]\n", 'x.yaml:2: `010` is 10 to some and octal to others; write 10 for the number, and "010"'),
        ("a: -012345670123\n", "x.yaml:1: `-012345670123` is -12345670123 to some"),
    ],
)
def test_what_is_no_document_names_its_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        document.parse(text, name="x.yaml")
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        # What JSON writes is what JSON reads.
        ("3.018e2", 301.8),
        ("1e3", 1000.0),
        ("-1E-2", -0.01),
        (".5", 0.5),
        ("5.", 5.0),
        ("0", 0),
        ("-10", -10),
        ("0.10", 0.1),
        ("0x1F", 31),
        ("0o17", 15),
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("False", False),
        # These are numbers, truths, dates and nothing in YAML 1.1.
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30", "12:30"),
        ("1:30.5", "1:30.5"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"),
        ("=", "="),
        (".inf", ".inf"),
        # And so they are with quotation marks.
        ("'1e3'", "1e3"),
        ("'010'", "010"),
        ("'true'", "true"),
        ("!!str 5", "5"),
    ],
)
def test_a_value_is_what_json_and_yaml_1_2_say(written: str, read: object) -> None:
    for data in (
        document.parse(f"a: {written}\n", name="x.yaml").data["a"],
        document.override(document.parse("b: 1", name="x.yaml"), [f"a={written}"]).data["a"],
    ):
        assert data == read
        assert type(data) is type(read)


def test_a_key_is_text_whatever_it_looks_like() -> None:
    text = "1: a\ntrue: b\nno: {1.5: c, null: d}\n2026-01-01: e\n"
    assert document.parse(text, name="x.yaml").data == {
        "1": "a",
        "true": "b",
        "no": {"1.5": "c", "null": "d"},
        "2026-01-01": "e",
    }


def test_a_mapping_merges_another() -> None:
    read = document.parse("base: &base {x: 1, y: 2}\na: {<<: *base, y: 3}\n", name="x.yaml")
    assert read.data["a"] == {"x": 1, "y": 3}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*: No such file"):
        document.read(tmp_path / "none.yaml")


def test_an_override_replaces_adds_and_says_where_it_came_from() -> None:
    read = document.override(
        document.parse(TEXT, name="x.yaml"),
        ["load.rate=50/s", "consumers.guard=none", "chaos.0.at=3s", "chaos.2.fault=lose-delete", "claims=[no-loss]"],
    )
    assert read.data["load"] == {"rate": "50/s"}
    assert read.data["consumers"] == {"guard": "none"}
    assert [entry.get("at") for entry in read.data["chaos"]] == ["3s", "2s", None]
    assert read.data["claims"] == ["no-loss"]
    assert read.where(("load", "rate")) == "--set load.rate=50/s"
    assert read.where(("chaos", 0, "fault")) == "x.yaml:5"
    assert read.where(("claims", 0)) == "--set claims=[no-loss]"


def test_an_override_of_an_alias_changes_one_place_only() -> None:
    read = document.override(document.parse("a: &one {x: 1}\nb: *one\n", name="x.yaml"), ["b.x=2"])
    assert read.data == {"a": {"x": 1}, "b": {"x": 2}}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("load.rate", "write it as --set key.path=value"),
        ("=5", "write it as --set key.path=value"),
        ("load=[", "is not YAML"),
        ("load={[1]: 2}", "is not YAML"),
        ("load=010", "`010` is 10 to some and octal to others"),
        (
            "chaos.first.at=1s",
            "chaos is a list of 2; its items are called 0 to 1, and 2 adds one; 'first' is none of them",
        ),
        ("chaos.7.at=1s", "'7' is none of them"),
        ("name.first=x", "name is 'x', which has no keys of its own"),
    ],
)
def test_an_override_that_fits_nowhere(assignment: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        document.override(document.parse(TEXT, name="x.yaml"), [assignment])
    assert str(error.value).startswith(f"--set {assignment}: ")
    assert said in str(error.value)
