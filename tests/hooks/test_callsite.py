"""Which line calls."""

from __future__ import annotations

import functools
import linecache
import threading

import pytest

from pycuda_guard import callsite
from pycuda_guard.callsite import Site, here
from pycuda_guard.statements import call_text


def test_here_is_this_line_and_one_object_for_it():
    sites = []
    for _ in range(3):
        sites.append(here())
    assert sites[0] is sites[1] is sites[2]
    assert sites[0].file == __file__
    assert sites[0].function == "test_here_is_this_line_and_one_object_for_it"
    assert sites[0].line == test_here_is_this_line_and_one_object_for_it.__code__.co_firstlineno + 3


def run_as(name, file, text="site = here()"):
    """Run text as a module of that name and file would, and return its ``site``."""
    scope = {"__name__": name, "here": here}
    exec(compile(text, file, "exec"), scope)
    return scope["site"]


@pytest.mark.parametrize("name", ["pycuda.gpuarray", "pycuda_guard.session", "numpy", "pytools"])
def test_packages_between_the_user_and_the_driver_are_passed_over(name):
    assert run_as(name, "/somewhere/module.py").file == __file__


def test_packages_of_other_names_are_the_users():
    assert run_as("pycuda_guardian", "/somewhere/module.py").file == "/somewhere/module.py"


def test_generated_code_is_passed_over_and_a_notebook_cell_is_not():
    assert run_as("library", "<generated>").file == __file__
    cell = "<ipython-input-1-abc>"
    linecache.cache[cell] = (13, None, ["site = here()\n"], cell)
    assert run_as("__main__", cell) == Site(cell, 1, "<module>")
    assert call_text(run_as("__main__", cell)) == "site = here()"


def place_of(tmp_path, wrapper):
    """Return the line of the site that a wrapper of ``here`` returns to line 7."""
    path = tmp_path / "wrapped.py"
    text = wrapper + "\n" * (6 - wrapper.count("\n")) + "site = wrapped()\n"
    path.write_text(text)
    scope = {"__name__": "wrapped", "here": here}
    exec(compile(text, str(path), "exec"), scope)
    return scope["site"].line


@pytest.mark.parametrize(
    "wrapper",
    [
        "def wrapped(*args, **kwargs):\n    return here(*args, **kwargs)",
        "def wrapped(*args): count = 1; site = here(*args); return site",
        "wrapped = lambda *a, **k: here(*a, **k)",
        "class C:\n    def __call__(self, *args, **kw):\n        return here(*args, **kw)\nwrapped = C()",
        "import functools\ndef call(f, *a):\n    return f(*a)\nwrapped = functools.partial(call, here)",
        "def wrapped(*args):\n    for found in [\n        here(*args)]:\n        return found",
    ],
)
def test_a_line_that_passes_on_what_it_was_given_stands_for_its_callers(tmp_path, wrapper):
    assert place_of(tmp_path, wrapper) == 7


@pytest.mark.parametrize(
    ("wrapper", "line"),
    [
        ("def wrapped(*args, **kwargs):\n    return here()", 2),
        ("def wrapped(*args, **kwargs):\n    return here(*args)", 2),
        ("def wrapped(*args):\n    return here(1, *args)", 2),
        ("def wrapped(*args, **kwargs):\n    return here(*args, depth=1, **kwargs)", 2),
        ("def wrapped(*args):\n    more = ()\n    return here(*more)", 3),
        ("def wrapped(*args):\n    args and print(*args)\n    return here()", 3),
        ("def wrapped(depth=1):\n    return here(depth)", 2),
        ("def wrapped(*, depth=1):\n    return here(depth)", 2),
        ("def wrapped(*args, depth=1):\n    return here(*args)", 2),
    ],
)
def test_a_line_that_adds_or_leaves_out_something_is_the_users(tmp_path, wrapper, line):
    assert place_of(tmp_path, wrapper) == line


def test_a_thread_whose_function_only_passes_on_gets_its_line():
    found = []
    thread = threading.Thread(target=lambda *args: found.append(here(*args)))
    thread.start()
    thread.join()
    assert found[0].file == __file__


def test_a_thread_without_a_user_frame_gets_the_library_line():
    found = []
    thread = threading.Thread(target=functools.partial(_append_site, found))
    thread.start()
    thread.join()
    assert found[0].file == threading.__file__


exec(
    compile("def _append_site(found): found.append(here())", "/lib/pycuda/module.py", "exec"),
    scope := {"__name__": "pycuda.module", "here": here},
)
_append_site = scope["_append_site"]


def test_code_that_is_generated_without_end_is_forgotten(monkeypatch):
    monkeypatch.setattr(callsite, "MAX_CODES", len(callsite._codes) + 10)
    for i in range(30):
        assert run_as("user", f"/generated/{i}.py").file == f"/generated/{i}.py"
    assert len(callsite._codes) <= callsite.MAX_CODES


def test_what_nobody_called_has_no_place():
    assert here(100_000) is None
