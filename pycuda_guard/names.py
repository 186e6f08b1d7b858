"""The names that a statement uses for what a call takes and gives: ``b_gpu = cuda.mem_alloc(n)``.

They are read off the text of the program, for messages alone, and are empty where that does not tell.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from pycuda_guard.statements import read

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.statements import Source

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

#: builtins whose result holds that of a call for each of the names that it is unpacked to
_FANNING_OUT = frozenset({"map", "list", "tuple", "zip", "reversed", "sorted", "iter"})


def argument_names(site: Site | None, call: str) -> list[str]:
    """Return the source text of the arguments given to ``call`` at ``site``, in order.

    For kernel launches (``__call__``, ``prepared_call``, …) these are the kernel's arguments
    alone: no grid, block or stream. Empty where the call can't be told apart or is starred.
    """
    if site is None:
        return []
    source = read(site.file)
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
    source = read(site.file)
    known = source.targets.get(site.line)
    if known is None:
        known = source.targets[site.line] = _target_name(source, site.line)
    return known


def is_target(site: Site | None, call: str) -> bool:
    """Tell whether what :func:`target_name` names is the result of ``call`` itself, not what holds it.

    It is not in ``streams = [cuda.Stream() for _ in range(2)]`` and ``worker = Worker(cuda.Stream())``.
    """
    if site is None or not target_name(site):
        return False
    (statement, *_) = [
        node
        for node in read(site.file).statements_at(site.line)
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
    source = read(site.file)
    for node in source.statements_at(site.line):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List):
            return _unpacked_names(source, node.targets[0].elts, node.value, calls or _MAKING)
    return []


def _target_name(source: Source, line: int) -> str:
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


def _unpacked_names(
    source: Source, targets: list[ast.expr], value: ast.expr, calls: frozenset[str]
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
