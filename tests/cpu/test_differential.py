"""Random kernels on the CPU device against an evaluator of the ISA manual; and that a difference is seen."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pycuda_guard.cpu.codegen.instructions.limits import support_table
from pycuda_guard.toolchain import find_nvcc
from tools.differential import approximate, corpus, cuda_c, defects, generate, numbers
from tools.differential.answers import Answers, failed, outcome
from tools.differential.catalogue import catalogue
from tools.differential.forms import BITS

ROOT = Path(__file__).parents[2]

#: made on a GPU by python -m tools.differential --device gpu --out tests/cpu/gpu_answers.json
GPU_ANSWERS = Path(__file__).with_name("gpu_answers.json")

#: what no form has: tested elsewhere, or nothing that a kernel could store
ELSEWHERE = {
    "approximations, in a table of their own": "cos ex2 lg2 rsqrt sin tanh",
    "control flow, which forms are put into": "bra brx call exit ret",
    "tests of faults and of the grid": "trap brkpt griddepcontrol pmevent setmaxnreg",
    "fragments, whose layout is open": "wmma",
    "memory of a size that is known when it runs": "alloca stacksave stackrestore",
    "barriers as objects, in which threads spin": "mbarrier",
    "hints, and clusters of one block": "applypriority discard getctarank ldu mapa",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of few kernels, from all over: (its exit status, what it printed, the file of answers)."""
    pytest.importorskip("pycuda")
    file = tmp_path_factory.mktemp("differential") / "answers.json"
    command = [sys.executable, "-m", "tools.differential", "--every", "300", "--jobs", "2"]
    command += ["--out", str(file), "--against", str(GPU_ANSWERS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, file


@pytest.fixture(scope="module")
def gpu():
    """What a GPU answered to the kernels of seed 0."""
    return Answers.load(GPU_ANSWERS)


def test_no_answer_is_wrong(run):
    status, text, _ = run
    assert "0 wrong, 0 different" in text, text
    assert "32 kernels, " in text
    assert status == 0


def test_no_approximation_is_beyond_the_manual_s_limit(run):
    rows = [line.split() for line in run[1].splitlines() if ".approx" in line or ".full" in line]
    assert len(rows) > 20
    assert {row[-1] for row in rows} == {"0"}


def test_answers_are_kept_as_they_are(run):
    kept = Answers.load(run[2])
    assert len(kept.digests) == 32
    assert not kept.wrong
    assert sum(map(len, kept.bits.values())) > 20_000


def right_answer(kernel: generate.Kernel) -> bytearray:
    """Return what a device that is right stores; of two right answers the first."""
    found = bytearray(kernel.answer_size)
    for result in kernel.results:
        size = max(BITS[result.kind] // 8, 2)
        data = b"".join(value.to_bytes(size, "little") for value in result.columns[0])
        found[result.offset : result.offset + len(data)] = data
    return found


def test_a_wrong_bit_is_seen_and_the_step_is_named():
    kernel = generate.kernel(3, 0)
    answer = right_answer(kernel)
    kept = Answers("other", 0, 3)
    kept.add(outcome(kernel, bytes(answer)))
    right = outcome(kernel, bytes(answer))
    assert not right.report.wrong
    assert not kept.differences(right)

    place = next(index for index, result in enumerate(kernel.results) if result.kind == "i32")
    answer[kernel.results[place].offset] ^= 1
    wrong = outcome(kernel, bytes(answer))
    (line,) = wrong.report.wrong
    assert kernel.results[place].step in line
    (line,) = kept.differences(wrong)
    assert kernel.results[place].step in line


def test_a_kernel_that_fails_is_wrong():
    kernel = generate.kernel(3, 0)
    kept = Answers("other", 0, 3)
    kept.add(outcome(kernel, bytes(right_answer(kernel))))
    found = failed(kernel, "the launch timed out")
    assert found.report.wrong == ["k0: the launch timed out"]
    assert kept.differences(found)


def test_the_evaluator_answers_as_the_gpu_did(gpu):
    kernels = [generate.kernel(0, number) for number in range(9, 5000, 500)]
    kernels += [generate.survey(number) for number in range(5, generate.SURVEYED, 30)]
    for kernel in kernels:
        assert not gpu.differences(outcome(kernel, bytes(right_answer(kernel))))


def test_all_kernels_have_an_answer_of_the_gpu(gpu):
    names = {f"k{number}" for number in range(5000)} | {f"c{number}" for number in range(500)}
    names |= {f"s{number}" for number in range(generate.SURVEYED)}
    names |= {kernel.name for kernel in corpus.kernels()}
    assert names - set(gpu.digests) == defects.ENDLESS
    assert set(gpu.digests) <= names
    assert set(gpu.bits) == {table.name for table in approximate.tables()}
    assert not gpu.wrong


@pytest.mark.parametrize("name", defects.WRONG)
def test_what_ptxas_assembles_wrongly_differs(gpu, name):
    make = cuda_c.kernel if name.startswith("c") else generate.kernel
    kernel = make(0, int(name[1:]))
    assert gpu.differences(outcome(kernel, bytes(right_answer(kernel))))


def test_no_approximation_of_the_gpu_is_beyond_the_manual_s_limit(gpu):
    assert sum(approximate.errors(table, gpu.bits[table.name]).beyond for table in approximate.tables()) == 0


def test_an_answer_to_another_kernel_is_refused():
    first, second = (
        outcome(each, bytes(right_answer(each))) for each in map(generate.kernel, (3, 4), (1, 1))
    )
    kept = Answers("other", 0, 3)
    kept.add(first)
    with pytest.raises(KeyError, match="make the file anew"):
        kept.differences(second)


def test_a_seed_gives_the_same_kernel_again():
    assert generate.kernel(5, 17).text == generate.kernel(5, 17).text
    assert generate.kernel(5, 17).text != generate.kernel(6, 17).text
    assert cuda_c.kernel(5, 17).text == cuda_c.kernel(5, 17).text


def test_every_supported_opcode_is_in_some_form():
    covered = set().union(*(form.opcodes for form in catalogue()))
    elsewhere = {name for names in ELSEWHERE.values() for name in names.split()}
    supported = {row.opcode for row in support_table() if row.supported}
    assert supported - covered == elsewhere


def test_the_assembler_takes_every_form(tmp_path):
    nvcc = find_nvcc()
    assert nvcc is not None
    ptxas = Path(nvcc).with_name("ptxas")
    file = tmp_path / "forms.ptx"
    file.write_text(generate.module([generate.survey(number) for number in range(generate.SURVEYED)]))
    done = subprocess.run(
        [ptxas, "-arch=sm_90", "-O0", file, "-o", tmp_path / "cubin"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:2000]


OPERATIONS = {
    "add": np.add,
    "multiply": np.multiply,
    "divide": np.divide,
}


@pytest.mark.parametrize("kind, dtype", [("f16", np.float16), ("f32", np.float32), ("f64", np.float64)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_evaluator_rounds_as_numpy_does(name, kind, dtype):
    generator = random.Random(name + kind)
    pairs = [[generate.random_value(generator, kind) for _ in range(2)] for _ in range(500)]
    bits = np.array(pairs, f"u{BITS[kind] // 8}")
    with np.errstate(all="ignore"):
        wanted = OPERATIONS[name](*bits.view(dtype).T)
    found = np.array([getattr(numbers, name)(kind, a, b) for a, b in pairs], bits.dtype)
    same = (found == wanted.view(bits.dtype)) | (np.isnan(wanted) & np.isnan(found.view(dtype)))
    assert same.all(), bits[~same][:3]
