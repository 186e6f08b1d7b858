"""LLVM text to machine code.

LLVM is built with assertions in llvmlite: a wrong module would abort the process, so modules are verified
first.
"""

from __future__ import annotations

import threading
from functools import cache

import llvmlite.binding as llvm

from pycuda_guard.errors import GuardError

#: LLVM's optimization level, and that of long code which is not to run long
SPEED_LEVEL, QUICK_LEVEL = 2, 1

_lock = threading.Lock()


class CompilationError(GuardError):
    """LLVM refused generated code: a bug of this package."""


def compile_ir(text: str, *, quickly: bool = False) -> bytes:
    """Return the object file of an LLVM module, optimized for this processor, ``quickly`` less so.

    Raises CompilationError.
    """
    with _lock:
        machine = _target_machine(QUICK_LEVEL if quickly else SPEED_LEVEL)
        try:
            module = llvm.parse_assembly(text)
            module.triple = llvm.get_process_triple()
            module.data_layout = str(machine.target_data)
            module.verify()
        except RuntimeError as error:
            raise CompilationError(f"LLVM refuses the generated code: {error}") from error
        options = llvm.create_pipeline_tuning_options(speed_level=QUICK_LEVEL if quickly else SPEED_LEVEL)
        options.loop_vectorization = not quickly
        options.slp_vectorization = not quickly
        options.loop_interleaving = not quickly
        options.loop_unrolling = not quickly
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        return bytes(machine.emit_object(module))


@cache
def _processor() -> str:
    return str(llvm.get_host_cpu_name())


@cache
def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


@cache
def _target_machine(level: int) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=_processor(), features=_features(), opt=level, reloc="pic", codemodel="small", jit=True
    )
