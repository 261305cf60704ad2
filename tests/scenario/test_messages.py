"""Messages of the user's own in a scenario: what goes together, and what is wrong in a file is named by its line."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import pytest
import yaml

from gameday.history.errors import UsageError
from gameday.history.identity import Identification
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.scenario.forecast import forecast
from gameday.scenario.model import Scenario
from gameday.scenario.outlook import Outlook

GOOD = """\
name: own
transport: sqs-fifo
load:
  rate: 10/s
  duration: 2s
  message:
    template: {id: "o-{n}", who: "c{int:1:4}", total: "{int:1:100}"}
    id: /id
    group: /who
claims: [no-loss]
"""


def read(*overrides: str, text: str = GOOD, name: str = "s.yaml") -> Scenario:
    return scenario.resolve(document.override(document.parse(text, name=name), overrides))


def complaints(*overrides: str, text: str = GOOD) -> list[str]:
    with pytest.raises(UsageError) as error:
        read(*overrides, text=text)
    return str(error.value).splitlines()


def orders(path: Path, *bodies: object) -> str:
    path.write_text("".join(f"{body if isinstance(body, str) else orjson.dumps(body).decode()}\n" for body in bodies))
    return str(path)


def test_how_a_message_is_known_follows_from_the_scenario() -> None:
    assert read().identification == Identification(by="pointer", id="/id", group="/who")
    assert read("load.message.id=attribute").identification == Identification(by="attribute", group="/who")
    broker = read("load.message.id=null", "consumers.handler=no-op", "load.message.group=null")
    assert broker.identification == Identification(by="broker")
    assert read("load.message=null").identification == Identification(by="envelope")


@pytest.mark.parametrize(
    "change", [(), ("load.message.id=attribute",), ("load.message={python: 'm:f', id: /id, interpreter: /bin/sh}",)]
)
def test_what_is_resolved_is_a_scenario_again(change: tuple[str, ...]) -> None:
    first = read(*change)
    again = read(text=yaml.safe_dump(dict(first.document)))
    assert again.document == first.document
    assert again.load.message == first.load.message


def test_files_stand_beside_the_scenario_and_those_of_set_where_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for directory in (there, here):
        directory.mkdir()
        orders(directory / "orders.jsonl", *({"id": n} for n in range(20)))
    monkeypatch.chdir(here)
    text = GOOD.replace('template: {id: "o-{n}", who: "c{int:1:4}", total: "{int:1:100}"}', "file: orders.jsonl")
    text = text.replace("    group: /who\n", "")
    beside = read(text=text, name=str(there / "s.yaml")).load.message
    assert beside is not None and beside.file == str(there / "orders.jsonl")
    told = read("load.message.file=orders.jsonl", text=text, name=str(there / "s.yaml")).load.message
    assert told is not None and told.file == str(here / "orders.jsonl")
    python = there / "python"
    python.symlink_to(sys.executable)
    function = GOOD.replace(
        'template: {id: "o-{n}", who: "c{int:1:4}", total: "{int:1:100}"}', 'python: "m:f"\n    interpreter: ./python'
    )
    called = read(text=function, name=str(there / "s.yaml")).load.message
    assert called is not None and (called.interpreter, called.cwd) == (str(python), str(there))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        # What the messages are.
        (["load.message={id: /id}"], "load.message: nothing says what the messages are; exactly one of file, template"),
        (["load.message.file=x"], "load.message: file and template say what the messages are"),
        (["load.message.repeat=true"], "load.message: `repeat` belongs to `file`; remove it"),
        (["load.message.interpreter=python3"], "load.message: `interpreter` belongs to `python`; remove it"),
        (["load.message.temlate=x"], "load.message.temlate: there is no such key; did you mean `template`?"),
        (["load.message={python: mine, id: /id}"], "load.message.python: 'mine' names no function; write it like"),
        (["load.message={python: 'a:b', id: /id, cwd: nowhere}"], "load.message.cwd: there is no directory "),
        (
            ["load.message={python: 'a:b', id: /id, interpreter: no-such-python}"],
            "load.message.interpreter: there is no program no-such-python",
        ),
        (["load.message.template={id: '{nn}', who: a}"], "load.message.template: the template: at /id: no placeholder"),
        (["load.message.file=nowhere", "load.message.template=null"], "load.message.file: cannot read the messages in"),
        # Places in a body.
        (["load.message.id=id"], "load.message.id: 'id' is no JSON Pointer; one is written like /order/id"),
        (["load.message.key=$.a"], "load.message.key: '$.a' is no JSON Pointer"),
        (["load.message.attributes={a: /x~y}"], "load.message.attributes.a: '/x~y' is no JSON Pointer"),
        (["load.message.id=/no"], "load.message.template: the template: it has nothing at /no"),
        (["load.message.key=/no"], "load.message.template: message 20: it has nothing at /no"),
        (["load.message.template={id: a, who: '{group}'}"], "the group is read from /who, where {group} stands"),
        (["load.message.id=/who"], "load.message.template: message 2: its id 'c"),
        (["load.message.template='hello {n}'"], "a template that is text has no /who"),
        # What goes together.
        (["load.payload=1KiB"], "load.payload: your messages are as large as they are; remove it"),
        (["load.poison=10%"], "load.poison: which of your messages no handler can do, only your handler knows"),
        (["load.groups=4"], "load.groups: the groups are those that your messages name (load.message.group)"),
        (["load.message.id=null"], "consumers.handler: the effects of reference are kept under a message's id"),
        (
            ["transport=sqs", "load.message.id=null", "consumers.handler=no-op", "topology.redrive=true"],
            "topology.redrive: a message that is moved back gets a new id from the broker",
        ),
        (
            ["transport=sns", "load.message.id=null", "consumers.handler=no-op"],
            "load.message: sns gives what it delivers another id than it answers to who sends it, so that nobody could "
            "tell which message was received; add `id`: a place in the body (/order/id), or `attribute`",
        ),
        (
            ["transport=eventbridge", "load.message.id=attribute"],
            "load.message.id: a message of eventbridge has no attributes",
        ),
        (["transport=kinesis", "load.message.attributes={a: b}"], "load.message.attributes: a message of kinesis has"),
        (["load.message.attributes={gameday-id: b}"], "attributes.gameday-id: gameday adds an attribute of that name"),
        (["load.message.attributes={traceparent: b}"], "attributes.traceparent: gameday adds an attribute of that"),
        (["load.message.attributes={'a b': b}"], "load.message.attributes.a b: no attribute is called so"),
        (["load.message.attributes={AWS.x: b}"], "load.message.attributes.AWS.x: no attribute is called so"),
        (["transport=sqs", "load.message.dedup_id=/id"], "load.message.dedup_id: sqs deduplicates nothing; remove it"),
        (
            ["load.dedup=content", "load.message.dedup_id=/id"],
            "load.message.dedup_id: with `dedup: content` the body alone decides",
        ),
        (["load.dedup=content", "load.message.id=attribute"], "load.dedup: two messages with one body would be one"),
        (
            [
                "transport=eventbridge",
                "topology.subscriptions=[{name: a, queue: fifo}]",
                "load.message={template: {source: s, detail-type: t, detail: {id: '{n}'}}, id: /detail/id}",
            ],
            "topology.subscriptions.0.queue: EventBridge keeps no order",
        ),
        # Sizes.
        (
            ["load.message.template={id: '{n}', who: a, x: '{filler:1048500}'}", "load.batch=1"],
            "load.message.template: at its largest it has 1048598 bytes",
        ),
        (
            ["load.message.template={id: '{n}', who: a, x: '{filler:200000}'}"],
            "load.message.template: at its largest 10 messages of 200",
        ),
        (["load.message.template={id: '{n}', who: 'two words'}"], "message 1: its group is 'two words', and sqs-fifo"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(overrides: list[str], said: str) -> None:
    told = complaints(*overrides)
    assert any(said in line for line in told), told


class TestAFile:
    def read(self, path: str, *overrides: str) -> Scenario:
        given = [f"load.message={{file: {path}, id: /id, group: /who}}", *overrides]
        return read(*given)

    def complaint(self, path: str, *overrides: str) -> str:
        (told,) = complaints(f"load.message={{file: {path}, id: /id, group: /who}}", *overrides)
        return told

    def test_one_that_is_good_is_taken(self, tmp_path: Path) -> None:
        path = orders(tmp_path / "o.jsonl", *({"id": n, "who": f"c{n % 3}"} for n in range(20)))
        assert self.read(path).load.message is not None
        assert self.read(path, "load.message.repeat=false").load.message is not None

    def test_what_is_wrong_in_a_line_names_file_and_line(self, tmp_path: Path) -> None:
        good = [{"id": n, "who": "c"} for n in range(19)]
        for bad, why in (
            ({"who": "c"}, "it has nothing at /id"),
            ("{", "it is not JSON"),
            ({"id": 0, "who": "c"}, f"its id '0' is that of {tmp_path}/o.jsonl:1 as well"),
            ({"id": 99, "who": "a b"}, "its group is 'a b'"),
            (
                {"id": 99, "who": "c", "x": "x" * 1024 * 1024},
                "bytes with the attribute traceparent, and sqs-fifo takes",
            ),
        ):
            path = orders(tmp_path / "o.jsonl", *good, bad)
            told = self.complaint(path)
            assert f"load.message.file: {path}:20: " in told and why in told

    def test_one_that_ends_too_soon(self, tmp_path: Path) -> None:
        path = orders(tmp_path / "o.jsonl", *({"id": n, "who": "c"} for n in range(19)))
        assert f"{path} has 19 messages, and 20 are scheduled; give a longer file" in self.complaint(
            path, "load.message.repeat=false"
        )
        assert "so that some would come again, with what must be of one message alone (`id`: /id)" in self.complaint(
            path
        )
        # Where the broker's own id tells, a message may come again.
        again = [f"load.message={{file: {path}}}", "consumers.handler=no-op"]
        assert read(*again).load.message is not None
        (told,) = complaints(*again, "load.message.dedup_id=/id")
        assert "(`dedup_id`: /id)" in told

    def test_what_is_not_sent_is_not_looked_at(self, tmp_path: Path) -> None:
        path = orders(tmp_path / "o.jsonl", *({"id": n, "who": "c"} for n in range(20)), "{")
        assert self.read(path).load.message is not None


class TestBeforeARun:
    FILTERED = """\
