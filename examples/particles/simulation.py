"""A cloud of particles under its own gravity, in steps that overlap with their read-back.

The state is kept twice on the device and twice in page-locked memory. While a step computes the new
state on one stream, the one before is copied to the host on another; events order the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

if TYPE_CHECKING:
    from collections.abc import Iterator

#: threads of a block, and particles of a tile in shared memory
TILE = 64

#: added to squared distances, so that close particles don't fly away
SOFTENING = 0.05

#: flag of a stream that does not wait for the default stream
NON_BLOCKING = 1

SOURCE = """
// One step of length dt. A state is n positions with the mass as w, then n velocities.
__global__ void step(const float4 *state, float4 *next, float dt, int n)
{
    __shared__ float4 tile[TILE];
    int i = blockIdx.x * TILE + threadIdx.x;
    float4 own = state[min(i, n - 1)];
    float3 pull = make_float3(0, 0, 0);
    for (int start = 0; start < n; start += TILE) {
        int other = start + threadIdx.x;
        tile[threadIdx.x] = other < n ? state[other] : make_float4(0, 0, 0, 0);
        __syncthreads();
        for (int j = 0; j < TILE; ++j) {
            float x = tile[j].x - own.x, y = tile[j].y - own.y, z = tile[j].z - own.z;
            float nearness = rsqrtf(x * x + y * y + z * z + SOFTENING);
            float weight = tile[j].w * nearness * nearness * nearness;
            pull.x += weight * x;
            pull.y += weight * y;
            pull.z += weight * z;
        }
        __syncthreads();
    }
    if (i >= n)
        return;
    float4 speed = state[n + i];
    speed.x += dt * pull.x;
    speed.y += dt * pull.y;
    speed.z += dt * pull.z;
    next[i] = make_float4(own.x + dt * speed.x, own.y + dt * speed.y, own.z + dt * speed.z, own.w);
    next[n + i] = speed;
}
"""


class Buffer(NamedTuple):
    """A state on the device and on the host, and the events that say when each is good."""

    device: cuda.DeviceAllocation
    host: np.ndarray
    computed: cuda.Event
    copied: cuda.Event


def buffer_like(state: np.ndarray) -> Buffer:
    """Return memory for a state."""
    device = cuda.mem_alloc(state.nbytes)
    snapshot = cuda.pagelocked_empty_like(state)
    return Buffer(device, snapshot, *(cuda.Event(cuda.event_flags.DISABLE_TIMING) for _ in range(2)))


def cloud(count: int) -> np.ndarray:
    """Return particles at rest in a ball: float32 of shape (2, count, 4)."""
    state = np.zeros((2, count, 4), dtype=np.float32)
    state[0, :, :3] = np.random.default_rng(2).normal(0.0, 1.0, (count, 3))
    state[0, :, 3] = 1.0 / count
    return state


def simulate(state: np.ndarray, steps: int, dt: float, awaited: str = "copied") -> Iterator[np.ndarray]:
    """Yield the state after each step, float32 of shape (2, count, 4), good until the next one.

    ``awaited`` is the event of a buffer that the host waits for before it reads.
    """
    step = SourceModule(SOURCE, options=[f"-DTILE={TILE}", f"-DSOFTENING={SOFTENING}f"]).get_function("step")
    computing, copying = cuda.Stream(NON_BLOCKING), cuda.Stream(NON_BLOCKING)
    buffers = buffer_like(state), buffer_like(state)
    cuda.memcpy_htod(buffers[0].device, state)
    cuda.Context.synchronize()
    count = state.shape[1]

    def enqueue(number: int) -> None:
        old, new = buffers[(number - 1) % 2], buffers[number % 2]
        computing.wait_for_event(new.copied)  # what this step overwrites has arrived at the host
        shape = {"block": (TILE, 1, 1), "grid": (-(-count // TILE), 1)}
        step(old.device, new.device, np.float32(dt), np.int32(count), stream=computing, **shape)
        new.computed.record(computing)
        copying.wait_for_event(new.computed)
        cuda.memcpy_dtoh_async(new.host, new.device, copying)
        new.copied.record(copying)

    try:
        for number in range(1, steps + 2):
            if number <= steps:
                enqueue(number)
            if number > 1:
                ready = buffers[(number - 1) % 2]
                getattr(ready, awaited).synchronize()
                yield ready.host
    finally:
        copying.synchronize()  # before the page-locked memory is given back


def simulate_with_numpy(state: np.ndarray, steps: int, dt: float) -> Iterator[np.ndarray]:
    """Yield what ``simulate`` should, in double precision."""
    state = state.astype(float)
    for _ in range(steps):
        positions, masses = state[0, :, :3], state[0, :, 3]
        apart = positions[None] - positions[:, None]
        weights = masses * ((apart**2).sum(axis=2) + SOFTENING) ** -1.5
        state[1, :, :3] += dt * np.einsum("ij,ijk->ik", weights, apart)
        state[0, :, :3] += dt * state[1, :, :3]
        yield state
