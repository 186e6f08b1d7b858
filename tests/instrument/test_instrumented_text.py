"""The text of instrumented modules: it parses, assembles, and stays right for any PTX that parses."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from random_kernels import random_module

from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.ptx import PtxSyntaxError, parse, print_module
from pycuda_guard.kernels.ptx.linking import link
from pycuda_guard.toolchain import find_nvcc, wheel_root

DATA = Path(__file__).parents[1] / "kernels" / "data"
FILES = sorted(DATA.glob("*.ptx"))
HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"


def instrumented(text):
    result = instrument(parse(text))
    printed = print_module(result.module)
    assert print_module(parse(printed)) == printed
    return result, printed


@pytest.fixture(scope="module")
def ptxas():
    nvcc = find_nvcc()
    for root in (nvcc and nvcc.parent.parent, wheel_root()):
        if root and (root / "bin" / "ptxas").is_file():
            return root / "bin" / "ptxas"
    pytest.skip("needs ptxas")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_real_modules_assemble(path, ptxas, tmp_path):
    _, text = instrumented(path.read_text())
    (tmp_path / "kernel.ptx").write_text(text)
    command = [ptxas, "-arch", "sm_90", "kernel.ptx", "-o", "kernel.cubin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_module_itself_is_not_changed(path):
    module = parse(path.read_text())
    before = print_module(module)
    instrument(module)
    assert print_module(module) == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (".entry k() { wgmma.fence.sync.aligned; ret; }", ""),
        (".entry k() { .reg .b64 %a; frobnicate.b64 %a; ret; }", "frobnicate"),
        (".entry k() { .reg .b64 %a; mul.lo.s64 %a, %a; ret; }", "mul lacks operands: 2 of 3"),
        (".entry k() { .reg .b64 %a; mov.b64 %b, %a; ret; }", "register %b is not declared"),
        (".entry k() { .reg .b64 %a; @%p mov.b64 %a, 1; ret; }", "register %p is not declared"),
        (".func f() { mov.b64 %a, 1; ret; } .entry k() { call f; ret; }", "register %a is not declared"),
        (".entry k() { .reg .v4 .f32 %v; ret; }", "vectors of registers"),
        (".entry k(.param .b8 p[4090]) { ret; }", "no room"),
        (".extern .func f(); .entry k() { call f; ret; }", "another module"),
        (".func f() { call f; ret; } .entry k() { call f; ret; }", "recursive"),
    ],
)  # fmt: skip
def test_what_is_left_out(text, reason):
    result, _ = instrumented(HEAD + text)
    if reason:
        assert reason in result.left_out["k"]
        assert not result.kernels
    function = result.module.functions["k"]
    if "k" in result.left_out:
        assert function == parse(HEAD + text).functions["k"]


def test_twice_is_left_out():
    _, text = instrumented(HEAD + ".entry k() { ret; }")
    again = instrument(parse(text))
    assert again.left_out
    assert not again.kernels


def test_directives_and_pragmas_stay():
    text = HEAD + '.entry k() .maxntid 64 .minnctapersm 2 { L: .pragma "nounroll"; bra L; }'
    _, printed = instrumented(text)
    assert ".maxntid 64" in printed
    assert ".maxnreg" not in printed
    assert 'L:\n\t.pragma "nounroll";' in printed


@pytest.mark.parametrize("first", [0, 8])
def test_random_kernels_assemble_in_all_variants(first, ptxas, tmp_path):
    parts = [random_module(random.Random(seed), f"k{seed}") for seed in range(first, first + 8)]
    bare = link(parts)
    result = instrument(parse(bare), races=True, watchdog=True)
    assert not result.left_out
    assert len(result.kernels) == 8
    for name, text in (("bare", bare), ("instrumented", print_module(result.module))):
        (tmp_path / name).write_text(text)
        command = [ptxas, "-arch", "sm_80", "-O0", name, "-o", "kernel.cubin"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(FILES), st.booleans())
def test_damaged_modules_are_instrumented_or_left_out(seed, path, races):
    rng = random.Random(seed)
    lines = path.read_text().splitlines()
    start = rng.randrange(max(1, len(lines) - 120))
    words = " ".join(lines).split()
    for _ in range(rng.randrange(1, 6)):
        index = start + rng.randrange(min(120, len(lines) - start))
        parts = lines[index].split()
        if parts:
            parts[rng.randrange(len(parts))] = rng.choice(words)
            lines[index] = " ".join(parts)
    try:
        module = parse("\n".join(lines))
    except PtxSyntaxError:
        return
    result = instrument(module, races=races, watchdog=races)
    kernels = {function.name for function in module.functions.values() if function.entry and function.body}
    assert kernels <= result.kernels.keys() | result.left_out.keys()
    text = print_module(result.module)
    assert print_module(parse(text)) == text


NAMES = """
.visible .global .align 4 .b32 cells[64];
.visible .entry k(.param .u64 from)
{
    .reg .pred %p; .reg .b32 %r, %s; .reg .b64 %a, %b, %c;
    .shared .align 4 .b32 tile[32];
    ld.param.u64 %a, [from];
    mov.u32 %r, %tid.x;
    mul.wide.u32 %b, %r, 4;
    add.s64 %a, %a, %b;
    ld.global.u32 %s, [%a];
    mov.u64 %c, cells;
    add.s64 %c, %c, %b;
    setp.lt.u32 %p, %s, 7;
    @%p bra LESS;
    st.shared.u32 [tile+4], %s;
    bar.sync 0;
LESS:
    st.global.u32 [%c], %s;
    ret;
}
"""


def test_what_is_added_has_names_of_its_own():
    """Of a parameter and a variable of the module that have one name, ptxas takes the variable's value."""
    module = parse(HEAD + NAMES)
    text = print_module(instrument(module, races=True, watchdog=True).module)
    declared = re.findall(r"\.(?:param|local|shared|global) [^;,(){}\[%]*?([\w$]+)(?:\[\d*\])?\s*[;,)]", text)
    labels = re.findall(r"^([\w$]+):", text, re.MULTILINE)
    assert {"pg_enter", "pg_check", "pg_report"} <= set(re.findall(r"\.func[^;{]*?(pg_\w+)\s*\(", text))
    added = {*declared, *labels} - {"cells", "from", "tile", "LESS"}
    assert "pg_cells" in added
    assert not [name for name in added if not name.lstrip("$").lower().startswith("pg_")]
