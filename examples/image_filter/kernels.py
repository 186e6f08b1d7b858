"""The kernels of the image filter: a separable blur and the gradient of Sobel, on shared tiles."""

from __future__ import annotations

from pycuda.compiler import SourceModule

#: threads of a block, in x and in y: one a pixel of the block's tile
TILE = 16

#: how many pixels the blur reaches to either side
RADIUS = 3

SOURCE = """
__constant__ float weights[2 * RADIUS + 1];

// The pixel of the image that is nearest to (x, y), which may lie outside of it.
__device__ float nearest(const float *image, int width, int height, int x, int y)
{
    return image[min(max(y, 0), height - 1) * width + min(max(x, 0), width - 1)];
}

// The blur along the rows, then the one along the columns. Tiles reach RADIUS pixels further on that axis.
__global__ void blur_rows(const float *image, float *blurred, int width, int height)
{
    __shared__ float tile[TILE][TILE + 2 * RADIUS];
    int x = blockIdx.x * TILE + threadIdx.x, y = blockIdx.y * TILE + threadIdx.y;
    for (int place = threadIdx.x; place < TILE + 2 * RADIUS; place += TILE)
        tile[threadIdx.y][place] = nearest(image, width, height, x - threadIdx.x + place - RADIUS, y);
    __syncthreads();
    if (x >= width || y >= height)
        return;
    float sum = 0;
    for (int tap = 0; tap <= 2 * RADIUS; ++tap)
        sum += weights[tap] * tile[threadIdx.y][threadIdx.x + tap];
    blurred[y * width + x] = sum;
}

__global__ void blur_columns(const float *image, float *blurred, int width, int height)
{
    __shared__ float tile[TILE + 2 * RADIUS][TILE];
    int x = blockIdx.x * TILE + threadIdx.x, y = blockIdx.y * TILE + threadIdx.y;
    for (int place = threadIdx.y; place < TILE + 2 * RADIUS; place += TILE)
        tile[place][threadIdx.x] = nearest(image, width, height, x, y - threadIdx.y + place - RADIUS);
    __syncthreads();
    if (x >= width || y >= height)
        return;
    float sum = 0;
    for (int tap = 0; tap <= 2 * RADIUS; ++tap)
        sum += weights[tap] * tile[threadIdx.y + tap][threadIdx.x];
    blurred[y * width + x] = sum;
}

// The length of the gradient. The tile has a border of one pixel.
__global__ void sobel(const float *image, float *gradient, int width, int height)
{
    __shared__ float tile[TILE + 2][TILE + 2];
    int x = blockIdx.x * TILE + threadIdx.x, y = blockIdx.y * TILE + threadIdx.y;
    int left_of_tile = blockIdx.x * TILE - 1, above_tile = blockIdx.y * TILE - 1;
    for (int row = threadIdx.y; row < TILE + 2; row += TILE)
        for (int column = threadIdx.x; column < TILE + 2; column += TILE)
            tile[row][column] = nearest(image, width, height, left_of_tile + column, above_tile + row);
    __syncthreads();
    if (x >= width || y >= height)
        return;
    float (*at)[TILE + 2] = &tile[threadIdx.y];
    int left = threadIdx.x, middle = left + 1, right = left + 2;
    float along_x = at[0][right] + 2 * at[1][right] + at[2][right]
                  - at[0][left] - 2 * at[1][left] - at[2][left];
    float along_y = at[2][left] + 2 * at[2][middle] + at[2][right]
                  - at[0][left] - 2 * at[0][middle] - at[0][right];
    gradient[y * width + x] = sqrtf(along_x * along_x + along_y * along_y);
}
"""


def compiled() -> SourceModule:
    """Compile the kernels for the current context."""
    return SourceModule(SOURCE, options=[f"-DTILE={TILE}", f"-DRADIUS={RADIUS}"])
