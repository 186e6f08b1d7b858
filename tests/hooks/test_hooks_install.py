"""Putting hooks in place and taking them out: symmetrical, whatever was imported when."""

from __future__ import annotations

import pytest

from pycuda_guard import hooks
from pycuda_guard.errors import GuardError
from pycuda_guard.hooks.table import ROWS, as_markdown
from pycuda_guard.hooks.tap import Tap


def attributes(driver):
    """Return what every row's place holds, by identity."""
    found = {}
    for row in ROWS:
        owner_path, _, name = row.path.rpartition(".")
        owner = getattr(driver, owner_path, None) if owner_path else driver
        if row.module == driver.__name__ and owner is not None:
            found[row.path] = vars(owner).get(name)
    return found


def test_uninstalling_restores_identical_objects(cuda, make_recorder):
    import pycuda._driver

    before, second = attributes(cuda), dict(vars(pycuda._driver))
    hooks.install(make_recorder())
    during = attributes(cuda)
    hooks.uninstall()
    assert attributes(cuda) == before
    assert dict(vars(pycuda._driver)) == second
    replaced = [path for path in before if during[path] is not before[path]]
    assert len(replaced) > 100


def test_every_row_finds_its_place_or_pycuda_lacks_it(cuda, make_recorder):
    hooks.install(make_recorder())
    during = attributes(cuda)
    hooks.uninstall()
    lacking = {path for path, value in during.items() if value is None}
    # Names of PyCUDA's other versions.
    assert lacking == {"memcpy_htoa", "memcpy_atoh", "Function.set_shared_config"}


def test_installing_twice_is_installing_once(cuda, make_recorder):
    sink = make_recorder()
    hooks.install(sink)
    hooks.install(sink)
    del sink.events[:]
    cuda.mem_alloc(16).free()
    hooks.uninstall()
    hooks.uninstall()
    assert [type(event).__name__ for event in sink.events] == ["Allocated", "Freed"]
    assert not hooks.installed()


def test_a_second_sink_is_refused(recorder, make_recorder):
    with pytest.raises(GuardError, match="hooked already"):
        hooks.install(make_recorder())


def test_a_hook_that_was_kept_is_silent_after_uninstalling(cuda, make_recorder):
    sink = make_recorder()
    hooks.install(sink)
    kept = cuda.mem_alloc
    hooks.uninstall()
    del sink.events[:]
    kept(16).free()
    assert sink.events == []


def test_hooks_look_like_what_they_replace(cuda, recorder):
    assert cuda.memcpy_htod.__name__ == "memcpy_htod"
    assert "dest" in cuda.memcpy_htod.__doc__
    assert cuda.Function.prepared_call.__name__ == "function_prepared_call"


def test_a_late_start_is_announced_with_the_current_context(cuda, make_recorder):
    sink = make_recorder()
    hooks.install(sink)
    hooks.uninstall()
    late, context = sink.events
    assert "before the guard was enabled" in late.what
    assert (context.change, context.device.name) == ("pushed", cuda.Device(0).name())


def test_hooks_wait_for_the_import(run_script):
    lines = run_script(
        """
import sys
from conftest import Recorder
from pycuda_guard import cpu, hooks
sink = Recorder()
hooks.install(sink)
print("pycuda" in sys.modules)
cpu.load()
import pycuda.autoinit
from pycuda.driver import mem_alloc
mem_alloc(16)
print([type(event).__name__ for event in sink.events], sink.events[0].automatic)
hooks.uninstall()
"""
    )
    assert lines == ["False", "['ContextChanged', 'Allocated', 'Freed'] True"]


def test_names_and_defaults_taken_before_are_rebound_and_bound_back(run_script):
    lines = run_script(
        """
from conftest import Recorder
from pycuda_guard import cpu, hooks
cpu.load()
import numpy as np
import pycuda.autoinit
import pycuda.driver
import pycuda.gpuarray as gpuarray
from pycuda.driver import mem_alloc, memcpy_htod as upload

def allocate(nbytes, how=mem_alloc, *, again=mem_alloc):
    return how(nbytes), again(nbytes)

before = (mem_alloc, upload, allocate.__defaults__, allocate.__kwdefaults__, gpuarray.zeros.__defaults__,
          gpuarray.GPUArray.__init__.__defaults__)
sink = Recorder()
hooks.install(sink)
del sink.events[:]
kept = allocate(16)
upload(kept[0], np.zeros(4, np.float32))
array = gpuarray.GPUArray(4, np.float32)
print([type(event).__name__ for event in sink.events])
hooks.uninstall()
after = (mem_alloc, upload, allocate.__defaults__, allocate.__kwdefaults__, gpuarray.zeros.__defaults__,
         gpuarray.GPUArray.__init__.__defaults__)
print(before == after, upload is pycuda.driver.memcpy_htod)
"""
    )
    assert lines == ["['Allocated', 'Allocated', 'Copy', 'Allocated']", "True True"]


def test_a_lazy_module_is_not_imported_by_looking_at_it(run_script):
    lines = run_script(
        """
import importlib.util, pathlib, sys, tempfile
from conftest import Recorder
from pycuda_guard import cpu, hooks
cpu.load()
import pycuda.autoinit

folder = tempfile.mkdtemp()
for name in ("pycuda_extra", "other"):
    file = pathlib.Path(folder, f"{name}.py")
    file.write_text(f"print('imported {name}')")
    spec = importlib.util.spec_from_file_location(name, file)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
sys.modules["pycuda.extra"] = sys.modules["pycuda_extra"]
hooks.install(Recorder())
hooks.uninstall()
print("now")
vars(sys.modules["other"])
"""
    )
    assert lines == ["now", "imported other"]


def test_defaults_captured_under_the_hooks_are_bound_back(run_script):
    lines = run_script(
        """
from conftest import Recorder
from pycuda_guard import cpu, hooks
hooks.install(Recorder())
cpu.load()
import pycuda.autoinit, pycuda.driver
import pycuda.gpuarray as gpuarray
hooks.uninstall()
print(pycuda.driver.mem_alloc in gpuarray.zeros.__defaults__, type(pycuda.driver.mem_alloc).__name__)
"""
    )
    assert lines == ["True function"]


def test_the_documentation_lists_every_row():
    page = as_markdown()
    assert all(f"`{row.module}.{row.path}`" in page for row in ROWS)


def test_installing_imports_neither_pycuda_nor_its_driver(run_script):
    lines = run_script("import sys, pycuda_guard.hooks; print('pycuda' in sys.modules)")
    assert lines == ["False"]


def test_a_tap_without_a_driver_has_no_context(make_recorder):
    assert Tap(make_recorder()).current_context() == 0
