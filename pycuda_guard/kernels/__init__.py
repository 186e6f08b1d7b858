"""What PTX and CUDA C say about kernels, and PTX with checks added to it."""
