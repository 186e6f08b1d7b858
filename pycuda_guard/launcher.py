"""Which process of a parallel program this is: the launchers of MPI tell it by a variable."""

from __future__ import annotations

import os
import platform

#: Open MPI, PMIx (also of Slurm), MPICH and Intel MPI, MVAPICH2, Slurm
_RANKS = (
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "MV2_COMM_WORLD_RANK",
    "SLURM_PROCID",
)
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_NTASKS")


def rank() -> int | None:
    """Return the rank of this process in MPI_COMM_WORLD; None where no launcher has started it."""
    return _first(_RANKS)


def own_file(path: str) -> str:
    """Return the file that ``path`` stands for in this process, so that none takes another's place.

    ``run.pgr`` becomes ``run.rank0001.pgr`` where a launcher has started several processes, unless ``{pid}``
    in the path tells them apart.
    """
    if rank() is None or (_first(_SIZES) or 1) < 2 or "{pid}" in path:
        return path
    stem, suffix = os.path.splitext(path)
    return f"{stem}.rank{rank():04}{suffix}"


def _first(variables: tuple[str, ...]) -> int | None:
    for variable in variables:
        value = os.environ.get(variable, "")
        if value.isdecimal():
            return int(value)
    return None


def host() -> str:
    """Return the name of this machine without its domain, as a part of a file's name; ``host`` if unknown."""
    name = platform.node().partition(".")[0]
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name) or "host"
