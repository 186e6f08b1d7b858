"""How a report's last line names what was not looked into."""

from __future__ import annotations

from pycuda_guard.session.kernels import unwatched_kernels
from pycuda_guard.shadow.unwatched import Unwatched


def test_says_what_was_left_out_and_why() -> None:
    assert unwatched_kernels(Unwatched()) == []
    races, crowded, refused, written = unwatched_kernels(Unwatched(("f",), ("g", "h"), ("k",), "cupy"))
    assert races == "all races inside `f`"
    assert crowded == "`g`, `h`, whose blocks wait for one another and with checks do not all fit"
    assert refused == "launches of `k`, whose blocks are too large for it with checks"
    assert written == "reads of memory that nothing has written: `cupy` may write it unseen"
    (several,) = unwatched_kernels(Unwatched(races=tuple(f"k{number}" for number in range(9))))
    assert several.endswith(" more")
