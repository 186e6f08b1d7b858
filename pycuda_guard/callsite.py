"""Which line of the user's program is calling, and what that line says.

:func:`here` runs on every intercepted call and must cost well under a microsecond; everything
else reads source text, is used for messages only, and never raises.
"""

from __future__ import annotations

import ast
import copy
import linecache
import os
import sys
import sysconfig
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType


class Site(msgspec.Struct, frozen=True, array_like=True, gc=False, cache_hash=True):
    """A line of the user's program. Sites are interned: one object for one place."""

    file: str
    line: int
    function: str


#: Packages whose frames stand between the user's line and the driver.
OWN_PACKAGES = frozenset(
    {"pycuda_guard", "pycuda", "pytools", "wrapt", "numpy", "importlib", "_frozen_importlib"}
)

#: Module names under which interactive input and ``python -c`` run.
INTERACTIVE = frozenset({"__main__", "__console__"})

#: what stands at the beginning of a comment for the guard
MARK = "pycuda-guard:"

#: how files of CUDA C are called, and templates of them
CUDA_SUFFIXES = tuple(
    language + template
    for language in (".cu", ".cuh", ".c", ".cpp", ".h", ".hpp", ".inl")
    for template in ("", ".j2", ".jinja", ".jinja2", ".mako", ".tmpl", ".tpl", ".in")
)

#: how a text that the program has made, and that is in none of its files, is called: this, and the place
GENERATED = "<source "

#: Code objects remembered before everything is forgotten: a program that keeps generating code
#: must not fill the memory with it.
MAX_CODES = 20_000

_STDLIB = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib"))
_SITE_PACKAGES = ("site-packages", "dist-packages")

#: builtins whose result holds that of a call for each of the names that it is unpacked to
_FANNING_OUT = frozenset({"map", "list", "tuple", "zip", "reversed", "sorted", "iter"})

# Both tables are keyed by id(code), because hashing a code object means hashing its contents.
# _codes keeps the objects alive, so that an id is never reused while it is a key.
_user_sites: dict[int, dict[int, Site]] = {}  # id(code) -> f_lasti -> site
_passing: dict[int, bool] = {}  # id(code) -> may stand in where there is no user frame
_codes: list[CodeType] = []
_interned: dict[tuple[str, int, str], Site] = {}

#: what the cells of a notebook are called, by the names of their code
_cells: dict[str, str] = {}
_label: Callable[[str], str] | None = None

_noted: set[str] = set()
_generated: dict[str, str] = {}  # the names of generated texts


def here(depth: int = 1, frame: FrameType | None = None) -> Site | None:
    """Return the innermost line of the user's program, or None where there is none.

    The stack is the caller's, or that of another thread whose innermost frame is ``frame``.

    Frames of pycuda_guard, PyCUDA and the packages under it are passed over. So are the standard
    library and generated code, unless nothing else is on the stack (a thread whose target is a
    PyCUDA function). ``depth`` frames are known to be the guard's own and are not even looked at.
    """
    if frame is None:
        try:
            frame = sys._getframe(depth)
        except ValueError:
            return None  # nobody called it: a destructor, after the program's last line
    stand_in: FrameType | None = None
    while frame is not None:
        code = frame.f_code
        key = id(code)
        sites = _user_sites.get(key)
        if sites is not None:
            return sites.get(frame.f_lasti) or _add_site(sites, frame)
        passing = _passing.get(key)
        if passing is None:
            _classify(frame)
            continue
        if passing and stand_in is None:
            stand_in = frame
        frame = frame.f_back
    return None if stand_in is None else _intern(stand_in)


def is_stand_in(site: Site) -> bool:
    """Tell whether a line is of the standard library: it stands for none of the program's."""
    return site.file.startswith(_STDLIB) and not any(part in site.file for part in _SITE_PACKAGES)


