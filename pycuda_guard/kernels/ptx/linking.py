"""Makes one PTX module of several that use one another's functions and variables."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.errors import GuardError
from pycuda_guard.kernels.ptx.ir import Function, Module, Variable, Verbatim, symbols_of
from pycuda_guard.kernels.ptx.parser import parse
from pycuda_guard.kernels.ptx.printer import print_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


#: names with one of these words are the same in all modules
_SHARED = frozenset({"visible", "extern", "weak", "common"})
#: which definition of a name holds, the last of these
_ORDER = ("extern", "common", "weak", "visible")

_FILE = re.compile(r"((?:^|\n)\s*\.(?:file|loc)\s+|\binlined_at\s+)(\d+)")
_FILE_NAME = re.compile(r'(\n\s*\.file\s+\d+\s+)"((?:[^"\\]|\\.)*)"')
_NAMES = re.compile(r"\.section\s+\.debug_str\s*\{(.*)\}", re.DOTALL)
_LABEL = re.compile(r"\$L__info_string\d+")
_TARGET = re.compile(r"sm_(\d+)([a-z]?)")

Item = Function | Variable


class PtxLinkError(GuardError):
    """Modules that can't be linked: a name defined twice, or targets that differ."""


def link(texts: Sequence[str]) -> str:
    """Return the module that several modules make together.

    Names that are a module's own stay so. The source files of part ``n``, counted from 0, are in the folder
    ``part n`` (see :func:`part_of`). Raises :class:`PtxLinkError` where the linker would refuse, and
    PtxSyntaxError for what is no PTX.
    """
    if len(texts) == 1:
        return texts[0]
    return print_module(_joined(list(_apart(texts))))


def part_of(file: str) -> tuple[int, str]:
    """Return which part of a linked module a source file is of, and the file as that part names it."""
    found = re.match(r"part (\d+)/", file)
    return (int(found[1]), file[found.end() :]) if found else (0, file)


def _apart(texts: Sequence[str]) -> Iterator[Module]:
    """Yield the modules with names of their own and files of their own numbers."""
    modules = [parse(text) for text in texts]
    first_file = 0
    for number, (text, module) in enumerate(zip(texts, modules, strict=True)):
        others = {name for each in modules if each is not module for name in _items(each)}
        own = [name for name, item in _items(module).items() if not _SHARED & {*item.linkage}]
        own = [name for name in own if name in others and not getattr(_items(module)[name], "entry", False)]
        own += sorted({*_LABEL.findall(text)})
        files = _FILE.sub(lambda found, first=first_file: f"{found[1]}{int(found[2]) + first}", text)  # type: ignore[misc]
        files = _FILE_NAME.sub(lambda found, part=number: f'{found[1]}"part {part}/{found[2]}"', files)  # type: ignore[misc]
        yield parse(_renamed(files, {name: f"{name}$part{number}" for name in own}))
        first_file += max(module.files, default=0)


def _items(module: Module) -> Mapping[str, Item]:
    return {**module.variables, **module.functions}


def _renamed(text: str, names: Mapping[str, str]) -> str:
    if not names:
        return text
    either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    pattern = re.compile(rf'"(?:[^"\\]|\\.)*"|(?<![\w$.%])(?:{either})(?![\w$])')
    return pattern.sub(lambda found: names.get(found[0], found[0]), text)


def _joined(modules: Sequence[Module]) -> Module:
    """Put modules with names of their own together: declarations, variables, functions, debuggers' names."""
    if len({module.address_size for module in modules}) > 1:
        raise PtxLinkError("the modules have addresses of different sizes")
    chosen: dict[str, Item] = {}
    for module in modules:
        for name, item in _items(module).items():
            chosen[name] = _choice(name, chosen.get(name), item)
    functions = [item for item in chosen.values() if isinstance(item, Function)]
    variables = [item for item in chosen.values() if isinstance(item, Variable)]
    joined = Module(
        max(module.version for module in modules),
        _target(modules),
        modules[0].address_size,
        {number: path for module in modules for number, path in module.files.items()},
    )
    joined.items += [replace(each, body=None) for each in functions if not each.entry]
    joined.items += _in_order(variables)
    joined.items += [each for each in functions if each.body is not None]
    joined.items += _other(modules)
    return joined


def _choice(name: str, known: Item | None, item: Item) -> Item:
    """Return which of two declarations of a name holds."""
    if known is None:
        return item
    if type(known) is not type(item):
        raise PtxLinkError(f"{name} is a function in one part and a variable in another")
    ranks = [_rank(known), _rank(item)]
    if ranks == [len(_ORDER) - 1] * 2:
        raise PtxLinkError(f"{name} is defined in several parts")
    return item if ranks[1] > ranks[0] else known


def _rank(item: Item) -> int:
    if isinstance(item, Function) and item.body is None:
        return 0
    return max((_ORDER.index(word) for word in item.linkage if word in _ORDER), default=len(_ORDER) - 1)


def _target(modules: Sequence[Module]) -> tuple[str, ...]:
    """Return the newest of the targets; those for one architecture alone go with no other."""
    found = {module.target[0]: _TARGET.fullmatch(module.target[0]) for module in modules}
    parts = {name: (int(match[1]), match[2]) for name, match in found.items() if match}
    newest = max(parts, key=lambda name: parts[name], default=modules[0].target[0])
    if any(suffix and name != newest for name, (_, suffix) in parts.items()):
        raise PtxLinkError(f"the parts are for different targets: {', '.join(sorted(found))}")
    return newest, *dict.fromkeys(word for module in modules for word in module.target[1:])


def _in_order(variables: Sequence[Variable]) -> list[Variable]:
    """Return variables, those first that initializers of others name."""
    known = {variable.name: variable for variable in variables}
    done: dict[str, Variable] = {}

    def add(variable: Variable, above: frozenset[str]) -> None:
        for name in symbols_of(variable.initializer):
            if name in known and name not in done and name not in above:
                add(known[name], above | {variable.name})
        done.setdefault(variable.name, variable)

    for variable in variables:
        add(variable, frozenset())
    return list(done.values())


def _other(modules: Sequence[Module]) -> list[Verbatim]:
    """Return the names of functions that marks of lines refer to, of all parts together, and nothing else."""
    names = []
    for module in modules:
        for item in module.items:
            if isinstance(item, Verbatim):
                if item.text.startswith(".alias"):
                    raise PtxLinkError("a part has aliases of functions")
                found = _NAMES.fullmatch(item.text.strip())
                names += [found[1]] if found else []
    return [Verbatim(f".section .debug_str\n{{{''.join(names)}}}")] if names else []
