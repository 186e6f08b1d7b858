"""What one process of a run does: it opens the device and runs a module on it.

A kernel that faults spoils the device for its process, and one that never ends would keep it for good,
so each module has a process of its own.
"""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, Any, TypeVar

from tools.differential import approximate, corpus, cuda_c, generate
from tools.differential.answers import Outcome, failed, outcome
from tools.differential.compare import column_of
from tools.differential.defects import never_assembled
from tools.differential.execute import Device

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_T = TypeVar("_T")

_device: Device | None = None


def alone(device: str, work: Callable[..., _T], *arguments: Any) -> _T:
    """Do work of this module in a process of its own; raise EOFError if that dies."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(sender, device, work, arguments))
    process.start()
    sender.close()
    with receiver:
        result: _T = receiver.recv()
    process.join()
    return result


def _do(sender: Connection, device: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _device
    _device = Device(device)
    sender.send(work(*arguments))
    os._exit(0)  # giving back what a kernel that never ends has would wait for it


def run_ptx(seed: int, numbers: range) -> list[Outcome]:
    """Make and run kernels in PTX."""
    made = (generate.kernel(seed, number) for number in numbers)
    kernels = [kernel for kernel in made if not never_assembled(seed, kernel.name)]
    return _compared(kernels, generate.module(kernels))


def run_survey(numbers: range) -> list[Outcome]:
    """Make and run kernels of the survey."""
    kernels = [generate.survey(number) for number in numbers]
    return _compared(kernels, generate.module(kernels))


def run_corpus() -> list[Outcome]:
    """Run the kernels written by hand."""
    kernels = corpus.kernels()
    return _compared(kernels, cuda_c.compiled(kernels))


def run_cuda(seed: int, numbers: range) -> list[Outcome]:
    """Make and run kernels in CUDA C."""
    kernels = [cuda_c.kernel(seed, number) for number in numbers]
    return _compared(kernels, cuda_c.compiled(kernels))


def _compared(kernels: list[generate.Kernel], ptx: str) -> list[Outcome]:
    """Run a module; where that fails, say so of each kernel, and let the others of the run go on."""
    assert _device is not None
    if not kernels:
        return []
    try:
        answers = _device.answers(ptx, kernels)
    except (_device.failure, TimeoutError) as error:
        return [failed(kernel, str(error)) for kernel in kernels]
    return [outcome(kernel, answer) for kernel, answer in zip(kernels, answers, strict=True)]


def run_tables() -> tuple[str, int, dict[str, list[int]]]:
    """Run the approximations; return the device, its driver's version, and bits by name."""
    assert _device is not None
    found = approximate.tables()
    answers = _device.answers(approximate.module(found), [table.kernel for table in found])
    bits = {
        table.name: [int(word) for word in column_of(answer, table.kernel.results[0], table.kernel.threads)]
        for table, answer in zip(found, answers, strict=True)
    }
    return _device.name, _device.version, bits
