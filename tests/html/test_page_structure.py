"""The page as a text: one file, nothing from outside, everything escaped, everything named."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import screenshots
from made_up_runs import (
    A_GPU,
    FILE,
    HOSTILE,
    allocated,
    dtoh,
    finding,
    hostile_run,
    launch,
    many,
    recorded,
    where,
)

from pycuda_guard.events import model as m
from pycuda_guard.events.reader import read
from pycuda_guard.findings import KernelLocation, Location, Related, Severity
from pycuda_guard.reports.html import page, timeline
from pycuda_guard.reports.html.raster import MAX_COLUMNS, MAX_ROWS, MAX_STRIP, Raster
from pycuda_guard.reports.run import Run

ROOT = Path(__file__).resolve().parents[2]

_VOID = {"meta", "link", "br", "input", "rect", "path"}


class Page(HTMLParser):
    """A page taken apart; every tag must be closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (self.open, tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.texts.setdefault(tag, []).append(data)

    def text(self, tag: str) -> str:
        return "".join(self.texts.get(tag, []))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def classes(self) -> set[str]:
        return {word for _, attributes in self.elements for word in attributes.get("class", "").split()}

    def data(self) -> Any:
        """Return what is embedded for the script."""
        scripts = self.texts["script"]
        return json.loads(scripts[0])


def small(tmp_path: Path) -> Run:
    findings = [
        finding(event=3, related=(Related("`a_gpu` is allocated here", FILE, 5),)),
        finding("PG104", Severity.NOTE, 16, event=4),
        finding("PG404", Severity.WARNING, 99, kernel=KernelLocation("step", FILE, 7)),
    ]
    events = [allocated(5, name="a_gpu"), launch(), launch(), dtoh(), m.RunEnded(None, 11, 0)]
    return recorded(tmp_path / "run.pgr", events, findings)


# --- one file, by itself ----------------------------------------------------------------------


def test_nothing_comes_from_outside(tmp_path: Path) -> None:
    text = page(small(tmp_path))
    made = Page(text)
    assert {attributes["href"] for attributes in made.all("a")} <= {
        "#findings",
        "#timeline",
        "#memory",
        "#unchecked",
    }
    assert [attributes["href"] for attributes in made.all("link")] == ["data:,"]
    assert not any("src" in attributes for _, attributes in made.elements)
    assert "@import" not in text and "url(" not in text
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\s*\(", made.text("script"))


def test_only_the_own_script_may_run(tmp_path: Path) -> None:
    made = Page(page(small(tmp_path)))
    data, script = made.all("script")
    assert data["type"] == "application/json" and script == {}
    (policy,) = [one["content"] for one in made.all("meta") if "http-equiv" in one]
    text = made.texts["script"][1]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_ids_are_unique_and_labels_have_what_they_name(tmp_path: Path) -> None:
    made = Page(page(small(tmp_path)))
    ids = [attributes["id"] for _, attributes in made.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in made.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attributes.get(name, "").split()) <= set(ids)
    wanted = set(re.findall(r'byId\("([\w-]+)"\)', made.text("script")))
    assert wanted <= set(ids)


def test_pictures_have_words(tmp_path: Path) -> None:
    made = Page(page(small(tmp_path)))
    assert all(attributes.get("role") for attributes in made.all("canvas"))
    assert all(attributes.get("aria-label") for attributes in made.all("svg"))
    assert made.elements[0] == ("html", {"lang": "en"})


# --- what is shown ----------------------------------------------------------------------------


def test_findings_are_cards_the_worst_first(tmp_path: Path) -> None:
    made = Page(page(small(tmp_path)))
    cards = [one for one in made.all("details") if "data-code" in one]
    assert [(one["data-severity"], one["data-code"]) for one in cards] == [
        ("error", "PG103"),
        ("warning", "PG404"),
        ("note", "PG104"),
    ]
    assert ["open" in one for one in cards] == [True, True, False]
    assert "one thing" in made.text("li")


def test_a_finding_links_to_its_event(tmp_path: Path) -> None:
    made = Page(page(small(tmp_path)))
    rows = [one["data-row"] for one in made.all("a") if "data-row" in one]
    assert rows == ["2", "3"]  # the second launch, the copy; no event is at line 99
    found = made.data()["findings"]
    assert [(one["code"], one["row"], one["others"]) for one in found] == [
        ("PG103", 2, [0]),
        ("PG104", 3, []),
    ]


def test_a_run_without_recordings_has_no_timeline() -> None:
    run = Run((finding(),), "the CPU device", frozenset(), (), True)
    made = Page(page(run))
    assert made.data() is None
    assert "There are no events to show" in made.text("section")
    assert "Nothing was found." in Page(page(Run((), "", frozenset(), (), True))).text("section")


def test_source_is_shown_with_the_line_marked(program_page: Path) -> None:
    made = Page(program_page.read_text(encoding="utf-8"))
    marked = made.texts["mark"]
    assert "cuda.memcpy_dtod_async(result_gpu, samples_gpu, samples.nbytes, work)" in marked
    assert any("line[threadIdx.x] = x[threadIdx.x];" in text for text in marked)
    assert "page_program.py:46" in made.text("summary")


def test_pictures_of_a_program(program_page: Path) -> None:
    made = Page(program_page.read_text(encoding="utf-8"))
    labels = [one["aria-label"] for one in made.all("svg")]
    assert "40×60 float32: 1376 written by nobody, 1024 written by the launch" in labels
    stale = "1000 float32: 232 not written by the launch: old values, 768 written by the launch"
    assert stale in labels
    assert "Blocks of the grid: 1×1" in labels
    assert "Threads of block (0, 0, 0), a row is a warp: 64×1×1" in labels
    assert {"w-nobody", "w-kernel", "w-stale", "t-first", "t-second"} <= made.classes()


def test_the_table_in_the_documentation_has_rows_of_the_program(program_page: Path) -> None:
    text = (ROOT / "docs" / "timeline.md").read_text(encoding="utf-8")
    found = re.search(r"^```\n(  event .*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    shown = found[1].replace("frames.py", "page_program.py")
    command = [sys.executable, "-m", "pycuda_guard", "timeline", "run.pgr"]
    done = subprocess.run(command, cwd=program_page.parent, capture_output=True, text=True, check=True)

    def rows(table: str) -> list[list[str]]:
        # files are named from another folder, times differ, and how many events the guard has of its own
        lines = re.sub(r"\S*/page_program.py", "page_program.py", table).splitlines()
        return [re.sub(r"^ +\d+ +\d+\.\d{6}", "", line).split() for line in lines]

    assert [row for row in rows(shown) if row not in rows(done.stdout)] == []


def test_the_pictures_of_the_documentation_show_what_is_said_today(program_page: Path) -> None:
    said = screenshots.texts(program_page.with_name("run.pgr"))
    expected = said.encode("ascii", "xmlcharrefreplace").decode()
    shown = re.findall(r"images/(report-\w+\.png)", (ROOT / "docs" / "html-report.md").read_text("utf-8"))
    pictures = {path.name: path for path in screenshots.IMAGES.glob("report-*.png")}
    assert sorted(shown) == sorted(pictures)
    for picture in pictures.values():
        assert screenshots.stamped(picture) == expected, f"make screenshots: {picture.name}"


def test_the_timeline_of_a_program(program_page: Path) -> None:
    data = Page(program_page.read_text(encoding="utf-8")).data()
    names = [track["name"] for track in data["tracks"]]
    assert sorted(names) == ["default stream", "stream 1", "stream 2", "thread 1"]
    (race,) = [one for one in data["findings"] if one["code"] == "PG103"]
    rows, texts = data["rows"], data["texts"]
    assert texts[rows["what"][race["row"]]] == "memcpy_dtod_async"
    others = [(texts[rows["what"][row]], names[rows["stream"][row]]) for row in race["others"]]
    assert ("scale", "stream 1") in others
    reasons = {texts[reason] for reason in data["arrows"][2::3]}
    assert {"waits for the event", "the host waits for it"} <= reasons
    held = [name for name, is_host in data["memory"]["sites"] if not is_host]
    assert [name.split()[-1] for name in held] == ["samples_gpu", "result_gpu", "image_gpu", "line_gpu"]
    assert sum(data["memory"]["changes"][2::3]) == 2 * 4 * (1 << 14) * 2 + 4000


def test_processes_are_on_tracks_of_their_own(tmp_path: Path) -> None:
    first = recorded(tmp_path / "a.pgr", [launch(), dtoh()])
    second = recorded(tmp_path / "b.pgr", [launch(), dtoh()])
    recordings = (*first.recordings, *second.recordings)
    both = Run((), "the CPU device", frozenset(), (), True, recordings=recordings)
    data = Page(page(both)).data()
    assert sorted(track["name"] for track in data["tracks"]) == ["default stream"] * 2 + ["thread 1"] * 2
    assert len(data["rows"]["number"]) == 4 and all(track["process"] for track in data["tracks"])


def test_of_very_long_runs_the_last_events_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MAX_ROWS", 100)
    events = [allocated(5, nbytes=5000), *[launch() for _ in range(149)], allocated(6, 0xE000_0000, 300)]
    made = Page(page(recorded(tmp_path / "run.pgr", events, [finding(event=120)])))
    data = made.data()
    assert data["rows"]["number"] == list(range(52, 152))
    assert [data["memory"]["changes"][at] for at in (0, 2, 3, 5)] == [0, 5000, 99, 300]
    assert "The last 100 of 151 events." in made.text("span")
    assert [one["row"] for one in data["findings"]] == [120 - 52]


def test_of_a_damaged_recording_the_rest_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "run.pgr"
    recorded(path, [launch() for _ in range(50)])
    data = bytearray(path.read_bytes())
    data[data.rindex(b"step", 0, data.rindex(b"step")) + 1] ^= 0x10
    path.write_bytes(data)
    made = Page(page(Run((), "the CPU device", frozenset(), (), False, recordings=(read(str(path)),))))
    assert len(made.data()["rows"]["number"]) == 48
    assert any(re.fullmatch(r"the record at byte \d+ is damaged.*", text) for text in made.texts["dd"])


# --- hostile texts ----------------------------------------------------------------------------


def test_hostile_texts_are_texts(tmp_path: Path) -> None:
    """Nothing that a program is called or says becomes a tag, an attribute or a part of the script."""
    run = hostile_run(tmp_path / "run.pgr")
    text = page(run)
    made = Page(text)
    tame = Page(page(small(tmp_path)))
    assert {tag for tag, _ in made.elements} <= {tag for tag, _ in tame.elements} | {
        "svg",
        "rect",
        "ul",
        "figure",
    }
    assert len(made.all("script")) == 2 and not made.all("img")
    assert not any(name.startswith("on") for _, attributes in made.elements for name in attributes)
    assert "<script>window" not in text and "\x00" not in text and "\u202e" not in text
    shown = HOSTILE.replace("\x00", "\\x00").replace("\x1b", "\\x1b")
    shown = shown.replace("\u2028", "\\u2028").replace("\u202e", "\\u202e")
    assert shown in made.data()["texts"]
    for place in ("details", "header", "section"):
        assert shown.replace("`", "") in made.text(place).replace("`", "")


# --- parts ------------------------------------------------------------------------------------


def test_events_without_times_are_shown_by_order(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run.pgr", [launch(), dtoh()])
    assert Page(page(run)).data()["hasTimes"]
    events = [m.EventsLost(None, 0, 0, 7), launch()]
    assert len(Page(page(recorded(tmp_path / "b.pgr", events))).data()["rows"]["time"]) == 2


def test_a_finding_of_another_file_is_not_put_on_the_same_line(tmp_path: Path) -> None:
    other = finding(location=Location("/elsewhere/script.py", 15), event=1)
    assert Page(page(recorded(tmp_path / "run.pgr", [launch()], [other]))).data()["findings"] == []


def test_the_line_that_allocates_stands_for_its_allocation(tmp_path: Path) -> None:
    """``gpuarray.zeros`` also launches a kernel, which has nothing to do with the finding."""
    events = [allocated(5, name="a_gpu"), launch(5, name="fill"), launch()]
    about = finding(event=3, related=(Related("`a_gpu` is allocated here", FILE, 5),))
    data = Page(page(recorded(tmp_path / "run.pgr", events, [about]))).data()
    assert [one["others"] for one in data["findings"]] == [[0]]


def test_a_finding_without_a_line_is_at_its_event(tmp_path: Path) -> None:
    nowhere = finding(location=None, event=2)
    data = Page(page(recorded(tmp_path / "run.pgr", [launch(), dtoh()], [nowhere]))).data()
    assert [one["row"] for one in data["findings"]] == [1]


def test_where_two_threads_are(tmp_path: Path) -> None:
    access = m.KernelAccess("step", FILE, 7, "write", 4, "global")
    other = m.KernelAccess("step", FILE, 8, "read", 4, "global")
    report = m.KernelReport(
        *where(15), 1, access, "race", A_GPU, (2, 0, 0), (40, 0, 0), other=other, other_block=(1, 0, 0)
    )
    run = recorded(tmp_path / "run.pgr", [launch(), report], [finding("PG501", event=2)])
    made = Page(page(run))
    assert [one["aria-label"] for one in made.all("svg")] == [
        "Blocks of the grid: 3×1",
        "Threads of block (2, 0, 0), a row is a warp: 256×1×1",
        "Threads of block (1, 0, 0), a row is a warp: 256×1×1",
    ]
    assert "thread (40, 0, 0) of block (2, 0, 0) writes, line 7" in made.texts["li"]


@pytest.mark.parametrize(("columns", "rows"), [(7, 5), (1000, 1), (1, 1), (5000, 3000), (60, 40)])
def test_rasters_show_every_mark(columns: int, rows: int) -> None:
    """However large the array, a single element can be seen, and no unmarked cell is painted."""
    total = columns * rows
    for start, end in ((0, 1), (total - 1, total), (total // 2, total // 2 + 1), (total // 3, total)):
        raster = Raster.blank(columns, rows)
        raster.mark_run(start, end, 3)
        across, down = len(raster.cells[0]), len(raster.cells)
        assert across <= (MAX_STRIP if rows == 1 else MAX_COLUMNS) and down <= MAX_ROWS
        wanted = [[0] * across for _ in range(down)]
        step = max((end - start) // 5000, 1)
        for element in [*range(start, end, step), end - 1]:
            row, column = divmod(element, columns)
            wanted[row * down // rows][column * across // columns] = 3
        painted = sum(map(sum, raster.cells))
        assert painted >= sum(map(sum, wanted)) > 0
        if step == 1:
            assert raster.cells == wanted


def test_the_more_important_mark_is_kept() -> None:
    raster = Raster.blank(4, 1)
    raster.mark_run(0, 4, 1)
    raster.mark_run(1, 3, 5)
    raster.mark_run(0, 4, 2)
    assert raster.cells == [[2, 5, 5, 2]]


def test_a_page_of_many_events_is_packed(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run.pgr", many(5000))
    assert len(page(run)) < 5000 * 100


# --- colours ----------------------------------------------------------------------------------

_PAIRS = [
    *[("text", ground) for ground in ("page", "panel", "code", "mark")],
    *[("quiet", ground) for ground in ("page", "panel", "code")],
    *[("link", ground) for ground in ("page", "panel")],
    *[(name, f"{name}-soft") for name in ("error", "warning", "note")],
    ("copy", "panel"),
    *[("on-box", kind) for kind in ("launch", "copy", "memset", "order")],
]


def themes() -> dict[str, dict[str, str]]:
    style = (Path(timeline.__file__).parent / "page.css").read_text(encoding="utf-8")
    light, dark, forced = re.findall(r"\{\s*color-scheme: (?:light|dark);([^}]*)\}", style)
    assert dark.split() == forced.split()
    read = [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in (light, dark)]
    assert set(read[0]) == set(read[1])
    return {"light": read[0], "dark": read[1]}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("front", "ground"), _PAIRS)
def test_contrast_is_enough_to_read(theme: str, front: str, ground: str) -> None:
    """WCAG 2.1 asks for 4.5 (level AA)."""
    colours = themes()[theme]
    high, low = sorted((luminance(colours[front]), luminance(colours[ground])), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5
