"""Modules that use one another's names make one module, which the assembler takes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.ptx import parse, print_module
from pycuda_guard.kernels.ptx.linking import PtxLinkError, link, part_of
from pycuda_guard.toolchain import find_nvcc

if TYPE_CHECKING:
    from pathlib import Path

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"
CALL = """{ .param .b32 argument; .param .b32 answer; st.param.b32 [argument], %r;
call (answer), {name}, (argument); ld.param.b32 %r, [answer]; }"""


def function(name: str, body: str = "", words: str = ".visible", end: str = "") -> str:
    moved = "ld.param.b32 %r, [given];" + body + "st.param.b32 [out], %r; ret;"
    whole = end or f"{{ .reg .b32 %r; {moved} }}"
    return f"{words} .func (.param .b32 out) {name}(.param .b32 given)\n{whole}\n"


def kernel(name: str, *called: str) -> str:
    calls = "\n".join(CALL.replace("{name}", each) for each in called)
    return f".visible .entry {name}(.param .u32 n) {{ .reg .b32 %r; ld.param.u32 %r, [n];\n{calls}\nret; }}\n"


FIRST = (
    HEAD
    + '.file 1 "one.cu"\n.extern .global .u32 table[4];\n'
    + function("there", words=".extern", end=";")
    + function("own", "\n.loc 1 7 3\nadd.u32 %r, %r, 1;", words="")
    + function("common", "add.u32 %r, %r, 1;", words=".weak")
    + kernel("first", "there", "own", "common")
)
SECOND = (
    HEAD.replace("8.0", "8.2")
    + '.file 1 "two.cu"\n.global .u64 where = table;\n.visible .global .u32 table[4] = {1, 2, 3, 4};\n'
    + function("own", "\n.loc 1 9 3\nadd.u32 %r, %r, 2;", words="")
    + function("common", "add.u32 %r, %r, 1;", words=".weak")
    + function("there", CALL.replace("{name}", "own"))
    + kernel("second", "own", "there", "common")
)


def assembles(text: str, folder: Path) -> None:
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("needs ptxas")
    (folder / "linked.ptx").write_text(text)
    command = [nvcc, "-cubin", "-arch=sm_80", "linked.ptx", "-o", "linked.cubin"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_of_a_part_stay_its_own_and_those_of_all_are_one(tmp_path: Path) -> None:
    text = link([FIRST, SECOND])
    module = parse(text)
    assert module.version == (8, 2)
    assert {"own$part0", "own$part1", "common", "there", "first", "second"} == module.functions.keys()
    assert all(each.body for each in module.functions.values())
    assert list(module.variables) == ["table", "where"]
    assert module.variables["table"].initializer
    assert [part_of(path) for path in module.files.values()] == [(0, "one.cu"), (1, "two.cu")]
    assembles(text, tmp_path)
    done = instrument(module, races=True)
    assert done.kernels.keys() == {"first", "second"}
    assert {(site.source.file, site.source.line) for site in done.sites if site.source} <= {(1, 7), (2, 9)}
    assembles(print_module(done.module), tmp_path)


def test_what_one_part_lacks_leaves_out_the_kernels_that_reach_it() -> None:
    other = HEAD + function("again", CALL.replace("{name}", "again")) + kernel("fine")
    needs = HEAD + function("again", words=".extern", end=";") + kernel("deep", "again")
    done = instrument(parse(link([needs, other])))
    assert done.kernels.keys() == {"fine"}
    assert "recursive" in done.left_out["deep"]
    alone = instrument(parse(link([needs, HEAD + kernel("fine")])))
    assert "another module" in alone.left_out["deep"]


def test_one_module_stays_as_it_is() -> None:
    assert link([FIRST]) is FIRST
    assert part_of("one.cu") == (0, "one.cu")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (HEAD + function("there") + function("there2"), "there is defined in several parts"),
        (HEAD.replace("64", "32") + kernel("third"), "different sizes"),
        (HEAD.replace("sm_80", "sm_75a") + kernel("third"), "different targets"),
        (HEAD + ".visible .global .u32 there;\n", "a function in one part and a variable in another"),
        (HEAD + function("f") + ".alias g, f;\n", "aliases"),
    ],
)
def test_refuses_as_the_linker_does(other: str, reason: str) -> None:
    with pytest.raises(PtxLinkError, match=reason):
        link([SECOND, other])
