"""The page in a real Chromium: zoom, filter, the way from findings to events and back, keys, themes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browsing import chromium, opened, settle
from made_up_runs import dtoh, hostile_run, launch, many, recorded

from pycuda_guard.reports import html

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

#: how many pixels of the timeline have a colour of the page, by its name
_COUNT_PIXELS = """(name) => {
  const canvas = document.getElementById("tracks");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height + 1];
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  context.fillRect(0, 0, 1, 1);
  context.drawImage(canvas, 0, 1);
  const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
  let count = -1;
  for (let at = 0; at < pixels.length; at += 4) {
    count += pixels[at] === pixels[0] && pixels[at + 1] === pixels[1] && pixels[at + 2] === pixels[2]
      && pixels[at + 3] === 255;
  }
  return count;
}"""


#: counts from now on what is drawn
_COUNT_STROKES = """() => {
  const context = CanvasRenderingContext2D.prototype;
  for (const name of ["fillRect", "strokeRect", "stroke", "fill", "fillText"]) {
    const original = context[name];
    context[name] = function (...given) { window.strokes++; return original.apply(this, given); };
  }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def shown(browser: Browser, program_page: Path) -> Iterator[Page]:
    """The page of the program, which must stay quiet."""
    with opened(browser, program_page) as page:
        yield page


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of 100 000 events."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "large.html").write_text(
        html.page(recorded(folder / "run.pgr", many(100_000))), encoding="utf-8"
    )
    return folder / "large.html"


def span(page: Page) -> tuple[int, int]:
    """Return the first and the last event in view."""
    settle(page)
    found = re.match(r"events (\d+) to (\d+) of", page.locator("#range").inner_text())
    assert found is not None
    return int(found[1]), int(found[2])


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
    settle(page)


def pixels(page: Page, name: str) -> int:
    settle(page)
    return int(page.evaluate(_COUNT_PIXELS, name))


# --- zoom -------------------------------------------------------------------------------------


def test_zoom_by_keys_buttons_and_wheel(shown: Page) -> None:
    whole = span(shown)
    assert whole[0] == 1
    shown.locator("#tracks").focus()
    press(shown, "+", "+")
    near = span(shown)
    assert near[1] - near[0] < (whole[1] - whole[0]) / 3
    press(shown, "0")
    assert span(shown) == whole
    shown.get_by_role("button", name="Zoom in").click()
    by_button = span(shown)
    assert by_button[1] - by_button[0] < whole[1] - whole[0]
    shown.get_by_role("button", name="Whole run").click()
    assert span(shown) == whole
    shown.locator("#tracks").focus()
    shown.locator("#tracks").hover()
    shown.mouse.wheel(0, -600)
    shown.wait_for_function("!document.getElementById('range').textContent.startsWith('events 1 to')")
    by_wheel = span(shown)
    assert by_wheel[1] - by_wheel[0] < whole[1] - whole[0]


def test_drag_moves(shown: Page) -> None:
    shown.locator("#tracks").focus()
    press(shown, "+", "+", "Home")
    before = span(shown)
    box = shown.locator("#tracks").bounding_box()
    assert box is not None and before[0] == 1
    middle = box["x"] + box["width"] / 2, box["y"] + 80
    shown.mouse.move(*middle)
    shown.mouse.down()
    shown.mouse.move(middle[0] - 300, middle[1], steps=5)
    shown.mouse.up()
    after = span(shown)
    assert after[0] > before[0] and abs((after[1] - after[0]) - (before[1] - before[0])) <= 1


def test_the_axis_of_time(shown: Page) -> None:
    shown.get_by_role("button", name="by time").click()
    settle(shown)
    assert re.fullmatch(
        r"0\.000 µs to [\d.]+ m?s(; zoom in for arrows)?", shown.locator("#range").inner_text()
    )
    assert pixels(shown, "copy") > 0
    shown.get_by_role("button", name="by order").click()
    assert span(shown)[0] == 1


# --- findings ---------------------------------------------------------------------------------


def visible(page: Page) -> set[str]:
    cards = page.locator(".finding:visible")
    return {cards.nth(index).get_attribute("data-code") or "" for index in range(cards.count())}


def test_filters(shown: Page) -> None:
    everything = visible(shown)
    assert {"PG103", "PG301", "PG302", "PG502"} <= everything
    shown.get_by_label("warnings").uncheck()
    shown.get_by_label("notes").uncheck()
    assert visible(shown) == {"PG103", "PG301", "PG502"}
    shown.get_by_label("Rule").select_option("PG301")
    assert visible(shown) == {"PG301"}
    shown.get_by_label("Rule").select_option("")
    shown.get_by_label("Text").fill("THREADS race")
    assert visible(shown) == {"PG502"}
    assert shown.locator("#shown").inner_text().startswith("1 of ")
    shown.get_by_label("Text").fill("no such words")
    assert visible(shown) == set()


def test_from_a_finding_to_its_event_and_back(shown: Page) -> None:
    card = shown.locator("[data-code=PG103]")
    link = card.locator("a.to-event")
    number = re.search(r"\d+", link.inner_text())
    assert number is not None
    link.click()
    settle(shown)
    details = shown.locator("#details")
    assert details.locator("dt").first.inner_text() == f"event {number[0]}"
    assert "memcpy_dtod_async" in details.inner_text() and "result_gpu, samples_gpu" in details.inner_text()
    first, last = span(shown)
    assert first <= int(number[0]) <= last
    assert shown.evaluate("document.activeElement.id") == "tracks"
    shown.get_by_label("notes").uncheck()
    shown.get_by_label("errors").uncheck()
    assert not card.is_visible()
    details.get_by_role("button", name="PG103").click()
    assert (
        card.is_visible()
        and shown.evaluate("document.activeElement.closest('[data-code]').dataset.code") == "PG103"
    )


