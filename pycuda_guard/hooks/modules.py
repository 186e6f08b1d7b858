"""Modules and functions: which kernel a Function is, and what parameters it has.

Signatures are read from PTX: that of the image, or where it is machine code, of the source that it was
compiled from. With a runtime for instrumented kernels, that loads the module.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pycuda_guard.callsite import here
from pycuda_guard.events.model import Freed, KernelSignature, MemoryKind, ModuleLoaded, ModuleVariable
from pycuda_guard.hooks.sources import digest, is_ptx, text_of
from pycuda_guard.hooks.tap import Connect, Tap, ThreadState, Wrapped, finalizing, like, reported
from pycuda_guard.kernels.signature import read_signatures

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.callsite import Site

#: Parts of PyCUDA that hand on what the user wrote; the others write kernels themselves.
_HANDING_ON = frozenset({"pycuda.compiler", "pycuda.driver", "pycuda.tools", "pycuda.debug"})


def signatures(tap: Tap, image: bytes) -> tuple[tuple[KernelSignature, ...] | None, str]:
    """Return the signatures of the kernels in an image, or None and why they are unknown."""
    compiled = tap.sources.get(digest(image))
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


def _loading(call: str, read: Callable[..., bytes]) -> Connect:
    """Hook a function that loads a module; ``read(tap, *args, **kwargs)`` returns the image."""

    def connect(tap: Tap, wrapped: Wrapped) -> Wrapped:
        def hook(*args: Any, **kwargs: Any) -> Any:
            if not tap.active:
                return wrapped(*args, **kwargs)
            fault = image = None
            try:
                image = read(tap, *args, **kwargs)
            except Exception as error:
                fault = error
            left_out: dict[str, str] = {}
            try:
                if image is None or tap.kernels is None:
                    module = wrapped(*args, **kwargs)
                else:
                    load = tap.kernels.from_image
                    module, left_out = load(tap, lambda: wrapped(*args, **kwargs), image, args, kwargs)
            except BaseException as error:
                tap.failed(call, 0, error)
                raise
            if fault is not None:
                tap.guard_error(call, fault)
            try:
                kernels, unknown = (None, "") if image is None else signatures(tap, image)
                _loaded(tap, here(2), module, kernels, unknown, left_out)
            except Exception as error:
                tap.guard_error(call, error)
            return module

        return like(wrapped, hook)

    return connect


def _loaded(
    tap: Tap,
    site: Site | None,
    module: Any,
    kernels: tuple[KernelSignature, ...] | None,
    unknown: str,
    left_out: dict[str, str],
) -> None:
    """Give a new module its number and report it."""
    number, library = next(tap.numbers), is_library()
    tap.modules[id(module)] = (number, library)
    variables: tuple[ModuleVariable, ...] = ()
    if tap.kernels is not None:
        loader = tap.kernels.runtime.loader
        loader.name_module(module, number, library)
        variables = () if library else loader.variables_of(module)
    state = tap.threads.state
    told = tuple(left_out.items())
    tap.emit(
        ModuleLoaded(site, state.thread, state.context, number, kernels, unknown, library, told, variables)
    )


def _collect(tap: Tap, site: Site | None, state: ThreadState, module: Any, /) -> None:
    """Read what the kernels of a module reported, and report that its variables go with it."""
    number, _ = tap.modules.get(id(module), (0, False))
    if not number:
        return  # loaded before the hooks were there
    if tap.kernels is not None:
        tap.kernels.runtime.collect(state.context)
    for address in tap.globals.pop(number, {}).values():
        tap.live.pop(address, None)
        tap.emit(Freed(site, state.thread, state.context, address, MemoryKind.GLOBAL, "collected"))


def _read_buffer(tap: Tap, buffer: Any, *args: Any, **kwargs: Any) -> bytes:
    return bytes(buffer)


def _read_file(tap: Tap, filename: str) -> bytes:
    with open(filename, "rb") as file:
        return file.read()


class Link:
    """What has been added to a Linker: the kernels, why they are not known, and the calls themselves."""

    def __init__(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.arguments = arguments
        self.keywords = keywords
        self.kernels: list[KernelSignature] = []
        self.unknown = ""
        self.data: list[tuple[bytes, Any, str]] = []  # image, its type, its name
        self.files: list[tuple[str, Any]] = []


def _create_linker(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, linker: Any, *args: Any, **kwargs: Any
) -> None:
    tap.linked[id(linker)] = Link(args, kwargs)


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
    link = tap.linked.get(id(linker))
    if link is not None:
        link.data.append((bytes(data), input_type, name))
        _link_image(tap, link, bytes(data))


def _link_file(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, linker: Any, filename: str, kind: Any
) -> None:
    link = tap.linked.get(id(linker))
    if link is None:
        return
    if str(kind).rpartition(".")[2] == "LIBRARY":
        link.files.append((filename, kind))
        return  # device code to link against, such as cudadevrt
    with open(filename, "rb") as file:
        image = file.read()
    link.data.append((image, kind, filename))
    _link_image(tap, link, image)


def _link_image(tap: Tap, link: Link, image: bytes) -> None:
    added, reason = signatures(tap, image)
    link.kernels.extend(added or ())
    link.unknown = link.unknown or reason


def link_module(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``Linker.link_module``."""

    def hook(*args: Any, **kwargs: Any) -> Any:
        if not tap.active:
            return wrapped(*args, **kwargs)
        left_out: dict[str, str] = {}
        link = tap.linked.pop(id(args[0]), None) if args else None
        try:
            if link is None or tap.kernels is None:
                module = wrapped(*args, **kwargs)
            else:
                module, left_out = tap.kernels.from_link(tap, lambda: wrapped(*args, **kwargs), link)
        except BaseException as error:
            tap.failed("Linker.link_module", 0, error)
            raise
        try:
            unknown = "the linker is older than the guard" if link is None else link.unknown
            kernels = None if link is None or unknown else tuple(link.kernels)
            _loaded(tap, here(2), module, kernels, unknown, left_out)
        except Exception as error:
            tap.guard_error("Linker.link_module", error)
        return module

    return like(wrapped, hook)


def get_function(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``Module.get_function``: remember which kernel a function is."""
    kernels = tap.kernels

    def hook(*args: Any, **kwargs: Any) -> Any:
        try:
            function = wrapped(*args, **kwargs)
        except BaseException as error:
            if tap.active:
                tap.failed("Module.get_function", 0, error)
            raise
        try:
            module, name = args
            number, library = tap.modules.get(id(module), (0, False))
            tap.functions[id(function)] = (number, str(name), library)
            tap.parameter_sizes.pop(id(function), None)
            tap.shared_sizes.pop(id(function), None)
            if kernels is not None:
                kernels.runtime.loader.found(module, str(name), function)
        except Exception as error:
            tap.guard_error("Module.get_function", error)
        return function

    return like(wrapped, hook)


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


module_from_buffer = _loading("module_from_buffer", _read_buffer)
module_from_file = _loading("module_from_file", _read_file)
collect = finalizing("Module.__del__", _collect)
create_linker = reported("Linker", _create_linker)
add_data = reported("Linker.add_data", _link_data)
add_file = reported("Linker.add_file", _link_file)
