"""Comments that silence findings, in Python and in the source of kernels; rules left out; tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pycuda_guard import texts
from pycuda_guard.config import Config
from pycuda_guard.errors import StartError
from pycuda_guard.findings import Finding, KernelLocation, Location, Severity
from pycuda_guard.suppressions import Suppressions
from pycuda_guard.suppressions.baseline import Baseline, write
from pycuda_guard.suppressions.comments import comments_of

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = '''\
import pycuda.driver as cuda
cuda.memcpy_htod(a, b)  # pycuda-guard: ignore[PG201] known for long
cuda.memcpy_htod(a, b)  # noqa: E501  # pycuda-guard: ignore[PG201, PG3]
text = "# pycuda-guard: ignore[PG201] a string is no comment"
text = """
// pycuda-guard: ignore[PG202] not surely a kernel
"""
cuda.memcpy_htod(
    a,
    b,  # pycuda-guard: ignore[PG2]
)
with stream:  # pycuda-guard: ignore[PG104]
    cuda.memcpy_htod(a, b)
f = SourceModule(r"""
__global__ void f(float *x, const char *s)
{
    x[0] = 1;  // pycuda-guard: ignore[PG202] in the kernel
    x[1] = 1;  /* pycuda-guard: ignore[PG205] in a block */
    s = "// pycuda-guard: ignore[PG202] a string of CUDA C";
    x[2] = 1'000;  // pycuda-guard: ignore[PG202]
}
""")
cuda.memcpy_htod(a, b)  # write `# pycuda-guard: ignore[PG201]` here
cuda.memcpy_htod(a, b)  # pycuda-guard: ignroe[PG201]
cuda.memcpy_htod(a, b)  # pycuda-guard: ignore
cuda.memcpy_htod(a, b)  # pycuda-guard: ignore[PG888]
'''


@pytest.fixture
def file() -> str:
    name = "/nowhere/program.py"
    texts.provide(name, SOURCE.splitlines(keepends=True))
    return name


def finding(file: str, line: int, code: str, kernel_line: int | None = None, name: str = "f") -> Finding:
    kernel = None if kernel_line is None else KernelLocation(name, file, kernel_line)
    return Finding(code, "rule", Severity.ERROR, "what", "", Location(file, line, "<module>"), kernel)


@pytest.mark.parametrize(
    ("line", "code", "kernel_line", "reason"),
    [
        (2, "PG201", None, "known for long"),
        (2, "PG203", None, ""),
        (3, "PG201", None, "ignored at /nowhere/program.py:3"),
        (3, "PG302", None, "ignored at /nowhere/program.py:3"),
        (4, "PG201", None, ""),
        (8, "PG201", None, "ignored at /nowhere/program.py:10"),
        (10, "PG201", None, "ignored at /nowhere/program.py:10"),
        (12, "PG104", None, "ignored at /nowhere/program.py:12"),
        (13, "PG104", None, ""),
        (1, "PG202", 17, "in the kernel"),
        (1, "PG205", 18, "in a block"),
        (1, "PG202", 19, ""),
        (1, "PG202", 20, "ignored at /nowhere/program.py:20"),
        (17, "PG202", None, ""),  # a line of the host's is not one of the kernel's
        (2, "PG201", 19, "known for long"),
        (23, "PG201", None, ""),
        (24, "PG201", None, ""),
        (25, "PG201", None, ""),
    ],
)
def test_what_a_comment_silences(
    file: str, line: int, code: str, kernel_line: int | None, reason: str
) -> None:
    suppressions = Suppressions(Config())
    outcome = suppressions.sort([finding(file, line, code, kernel_line)])
    assert [why for _, why in outcome.suppressed] == ([reason] if reason else [])
    assert len(outcome.kept) + len(outcome.suppressed) == 1


CUDA = """\
// it's no Python
__global__ void f(float *x)
{
    x[0] = 1;  // pycuda-guard: ignore[PG202] on purpose
    x[1] = "// pycuda-guard: ignore[PG202]"[0];
    x[2] = 1;  // pycuda-guard: ignore[PG205]
}
"""


@pytest.mark.parametrize("name", ["/nowhere/kernels.cu", "/nowhere/kernels.cuh", "generated"])
def test_a_comment_in_a_file_of_cuda_or_a_generated_text(name: str, file: str) -> None:
    if name == "generated":
        name = texts.name_generated(CUDA, "/nowhere/made.py", 3)
    texts.provide(name, CUDA.splitlines(keepends=True))
    suppressions = Suppressions(Config())
    found = [
        replace(finding(file, 1, "PG202"), kernel=KernelLocation("f", name, line)) for line in range(1, 8)
    ]
    outcome = suppressions.sort(found)
    assert [(one.kernel.line, why) for one, why in outcome.suppressed if one.kernel] == [(4, "on purpose")]
    said = suppressions.remarks([name], [], ["PG202", "PG205"])
    assert [text for text, holds in said.items() if holds] == [
        f"{name}:6: ignore[PG205]: matched nothing in this run"
    ]


def test_a_comment_in_a_template_stands_for_those_in_its_texts() -> None:
    template = CUDA.replace("f(", "%s(")
    program = "/nowhere/templates.py"
    texts.provide(program, f"source = '''{template}'''".splitlines(keepends=True))
    names = [texts.name_generated(template % kernel, program, 9) for kernel in ("f", "g")]
    suppressions = Suppressions(Config())
    suppressions.sort([replace(finding(program, 9, "PG202"), kernel=KernelLocation("f", names[0], 4))])
    said = suppressions.remarks([program, *names], [], ["PG202", "PG205"])
    assert [text for text, holds in said.items() if holds] == [
        f"{program}:6: ignore[PG205]: matched nothing in this run"
    ]


def test_remarks_name_what_matched_nothing_and_what_makes_no_sense(file: str) -> None:
    suppressions = Suppressions(Config())
    suppressions.sort([finding(file, 2, "PG201")])
    said = suppressions.remarks([file], [], ["PG201", "PG302", "PG104", "PG205"])
    place = "/nowhere/program.py"
    assert {text for text, holds in said.items() if holds} == {
        f"{place}:3: ignore[PG201, PG3]: matched nothing in this run",
        f"{place}:10: ignore[PG2]: matched nothing in this run",
        f"{place}:12: ignore[PG104]: matched nothing in this run",
        f"{place}:18: ignore[PG205]: matched nothing in this run",
        f"{place}:24: what follows `pycuda-guard:` is not `ignore[CODE]`",
        f"{place}:25: what follows `pycuda-guard:` is not `ignore[CODE]`",
        next(text for text in said if text.startswith(f"{place}:26: ignore[PG888]: there is no rule PG888")),
    }
    assert said[f"{place}:2: ignore[PG201]: matched nothing in this run"] is False
    # PG202 can't fire, so what ignores it is not superfluous
    assert not any(":17:" in text or ":20:" in text for text in said)


def test_patterns_that_matched_nothing(file: str) -> None:
    tables = {
        "per_file_ignores": (("program.py", ("PG1",)), ("/nowhere/*", ("PG9",)), ("other.py", ("PG1",))),
        "per_kernel_ignores": (
            ("fill*", ("PG2",)),
            ("copy*", ("PG2",)),
            ("absent", ("PG2",)),
            ("f*", ("PG5",)),
        ),
    }
    suppressions = Suppressions(Config(**tables))
    suppressions.sort([finding(file, 1, "PG202", 15, "fill"), finding(file, 1, "PG902")])
    said = suppressions.remarks([file], ["fill", "copy_all"], ["PG101", "PG202", "PG902"])
    assert {text for text, holds in said.items() if holds and "ignores" in text} == {
        "per-file-ignores, program.py: matched nothing in this run",
        "per-kernel-ignores, copy*: matched nothing in this run",
    }


@pytest.mark.parametrize("text", ["x = (\n  y", '"""\n# pycuda-guard: ignore[PG1]', ""])
def test_what_is_no_python_is_read_up_to_there(text: str) -> None:
    texts.provide("/nowhere/broken.py", text.splitlines(keepends=True))
    assert not list(comments_of("/nowhere/broken.py").ignores)
    assert not Suppressions(Config()).sort([finding("/nowhere/broken.py", 2, "PG101")]).suppressed
    assert not list(comments_of("/nowhere/absent.py").ignores)


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        (Config(), ["PG101", "PG201", "PG202", "PG902"]),
        (Config(select=("PG1", "PG902")), ["PG101", "PG902"]),
        (Config(ignore=("PG2",)), ["PG101", "PG902"]),
        (Config(select=("PG2",), ignore=("PG202",)), ["PG201"]),
        (Config(per_file_ignores=(("/nowhere/*", ("PG1", "PG9")),)), ["PG201", "PG202"]),
        (Config(per_file_ignores=(("program.py", ("PG",)),)), []),
        (
            Config(per_file_ignores=(("gram.py", ("PG",)), ("/other/*", ("PG",)))),
            ["PG101", "PG201", "PG202", "PG902"],
        ),
        (Config(per_kernel_ignores=(("f*", ("PG",)),)), ["PG101", "PG201", "PG902"]),
    ],
)
def test_rules_left_out_and_tables(file: str, config: Config, kept: list[str]) -> None:
    found = [finding(file, 1, code) for code in ("PG101", "PG201", "PG902")]
    found.insert(2, finding(file, 1, "PG202", 15, "fill"))
    assert [one.code for one in Suppressions(config).sort(found).kept] == kept


