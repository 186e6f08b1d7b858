"""Pictures of what findings are about: who wrote which element, and where in the grid threads are."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pycuda_guard.checks.messages import ITEM_SIZES
from pycuda_guard.events.model import Contents, HostOperand, KernelReport
from pycuda_guard.reports.html.marks import escaped, prose
from pycuda_guard.reports.html.raster import Raster

if TYPE_CHECKING:
    from pycuda_guard.events.model import Argument, Launch
    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.html.timeline import Story

#: marks of the elements of an array: style class and words; the last is what the finding is about
_HOST, _OTHER, _KERNEL, _STALE, _NOBODY = 1, 2, 3, 4, 5
_WRITERS = {
    0: ("w-none", "not read"),
    _HOST: ("w-host", "written by the host, a copy or a memset"),
    _OTHER: ("w-other", "written by another launch"),
    _KERNEL: ("w-kernel", "written by the launch"),
    _STALE: ("w-stale", "not written by the launch: old values"),
    _NOBODY: ("w-nobody", "written by nobody"),
}

_FIRST, _SECOND = 2, 1
_PLACES = {0: "t-none", _FIRST: "t-first", _SECOND: "t-second"}

_VERBS = {"read": "reads", "write": "writes", "atomic": "updates"}

#: threads of a warp, one row of the picture of a flat block
_WARP = 32


def figures(finding: Finding, story: Story) -> str:
    """Return the pictures of a finding as HTML, as far as the events have what they show."""
    event = story.event
    if isinstance(event, Contents) and event.runs and event.nbytes > 0:
        return f"<div class='pictures'>{_coverage(finding, story, event)}</div>"
    if isinstance(event, KernelReport) and story.launch is not None and _is_launched(story.launch):
        return f"<div class='pictures'>{_threads(event, story.launch)}</div>"
    return ""


# --- arrays -----------------------------------------------------------------------------------


def _coverage(finding: Finding, story: Story, event: Contents) -> str:
    """Return the array that a copy reads, element by element, with who wrote each."""
    item, shape, dtype = _array(story, event)
    count = -(-event.nbytes // item)
    columns, rows = count, 1
    if len(shape) > 1 and prod(shape) == count and min(shape) > 0:
        columns, rows = shape[-1], prod(shape[:-1])
    raster = Raster.blank(columns, rows)
    start = event.address - event.base
    totals: dict[int, int] = {}
    for low, high, writer in event.runs:
        low, high = max(low - start, 0), min(high - start, event.nbytes)
        if low < high:
            mark = _mark(finding, story, writer)
            raster.mark_run(low // item, -(-high // item), mark)
            totals[mark] = totals.get(mark, 0) + (high - low) // item
    extents = "×".join(str(extent) for extent in (shape if rows > 1 else (count,)))
    what = f"{extents} {dtype or 'bytes'}".strip()
    legend = "".join(
        f"<li><span class='swatch {_WRITERS[mark][0]}'></span>{total} {escaped(_WRITERS[mark][1])}</li>"
        for mark, total in sorted(totals.items(), reverse=True)
    )
    spoken = ", ".join(f"{total} {_WRITERS[mark][1]}" for mark, total in sorted(totals.items(), reverse=True))
    classes = {mark: name for mark, (name, _) in _WRITERS.items()}
    scale = f", a cell is up to {raster.per_cell} elements" if raster.per_cell > 1 else ""
    ends = f"<div class='ends'><span>0</span><span>{count - 1}</span></div>" if rows == 1 else ""
    return (
        f"<figure class='picture'><figcaption>The elements that are read: {escaped(what)}{scale}</figcaption>"
        f"<div class='raster'>{raster.svg(f'{what}: {spoken}', classes)}{ends}</div>"
        f"<ul class='legend'>{legend}</ul></figure>"
    )


def _mark(finding: Finding, story: Story, writer: int) -> int:
    if writer == 0:
        return _NOBODY
    if story.launch is not None and writer == story.launch.sequence:
        return _KERNEL
    if finding.code == "PG302":
        return _STALE
    return _HOST if writer < 0 else _OTHER


def _array(story: Story, event: Contents) -> tuple[int, tuple[int, ...], str]:
    """Return bytes of an element, shape and dtype of what is read; bytes where nothing tells."""
    candidates: list[Argument | HostOperand] = []
    if story.launch is not None:
        candidates += [one for one in story.launch.arguments or () if one.value == event.address]
    if story.copy is not None and isinstance(story.copy.destination, HostOperand):
        candidates.append(story.copy.destination)
    for one in candidates:
        item = ITEM_SIZES.get(one.dtype or "")
        if item and one.shape is not None and prod(one.shape) * item == event.nbytes:
            return item, one.shape, one.dtype or ""
    return 1, (), ""


# --- threads ----------------------------------------------------------------------------------


def _threads(event: KernelReport, launch: Launch) -> str:
    """Return where in the grid the threads of a report are."""
    ends = [(event.block_index, event.thread_index, event.access, _FIRST)]
    if event.other is not None:
        ends.append((event.other_block, event.other_thread, event.other, _SECOND))
    blocks = [block for block, _, _, _ in ends]
    grid = _picture(launch.grid, [(block, mark) for block, _, _, mark in ends], "Blocks of the grid", 64)
    parts = [grid]
    for block in dict.fromkeys(blocks):
        marks = [(thread, mark) for of, thread, _, mark in ends if of == block]
        title = f"Threads of block {block}" + (", a row is a warp" if _is_flat(launch.block) else "")
        parts.append(_picture(launch.block, marks, title, _WARP))
    legend = "".join(
        f"<li><span class='swatch {_PLACES[mark]}'></span>thread {thread} of block {block} "
        f"{_does(access.kind)}{f', line {access.line}' if access.line else ''}</li>"
        for block, thread, access, mark in ends
    )
    return f"<div class='places'>{''.join(parts)}</div><ul class='legend'>{legend}</ul>"


def _is_launched(launch: Launch) -> bool:
    """Tell whether the driver can have taken these extents."""
    return all(0 < extent < 2**31 for extent in (*launch.grid, *launch.block))


def _does(kind: str) -> str:
    return _VERBS.get(kind, kind)


def _is_flat(extents: tuple[int, ...]) -> bool:
    return prod(extents[1:]) == 1


def _picture(
    extents: tuple[int, ...], marks: list[tuple[tuple[int, int, int], int]], title: str, wrap: int
) -> str:
    """Return a grid of things of these extents, some of them marked; a flat one in rows of ``wrap``."""
    x, y, z = (*extents, 1, 1, 1)[:3]
    if _is_flat(extents):
        columns = min(x, wrap)
        raster = Raster.blank(columns, -(-x // columns))
        for (at, _, _), mark in marks:
            raster.mark(at % columns, at // columns, mark)
    else:
        raster = Raster.blank(x, y * z)
        for (across, down, deep), mark in marks:
            raster.mark(across, deep * y + down, mark)
    spoken = f"{title}: {'×'.join(str(extent) for extent in extents)}"
    return (
        f"<figure class='picture'><figcaption>{prose(spoken)}</figcaption>"
        f"<div class='raster'>{raster.svg(spoken, _PLACES)}</div></figure>"
    )
