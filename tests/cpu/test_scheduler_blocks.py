"""Threads that wait for each other: barriers, warp operations, spin waits, deadlocks."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from codegen_support import Kernels, compile_cuda

from pycuda_guard.cpu.abi import FaultKind, Suspension


@pytest.fixture(scope="module")
def kernels(device, tmp_path_factory):
    source = Path(__file__).with_name("scheduler_kernels.cu")
    return Kernels(device, compile_cuda(source, tmp_path_factory.mktemp("ptx")))


def zeros(*shape, dtype=np.int32):
    return np.zeros(shape, dtype)


def test_barriers_in_different_branches_are_one(kernels):
    out = zeros(64)
    kernels.run("divergent_barriers", out, block=64)
    t = np.arange(64)
    assert np.array_equal(out, 63 - t + 1000 * (t >= 32))


@pytest.mark.parametrize("n", [1, 32, 50, 128])
def test_a_barrier_does_not_wait_for_threads_that_have_exited(kernels, n):
    out = zeros(n)
    kernels.run("early_exit", out, np.int32(n), block=128)
    assert np.array_equal(out, np.arange(n)[::-1])


def test_memory_does_not_grow_with_the_grid(kernels):
    def resident_bytes() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    out = zeros(128)
    kernels.run("early_exit", out, np.int32(100), block=128, grid=100)
    before = resident_bytes()
    kernels.run("early_exit", out, np.int32(100), block=128, grid=50_000)
    assert resident_bytes() - before < 1 << 20


def test_tree_reduction(kernels):
    values = np.arange(40 * 128, dtype=np.int32)
    out = zeros(40)
    kernels.run("tree_reduction", values, out, grid=40, block=128)
    assert np.array_equal(out, values.reshape(40, 128).sum(1))


@pytest.mark.parametrize("n", [128, 100])
def test_votes_at_barriers_count_the_threads_that_are_there(kernels, n):
    out = zeros(128, 4)
    kernels.run("barrier_votes", out, np.int32(n), block=128)
    count = len(range(0, n, 3)) + np.where(np.arange(n) % 2, 0, 100 * -(-n // 2))
    assert np.array_equal(out[:n, 0], count)
    assert (out[:n, 1:] == [1, 0, 1]).all()
    assert not out[n:].any()


def test_warp_votes(kernels):
    out = zeros(64, 5, dtype=np.uint32)
    kernels.run("votes", out, block=64)
    t = np.arange(64)
    assert (out[:, 0] == 0xAAAAAAAA).all()
    assert np.array_equal(out[:, 1], t >= 32)
    assert np.array_equal(out[:, 2], t < 32)
    assert np.array_equal(out[:, 3], 0x11111111 << (t % 4))
    assert np.array_equal(out[:, 4], np.where(t < 32, 31 * 16, 31 * 16 + 32 * 32))


def test_threads_that_have_exited_do_not_vote(kernels):
    out = zeros(32, 3, dtype=np.uint32)
    kernels.run("votes_after_exits", out, block=32)
    voters = np.array([t % 4 != 3 for t in range(32)])
    assert (out[voters, 0] == 0x22222222).all()
    voters[0] = False
    assert (out[voters, 1] == 1).all()
    assert (out[voters, 2] == 99).all()
    assert not out[~voters, 1:].any()


def test_shuffles(kernels):
    out = zeros(32, 4)
    kernels.run("shuffles", out, block=32)
    t = np.arange(32)
    expected = [np.full(32, 30), np.where(t >= 2, t - 2, t) * 10, (t ^ 1) * 10, (t // 4 * 4 + 1) * 10]
    assert np.array_equal(out.T, expected)


def test_shuffles_in_different_branches_keep_to_their_masks(kernels):
    out = zeros(32)
    kernels.run("divergent_shuffles", out, block=32)
    t = np.arange(32)
    assert np.array_equal(out, np.where(t & 1, t ^ 2, (t ^ 4) + 100))


def test_shuffle_reduction_with_an_incomplete_warp(kernels):
    values = np.arange(1000, dtype=np.float32)
    out = zeros(1, dtype=np.float32)
    kernels.run("warp_reduction", values, out, np.int32(1000), grid=11, block=96)
    assert out[0] == values.sum()


def test_warp_synchronous_code_through_volatile_shared_memory(kernels):
    values = np.arange(5 * 64, dtype=np.int32)
    out = zeros(5)
    kernels.run("warp_synchronous", values, out, grid=5, block=64)
    assert np.array_equal(out, values.reshape(5, 64).sum(1))
    assert Suspension.LOCKSTEP in kernels.plan("warp_synchronous").suspensions


def test_cooperative_groups(kernels):
    out = zeros(4)
    kernels.run("cooperative", out, block=64)
    assert list(out) == [sum(range(16 * k, 16 * k + 16)) for k in range(4)]


def test_coalesced_threads(kernels):
    count, out = zeros(1), zeros(32)
    kernels.run("coalesced", count, out, block=32)
    assert count[0] == 11
    assert sorted(out[::3]) == list(range(11))


def test_a_warp_may_spin_for_another(kernels):
    out = zeros(1)
    kernels.run("spin_between_warps", zeros(1), out, block=64)
    assert out[0] == 5


@pytest.mark.parametrize("blocks", [2, 40])
def test_a_block_may_spin_for_another(kernels, blocks):
    out = zeros(1)
    kernels.run("spin_between_blocks", zeros(1), out, grid=blocks, block=32)
    assert out[0] == 1


def test_barrier_of_the_whole_grid(kernels):
    arrived, out = zeros(1), zeros(20, 64)
    kernels.run("grid_barrier", arrived, out, grid=20, block=64)
    assert arrived[0] == 60
    assert (out == 3).all()


def test_lock_taken_by_every_thread(kernels):
    mutex, count = zeros(1), zeros(1)
    kernels.run("lock", mutex, count, grid=20, block=64)
    assert count[0] == 20 * 64


def test_a_retry_loop_is_no_spin_wait(kernels):
    total = zeros(1, dtype=np.uint64)
    kernels.run("retry", total, grid=20, block=64)
    assert total[0] == 20 * sum(range(64))
    assert not kernels.plan("retry").suspensions


def test_producer_and_consumer_at_named_barriers(kernels):
    out = zeros(4, 32)
    kernels.run("producer_consumer", out, block=64)
    assert np.array_equal(out, np.repeat([[10], [11], [12], [13]], 32, axis=1))


def test_named_barriers_of_two_groups(kernels):
    out = zeros(128)
    kernels.run("two_groups", out, block=128)
    t = np.arange(128)
    assert np.array_equal(out, t // 64 * 64 + 63 - t % 64)


def test_deadlock_is_found_and_described(kernels):
    out = zeros(64)
    fault = kernels.launch("deadlock", out, block=64)
    assert fault.kind is FaultKind.DEADLOCK
    assert "64 wait at a barrier" in fault.message
    assert not out.any()


@pytest.mark.parametrize("grid", [1, 500])
def test_trap_ends_the_launch_and_says_where(kernels, grid):
    fault = kernels.launch("trap", np.int32(grid - 1), grid=grid, block=64)
    assert fault.kind is FaultKind.TRAP
    assert fault.block == (grid - 1, 0, 0)
    assert fault.thread == (3, 0, 0)


def test_launches_after_a_fault_are_whole(kernels):
    assert kernels.launch("trap", np.int32(0), grid=4, block=64).kind is FaultKind.TRAP
    test_tree_reduction(kernels)


def test_histogram(kernels):
    values = np.random.default_rng(1).integers(0, 256, 10001).astype(np.uint8)
    out = zeros(256, dtype=np.uint32)
    kernels.run("histogram", values, out, np.int32(10001), grid=7, block=96)
    assert np.array_equal(out, np.bincount(values, minlength=256))
