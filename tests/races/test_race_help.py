"""What a finding says is missing."""

from __future__ import annotations

import pytest

LOOP_END = "at the end of the loop's body, after line "


@pytest.mark.parametrize(
    ("file", "kernel", "help"),
    [
        ("shared_memory.cu", "reverse_without_a_barrier", "between lines "),
        ("shared_memory.cu", "one_tile_in_turn", LOOP_END),
        ("shared_memory.cu", "reduce_without_barriers", LOOP_END),
        ("shared_memory.cu", "reduce_unrolled_without_barriers", "in a loop, put __syncthreads() at the end"),
        ("shared_memory.cu", "scan_in_place", "read into a variable, then __syncthreads(), then write"),
        ("shared_memory.cu", "found_by_the_same_value", "let one thread write it, or use an atomic"),
        ("synchronization.cu", "syncwarp_is_none_for_the_block", "put __syncthreads() between lines "),
        ("global_memory.cu", "histogram_plain", "atomicAdd(&x[i], value)"),
        ("global_memory.cu", "count_in_two_steps", "if threads add to what they have read, use an atomic"),
        ("global_memory.cu", "two_threads_collide", "let one thread write it, or use an atomic"),
        ("global_memory.cu", "exchange_between_blocks", "__syncthreads() orders no blocks"),
        ("global_memory.cu", "jacobi_with_half_the_barriers", LOOP_END),
    ],
)
def test_says_what_is_missing(file, kernel, help, findings_of):
    texts = [
        finding["help"]
        for finding in findings_of(file)
        if finding["severity"] == "error" and finding["kernel"] and finding["kernel"]["name"] == kernel
    ]
    assert any(help in text for text in texts), texts


def test_a_plain_write_is_told_though_the_thread_goes_on_with_an_atomic(findings_of):
    (found,) = [
        finding
        for finding in findings_of("shared_memory.cu")
        if finding["code"] == "PG502" and finding["kernel"]["name"] == "bins_cleared_too_late"
    ]
    assert "writes it" in found["message"]
    assert "updates it" in found["message"]
