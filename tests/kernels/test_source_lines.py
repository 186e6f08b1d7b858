"""Lines of kernel source in the user's Python file."""

from __future__ import annotations

import ast
import textwrap

import pytest

from pycuda_guard.kernels.lines import WRAPPER, find_literals, locate_source

KERNEL = "__global__ void f(int *x)\n{\n    x[0] = 1;\n}"


def assert_same_lines(source: str, text: str) -> None:
    """Assert that each line that is found in the file contains the line of the kernel."""
    (lines,) = find_literals(source, text)
    kernel, file = source.splitlines(), text.splitlines()
    for number, line in enumerate(kernel):
        assert line.strip() in file[lines[number] - 1]


@pytest.mark.parametrize(
    "literal",
    [
        f'"""{KERNEL}"""',
        f'"""\n{KERNEL}\n"""',
        f'"""\\\n{KERNEL}\n"""',
        f'r"""\n{KERNEL}\n"""',
        f"'''// first\n{KERNEL}\n// last'''",
        '("__global__ void f(int *x)\\n"\n    "{\\n"  # a comment\n\n    "    x[0] = 1;\\n" "}")',
        f'"""// tab \\t, hex \\x41, octal \\101, \\N{{BULLET}} \\u0041 \\" \\\\\n{KERNEL}"""',
        f'"// other\\n" """\n\n{KERNEL}"""',
    ],
)
def test_plain_literals(literal):
    text = f"import pycuda\n\nmodule = SourceModule({literal})\n"
    value = ast.literal_eval(text[text.index("(") :])
    assert_same_lines(KERNEL, text)
    if value != KERNEL:
        (lines,) = find_literals(value, text)
        assert len(lines) == value.count("\n") + 1


def test_indented_and_dedented():
    body = textwrap.indent(KERNEL, "        ")
    text = f'def f():\n    source = textwrap.dedent("""\n{body}\n    """)\n'
    assert_same_lines(KERNEL, text)
    assert_same_lines(body, text)


def test_wrapped_by_pycuda():
    text = f'\nmodule = SourceModule("""\n{KERNEL}\n""")\n'
    wrapped = f"\n{KERNEL}\n".join(WRAPPER)
    (lines,) = find_literals(wrapped, text)
    assert len(lines) == wrapped.count("\n") + 1
    numbered = wrapped.splitlines()
    assert lines[numbered.index("    x[0] = 1;")] == text.splitlines().index("    x[0] = 1;") + 1


@pytest.mark.parametrize(
    "text",
    [
        f'source = f"""{KERNEL.replace("{", "{{").replace("}", "}}")}"""',
        f'name = "g"\nsource = """{KERNEL}""".replace("f", name) if 0 else f"" """{KERNEL}"""',
        f'source = b"""{KERNEL}"""',
        f"# {KERNEL!r}",
        'source = """__global__ void f(%s *x)\n{\n    x[0] = 1;\n}""" % "int"',
        "this is not Python (",
        "",
    ],
)
def test_not_exact(text):
    if '""".replace' in text:
        text = text.split("\n", 1)[1].split(" if 0 else ")[1]
    assert find_literals(KERNEL, text) == ()


@pytest.mark.parametrize("source", ["", "  \n ", "\n".join(WRAPPER)])
def test_blank_source_is_nowhere(source):
    assert find_literals(source, 'x = ""\ny = " "\n') == ()


def test_frames(tmp_path):
    library, script = tmp_path / "library.py", tmp_path / "script.py"
    library.write_text("def build(source):\n    return SourceModule(source)\n")
    script.write_text(f'a = """{KERNEL}"""\nbuild(a)\nb = """{KERNEL}"""\nbuild(b)\n')
    last = script.read_text().splitlines().index("build(b)") + 1
    frames = [("<string>", 1), (str(tmp_path / "missing.py"), 1), (str(library), 2)]
    first = locate_source(KERNEL, [*frames, (str(script), 5)])
    assert (first.filename, first.lines) == (str(script), (1, 2, 3, 4))
    assert locate_source(KERNEL, [*frames, (str(script), last)]).lines == (6, 7, 8, 9)
    assert (first.line(1), first.line(4), first.line(5), first.line(0)) == (1, 4, None, None)
    assert locate_source(KERNEL, frames) is None


def test_a_file_given_on_the_command_line(tmp_path, monkeypatch):
    script, kernels = tmp_path / "tools" / "run.py", tmp_path / "data" / "deep" / "kernels.cu"
    for file, text in ((script, "source = open(sys.argv[1]).read()\n"), (kernels, f"// first\n{KERNEL}")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert locate_source(KERNEL, [(str(script), 1)]) is None
    monkeypatch.setattr("sys.argv", [str(script), str(kernels)])
    place = locate_source(KERNEL, [(str(script), 1)])
    assert place is not None and (place.filename, place.line(1)) == (str(kernels), 2)


def test_a_file_of_the_project_that_runs(tmp_path, monkeypatch):
    script, kernels = tmp_path / "tools" / "run.py", tmp_path / "kernels" / "some.cu"
    for file, text in ((script, "source = (ROOT / NAME).read_text()\n"), (kernels, f"// first\n{KERNEL}")):
        file.parent.mkdir()
        file.write_text(text)
    monkeypatch.chdir(script.parent)
    assert locate_source(KERNEL, [(str(script), 1)]) is None
    monkeypatch.chdir(tmp_path)
    place = locate_source(KERNEL, [(str(script), 1)])
    assert place is not None and (place.filename, place.line(1)) == (str(kernels), 2)
