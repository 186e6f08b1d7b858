"""What one process of a run does: it opens the device and runs modules on it."""

from __future__ import annotations

from tools.differential import approximate, corpus, cuda_c, generate
from tools.differential.answers import Outcome, failed, outcome
from tools.differential.compare import column_of
from tools.differential.execute import Device

_device: Device | None = None


def open_device(name: str) -> None:
    """Open the device of this process."""
    global _device
    _device = Device(name)


def run_ptx(seed: int, numbers: range) -> list[Outcome]:
    """Make and run kernels in PTX."""
    kernels = [generate.kernel(seed, number) for number in numbers]
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
    try:
        answers = _device.answers(ptx, kernels)
    except _device.failure as error:
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
