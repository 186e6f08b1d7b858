"""What a line of the program says: its statement, and the names in it."""

from __future__ import annotations

import pytest

from pycuda_guard.callsite import Site
from pycuda_guard.names import argument_names, is_target, target_name, unpacked_names
from pycuda_guard.statements import call_text

PROGRAM = """\
import numpy as np
a_gpu = cuda.mem_alloc(a.nbytes)
cuda.memcpy_htod(
    a_gpu,
    a,  # the input
)
b_gpu, pitch = cuda.mem_alloc_pitch(16, 4, 4)
self.out[0] = cuda.mem_alloc(n)
func(a_gpu, np.int32(n), block=(16, 1, 1), grid=(2, 1))
func.prepared_async_call(grid, block, stream, a_gpu, n)
for i in range(3): upload(a_gpu, rows[i])
with guard(cuda.mem_alloc(4)) as g:
    x: object = cuda.to_device(a)
y = run(cuda.mem_alloc(4))
z = gpuarray.to_gpu(np.zeros(4))
cuda.memcpy_htod(*pair)
cuda.memcpy_htod_async(dest=a_gpu, src=a, stream=s)
count = 3
with guard: func(a_gpu, np.int32(n), **shape)
c_gpu = cuda.mem_alloc(n); c_gpu.free()
d_gpu = cuda.mem_alloc(n); e_gpu = cuda.mem_alloc(n)
if n: cuda.memcpy_htod(a_gpu, a); cuda.memcpy_dtoh(b, a_gpu)
"""


