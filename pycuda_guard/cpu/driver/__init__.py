"""A libcuda of our own: what the calls of the driver do on the CPU device."""
