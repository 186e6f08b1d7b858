"""Takes the pictures of the page that the documentation shows: ``make screenshots``.

Each holds the texts of the findings as a comment, so that a test can tell pictures of other days.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

from browsing import chromium, opened, settle

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("page_program.py")
IMAGES = ROOT / "docs" / "images"


#: what a picture begins with: the signature of PNG, and the chunk of its size
HEAD = 33
KEYWORD = b"Comment\0"


#: rules whose findings are in the pictures
SHOWN = ("PG103", "PG301", "PG502")


def texts(recording: Path) -> str:
    """Return what the findings of a recording say that are in the pictures."""
    command = [sys.executable, "-m", "pycuda_guard", "report", "--format", "json", str(recording)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    findings = json.loads(done.stdout)["findings"]
    said = [f"{one['code']} {one['message']} ({one['help']})" for one in findings if one["code"] in SHOWN]
    return "\n".join(sorted(said))


def stamp(picture: Path, text: str) -> None:
    """Write a text into a picture as its comment."""
    body = b"tEXt" + KEYWORD + text.encode("ascii", "xmlcharrefreplace")
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    content = picture.read_bytes()
    picture.write_bytes(content[:HEAD] + chunk + content[HEAD:])


def stamped(picture: Path) -> str:
    """Return the comment of a picture, with what is no ASCII as references of XML; empty if it has none."""
    content = picture.read_bytes()
    size = int.from_bytes(content[HEAD : HEAD + 4], "big")
    body = content[HEAD + 4 : HEAD + 8 + size]
    return body.removeprefix(b"tEXt" + KEYWORD).decode("ascii") if body.startswith(b"tEXt") else ""


def main() -> None:
    """Run the program, write its page, and take its pictures."""
    work = ROOT / "build" / "screenshots"
    work.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    (work / "frames.py").write_bytes(PROGRAM.read_bytes())
    guard = [sys.executable, "-m", "pycuda_guard"]
    record = [*guard, "run", "--device", "cpu", "--races", "--record", "run.pgr", "frames.py"]
    report = [*guard, "report", "--format", "html", "-o", "run.html", "run.pgr"]
    subprocess.run(record, cwd=work, check=False, stderr=subprocess.DEVNULL)
    subprocess.run(report, cwd=work, check=True)
    file = work / "run.html"
    with chromium() as browser:
        with opened(browser, file, height=900) as page:
            page.screenshot(path=IMAGES / "report-findings.png")
            page.locator("[data-code=PG301]").scroll_into_view_if_needed()
            page.locator("[data-code=PG301]").screenshot(path=IMAGES / "report-array.png")
            page.locator("[data-code=PG502]").screenshot(path=IMAGES / "report-threads.png")
        with opened(browser, file, scheme="dark", height=900) as page:
            page.locator("[data-code=PG103] a.to-event").click()
            settle(page)
            page.screenshot(path=IMAGES / "report-timeline.png")
    said = texts(work / "run.pgr")
    for picture in IMAGES.glob("report-*.png"):
        stamp(picture, said)


if __name__ == "__main__":
    main()
