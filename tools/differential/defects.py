"""Kernels of seed 0 that ptxas 13.0 assembles to something else than their PTX says.

What a GPU answers to them is no measure of a device that runs the PTX. Each was found by its answer, and the
cause read in the machine code; the same instructions are right in all other kernels that have them.
"""

from __future__ import annotations

#: the kernel: what ptxas makes of it
WRONG = {
    "k285": "neg.s16 and the comparison of its result become one in 32 bits, in which 32768 is positive",
    "k1193": "red.add.bf16x2 in shared memory adds no upper half where it comes from a video instruction",
    "k1213": "red.add.bf16x2 in shared memory adds no upper half where it comes from a video instruction",
    "k1938": "an integer that becomes an f64 and an unsigned integer again is left as it is, -1 too",
    "k2292": "red.add.f16x2 in shared memory adds no upper half where it comes from a video instruction",
    "k3538": "cvt.rzi.s32.f16 of abs.f16 becomes one instruction that rounds to nearest",
    "k3547": "a guarded vset overwrites the register that its target was copied from, which is read later",
    "k3607": "cvt.sat.u32.u64 of cvt.rmi.u64.bf16 becomes one conversion, which gives another number for NaN",
    "k4433": "cvt.sat.s16.u32 of cvt.rpi.u32.f32 becomes one conversion, which does not stop at 0",
    "k4669": "a guarded vset overwrites the register that its target was copied from, which is read later",
    "k4921": "xor of a lop3 and one of its operands becomes one lop3 with the wrong table",
    "c297": "of add.s16x2, as in __vsub2, the negated halves of a constant are taken as 0",
}

#: the kernel that ptxas never ends with: (a | b | a) == 0 of lop3, as the condition of a branch
ENDLESS = frozenset({"k3118"})


def assembled_wrongly(seed: int, name: str) -> bool:
    """Tell whether a GPU's answer to a kernel counts for nothing."""
    return seed == 0 and name in WRONG


def never_assembled(seed: int, name: str) -> bool:
    """Tell whether a kernel can't be given to a GPU."""
    return seed == 0 and name in ENDLESS
