"""Gives the CPU device to the processes that ``multiprocessing`` starts afresh (spawn, forkserver).

Such a child imports the program's main module, and PyCUDA with it, before anybody else has a word. The first
thing it does, though, is to unpickle what its parent prepared for it; so that is where the device is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.options import DeviceOptions

#: a key of the preparation data that multiprocessing itself has no use for
KEY = "pycuda_guard_device"


class Loading:
    """Loads the CPU device where it is unpickled."""

    def __init__(self, load: Callable[[DeviceOptions], None], options: DeviceOptions) -> None:
        self._load = load
        self._options = options

    def __reduce__(self) -> tuple[Callable[[DeviceOptions], None], tuple[DeviceOptions]]:
        return self._load, (self._options,)


def install(load: Callable[[DeviceOptions], None], options: DeviceOptions) -> None:
    """Have every child that is started afresh call ``load(options)`` before anything of the program."""

    def prepare(
        wrapped: Callable[..., dict[str, Any]], instance: None, args: Any, kwargs: Any
    ) -> dict[str, Any]:
        return {**wrapped(*args, **kwargs), KEY: Loading(load, options)}

    def wrap(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "get_preparation_data", prepare)

    wrapt.register_post_import_hook(wrap, "multiprocessing.spawn")
    wrapt.register_post_import_hook(_leave_main_to_children, "multiprocessing.forkserver")


def _leave_main_to_children(module: Any) -> None:
    """Keep a fork server from importing the program's main module, and with it a PyCUDA without a device.

    Newer Pythons (3.14 for one) do so before anything is unpickled. Its children import the module anyway.
    """
    module.set_forkserver_preload([])
