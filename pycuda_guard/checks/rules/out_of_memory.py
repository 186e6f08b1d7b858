"""An allocation failed because the device's memory is full.

What it does
------------
Where an allocation fails for want of memory, tells how much the program holds and which lines
allocated it, and whether memory pools keep blocks that nobody uses.

Why is this bad
---------------
"out of memory" says neither how much was asked for nor who has the rest. The line that fails is
seldom the line that is wrong.

Example
-------
    import pycuda.autoinit
    import pycuda.driver as cuda

    held = []
    while True:
        held.append(cuda.mem_alloc(1 << 30))

Use instead
-----------
    import pycuda.autoinit
    import pycuda.driver as cuda

    buffer = cuda.mem_alloc(1 << 20)
    for _ in range(100):
        cuda.memset_d8(buffer, 0, 1 << 20)

Known limits
------------
An error only if the exception leaves the script, the thread or the test: backing off to a smaller
size is right, and gets a note. Memory of other libraries and processes is not counted.

References
----------
CUDA driver API, cuMemAlloc; PyCUDA documentation, mem_get_info.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import MemoryKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import CallFailed
    from pycuda_guard.findings import Related

_HOLDERS = 5
_DEVICE = frozenset({MemoryKind.DEVICE, MemoryKind.POOL, MemoryKind.MANAGED})


class OutOfMemory(Rule):
    """PG209."""

    code: ClassVar[str] = "PG209"
    name: ClassVar[str] = "out-of-memory"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_call_failed(self, event: CallFailed) -> None:
        """Tell who holds the memory when an allocation failed."""
        if statuses.OUT_OF_MEMORY not in event.message:
            return
        if event.announced or self.again(event, failure=event.sequence):
            return
        held: Counter[Site | None] = Counter()
        blocks: defaultdict[Site | None, int] = defaultdict(int)
        for region in self.state.memory.live:
            if region.kind in _DEVICE:
                held[region.site] += region.nbytes
                blocks[region.site] += 1
        text = f"{event.call} failed: the device is out of memory, and this program holds "
        text += _mebibytes(sum(held.values()))
        limits = self.state.devices.limits.get(event.context)
        if limits is not None:
            text += f" of {_mebibytes(limits.total_memory)}"
        unused = self.state.pools.held_blocks
        if unused:
            text += f"; its memory pools keep {messages.count(unused, 'block')} more for later"
        related: tuple[Related, ...] = ()
        for site, nbytes in held.most_common(_HOLDERS):
            holds = f"{_mebibytes(nbytes)} in {messages.count(blocks[site], 'allocation')}"
            if site is not None and site == event.site:
                text += f"; {holds} of this very line"
            else:
                related += messages.related(f"{holds} from here", site)
        help = "call free_held() of its memory pools first" if unused else _help(held, event.site)
        self.report(event, text, help, related=related, failure=event.sequence)


def _help(held: Counter[Site | None], site: Site | None) -> str:
    """Return whose memory to free; ``held`` are the bytes by line, ``site`` is the line that wants more."""
    if not held:
        return "ask for less: the program holds nothing yet"
    if held.most_common(1)[0][0] == site:
        return "free what this line has allocated before, or use it again"
    return "free what is not needed before this line, starting with the largest holder below"


def _mebibytes(nbytes: int) -> str:
    """Return a size in MiB, or in bytes below one."""
    return messages.size(nbytes) if nbytes < 1 << 20 else f"{nbytes / (1 << 20):.1f} MiB"
