"""Where a line of a compiled kernel is for the user."""

from __future__ import annotations

import pytest

from pycuda_guard.kernels.lines import WRAPPER
from pycuda_guard.shadow.source import Source

TEXT = "// first\n__global__ void k(int *x) {\n    *x = 1;\n}\n"


def source(text: str, *frames: tuple[str, int]) -> Source:
    return Source(lambda: "", text, frames)


@pytest.mark.parametrize(("text", "line"), [(WRAPPER[0] + TEXT + WRAPPER[1], 4), (TEXT, 3)])
def test_a_text_from_elsewhere_keeps_its_own_lines(text, line):
    assert source(text).line("/tmp/xyz/kernel.cu", line) == ("kernel.cu", 3)


def test_a_text_in_the_program_has_the_lines_of_its_file(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(f"import this\nSOURCE = '''{TEXT}'''\ncompile(SOURCE)\n")
    found = source(WRAPPER[0] + TEXT + WRAPPER[1], (str(path), 6)).line("kernel.cu", 4)
    assert found == (str(path), 4)


def test_other_files_keep_their_lines():
    assert source(WRAPPER[0] + TEXT + WRAPPER[1]).line("cuda_fp16.h", 4) == ("cuda_fp16.h", 4)
