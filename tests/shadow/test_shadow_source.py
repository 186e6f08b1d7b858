"""Where a line of a compiled kernel is for the user."""

from __future__ import annotations

import pytest

from pycuda_guard import callsite, statements
from pycuda_guard.kernels.lines import WRAPPER
from pycuda_guard.shadow.source import Source

TEXT = "// first\n__global__ void k(int *x) {\n    *x = 1;\n}\n"


def source(text: str, *frames: tuple[str, int]) -> Source:
    return Source(lambda: "", text, frames)


@pytest.mark.parametrize(("text", "line"), [(WRAPPER[0] + TEXT + WRAPPER[1], 4), (TEXT, 3)])
def test_a_text_from_elsewhere_keeps_its_own_lines(text, line):
    assert source(text).line("/tmp/xyz/kernel.cu", line) == ("kernel.cu", 3)


def test_a_text_that_is_in_no_file_can_be_read_under_a_name(tmp_path):
    program = str(tmp_path / "program.py")
    wrapped = WRAPPER[0] + TEXT + WRAPPER[1]
    name, line = source(wrapped, (program, 6)).line("kernel.cu", 4)
    assert (name, line) == ("<source compiled at program.py:6>", 3)
    assert statements.line_text(callsite.Site(name, line, "")) == "*x = 1;"
    assert source(TEXT, (program, 6)).line("kernel.cu", 3) == (name, line)
    other = source(TEXT.replace("1", "2"), (program, 6)).line("kernel.cu", 3)
    assert other == ("<source 2 compiled at program.py:6>", 3)
    assert statements.line_text(callsite.Site(*other, "")) == "*x = 2;"


@pytest.mark.parametrize("name", ["kernels.cu", "cuda/kernels.cuh"])
def test_a_text_from_a_file_of_cuda_has_the_lines_of_that_file(tmp_path, name):
    program, kernels = tmp_path / "program.py", tmp_path / name
    program.write_text("compile(open(...).read())\n")
    kernels.parent.mkdir(exist_ok=True)
    kernels.write_text(f"// before\n{TEXT}// after\n")
    for text, line in ((TEXT, 3), (WRAPPER[0] + TEXT + WRAPPER[1], 4)):
        assert source(text, (str(program), 1)).line("kernel.cu", line) == (str(kernels), 4)


def test_a_file_that_the_program_names_is_found_elsewhere(tmp_path):
    program, kernels = tmp_path / "program.py", tmp_path / "far" / "away" / "kernels.cu"
    program.write_text("compile(open('far/away/kernels.cu').read())\n")
    kernels.parent.mkdir(parents=True)
    kernels.write_text(TEXT)
    assert source(TEXT, (str(program), 1)).line("kernel.cu", 3) == (str(kernels), 3)
    kernels.write_bytes(b"\xff\xfe no text")
    assert source(TEXT, (str(program), 1)).line("kernel.cu", 3)[0].startswith("<source ")


def test_a_text_in_the_program_has_the_lines_of_its_file(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(f"import this\nSOURCE = '''{TEXT}'''\ncompile(SOURCE)\n")
    found = source(WRAPPER[0] + TEXT + WRAPPER[1], (str(path), 6)).line("kernel.cu", 4)
    assert found == (str(path), 4)


def test_other_files_keep_their_lines():
    assert source(WRAPPER[0] + TEXT + WRAPPER[1]).line("cuda_fp16.h", 4) == ("cuda_fp16.h", 4)