@pytest.mark.parametrize(
    "config",
    [
        Config(select=("PG7",)),
        Config(ignore=("PG2", "PG299")),
        Config(per_file_ignores=(("a.py", ("PG8",)),)),
    ],
)
def test_codes_that_there_are_not(config: Config) -> None:
    with pytest.raises(StartError, match=r"there is no rule PG(7|299|8)$"):
        Suppressions(config)


def test_a_baseline_tells_lines_apart_by_what_they_say(file: str, tmp_path: Path) -> None:
    path = str(tmp_path / "known.json")
    old = [finding(file, 2, "PG201"), finding("<generated>", 3, "PG201"), finding(file, 1, "PG202", 17)]
    write(path, old)
    known = Baseline(path)
    assert all(map(known.holds, old))
    new = [
        finding(file, 2, "PG203"),
        finding(file, 23, "PG201"),
        finding("<generated>", 4, "PG201"),
        finding(file, 1, "PG202", 18),
        finding(file, 1, "PG202", 17, "another"),
    ]
    assert not any(map(known.holds, new))
    shifted = ["\n", "import pycuda.autoinit\n", *SOURCE.splitlines(keepends=True)]
    texts.provide(file, shifted)
    assert known.holds(finding(file, 4, "PG201")) and not known.holds(finding(file, 2, "PG201"))
    note, error = replace(old[0], severity=Severity.NOTE), old[1]
    texts.provide(file, SOURCE.splitlines(keepends=True))
    write(path, [note, error])
    assert Baseline(path).holds(note) and not Baseline(path).holds(old[0])


def test_a_finding_without_a_place_is_known_by_its_message(tmp_path: Path) -> None:
    path = str(tmp_path / "known.json")
    lost = Finding("PG901", "not-instrumented", Severity.NOTE, "`f` at 0x7f00 of 12 kernels", "", None)
    write(path, [lost])
    assert Baseline(path).holds(replace(lost, message="`f` at 0x7fff of 13 kernels"))
    assert not Baseline(path).holds(replace(lost, message="`g` at 0x7f00 of 12 kernels"))
