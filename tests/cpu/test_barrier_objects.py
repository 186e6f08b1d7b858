"""cuda::barrier on the CPU device, which nvcc turns into mbarrier; and the barrier of a cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codegen_support import Kernels, compile_cuda

SOURCE = Path(__file__).with_name("barrier_kernels.cu")
THREADS = 96


@pytest.fixture(scope="module")
def kernels(device, tmp_path_factory):
    return Kernels(device, compile_cuda(SOURCE, tmp_path_factory.mktemp("barriers"), "sm_90"))


def numbers(count):
    return np.random.default_rng(5).integers(0, 1 << 20, count, np.int32)


def test_phases_follow_each_other(kernels):
    given = numbers(3 * THREADS)
    found = np.zeros_like(given)
    kernels.run("rounds", given, found, grid=3, block=THREADS)
    wanted = given.reshape(3, THREADS).copy()
    for number in range(5):
        wanted += np.roll(wanted, -1, axis=1)
        wanted ^= number
    assert np.array_equal(found.reshape(3, THREADS), wanted)


def test_who_drops_out_is_not_waited_for_in_the_next_phase(kernels):
    given, found = numbers(64), np.zeros(64, np.int32)
    kernels.run("halves", given, found, block=64)
    assert np.array_equal(found[:32], given[31::-1])
    assert np.array_equal(found[32:], given[:32])


def test_copies_arrive(kernels):
    given, found = numbers(THREADS), np.zeros(THREADS, np.int32)
    kernels.run("copied", given, found, block=THREADS)
    assert np.array_equal(found, given[::-1])


def test_a_cluster_is_one_block(kernels):
    given, found = numbers(THREADS), np.zeros(THREADS, np.int32)
    kernels.run("cluster", given, found, block=THREADS)
    assert np.array_equal(found, given[::-1] + 1)
