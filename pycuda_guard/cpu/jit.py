"""From PTX to kernels that can be launched: parse, lower, compile, cache, load.

What loading needs besides the object file (kernel plans, images of the variables) is kept with it in the
cache, so that a module seen before is loaded without being parsed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from pycuda_guard.cpu.cache import environment
from pycuda_guard.cpu.codegen.plan import KernelPlan, is_close_watch
from pycuda_guard.cpu.linker import LoadedObject
from pycuda_guard.cpu.runtime import Kernel
from pycuda_guard.cpu.variables import Image
from pycuda_guard.diskcache import Cache, directory
from pycuda_guard.errors import GuardError
from pycuda_guard.garbage import uncollected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pycuda_guard.cpu.codegen.layout import ModuleLayout
    from pycuda_guard.cpu.codegen.plan import LoweredModule

_ADDRESS_TABLE = "pg.globals"
_FUNCTION_TABLE = "pg.functions"

#: how binary images begin that a GPU's driver would take
_BINARIES = (
    (b"\x7fELF", "a cubin (machine code of a GPU)"),
    (b"\x50\xed\x55\xba", "a fatbin"),
    (b"BC\xc0\xde", "LLVM bitcode"),
)


class InvalidPtx(GuardError):  # noqa: N818 (named as CUDA names it)
    """The image is not PTX, or PTX that does not follow the grammar."""


class UnsupportedPtx(GuardError):  # noqa: N818
    """PTX that is right, but that the CPU device cannot run; the message names the instruction and line."""


class Memory(Protocol):
    """Where module variables live."""

    def allocate(self, nbytes: int, kind: str) -> int:
        """Return the address of ``nbytes`` (> 0) of device memory."""

    def free(self, address: int) -> None:
        """Free the allocation that begins at ``address``."""

    def write(self, address: int, data: bytes) -> None:
        """Copy ``data`` to a device address."""

    def fill(self, address: int, value: int, nbytes: int) -> None:
        """Set ``nbytes`` at a device address to a byte."""


class Compiled:
    """A module as the cache keeps it: an object file, kernel plans, images of variables."""

    def __init__(
        self, image: bytes, plans: list[KernelPlan], variables: list[Image], functions: list[str]
    ) -> None:
        self.image = image
        self.plans = plans
        self.variables = variables
        self.functions = functions

    def symbols(self) -> Iterator[str]:
        """Yield the names in the object file that loading needs; none where nothing was compiled."""
        if not self.image:
            return
        for plan in self.plans:
            if plan.unsupported:
                continue
            if not plan.suspensions:
                yield f"{plan.name}.blocks"
            for region in range(len(plan.suspensions)):
                yield f"{plan.name}.full.{region}"
                yield f"{plan.name}.range.{region}"
        if self.variables:
            yield _ADDRESS_TABLE
        if self.functions:
            yield _FUNCTION_TABLE

    def pack(self) -> tuple[dict[str, Any], bytes]:
        """Return what to keep: data fit for JSON, and bytes."""
        data = {
            "image": len(self.image),
            "plans": [asdict(plan) for plan in self.plans],
            "variables": [variable.record() for variable in self.variables],
            "functions": self.functions,
        }
        return data, b"".join([self.image, *(variable.data for variable in self.variables)])

    @classmethod
    def unpack(cls, data: dict[str, Any], content: bytes) -> Compiled:
        """Return what was packed."""
        at = data["image"]
        variables = []
        for record in data["variables"]:
            end = at + record["stored"]
            variables.append(Image.from_record(record, content[at:end]))
            at = end
        plans = [KernelPlan(**plan) for plan in data["plans"]]
        for plan in plans:  # JSON knows no tuples
            plan.parameters = [(offset, nbytes) for offset, nbytes in plan.parameters]
        return cls(content[: data["image"]], plans, variables, data["functions"])


class LoadedModule:
    """A module in memory: ``kernels`` by name, ``globals`` as (address, bytes) by name.

    A kernel that cannot run says why in ``plan.unsupported`` and must not be launched. ``compile``
    compiles a kernel by name: those that ``compiled`` has only outlines of are compiled when first asked
    for. ``outlines`` are plans by name, of which only the limits of a launch are sure to be filled in.
    """

    def __init__(
        self, compiled: Compiled, memory: Memory, compile: Callable[[str], Compiled] | None = None
    ) -> None:
        self._memory = memory
        self._compile = compile
        self.globals: dict[str, tuple[int, int]] = {}
        self._functions: list[int] = []  # addresses, in the order of the table
        self.outlines = {plan.name: plan for plan in compiled.plans}
        self.kernels: Mapping[str, Kernel]
        code = LoadedObject(compiled.image, compiled.symbols()) if compiled.image else None
        if compile is not None:
            self.kernels = _Kernels([plan.name for plan in compiled.plans], self._compiled)
        else:
            addresses = code.addresses if code is not None else {}
            self.kernels = {plan.name: Kernel(plan, addresses, code) for plan in compiled.plans}
        try:
            self._place(compiled.variables)
            if code is not None:
                self._link(compiled, code.addresses)
            self._initialize(compiled)
        except BaseException:
            self.unload()
            raise

    def _compiled(self, name: str) -> Kernel:
        """Compile and link one kernel."""
        assert self._compile is not None
        compiled = self._compile(name)
        code = LoadedObject(compiled.image, compiled.symbols())
        self._link(compiled, code.addresses)
        (plan,) = compiled.plans
        return Kernel(plan, code.addresses, code)

    def unload(self) -> None:
        """Free the module's variables and let go of its code, which stays while a kernel is referenced."""
        for address, _ in self.globals.values():
            self._memory.free(address)
        self.globals = {}
        self.kernels = {}

    def _place(self, variables: list[Image]) -> None:
        for variable in variables:
            self.globals[variable.name] = (
                self._memory.allocate(max(1, variable.nbytes), "global"),
                variable.nbytes,
            )

    def _link(self, compiled: Compiled, code: dict[str, int]) -> None:
        """Tell code where the variables are. Functions have the same addresses in all code of the module."""
        if compiled.variables:
            table = [self.globals[variable.name][0] for variable in compiled.variables]
            ctypes.memmove(code[_ADDRESS_TABLE], (ctypes.c_uint64 * len(table))(*table), 8 * len(table))
        if compiled.functions:
            entries = (ctypes.c_uint64 * len(compiled.functions)).from_address(code[_FUNCTION_TABLE])
            if not self._functions:
                self._functions = list(entries)
            for index, address in enumerate(self._functions):
                entries[index] = address

    def _initialize(self, compiled: Compiled) -> None:
        addresses = {name: address for name, (address, _) in self.globals.items()}
        addresses.update(zip(compiled.functions, self._functions, strict=True))
        for variable in compiled.variables:
            data = variable.resolved(addresses.__getitem__)
            if data:
                self._memory.write(addresses[variable.name], data)
            else:
                self._memory.fill(addresses[variable.name], 0, variable.nbytes)