def call_text(site: Site | None) -> str:
    """Return the statement at ``site`` as one line of at most 120 characters; empty if unknown.

    Of a line inside a text, such as the source of a kernel, or of several statements, that line.
    """
    if site is None:
        return ""
    source = _read(site.file)
    statement = source.statement_at(site.line)
    if statement is None or _is_in_text(statement, site.line) or len(source.statements_at(site.line)) > 1:
        text = source.line(site.line)
    elif isinstance(body := getattr(statement, "body", None), list) and body:
        header_end = max(statement.lineno, body[0].lineno - 1)
        text = " ".join(source.line(number) for number in range(statement.lineno, header_end + 1))
    else:
        text = source.text(statement)
    return text if len(text) <= 120 else text[:119] + "…"


def line_text(site: Site | None) -> str:
    """Return the line at ``site`` as it stands, without indentation; empty if unknown."""
    return "" if site is None else _read(site.file).line(site.line)


def statement_lines(site: Site) -> range:
    """Return the lines of the statement at ``site``, of a compound one those before its body.

    Where the file is no Python, that is the line alone.
    """
    statement = _read(site.file).statement_at(site.line)
    if statement is None:
        return range(site.line, site.line + 1)
    end = statement.end_lineno or statement.lineno
    if isinstance(body := getattr(statement, "body", None), list) and body:
        end = max(statement.lineno, body[0].lineno - 1)
    return range(min(statement.lineno, site.line), max(end, site.line) + 1)


def twins_before(site: Site) -> int:
    """Count the statements of the file before the one at ``site`` that read as it does."""
    source = _read(site.file)
    statement = source.statement_at(site.line)
    if statement is None or source.tree is None:
        return 0
    text = source.text(statement)
    return sum(
        node.lineno < statement.lineno and type(node) is type(statement) and source.text(node) == text
        for node in _statements(source.tree)
    )


def argument_names(site: Site | None, call: str) -> list[str]:
    """Return the source text of the arguments given to ``call`` at ``site``, in order.

    For kernel launches (``__call__``, ``prepared_call``, …) these are the kernel's arguments
    alone: no grid, block or stream. Empty where the call can't be told apart or is starred.
    """
    if site is None:
        return []
    source = _read(site.file)
    node = _find_call(source.statements_at(site.line), call, site.line)
    if node is None or any(isinstance(argument, ast.Starred) for argument in node.args):
        return []
    arguments: list[ast.expr] = node.args[_LAUNCH_PREFIX.get(call, 0) :]
    if call not in _LAUNCH_PREFIX:
        arguments = arguments + [keyword.value for keyword in node.keywords if keyword.arg is not None]
    return [source.text(argument) for argument in arguments]


def target_name(site: Site | None) -> str:
    """Return the name that the statement at ``site`` assigns its call's result to, or empty.

    ``b_gpu = cuda.mem_alloc(n)`` gives ``b_gpu``; of several names for one call (``a, pitch = …``) the first.
    """
    if site is None:
        return ""
    source = _read(site.file)
    known = source.targets.get(site.line)
    if known is None:
        known = source.targets[site.line] = _target_name(source, site.line)
    return known


def _target_name(source: _Source, line: int) -> str:
    assigning = [node for node in source.statements_at(line) if isinstance(node, ast.Assign | ast.AnnAssign)]
    if len(assigning) > 1:
        assigning = [node for node in assigning if node.value is not None and _calls(node.value)]
    if len(assigning) != 1:
        return ""
    (statement,) = assigning
    target: ast.expr | None = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    value = statement.value
    if isinstance(target, ast.Tuple | ast.List):
        target = target.elts[0] if target.elts and _is_one_call(value) else None
    if target is None or value is None or _is_swallowed(value):
        return ""
    return source.text(target)


def _is_one_call(value: ast.expr | None) -> bool:
    """Tell whether the names that a value is unpacked to each have a part of one call's result."""
    if not isinstance(value, ast.Call):
        return False
    return not (isinstance(value.func, ast.Name) and value.func.id in _FANNING_OUT)


