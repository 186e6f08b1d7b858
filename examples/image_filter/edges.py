"""Find the edges of an image: blur it, then take the gradient.

``python edges.py`` filters an image of discs and compares with numpy. With ``--with-bug`` the number of
blocks is rounded down instead of up, which leaves out the right and the lower border of the image.
"""

from __future__ import annotations

import argparse
import math

import kernels
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

#: how the number of blocks is rounded, without and with the bug
ROUNDING = (math.ceil, math.floor)


def gaussian() -> np.ndarray:
    """Return the weights of the blur, which add up to one."""
    distance = np.arange(-kernels.RADIUS, kernels.RADIUS + 1)
    weights = np.exp(-(distance**2) / 4.0)
    return (weights / weights.sum()).astype(np.float32)


def discs(width: int, height: int) -> np.ndarray:
    """Return an image of bright discs on a dark ground, float32 of shape (height, width)."""
    y, x = np.mgrid[:height, :width]
    middles = np.random.default_rng(1).uniform((0, 0), (width, height), (6, 2))
    inside = [np.hypot(x - middle_x, y - middle_y) < 12 for middle_x, middle_y in middles]
    return np.any(inside, axis=0).astype(np.float32)


def edges(image: np.ndarray, rounded=math.ceil) -> np.ndarray:
    """Return the length of the gradient of the blurred image, float32 of the image's shape."""
    height, width = image.shape
    module = kernels.compiled()
    blur_rows, blur_columns, sobel = map(module.get_function, ("blur_rows", "blur_columns", "sobel"))
    cuda.memcpy_htod(module.get_global("weights")[0], gaussian())

    source = cuda.to_device(image)
    rows = cuda.mem_alloc(image.nbytes)
    blurred = cuda.mem_alloc(image.nbytes)
    gradient = cuda.mem_alloc(image.nbytes)
    size = np.int32(width), np.int32(height)
    block = (kernels.TILE, kernels.TILE, 1)
    grid = (rounded(width / kernels.TILE), rounded(height / kernels.TILE))
    blur_rows(source, rows, *size, block=block, grid=grid)
    blur_columns(rows, blurred, *size, block=block, grid=grid)
    sobel(blurred, gradient, *size, block=block, grid=grid)
    result = np.empty_like(image)
    cuda.Context.synchronize()
    cuda.memcpy_dtoh(result, gradient)
    return result


def edges_of_numpy(image: np.ndarray) -> np.ndarray:
    """Return what ``edges`` should."""

    def taps(image: np.ndarray, axis: int, weights: np.ndarray) -> np.ndarray:
        reach = len(weights) // 2
        padded = np.pad(image, [(reach, reach) if axis == each else (0, 0) for each in (0, 1)], mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis)
        return windows @ weights

    blurred = taps(taps(image.astype(float), 1, gaussian()), 0, gaussian())
    smooth, slope = np.array([1, 2, 1]), np.array([-1, 0, 1])
    return np.hypot(taps(taps(blurred, 0, smooth), 1, slope), taps(taps(blurred, 1, smooth), 0, slope))


def main() -> None:
    """Filter an image whose size is no multiple of the tile's, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with-bug", action="store_true", help="round the grid down")
    arguments = parser.parse_args()

    image = discs(width=100, height=70)
    found = edges(image, ROUNDING[arguments.with_bug])
    right = np.isclose(found, edges_of_numpy(image), atol=1e-4)
    print(f"{right.sum()} of {right.size} pixels are right")


if __name__ == "__main__":
    main()