name: filtered
transport: sns
topology: {subscriptions: [{name: new, filter: {kind: [new]}}, {name: large, filter: {total: [{numeric: [">", 50]}]}, filter_on: body}]}
load:
  rate: 100/s
  duration: 10s
  message:
    template: {id: "{n}", total: "{int:1:100}", kind: "{choice:new|old}"}
    id: /id
    attributes: {kind: /kind}
claims: [no-loss, filter-correct]
"""  # noqa: E501  # one line of YAML

    def test_filters_are_reckoned_by_the_users_own_messages(self) -> None:
        outlook = Outlook(read(text=self.FILTERED))
        assert 0.35 < outlook.meant["new"] < 0.65
        assert 0.35 < outlook.meant["large"] < 0.65
        assert forecast(read(text=self.FILTERED)) == []

    def test_a_field_that_no_message_has_is_noted(self) -> None:
        told = [str(note) for note in forecast(read(text=self.FILTERED.replace("filter: {kind:", "filter: {knid:")))]
        assert any("no message has an attribute `knid`; did you mean `kind`?" in note for note in told)
        told = [str(note) for note in forecast(read(text=self.FILTERED.replace("filter: {total:", "filter: {totl:")))]
        assert any("no message has `totl`; did you mean `total`?" in note for note in told)

    def test_where_answers_alone_would_tell_a_lost_one_is_noted(self) -> None:
        lost = ["chaos=[{at: 1s, fault: lose-send-reply, for: 1s}]", "claims=[no-loss, all-accepted]"]
        broker = ["load.message={template: 'hello {n}'}", "consumers.handler=no-op"]
        (note,) = [note for note in forecast(read(*lost, *broker)) if "cannot be told" in note.text]
        assert (note.key, note.claims) == ("chaos.0", ["no-loss"])
        assert not [note for note in forecast(read(*lost)) if "cannot be told" in note.text]

    def test_of_what_a_function_will_make_nothing_is_reckoned(self) -> None:
        text = self.FILTERED.replace(
            'template: {id: "{n}", total: "{int:1:100}", kind: "{choice:new|old}"}', "python: 'm:f'"
        )
        assert Outlook(read(text=text)).meant == {"new": 1.0, "large": 1.0}


def test_the_example_of_the_page_is_a_scenario() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "messages.md").read_text(encoding="utf-8")
    shown = page.split("```yaml\n")[1].split("```")[0]
    assert scenario.resolve(document.parse(shown, name="messages.md")).name == "own"
