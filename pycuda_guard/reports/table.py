"""The timeline as a table: one line an event."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pycuda_guard.reports.terminal import short_path
from pycuda_guard.reports.text import visible

if TYPE_CHECKING:
    from pycuda_guard.reports.tracks import Row

_name = lru_cache(maxsize=1024)(short_path)

#: the columns, and how wide they are at least; the last is as wide as it is
COLUMNS = (
    ("event", 7),
    ("time", 12),
    ("thread", 6),
    ("stream", 14),
    ("what", 26),
    ("size", 26),
    ("buffers", 20),
    ("line", 0),
)


def head(process: bool) -> str:
    """Return the line that names the columns; with several processes, the process is one of them."""
    return _line("process" if process else "", [name for name, _ in COLUMNS])


def line(row: Row, origin: int, process: str = "") -> str:
    """Return the line of an event; its time is seconds since ``origin`` (nanoseconds since 1970)."""
    place = f"{_name(row.site.file)}:{row.site.line}" if row.site is not None else ""
    cells = [
        str(row.number),
        seconds(row.time, origin),
        str(row.thread) if row.thread else "",
        row.stream.name if row.stream is not None else "",
        row.what,
        row.size,
        ", ".join(row.buffers),
        place,
    ]
    text = _line(process, cells)
    # texts of the program stay on their line
    return text if text.isprintable() else visible(text).replace("\n", " ").replace("\t", " ")


def seconds(time: int, origin: int) -> str:
    """Return a time in seconds since ``origin``; empty where it is not known."""
    return f"{(time - origin) / 1e9:.6f}" if time else ""


def _line(process: str, cells: list[str]) -> str:
    parts = [f"{process:>7}"] if process else []
    for (name, width), cell in zip(COLUMNS, cells, strict=True):
        is_number = name in ("event", "time", "thread")
        parts.append(f"{cell:>{width}}" if is_number else f"{cell:<{width}}")
    return "  ".join(parts).rstrip()
