"""Finds names that a program took out of ``pycuda.driver``, and binds them to something else.

``from pycuda.driver import memcpy_htod`` makes a second name for a function, and
``def f(allocator=mem_alloc)`` keeps it as a default. Both are found by going through the modules
that are loaded. Names inside containers, closures and instances are not.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: By ``id()`` of the object to look for: that object, and what to put in its place.
Replacements = dict[int, tuple[Any, Any]]

_PACKAGE = "pycuda"


def rebind(replacements: Replacements) -> bool:
    """Replace objects wherever loaded modules name them or keep them as default arguments.

    Returns whether a module holds a driver object (a context, a module, memory, a stream), which
    means that CUDA is in use.
    """
    if not replacements:
        return False
    driver_names = (f"{_PACKAGE}.driver", f"{_PACKAGE}._driver")
    drivers = [sys.modules[name] for name in driver_names if name in sys.modules]
    kinds = _object_types(drivers)
    in_use = False
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or module in drivers:
            continue
        uses_driver = name.partition(".")[0] == _PACKAGE
        names = _names(module)
        for key, value in list(names.items()):
            entry = replacements.get(id(value))
            if entry is not None and entry[0] is value:
                names[key] = entry[1]
                uses_driver = True
            elif type(value) in kinds:
                in_use = True
            elif isinstance(value, ModuleType) and value in drivers:
                uses_driver = True
        if uses_driver:
            for function in _functions(names):
                _rebind_defaults(function, replacements)
    return in_use


def _object_types(drivers: list[ModuleType]) -> frozenset[type]:
    names = ("Context", "Module", "DeviceAllocation", "PooledDeviceAllocation", "Stream", "Event", "Function")
    found = (getattr(driver, name, None) for driver in drivers for name in names)
    return frozenset(cls for cls in found if cls is not None)


def _names(module: ModuleType) -> dict[str, Any]:
    """Return a module's names without asking the module: a lazy one would be imported by that."""
    names: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return names


def _functions(names: dict[str, Any]) -> Iterator[FunctionType]:
    """Yield the functions and methods that the module of these names defines."""
    for value in list(names.values()):
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type) and value.__module__ == names.get("__name__"):
            for member in list(vars(value).values()):
                inner = member.__func__ if isinstance(member, staticmethod | classmethod) else member
                if isinstance(inner, FunctionType):
                    yield inner


def _rebind_defaults(function: FunctionType, replacements: Replacements) -> None:
    def swap(value: Any) -> Any:
        entry = replacements.get(id(value))
        return entry[1] if entry is not None and entry[0] is value else value

    defaults = function.__defaults__
    if defaults and any(id(value) in replacements for value in defaults):
        function.__defaults__ = tuple(swap(value) for value in defaults)
    keyword_defaults = function.__kwdefaults__
    if keyword_defaults and any(id(value) in replacements for value in keyword_defaults.values()):
        function.__kwdefaults__ = {key: swap(value) for key, value in keyword_defaults.items()}
