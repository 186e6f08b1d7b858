"""Which process of a parallel program this is: the launchers of MPI tell it by a variable."""

from __future__ import annotations

import os
import platform

#: Open MPI, PMIx (also of Slurm), MPICH and Intel MPI, MVAPICH2, Slurm
_VARIABLES = (
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "MV2_COMM_WORLD_RANK",
    "SLURM_PROCID",
)


def rank() -> int | None:
    """Return the rank of this process in MPI_COMM_WORLD; None where no launcher has started it."""
    for variable in _VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdecimal():
            return int(value)
    return None


def host() -> str:
    """Return the name of this machine without its domain, as a part of a file's name; ``host`` if unknown."""
    name = platform.node().partition(".")[0]
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name) or "host"
