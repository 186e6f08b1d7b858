"""What the options say about instrumented kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.config import parse_range
from pycuda_guard.shadow.world import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.config import Config
    from pycuda_guard.shadow.unwatched import Unwatched

#: kernels that a report names
_NAMED = 5


def kernel_options(config: Config, device: str) -> Options | None:
    """Return which launches are to be looked into on ``device`` (``cpu``, ``gpu``); None for none at all."""
    if config.no_kernels:
        return None
    first, last = parse_range("launches", config.launches) if config.launches else (1, None)
    return Options(
        config.kernel or "*",
        config.skip_kernel or "",
        first,
        last,
        on_cpu=device == "cpu",
        races=config.races,
    )


def unwatched(config: Config) -> list[str]:
    """Return what the options exclude, as the report says it."""
    if config.no_kernels:
        return ["what kernels do (--no-kernels)"]
    spots = []
    if config.kernel:
        spots.append(f"kernels other than {config.kernel}")
    if config.skip_kernel:
        spots.append(f"kernels {config.skip_kernel}")
    if config.launches:
        spots.append(f"launches other than {config.launches}")
    return spots


def unwatched_kernels(found: Unwatched) -> list[str]:
    """Return what the report says of what the runtime did not look at."""
    spots = []
    if found.races:
        spots.append(f"all races inside {_shown(found.races)}")
    if found.crowded:
        names = _shown(found.crowded)
        spots.append(f"{names}, whose blocks wait for one another and with checks do not all fit")
    if found.refused:
        spots.append(f"launches of {_shown(found.refused)}, whose blocks are too large for it with checks")
    if found.writer:
        spots.append(f"reads of memory that nothing has written: `{found.writer}` may write it unseen")
    return spots


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:_NAMED]) + more
