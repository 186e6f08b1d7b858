"""How much of the guard there is while something is measured, and on which device."""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING

from pycuda_guard import config
from pycuda_guard.session.session import begin

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def guarded(way: str, device: str, folder: str) -> Iterator[None]:
    """Guard the process: ``bare`` is not at all; ``rules``, ``recorded``, ``kernels``, ``races`` add up."""
    if way == "bare":
        yield
        return
    chosen: dict[str, object] = {"device": device, "quiet": True, "races": way == "races"}
    chosen["no_kernels"] = way in ("rules", "recorded")
    if way != "rules":
        chosen |= {"record": f"{folder}/{way}.pgr", "record_limit": 1 << 26}
    session = begin(config.read(chosen, {}))
    yield
    session.stop()


def chosen_device(description: str | None) -> str:
    """Return the device that the command line asks for, with a context that is current."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    device: str = parser.parse_args().device
    if device == "cpu":
        from pycuda_guard import cpu

        cpu.load(cpu.DeviceOptions())
    import pycuda.autoinit  # noqa: F401

    return device
