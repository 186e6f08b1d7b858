"""Lines of kernel source that was made from a template: where each comes from."""

from __future__ import annotations

from string import Template

import pytest

from pycuda_guard.kernels.lines import WRAPPER, locate_source

PERCENT = '''TEMPLATE = """
#define R %(R)d
__global__ void rows(const %(type)s *in, %(type)s *out, int w)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    %(type)s s = 0;
    for (int k = -R; k <= R; k++)
        s += in[(x + k) %% w];
    if (x < w) out[x] = s * %(scale)f;
}
"""
source = TEMPLATE % {"R": 3, "type": "double", "scale": 0.5}
'''
REPLACED = '''TEMPLATE = """
__global__ void scan(DTYPE *data, int n) {
    __shared__ DTYPE part[BLOCK];
    DTYPE v = t >= BLOCK ? part[t - BLOCK] : 0;
    part[threadIdx.x] += v;
}
"""
source = TEMPLATE.replace("DTYPE", "unsigned int").replace("BLOCK", "64")
'''
F_STRING = '''n = 4
body = "\\n".join(f"    sum += x[i * {n} + {k}];" for k in range(n))
source = f"""
__global__ void fold(const float *x, float *y) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    if (i < {n * 2}) {{
{body}
    }}
    y[i] = sum;
}}
"""
'''
PIECES = '''COMMON = """
struct Complex { float re, im; };
__device__ Complex add(Complex a, Complex b) { a.re += b.re; a.im += b.im; return a; }
"""
STAGE = "\\n".join([
    "__global__ void stage$half(Complex *z) {",
    "    int i = threadIdx.x;",
    "    z[i] = add(z[i], z[i + $half]);",
    "}",
])
source = COMMON + Template(STAGE).substitute(half=8) + Template(STAGE).substitute(half=16)
'''


def made(text: str) -> str:
    """Run a program; return the source that it makes."""
    names = {"Template": Template}
    exec(text, names)
    return str(names["source"])


