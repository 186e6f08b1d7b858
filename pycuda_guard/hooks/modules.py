"""Modules and functions: which kernel a Function is, and what parameters it has.

Signatures are read from PTX. Where the image is machine code, the source that
``pycuda.compiler.compile`` made it from is compiled once more to PTX, by PyCUDA's own compiler with
the same options (and its cache); the module that runs is not touched.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import warnings
from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import Event, KernelSignature, ModuleLoaded
from pycuda_guard.hooks.tap import Tap, ThreadState, Wrapped, like, reported
from pycuda_guard.kernels.signature import read_signatures

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site

#: Images whose source is remembered between compile() and module_from_buffer().
MAX_SOURCES = 256

#: Parts of PyCUDA that hand on what the user wrote; the others write kernels themselves.
_HANDING_ON = frozenset({"pycuda.compiler", "pycuda.driver", "pycuda.tools", "pycuda.debug"})


class Compiled:
    """What is known of an image that ``compile()`` returned."""

    __slots__ = ("_compile", "_keywords", "source")

    def __init__(self, compile: Wrapped, source: str, keywords: dict[str, Any]) -> None:
        self._compile = compile
        self._keywords = keywords
        self.source = source

    def ptx(self) -> str:
        """Compile the source to PTX; raises whatever PyCUDA's compiler raises."""
        # keep would print, and a real architecture in code is refused for PTX.
        keywords = {**self._keywords, "target": "ptx", "keep": False, "code": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler has said all this about the cubin
            image: bytes = self._compile(self.source, **keywords)
        return text_of(image)


def text_of(image: bytes) -> str:
    """Return the text of a PTX image, without the NUL that may end it."""
    return image.rstrip(b"\0").decode("utf-8", "replace")


def _digest(image: bytes) -> bytes:
    return hashlib.blake2b(image, digest_size=16).digest()


def compile_source(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``pycuda.compiler.compile``: remember which source an image was made from."""
    signature = inspect.signature(wrapped)

    def hook(*args: Any, **kwargs: Any) -> Any:
        image = wrapped(*args, **kwargs)
        if tap.active:
            try:
                bound = dict(signature.bind(*args, **kwargs).arguments)
                source = str(bound.pop("source"))
                tap.sources[_digest(image)] = Compiled(wrapped, source, bound)
                if len(tap.sources) > MAX_SOURCES:
                    tap.sources.popitem(last=False)
            except Exception as error:
                tap.guard_error("compile", error)
        return image

    return like(wrapped, hook)


def signatures(tap: Tap, image: bytes) -> tuple[tuple[KernelSignature, ...] | None, str]:
    """Return the signatures of the kernels in an image, or None and why they are unknown."""
    compiled = tap.sources.get(_digest(image))
    try:
        if is_ptx(image):
            ptx = text_of(image)
        elif compiled is None:
            return None, "the image is machine code and its source is not known"
        else:
            ptx = compiled.ptx()
        return read_signatures(ptx, None if compiled is None else compiled.source), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}".splitlines()[0]


def is_ptx(image: bytes) -> bool:
    """Tell PTX, which is text, from a cubin (ELF) or a fatbin."""
    return not image.startswith((b"\x7fELF", b"\x50\xed\x55\xba")) and b".version" in image[:4096]


def _load(
    tap: Tap,
    site: Site | None,
    state: ThreadState,
    module: Any,
    kernels: tuple[KernelSignature, ...] | None,
    unknown: str,
) -> Event:
    number, library = next(tap.numbers), is_library()
    tap.modules[id(module)] = (number, library)
    return ModuleLoaded(site, state.thread, state.context, number, kernels, unknown, library)


def _from_buffer(
    tap: Tap, site: Site | None, state: ThreadState, module: Any, /, buffer: Any, *args: Any, **kwargs: Any
) -> Event:
    return _load(tap, site, state, module, *signatures(tap, bytes(buffer)))


def _from_file(tap: Tap, site: Site | None, state: ThreadState, module: Any, /, filename: str) -> Event:
    with open(filename, "rb") as file:
        image = file.read()
    return _load(tap, site, state, module, *signatures(tap, image))


def _create_linker(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, linker: Any, *args: Any, **kwargs: Any
) -> None:
    tap.linked[id(linker)] = ([], "")


def _link(tap: Tap, site: Site | None, state: ThreadState, module: Any, /, linker: Any) -> Event:
    kernels, unknown = tap.linked.pop(id(linker), ([], "the linker is older than the guard"))
    return _load(tap, site, state, module, None if unknown else tuple(kernels), unknown)


def _link_data(
    tap: Tap,
    site: Site | None,
    state: ThreadState,
    result: None,
    /,
    linker: Any,
    data: Any,
    input_type: Any,
    name: str = "unknown",
) -> None:
    kernels, unknown = tap.linked.get(id(linker), ([], "the linker is older than the guard"))
    added, reason = signatures(tap, bytes(data))
    tap.linked[id(linker)] = ([*kernels, *(added or ())], unknown or reason)


def _link_file(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, linker: Any, filename: str, kind: Any
) -> None:
    if str(kind).rpartition(".")[2] == "LIBRARY":
        return  # device code to link against, such as cudadevrt
    with open(filename, "rb") as file:
        _link_data(tap, site, state, None, linker, file.read(), kind)


def _get_function(
    tap: Tap, site: Site | None, state: ThreadState, function: Any, /, module: Any, name: str
) -> None:
    number, library = tap.modules.get(id(module), (0, False))
    tap.functions[id(function)] = (number, str(name), library)
    tap.parameter_sizes.pop(id(function), None)


def is_library() -> bool:
    """Tell whether a part of PyCUDA that writes kernels is loading, rather than the user."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        package = name.partition(".")[0]
        if package == "pycuda" and name not in _HANDING_ON:
            return True
        if package not in ("pycuda", "pycuda_guard", "pytools"):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False


module_from_buffer = reported("module_from_buffer", _from_buffer)
module_from_file = reported("module_from_file", _from_file)
create_linker = reported("Linker", _create_linker)
add_data = reported("Linker.add_data", _link_data)
add_file = reported("Linker.add_file", _link_file)
link_module = reported("Linker.link_module", _link)
get_function = reported("Module.get_function", _get_function)
