"""Instrumentation of PTX: kernels that say themselves what they do wrong."""