class _Kernels(Mapping[str, Kernel]):
    """The kernels of a module by name, each compiled when first asked for."""

    def __init__(self, names: list[str], compile: Callable[[str], Kernel]) -> None:
        self._names = dict.fromkeys(names)
        self._compile = compile
        self._known: dict[str, Kernel] = {}

    def __getitem__(self, name: str) -> Kernel:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._known:
            self._known[name] = self._compile(name)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_module(image: bytes, memory: Memory, *, whole: bool = True) -> LoadedModule:
    """Load a PTX image (as given to cuModuleLoadData, trailing NULs allowed), compiling it if it is new.

    Not ``whole``: each kernel is compiled when it is first asked for, unless functions are called by their
    addresses: these have to be the same for all kernels. Raises InvalidPtx, UnsupportedPtx, and
    what ``memory`` raises.
    """
    source = _Source(_check(image))
    if whole:
        return LoadedModule(source.compiled(None), memory)
    names = source.compiled(frozenset())
    if names.functions:
        return LoadedModule(source.compiled(None), memory)
    return LoadedModule(names, memory, lambda name: source.compiled(frozenset({name})))


class _Source:
    """The text of a module, parsed when something of it is not in the cache."""

    def __init__(self, ptx: bytes) -> None:
        self._ptx = ptx
        self._layout: ModuleLayout | None = None

    def compiled(self, kernels: frozenset[str] | None) -> Compiled:
        """Take kernels from the cache, or compile them: all (None), or those named; none gives all names.

        Raises InvalidPtx, UnsupportedPtx.
        """
        kept = _cache(directory())
        key = kept.key(self._ptx, environment(), "all" if kernels is None else f"only {sorted(kernels)}")
        entry = kept.get(key)
        if entry is not None:
            return Compiled.unpack(*entry)
        with uncollected():
            lowered = self._lowered(kernels)
        compiled = compile_lowered(lowered)
        kept.put(key, *compiled.pack())
        return compiled

    def _lowered(self, kernels: frozenset[str] | None) -> LoweredModule:
        # imported here, as a module that is in the cache needs none of it
        from pycuda_guard.cpu.codegen.errors import Unsupported
        from pycuda_guard.cpu.codegen.layout import ModuleLayout
        from pycuda_guard.cpu.codegen.module import lower_kernels
        from pycuda_guard.kernels.ptx import PtxSyntaxError, parse

        try:
            if self._layout is None:
                self._layout = ModuleLayout(parse(self._ptx.decode(errors="replace")))
            return lower_kernels(self._layout, kernels)
        except PtxSyntaxError as error:
            raise InvalidPtx(str(error)) from error
        except Unsupported as error:
            raise UnsupportedPtx(str(error)) from error


def compile_lowered(lowered: LoweredModule) -> Compiled:
    """Compile what the code generator made. Raises InvalidPtx."""
    from pycuda_guard.cpu.initial_values import VariableError, image_of
    from pycuda_guard.cpu.objects import compile_ir

    symbols = {variable.name for variable in lowered.globals}.union(lowered.functions)
    try:
        variables = [image_of(variable, symbols) for variable in lowered.globals]
    except VariableError as error:
        raise InvalidPtx(str(error)) from error
    quickly = bool(lowered.kernels) and all(is_close_watch(plan.name) for plan in lowered.kernels)
    image = compile_ir(lowered.ir, quickly=quickly) if lowered.ir else b""
    return Compiled(image, lowered.kernels, variables, list(lowered.functions))


def _check(image: bytes) -> bytes:
    """Return the PTX text of an image; raise InvalidPtx if it is none."""
    for start, kind in _BINARIES:
        if image.startswith(start):
            raise InvalidPtx(
                f"the image is {kind}; the CPU device runs PTX only",
                'compile with pycuda.compiler.compile(..., target="ptx"), or with `nvcc -ptx`',
            )
    ptx = image.rstrip(b"\0")
    if b".version" not in ptx:
        raise InvalidPtx("the image is not PTX: it has no .version directive; the CPU device runs PTX only")
    return ptx


@cache
def _cache(folder: Path) -> Cache:
    return Cache(folder)
