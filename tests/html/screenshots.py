"""Takes the pictures of the page that the documentation shows: ``make screenshots``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from browsing import chromium, opened, settle

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("page_program.py")
IMAGES = ROOT / "docs" / "images"


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


if __name__ == "__main__":
    main()
