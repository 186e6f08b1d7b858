"""What the options say about instrumented kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.config import parse_range
from pycuda_guard.shadow.world import Options

if TYPE_CHECKING:
    from pycuda_guard.config import Config


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
