"""The host's side of instrumented kernels: what is allocated, what was written, what was reported."""
