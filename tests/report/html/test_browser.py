"""The report of two real runs, one violated and one held, opened in a real Chromium.

Skipped where there is no Chromium (Debian: apt-get install chromium), a failure there in CI.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chromium import chromium, serious
from tests.commanded import COMMAND

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.live

RUN_S = 300
WIDE, PHONE = 1280, 360
# Producers that overtake themselves, so that each example has a counterpart; and a correct consumer that is killed.
RUNS = {
    "violated": (1, ["broken-unordered-retry", "--set", "load.duration=10s"]),
    "held": (0, ["broken-no-guard", "--set", "consumers.guard=transaction", "--set", "load.duration=8s"]),
}

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def reports(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both runs at once; each made its report at its end, and said where it is."""
    directory = tmp_path_factory.mktemp("runs")
    started = {
        name: subprocess.Popen(
            [*COMMAND, "run", *arguments, "--target", "memory", "--seed", "5", "--out", str(directory / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
        )
        for name, (_, arguments) in RUNS.items()
    }
    for name, process in started.items():
        try:
            out, err = process.communicate(timeout=RUN_S)
        finally:
            process.kill()
        assert process.returncode == RUNS[name][0], out + err
        assert f"\nreport: {name}/report.html\n" in out
    return {name: directory / name / "report.html" for name in started}


@pytest.fixture
def opened(browser: Browser, reports: dict[str, Path]) -> Iterator[Open]:
    """Opens a report; what it says on the console and whatever it asks for elsewhere fails the test."""
    complaints: list[str] = []
    pages: list[Page] = []

    def open_one(name: str, *, width: int = WIDE, scheme: str = "light", script: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=script,
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        address = reports[name].as_uri()
        page.on("request", lambda asked: asked.url in (address, "data:,") or complaints.append(f"asked: {asked.url}"))
        page.goto(address)
        pages.append(page)
        return page

    yield open_one
    for page in pages:
        page.context.close()
    assert complaints == []


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", list(RUNS))
def test_the_page_is_whole_in_every_dress(opened: Open, name: str, scheme: str, width: int) -> None:
    page = opened(name, width=width, scheme=scheme)
    said = {"violated": "1 of 6 claims was broken.", "held": "All 5 claims held."}[name]
    assert page.get_by_text(said).is_visible()
    assert page.locator(".claims .badge").count() == {"violated": 6, "held": 5}[name]
    # The fault stands in its lane and in each chart.
    charts = page.locator(".plot[data-panel]").count()
    assert charts == 5 and page.locator(".plot[data-panel] .band").count() == charts
    for band in page.locator(".band").all():
        box = band.bounding_box()
        assert box is not None and box["width"] > 10
    assert page.locator("svg.zoom .line").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")
    assert serious(page) == []


def test_a_message_stands_beside_its_counterpart(opened: Open) -> None:
    page = opened("violated")
    picture = page.locator(".example svg.picture").first
    assert picture.is_visible()
    told = picture.text_content() or ""
    assert "this message: " in told and "the other message: " in told
    assert picture.locator(".hit").count() == 1 and picture.locator(".mark.failed").count() >= 1
    assert page.locator("svg.order .point.broken").count() >= 1
    # The records are folded away and open by keyboard.
    summary = page.locator(".records summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator(".records[open] tbody tr").count() > 4


def test_the_held_run_tells_recovery_and_how_to_repeat_it(opened: Open) -> None:
    page = opened("held")
    assert page.get_by_text("gameday run ./broken-no-guard.yaml --seed 5 --target memory").is_visible()
    assert page.get_by_text("What target memory cannot show").is_visible()
    row = page.locator("#faults ~ .scroll tbody tr").first
    assert "crash-at" in row.inner_text() and "orders:" in row.inner_text()
    assert page.locator("table.latency tbody tr").count() == 3


def test_zooming_by_pointer_and_by_keyboard(opened: Open) -> None:
    page = opened("violated")

    def shown() -> str:
        return page.locator("svg.zoom").first.get_attribute("viewBox") or ""

    whole = shown()
    plot = page.locator(".plot[data-panel=rate]")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    assert "Rate scheduled" in page.locator("#readout").inner_text()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20, steps=3)
    page.mouse.up()
    left, _, width, _ = map(float, shown().split())
    assert left == pytest.approx(300, abs=5) and width == pytest.approx(300, abs=5)
    page.get_by_role("button", name="Show all").click()
    assert shown() == whole
    page.locator("#charts").focus()
    page.keyboard.press("ArrowRight")
    told = page.locator("#readout").inner_text()
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator("#readout").inner_text() != told
    page.keyboard.press("+")
    assert float(shown().split()[2]) == pytest.approx(500, abs=5)
    page.keyboard.press("0")
    assert shown() == whole
    page.get_by_role("button", name="Show fault 1 in the timeline").click()
    assert shown() != whole


def test_the_theme_is_chosen_by_a_switch(opened: Open) -> None:
    page = opened("violated", scheme="dark")
    button = page.get_by_role("button", name="Theme")

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert background() == "rgb(20, 23, 27)"
    button.click()
    assert (button.inner_text(), background()) == ("Theme: light", "rgb(255, 255, 255)")
    button.click()
    assert (button.inner_text(), background()) == ("Theme: dark", "rgb(20, 23, 27)")


def test_it_prints_light_without_controls_and_with_everything_unfolded(opened: Open) -> None:
    page = opened("violated", scheme="dark")
    page.evaluate(
        "addEventListener('beforeprint',"
        " () => { window.folded = document.querySelectorAll('details:not([open])').length })"
    )
    assert page.locator("details:not([open])").count() > 0
    printed = page.pdf(print_background=False)
    assert printed.startswith(b"%PDF") and len(printed) > 20_000
    assert page.evaluate("window.folded") == 0
    assert page.locator("details:not([open])").count() > 0
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [button for button in page.locator("button").all() if button.is_visible()] == []
    assert page.locator(".plot[data-panel] .band").first.is_visible()
    assert page.locator(".example svg.picture").first.is_visible()
    assert serious(page) == []


def test_without_script_all_is_there_but_the_controls(opened: Open) -> None:
    page = opened("violated", script=False)
    assert page.get_by_text("1 of 6 claims was broken.").is_visible()
    assert page.locator("svg.zoom .line").first.is_visible()
    assert page.locator(".ticks span").count() > 3
    assert page.locator(".example svg.picture").first.is_visible()
    assert [button for button in page.locator("button").all() if button.is_visible()] == []


def test_axe_would_find_something(opened: Open) -> None:
    page = opened("held")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<p style=\"color:#bbb\">faint</p>')")
    assert [each.partition(":")[0] for each in serious(page)] == ["color-contrast"]
