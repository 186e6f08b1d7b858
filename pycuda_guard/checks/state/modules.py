"""The kernels of the loaded modules: their signatures and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycuda_guard.events.model import FunctionLimits, KernelSignature, ModuleId, ModuleLoaded


class Modules:
    """Signatures by module and function name, as far as they are known."""

    def __init__(self) -> None:
        self.signatures: dict[tuple[ModuleId, str], KernelSignature] = {}
        self.limits: dict[tuple[ModuleId, str], FunctionLimits] = {}

    def load(self, event: ModuleLoaded) -> None:
        """Enter the kernels of a module."""
        for kernel in event.kernels or ():
            self.signatures[event.module, kernel.name] = kernel

    def limit(self, event: FunctionLimits) -> None:
        """Enter what the driver says of a function."""
        self.limits[event.module, event.function] = event
