"""Runs modules of kernels with PyCUDA, on a GPU or on the CPU device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.differential.generate import Kernel

_UNIT = 256
#: seconds that the kernels of a module may take
_LIMIT = 30


class Device:
    """The device, by the name ``cpu`` or ``gpu``; one for each process."""

    def __init__(self, name: str) -> None:
        if name == "cpu":
            from pycuda_guard import cpu

            cpu.load()
        import pycuda.autoinit
        import pycuda.driver as driver

        self._driver: Any = driver
        self.failure: type[Exception] = driver.Error
        self.name: str = pycuda.autoinit.device.name()
        self.version: int = driver.get_driver_version()

    def answers(self, ptx: str, kernels: Sequence[Kernel]) -> list[bytes]:
        """Run each kernel of a module as one block, and return the bytes that it stored.

        Raises TimeoutError where they don't end; the device can't be used any more then.
        """
        driver = self._driver
        module = driver.module_from_buffer(ptx.encode() + b"\0")
        given = b"".join(_padded(kernel.data) for kernel in kernels)
        places = np.cumsum([0, *(len(_padded(bytes(kernel.answer_size))) for kernel in kernels)])
        source = driver.to_device(np.frombuffer(given, np.uint8))
        target = driver.to_device(np.full(int(places[-1]), 0xA5, np.uint8))
        own = driver.mem_alloc(64 * max(kernel.threads for kernel in kernels))
        at = int(source)
        for kernel, place in zip(kernels, places, strict=False):
            function = module.get_function(kernel.name)
            arguments = (np.uint64(at), np.uint64(int(target) + int(place)), own)
            function(*arguments, block=(kernel.threads, 1, 1), grid=(1, 1))
            at += len(_padded(kernel.data))
        self._wait()
        found = driver.from_device(target, (int(places[-1]),), np.uint8).tobytes()
        return [
            found[place : place + kernel.answer_size] for kernel, place in zip(kernels, places, strict=False)
        ]

    def _wait(self) -> None:
        """Wait for the kernels, but not for ever."""
        end = self._driver.Event()
        end.record()
        last = time.monotonic() + _LIMIT
        while not end.query():
            if time.monotonic() > last:
                raise TimeoutError(f"the kernels don't end within {_LIMIT} s")
            time.sleep(0.001)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _UNIT)
