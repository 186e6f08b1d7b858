"""The shared libraries that are written without a compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import pytest

from pycuda_guard.cpu import elf
from pycuda_guard.cpu.runtime import get_runtime

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_double)


def loaded(folder, functions, version=""):
    file = folder / "library.so"
    file.write_bytes(elf.build("libsomething.so.7", functions, version))
    return ctypes.CDLL(str(file))


def fill(library, callbacks):
    table = (ctypes.c_uint64 * (1 + len(callbacks))).in_dll(library, elf.TABLE_SYMBOL)
    table[0] = get_runtime().symbol("pg_gate")
    for index, callback in enumerate(callbacks, 1):
        table[index] = ctypes.cast(callback, ctypes.c_void_p).value


@pytest.mark.parametrize("count", [1, 7, 300])
def test_functions_jump_through_the_table(tmp_path, count):
    names = [f"function_{i}" for i in range(count)]
    library = loaded(tmp_path, names)
    callbacks = [CALLBACK(lambda a, b, i=i: i + a + int(b)) for i in range(count)]
    fill(library, callbacks)
    for index, name in enumerate(names):
        function = getattr(library, name)
        function.argtypes = (ctypes.c_int, ctypes.c_double)
        assert function(1000, 20000.0) == index + 21000


def test_all_arguments_come_through(tmp_path):
    library = loaded(tmp_path, ["many"])
    kinds = [ctypes.c_uint64] * 3 + [ctypes.c_float] + [ctypes.c_uint64] * 8
    seen = []
    callback = ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(lambda *arguments: seen.append(arguments) or 7)
    fill(library, [callback])
    library.many.argtypes = kinds
    given = (1, 2, 3, 4.5, *range(5, 12), 1 << 63)
    assert library.many(*given) == 7
    assert seen == [given]


def test_a_name_that_was_not_asked_for_is_missing(tmp_path):
    with pytest.raises(AttributeError):
        _ = loaded(tmp_path, ["here"]).there


def test_functions_have_the_version(tmp_path):
    library = loaded(tmp_path, ["first", "second"], "library.7")
    process = ctypes.CDLL(None)
    process.dlvsym.restype = ctypes.c_void_p
    find = lambda name, version: process.dlvsym(ctypes.c_void_p(library._handle), name, version)  # noqa: E731
    assert find(b"second", b"library.7")
    assert not find(b"second", b"library.8")


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs a C compiler to link with")
@pytest.mark.parametrize("version", ["", "library.7"])
def test_programs_can_be_linked_against_it(tmp_path, version):
    (tmp_path / "library.so").write_bytes(elf.build("libsomething.so.7", ["answer"], version))
    (tmp_path / "main.c").write_text("int answer(void); int main(void) { return answer(); }")
    subprocess.run(["gcc", "main.c", "./library.so", "-o", "main"], cwd=tmp_path, check=True)
    needed = subprocess.run(
        ["readelf", "-d", "main"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "libsomething.so.7" in needed
