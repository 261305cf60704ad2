"""A verdict and a comparison as Markdown: read by a parser of it, whatever the ids in them are made of."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from gameday.compare.compare import Comparison, Row
from gameday.report.comparison import document, markdown, text
from gameday.report.markdown import collapsed, escaped
from gameday.report.text import summary
from gameday.verify.judge import Verdict, judge
from tests.verify.handmade.builder import History, queue

NASTY = "a|b`c`<script>alert(1)</script> *x* _y_ [l](http://h) @me #1 ![i](j) &amp; \\| ~~s~~"
FENCED = "x\n```\n</details>\n````\n| y |"


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """One message was lost, another received; the subscription and both ids are full of markup."""
    h = History({NASTY: queue()}, ["no-loss", "exactly-once-effect", "no-phantom"], manifest={"target": "memory"})
    h.send(NASTY, at=1)
    h.send(FENCED, at=1.1)
    h.take(NASTY, at=2)
    h.drained(at=10)
    return judge(h.write(tmp_path_factory.mktemp("nasty") / "run"))


def parsed(source: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source)


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in token.children or ()]


def shown(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def tables(tokens: list[Token]) -> list[list[list[str]]]:
    """Every table as rows of cells, as a reader sees them."""
    found: list[list[list[str]]] = []
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append(shown(following))
    return found


def test_the_verdict_comes_first_and_then_the_claims(verdict: Verdict) -> None:
    source = summary(verdict.document)
    tokens = parsed(source)
    assert source.startswith("## gameday: ❌ violated\n")
    claims = tables(tokens)[0]
    assert claims[0] == ["claim", "verdict", "checked", "on what evidence"]
    assert [row[:3] for row in claims[1:]] == [
        ["no-loss", "❌ violated", "2"], ["exactly-once-effect", "❔ unknown", "2"], ["no-phantom", "✅ holds", "1"],
    ]  # fmt: skip
    assert claims[1][3] == "1 lost"
    assert source.rstrip().endswith(
        "The target cannot show: anything about AWS: it is a broker of our own, for large or quick runs and for "
        "testing gameday."
    )


def test_the_worst_example_is_collapsed_and_stays_in_its_block(verdict: Verdict) -> None:
    tokens = parsed(summary(verdict.document))
    blocks = [token for token in tokens if token.type == "fence"]
    assert len(blocks) == 1
    assert blocks[0].content.startswith("lost: message x")
    assert "received" not in blocks[0].content, "the message that came is no example of a loss"
    html = [token.content.strip() for token in tokens if token.type == "html_block"]
    assert len(html) == 2 and html[0].startswith("<details>\n<summary>lost: message x ") and html[1] == "</details>"
    assert "<script" not in html[0]


def test_no_id_becomes_markup(verdict: Verdict) -> None:
    tokens = parsed(summary(verdict.document))
    kinds = {token.type for token in inline(tokens)}
    assert kinds <= {"text", "text_special"}, kinds
    assert all(len({len(row) for row in rows}) == 1 for rows in tables(tokens)), "a cell ended early"
    assert NASTY in tables(tokens)[-1][1][0]


@pytest.mark.parametrize("given", [NASTY, "a\nb", "\x00\x1b[31m", "http://x", "$a$", "- a", "1. a", ""])
def test_an_escaped_text_is_shown_as_it_is(given: str) -> None:
    tokens = parsed(f"| h |\n|---|\n| {escaped(given)} |")
    assert {token.type for token in inline(tokens)} <= {"text", "text_special"}
    printable = " ".join(given.replace("\n", " ").replace("\x00\x1b", " ").split())
    assert tables(tokens)[0][1] == [printable]


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    (block,) = [token for token in parsed("\n".join(collapsed("t", FENCED))) if token.type == "fence"]
    assert block.content == FENCED + "\n"


def compared(*rows: Row) -> Comparison:
    runs = [
        {"directory": f"runs/{name}", "run": name, "scenario": NASTY, "seed": 1, "target": "memory", "verdict": "holds"}
        for name in ("before", "after")
    ]
    return Comparison(
        runs=runs, confidence=0.99, tolerance=0.1, warm_up_s=1.0, compared_s=20.0, block_s=1.0, rows=rows, claims=[],
        differences=[],
    )  # fmt: skip


SLOWER = Row(
    run=1, metric="latency p50", subscription=NASTY, unit="s", baseline=0.1, value=0.15, change=1.5, low=1.2, high=1.9,
    doubt=1e-6, call="worse",
)  # fmt: skip
NOT_TOLD = Row(
    run=1,
    metric="latency p99",
    subscription="b",
    unit="s",
    baseline=None,
    value=None,
    why="9 messages; p99 asks for 500",
)


def test_a_comparison_shows_each_change_with_its_bounds() -> None:
    comparison = compared(SLOWER, NOT_TOLD)
    (table,) = tables(parsed(markdown(comparison)))
    assert table[1:] == [
        [f"latency p50 {NASTY}", "100.0 ms", "150.0 ms", "+50.0 %", "+20.0 % … +90.0 %", "worse"],
        ["latency p99 b", "", "", "", "", "unknown: 9 messages; p99 asks for 500"],
    ]
    assert document(comparison)["verdict"] == "regressed"
    console = Console(width=200, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        text(comparison, console)
    assert "+20.0 % … +90.0 %   worse" in capture.get()
    assert capture.get().rstrip().endswith("verdict: regressed")


def test_a_comparison_of_nothing_is_no_pass() -> None:
    assert compared(NOT_TOLD).verdict == "unknown"