def is_target(site: Site | None, call: str) -> bool:
    """Tell whether what :func:`target_name` names is the result of ``call`` itself, not what holds it.

    It is not in ``streams = [cuda.Stream() for _ in range(2)]`` and ``worker = Worker(cuda.Stream())``.
    """
    if site is None or not target_name(site):
        return False
    (statement, *_) = [
        node
        for node in _read(site.file).statements_at(site.line)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _calls(node.value)
    ]
    assert statement.value is not None
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple | ast.List):
        return False
    nodes = _alternatives(statement.value)
    if any(isinstance(node, ast.Call) and _called_name(node) == call for node in nodes):
        return True
    return any(isinstance(node, ast.Call) and len(_calls(node)) == 1 for node in nodes)


def unpacked_names(site: Site | None, calls: frozenset[str] | None = None) -> list[str]:
    """Return the names that the results of several ``calls``, or allocations, at ``site`` go to in turn.

    ``a, b = Stream(), Stream()`` gives ``a`` and ``b``, and so does ``a, b = [Stream() for _ in range(2)]``.
    Empty where there may be other calls of that kind.
    """
    if site is None:
        return []
    source = _read(site.file)
    for node in source.statements_at(site.line):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List):
            return _unpacked_names(source, node.targets[0].elts, node.value, calls or _MAKING)
    return []


def _unpacked_names(
    source: _Source, targets: list[ast.expr], value: ast.expr, calls: frozenset[str]
) -> list[str]:
    if isinstance(value, ast.ListComp | ast.GeneratorExp):
        results = [value.elt] * len(targets)
    else:
        results = value.elts if isinstance(value, ast.Tuple | ast.List) else []
    names: list[str] = []
    if len(targets) != len(results):
        return names
    for target, result in zip(targets, results, strict=False):
        if _is_made_by(result, calls) and isinstance(target, ast.Name | ast.Attribute):
            names.append(source.text(target))
        elif not all(map(_is_numpys, _calls(result))):
            return []
    return names


def _is_made_by(value: ast.expr, calls: frozenset[str]) -> bool:
    """Tell whether a value is the result of one of the calls, and none of them is inside of it."""
    if not isinstance(value, ast.Call) or _is_numpys(value) or _called_name(value) not in calls:
        return False
    return all(node is value or _is_numpys(node) for node in _calls(value))


def _is_numpys(call: ast.Call) -> bool:
    """Tell whether a call is one of numpy's, by its name."""
    called: ast.expr = call.func
    while isinstance(called, ast.Attribute | ast.Call):
        called = called.value if isinstance(called, ast.Attribute) else called.func
    return isinstance(called, ast.Name) and called.id in ("np", "numpy")


def _alternatives(value: ast.expr) -> list[ast.expr]:
    """Return the expressions one of which a value is."""
    if isinstance(value, ast.IfExp):
        return [*_alternatives(value.body), *_alternatives(value.orelse)]
    if isinstance(value, ast.BoolOp):
        return [node for part in value.values for node in _alternatives(part)]
    return _alternatives(value.value) if isinstance(value, ast.NamedExpr) else [value]


def text_lines(file: str) -> list[str]:
    """Return the lines of a file or cell, each with its end; the same list until its text changes."""
    return _lines(file)


def files() -> set[str]:
    """Return the files that lines of the program, and kernels noted with :func:`note_file`, have been in."""
    return {file for file, _, _ in tuple(_interned)} | _noted


def name_cells(label: Callable[[str], str] | None) -> None:
    """Have the cells of a notebook called by their labels (``In[3]``) from now on, wherever they are named.

    ``label(file)`` is that of a cell by the name of its code, or empty for what is none. The text of a cell
    can then be read under its label. None ends it.
    """
    global _label
    _label = label