def test_hazards_are_red(shown: Page, browser: Browser, tmp_path: Path) -> None:
    shown.locator("[data-code=PG103] a.to-event").click()
    assert pixels(shown, "failure") > 50
    clean = tmp_path / "clean.html"
    clean.write_text(html.page(recorded(tmp_path / "run.pgr", [launch(), dtoh()])), encoding="utf-8")
    with opened(browser, clean) as page:
        assert pixels(page, "failure") == 0 and pixels(page, "launch") > 50


def test_a_mark_of_a_finding_can_be_chosen(shown: Page) -> None:
    shown.get_by_role("button", name="Next finding").click()
    settle(shown)
    assert "finding" in shown.locator("#details").inner_text()


# --- keys -------------------------------------------------------------------------------------


def test_keys_go_from_event_to_event(shown: Page) -> None:
    shown.locator("#tracks").focus()
    press(shown, "ArrowRight")
    first = shown.locator("#details").inner_text()
    assert first.startswith("event 1\n")
    press(shown, "ArrowRight")
    assert shown.locator("#details").inner_text().startswith("event 2\n")
    press(shown, "ArrowLeft")
    assert shown.locator("#details").inner_text() == first
    press(shown, "ArrowDown")
    assert "stream 1" in shown.locator("#details").inner_text()
    press(shown, "n", "Enter")
    assert shown.evaluate("document.activeElement.tagName") == "SUMMARY"
    shown.locator("#tracks").focus()
    press(shown, "Escape")
    assert shown.locator("#details").inner_text() == ""


def test_everything_can_be_reached_by_tab(shown: Page) -> None:
    name = "(() => { const e = document.activeElement; return e.id || e.name || e.className; })()"
    reached = []
    for _ in range(120):
        shown.keyboard.press("Tab")
        reached.append(shown.evaluate(name))
    assert reached[0] == "skip"
    filters, tools = ("severity", "code", "text"), ("zoom-in", "axis-time", "tracks", "memory-host")
    assert {"theme", *filters, "to-event", *tools} <= set(reached)


# --- the rest ---------------------------------------------------------------------------------


def test_light_and_dark(browser: Browser, program_page: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, program_page, scheme="dark") as page:
        dark = page.evaluate(ground)
        assert pixels(page, "lane") > 1000
        page.get_by_role("button", name="Theme").click()
        light = page.evaluate(ground)
        assert pixels(page, "lane") > 1000
    with opened(browser, program_page) as page:
        assert page.evaluate(ground) == light != dark


def test_memory_by_line(shown: Page) -> None:
    legend = shown.locator("#memory-legend").inner_text()
    assert "samples_gpu: up to 64.0 KiB" in legend and "image_gpu: up to 9.4 KiB" in legend
    label = shown.locator("#memory-picture").get_attribute("aria-label")
    assert label is not None and "at most 141 KiB" in label
    shown.get_by_role("button", name="pinned host").click()
    assert "samples: up to 64.0 KiB" in shown.locator("#memory-legend").inner_text()


def test_tooltips_say_what_is_under_the_mouse(shown: Page) -> None:
    shown.locator("#tracks").scroll_into_view_if_needed()
    box = shown.locator("#tracks").bounding_box()
    assert box is not None
    shown.mouse.move(box["x"] + 154, box["y"] + 48)
    tip = shown.locator("#tip")
    assert tip.is_visible() and "context created" in tip.inner_text()


def test_hostile_texts_stay_texts(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "hostile.html"
    file.write_text(html.page(hostile_run(tmp_path / "run.pgr")), encoding="utf-8")
    with opened(browser, file) as page:
        page.locator("#tracks").focus()
        press(page, "ArrowRight", "ArrowRight", "n")
        assert "<img src=x" in page.locator("#details").inner_text()
        assert page.evaluate("window.stolen") is None
        assert page.locator("img").count() == 0


def test_a_run_of_100_000_events(browser: Browser, large_page: Path) -> None:
    assert large_page.stat().st_size < 5_000_000
    with opened(browser, large_page) as page:
        assert page.evaluate("document.querySelectorAll('*').length") < 200
        page.evaluate(_COUNT_STROKES)
        assert span(page) == (1, 100_000)
        assert pixels(page, "launch") > 1000
        page.locator("#tracks").focus()
        for _ in range(14):
            page.evaluate("window.strokes = 0")
            press(page, "+")
            # however many events are in view, a picture is a few strokes for each column of pixels
            assert 0 < page.evaluate("window.strokes") < 15_000
        first, last = span(page)
        assert last - first <= 10
        press(page, "ArrowRight", "End")
        assert span(page)[1] == 100_000
        page.get_by_role("button", name="by time").click()
        page.locator("#tracks").focus()
        press(page, "0", "-", "+")
        assert page.locator("#range").inner_text().endswith("zoom in for arrows")


def test_no_timeline_without_events(browser: Browser, tmp_path: Path) -> None:
    from made_up_runs import finding

    from pycuda_guard.reports.run import Run

    file = tmp_path / "bare.html"
    file.write_text(html.page(Run((finding(),), "a GPU", frozenset(), (), True)), encoding="utf-8")
    with opened(browser, file) as page:
        assert not page.locator("#tracks").is_visible() and not page.locator("#memory").is_visible()
        page.get_by_label("Text").fill("nothing like it")
        assert visible(page) == set()