@pytest.mark.parametrize(
    ("text", "line", "origin"),
    [
        (PERCENT, "double s = 0;", "%(type)s s = 0;"),
        (PERCENT, "s += in[(x + k) % w];", "s += in[(x + k) %% w];"),
        (PERCENT, "out[x] = s * 0.500000;", "out[x] = s * %(scale)f;"),
        (REPLACED, "v = t >= 64 ? part[t - 64] : 0;", "v = t >= BLOCK ?"),
        (REPLACED, "part[threadIdx.x] += v;", "part[threadIdx.x] += v;"),
        (F_STRING, "if (i < 8) {", "if (i < {n * 2}) {{"),
        (F_STRING, "sum += x[i * 4 + 2];", "sum += x[i * {n} + {k}]"),
        (F_STRING, "y[i] = sum;", "y[i] = sum;"),
        (PIECES, "a.re += b.re;", "a.re += b.re;"),
        (PIECES, "z[i] = add(z[i], z[i + 8]);", "z[i] = add(z[i], z[i + $half]);"),
        (PIECES, "z[i] = add(z[i], z[i + 16]);", "z[i] = add(z[i], z[i + $half]);"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_line_is_found(text, line, origin, wrapped, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(text)
    source = made(text).join(WRAPPER) if wrapped else made(text)
    place = locate_source(source, [(str(script), 20)])
    number = next(n for n, own in enumerate(source.split("\n"), 1) if line in own)
    assert place is not None and place.filename == str(script)
    found = place.line(number)
    assert found is not None and origin in text.split("\n")[found - 1]


def test_a_file_beside_the_program(tmp_path):
    text = PERCENT.split('"""')[1]
    (tmp_path / "rows.cu").write_text(text)
    script = tmp_path / "script.py"
    script.write_text("source = open('rows.cu').read() % values\n")
    place = locate_source(made(PERCENT), [(str(script), 1)])
    assert place is not None and place.filename == str(tmp_path / "rows.cu")
    assert place.line(6) == 6


SCALE = """#include "common.h"
struct Extent { int rows, columns; };
__device__ int at(Extent e, int r, int c) { return r * e.columns + c; }

__global__ void scale(float *y, const float *x, Extent e)
{
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    int r = blockIdx.y;
    if (c < e.columns) y[at(e, r, c)] = 2 * x[at(e, r, c)];
}
"""
SHIFT = SCALE.replace("scale", "shift").replace("2 * x[at(e, r, c)]", "x[at(e, r, c + 1)]")


def test_a_function_of_another_name_is_not_the_origin(tmp_path):
    """What both have stands in the other file, too; the kernel does not."""
    script = tmp_path / "script.py"
    script.write_text("source = open(somewhere).read()\n")
    (tmp_path / "scale.cu").write_text(SCALE)
    place = locate_source(SHIFT, [(str(script), 1)])
    lines = [number for number in range(1, SHIFT.count("\n") + 2) if place and place.line(number)]
    assert set(lines) <= {1, 2, 3}


def test_of_files_alike_the_closest_is_the_origin(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("source = open(somewhere).read()\n")
    (tmp_path / "a.cu").write_text(SCALE)
    (tmp_path / "b.cu").write_text(SHIFT)
    (tmp_path / "c.cu").write_text(SCALE)
    source = SHIFT.replace('#include "common.h"', "").replace("    int c = ", "    const int c = ")
    place = locate_source(source, [(str(script), 1)])
    assert place is not None and place.filename == str(tmp_path / "b.cu")
    assert [place.line(number) for number in (5, 7, 9)] == [5, 7, 9]


@pytest.mark.parametrize("suffix", ["", ".j2", ".mako", ".in"])
def test_a_template_of_a_name_that_is_not_written_out(suffix, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("def build(name, **values): return environment.get_template(name).render(**values)\n")
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / f"scale.cu{suffix}").write_text(SCALE.replace("float", "{{ type }}"))
    (templates / f"shift.cu{suffix}").write_text(SHIFT.replace("float", "{{ type }}"))
    place = locate_source(SHIFT.replace("float", "double"), [(str(script), 1)])
    assert place is not None and place.filename == str(templates / f"shift.cu{suffix}")
    assert [place.line(number) for number in (5, 7, 9)] == [5, 7, 9]


@pytest.mark.parametrize(
    ("head", "program"),
    [
        ("NAME", 'source = text.replace("NAME", "shift")'),
        ("DIRECTION_ift", "source = text.replace('DIRECTION_', 'sh')"),
        ("NAME", 'for old, new in {"NAME": "shift"}.items(): text = text.replace(old, new)'),
        ("$name", "source = Template(text).substitute(name='shift')"),
        ("%(name)s", "source = text % names"),
        ("{{ name }}", "source = jinja2.Template(text).render(name='shift')"),
        ("${name}", "source = mako.template.Template(text).render(name='shift')"),
    ],
)
def test_a_name_that_a_template_leaves_open(head, program, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(program + "\n")
    (tmp_path / "template.cu").write_text(SHIFT.replace("shift", head))
    place = locate_source(SHIFT, [(str(script), 1)])
    assert place is not None
    assert [place.line(number) for number in (3, 5, 9)] == [3, 5, 9]


def test_a_string_of_the_program_with_another_kernel(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"KERNEL = '''{SCALE}'''\nsource = open(somewhere).read()\n")
    place = locate_source(SHIFT, [(str(script), 1)])
    assert place is None or place.line(9) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "this is not Python (",
        'other = """\n__global__ void other(int *x)\n{\n    x[threadIdx.x] = 1;\n}\n"""\n',
        'a, b = "{", "}"\nwords = ["int", "float", "__global__"]\nfull = f"{a} {b}"\n',
    ],
)
def test_what_is_not_the_origin(text, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(text)
    assert locate_source(made(PERCENT), [(str(script), 1)]) is None


def test_lines_that_nothing_resembles_have_no_place(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PERCENT)
    lines = made(PERCENT).split("\n")
    lines.insert(7, "        __threadfence();")
    place = locate_source("\n".join(lines), [(str(script), 1)])
    assert place is not None
    assert place.line(8) is None
    assert place.line(9) == 8


def test_of_two_lines_alike_none_is_guessed(tmp_path):
    script = tmp_path / "script.py"
    twice = 'body = """\n    y[i] = x[i] + 1;\n    y[i] = x[i] + 2;\n"""\n'
    script.write_text(PERCENT + twice)
    source = made(PERCENT) + "    y[i] = x[i] + 3;\n"
    place = locate_source(source, [(str(script), 1)])
    assert place is not None
    assert place.line(source.count("\n")) is None