def named(file: str) -> str:
    """Return what a file of the program is called: its absolute path, or the label of a cell."""
    known = _cells.get(file)
    if known is None and _label is not None and (label := _label(file)):
        lines = _lines(file)
        # a cell that is run once more without a number of its own keeps the name of its code
        known = _cells[file] = file if label in _cells.values() and _lines(label) != lines else label
        if known == label:
            provide(label, lines)
    if known is not None:
        return known
    return file if file.startswith("<") else os.path.abspath(file)


def note_file(file: str) -> None:
    """Have a file of CUDA C counted among those of the program."""
    _noted.add(file)


def name_generated(text: str, file: str, line: int) -> str:
    """Return what a text is called that the program made and compiles there.

    Its lines can be read under that name. Other texts that are compiled at the same line have other names.
    """
    name = _generated.get(text)
    if name is None:
        place = f"compiled at {os.path.basename(file)}:{line}>"
        taken = sum(other.endswith(place) for other in _generated.values())
        name = f"{GENERATED}{taken + 1} {place}" if taken else f"{GENERATED}{place}"
        _generated[text] = name
        provide(name, text.splitlines(keepends=True))
    return name


def is_cuda(file: str) -> bool:
    """Tell whether a file, or a generated text, is CUDA C and no Python."""
    return file.startswith(GENERATED) or file.endswith(CUDA_SUFFIXES)


def provide(file: str, lines: list[str]) -> None:
    """Have ``lines`` stand for the text of ``file`` from now on, whether there is such a file or not."""
    # without a modification time, linecache never looks for the file itself
    linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


# --- frames -----------------------------------------------------------------------------------


def _add_site(sites: dict[int, Site], frame: FrameType) -> Site:
    site = _intern(frame)
    sites[frame.f_lasti] = site
    return site


def _intern(frame: FrameType) -> Site:
    code = frame.f_code
    key = (named(code.co_filename), frame.f_lineno or code.co_firstlineno, code.co_qualname)
    site = _interned.get(key)
    if site is None:
        site = _interned.setdefault(key, Site(*key))
    return site


def _classify(frame: FrameType) -> None:
    """Decide once for a code object whether its lines are the user's."""
    if len(_codes) >= MAX_CODES:
        _user_sites.clear()
        _passing.clear()
        _codes.clear()
    code = frame.f_code
    _codes.append(code)
    name = frame.f_globals.get("__name__")
    package = name.partition(".")[0] if isinstance(name, str) else ""
    file = code.co_filename
    if package in OWN_PACKAGES:
        _passing[id(code)] = False
    elif file.startswith("<"):
        if name in INTERACTIVE or _lines(file):
            _user_sites[id(code)] = {}
        else:
            _passing[id(code)] = not file.startswith("<frozen")
    elif file.startswith(_STDLIB) and not any(part in file for part in _SITE_PACKAGES):
        _passing[id(code)] = True
    else:
        _user_sites[id(code)] = {}


# --- source text ------------------------------------------------------------------------------

#: Leading arguments of each way to launch that are not the kernel's.
_LAUNCH_PREFIX = {"__call__": 0, "prepared_call": 2, "prepared_timed_call": 2, "prepared_async_call": 3}

#: Calls that hand out memory under a name that means nothing else.
_ALLOCATING = frozenset(
    {"mem_alloc", "mem_alloc_like", "mem_alloc_pitch", "to_device", "to_gpu", "to_gpu_async"}
)

#: calls that make one piece of memory
_MAKING = _ALLOCATING | {
    f"{kind}{form}"
    for kind in ("", "pagelocked_", "managed_")
    for form in ("empty", "zeros", "empty_like", "zeros_like")
}