@pytest.fixture
def at(tmp_path):
    """Return a function that makes the site of a line of PROGRAM."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return lambda line: Site(str(path), line, "<module>")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (2, "a_gpu = cuda.mem_alloc(a.nbytes)"),
        (3, "cuda.memcpy_htod(a_gpu, a)"),
        (5, "cuda.memcpy_htod(a_gpu, a)"),
        (12, "with guard(cuda.mem_alloc(4)) as g:"),
        (99, ""),
    ],
)
def test_the_statement_is_one_line(at, line, text):
    assert call_text(at(line)) == text


def test_a_text_of_several_lines_is_dots(tmp_path):
    path = tmp_path / "kernels.py"
    path.write_text("f = SourceModule('''\nvoid f();\n''', options=['-O3'])\n")
    assert call_text(Site(str(path), 1, "")) == "f = SourceModule('…', options=['-O3'])"
    assert call_text(Site(str(path), 2, "")) == "void f();"


def test_of_several_statements_the_line_is_shown(tmp_path):
    path = tmp_path / "line.py"
    path.write_text("a = f(1); b = f(2)  # both\nc = f(\n    3)\n")
    texts = [call_text(Site(str(path), line, "f")) for line in (1, 2, 3)]
    assert texts == ["a = f(1); b = f(2)  # both", "c = f(3)", "c = f(3)"]


def test_a_long_statement_is_shortened(tmp_path):
    path = tmp_path / "long.py"
    path.write_text(f"f({'x' * 300})\n")
    text = call_text(Site(str(path), 1, "f"))
    assert len(text) == 120
    assert text.endswith("…")


@pytest.mark.parametrize(
    ("line", "call", "names"),
    [
        (3, "memcpy_htod", ["a_gpu", "a"]),
        (9, "__call__", ["a_gpu", "np.int32(n)"]),
        (10, "prepared_async_call", ["a_gpu", "n"]),
        (16, "memcpy_htod", []),
        (17, "memcpy_htod_async", ["a_gpu", "a", "s"]),
        (18, "memcpy_htod", []),
        (19, "__call__", ["a_gpu", "np.int32(n)"]),
        (22, "memcpy_htod", ["a_gpu", "a"]),
        (22, "memcpy_dtoh", ["b", "a_gpu"]),
    ],
)
def test_arguments_are_named_as_written(at, line, call, names):
    assert argument_names(at(line), call) == names


def test_a_call_under_another_name_is_found_if_it_is_the_only_one(tmp_path):
    path = tmp_path / "other.py"
    path.write_text("upload(a_gpu, row)\n")
    assert argument_names(Site(str(path), 1, "f"), "memcpy_htod") == ["a_gpu", "row"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (2, "a_gpu"),
        (7, "b_gpu"),
        (8, "self.out[0]"),
        (13, "x"),
        (14, ""),
        (15, "z"),
        (18, ""),
        (3, ""),
        (20, "c_gpu"),
        (21, ""),
    ],
)
def test_the_target_is_what_the_memory_is_called(at, line, name):
    assert target_name(at(line)) == name


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("a, pitch = cuda.mem_alloc_pitch(4, 4, 4)", "a"),
        ("a, b = (cuda.mem_alloc(n) for n in sizes)", ""),
        ("a, b = [cuda.mem_alloc(4), cuda.mem_alloc(8)]", ""),
        ("a, b = map(cuda.mem_alloc, sizes)", ""),
        ("[a, b] = list(map(cuda.mem_alloc, sizes))", ""),
        ("both = [cuda.mem_alloc(n) for n in sizes]", "both"),
    ],
)
def test_no_allocation_has_the_name_of_another(tmp_path, statement, name):
    path = tmp_path / "several.py"
    path.write_text(statement + "\n")
    assert target_name(Site(str(path), 1, "f")) == name


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("a, b = cuda.mem_alloc(n), ga.zeros(5, np.float32)", "a b"),
        ("self.a, b = [ga.to_gpu(np.ones(n)) for _ in range(2)]", "self.a b"),
        ("host, a, (b, pitch) = np.zeros(5), cuda.mem_alloc(5), cuda.mem_alloc_pitch(4, 4, 4)", ""),
        ("host, a, n, b = np.zeros(5), cuda.mem_alloc(5), 3, ga.empty_like(x)", "a b"),
        ("a, b = mine(5), cuda.mem_alloc(5)", ""),
        ("a, b = cuda.mem_alloc(5), ga.to_gpu(cuda.pagelocked_zeros(5, int))", ""),
        ("a, *b = cuda.mem_alloc(5), cuda.mem_alloc(5)", ""),
        ("a, b = cuda.mem_alloc(5), cuda.mem_alloc(6), cuda.mem_alloc(7)", ""),
        ("both = cuda.mem_alloc(5), cuda.mem_alloc(5)", ""),
    ],
)
def test_names_that_several_results_go_to(tmp_path, statement, names):
    path = tmp_path / "unpacked.py"
    path.write_text(statement + "\n")
    assert unpacked_names(Site(str(path), 1, "f")) == names.split()


@pytest.mark.parametrize(
    ("statement", "whether"),
    [
        ("s = cuda.Stream(1)", True),
        ("self.s = Stream()", True),
        ("s = given or cuda.Stream()", True),
        ("s = cuda.Stream() if wanted() else None", True),
        ("s: cuda.Stream = create()", True),
        ("both = [cuda.Stream(), cuda.Stream()]", False),
        ("both = [cuda.Stream() for _ in range(2)]", False),
        ("by_name = dict(a=cuda.Stream())", False),
        ("worker = Worker(cuda.Stream())", False),
        ("a, b = cuda.Stream(), cuda.Stream()", False),
        ("cuda.Stream()", False),
    ],
)
def test_what_holds_the_result_is_not_the_result(tmp_path, statement, whether):
    path = tmp_path / "held.py"
    path.write_text(statement + "\n")
    assert is_target(Site(str(path), 1, "f"), "Stream") is whether


@pytest.mark.parametrize("file", ["/no/such/file.py", "<string>"])
def test_an_unknown_source_gives_nothing(file):
    site = Site(file, 1, "f")
    assert (call_text(site), argument_names(site, "f"), target_name(site)) == ("", [], "")
    assert (call_text(None), argument_names(None, "f"), target_name(None)) == ("", [], "")


def test_a_source_with_a_syntax_error_still_gives_its_line(tmp_path):
    path = tmp_path / "magic.py"
    path.write_text("%time f(x)\n")
    assert call_text(Site(str(path), 1, "f")) == "%time f(x)"
