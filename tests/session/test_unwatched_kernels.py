"""How a report's last line names kernels that were not looked into."""

from __future__ import annotations

from pycuda_guard.session.kernels import unwatched_kernels


def test_says_what_was_left_out_and_why() -> None:
    assert unwatched_kernels([], [], []) == []
    races, crowded, refused = unwatched_kernels(["f"], ["g", "h"], ["k"])
    assert races == "all races inside `f`"
    assert crowded == "`g`, `h`, whose blocks wait for one another and with checks do not all fit"
    assert refused == "launches of `k`, whose blocks are too large for it with checks"
    (several,) = unwatched_kernels([f"k{number}" for number in range(9)], [], [])
    assert several.endswith(" more")