class _Source:
    """The text and syntax tree of one file; the tree is None where it can't be parsed."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.whole = "".join(lines)
        self.tree: ast.Module | None
        try:
            self.tree = ast.parse(self.whole)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.tree = None
        self._rows: list[str] = []  # lines as ast counts them
        self._statements: dict[int, list[ast.stmt]] = {}
        self.targets: dict[int, str] = {}  # see target_name

    def line(self, number: int) -> str:
        """Return line ``number`` (from 1) without its indentation; empty outside the file."""
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""

    def text(self, node: ast.stmt | ast.expr) -> str:
        """Return the node's text: as written if it is on one line, else on one, dots for long strings."""
        if node.lineno == node.end_lineno:
            if not self._rows:
                self._rows = self.whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            return self._rows[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()
        return " ".join(ast.unparse(_Shortened().visit(copy.deepcopy(node))).split())

    def statement_at(self, line: int) -> ast.stmt | None:
        """Return the innermost statement that ``line`` is part of; the last of several."""
        return next(reversed(self.statements_at(line)), None)

    def statements_at(self, line: int) -> list[ast.stmt]:
        """Return the innermost statements that ``line`` is part of: ``a = 1; b = 2`` are two."""
        if line not in self._statements:
            found: list[ast.stmt] = []
            for node in _statements(self.tree) if self.tree is not None else ():
                if node.lineno <= line <= (node.end_lineno or node.lineno):
                    found = [outer for outer in found if not _holds(outer, node)]
                    found.append(node)
            self._statements[line] = found
        return self._statements[line]


def _is_in_text(statement: ast.stmt, line: int) -> bool:
    """Tell whether a line is within a string of a statement, after its first line."""
    return any(
        isinstance(node, ast.Constant) and node.lineno < line <= (node.end_lineno or 0)
        for node in ast.walk(statement)
    )


class _Shortened(ast.NodeTransformer):
    """Puts dots in the place of strings of several lines, such as the source of a kernel."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        is_long = isinstance(node.value, str) and "\n" in node.value
        return ast.Constant("…") if is_long else node


_sources: dict[str, _Source] = {}


def _lines(file: str) -> list[str]:
    """Return the lines of a file or cell; none of ``<string>``.

    That is any code given to exec(), but from Python 3.13 on linecache has the text of ``python -c`` for it.
    """
    if file == "<string>":
        return []
    try:
        return linecache.getlines(file)
    except ValueError:  # a name that can't be one of a file
        return []


def _read(file: str) -> _Source:
    lines = _lines(file)
    source = _sources.get(file)
    if source is None or source.lines is not lines:
        source = _sources[file] = _Source(lines)
    return source


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements under ``node``, outer ones before inner ones."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        yield from _statements(child)


def _holds(outer: ast.stmt, inner: ast.stmt) -> bool:
    """Tell whether a statement that starts no later ends no earlier than another."""
    return (outer.end_lineno or 0, outer.end_col_offset or 0) >= (
        inner.end_lineno or 0,
        inner.end_col_offset or 0,
    )


def _find_call(statements: list[ast.stmt], call: str, line: int) -> ast.Call | None:
    """Return the one call in ``statements`` that must be ``call``, else None."""
    calls = [node for outer in statements for node in ast.walk(outer) if isinstance(node, ast.Call)]
    if call == "__call__":
        # The block's shape may come with others: kernel(x, n, **shape).
        named = [node for node in calls if any(keyword.arg == "block" for keyword in node.keywords)]
        named = named or [node for node in calls if any(keyword.arg is None for keyword in node.keywords)]
    else:
        named = [node for node in calls if _called_name(node) == call]
    if len(named) > 1:
        named = [node for node in named if node.lineno <= line <= (node.end_lineno or node.lineno)]
    if not named and len(calls) == 1:
        named = calls  # under another name: from pycuda.driver import memcpy_htod as upload
    return named[0] if len(named) == 1 else None


def _called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _calls(value: ast.expr) -> list[ast.Call]:
    return [node for node in ast.walk(value) if isinstance(node, ast.Call)]


def _is_swallowed(value: ast.expr) -> bool:
    """Tell whether ``value`` is no call, or a call that takes the new memory as its argument."""
    calls = _calls(value)
    if not calls:
        return True
    if not isinstance(value, ast.Call) or _called_name(value) in _ALLOCATING:
        return False
    return any(_called_name(node) in _ALLOCATING for node in calls if node is not value)
