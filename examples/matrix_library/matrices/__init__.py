"""Dense float32 matrices on the device: products, transposes and sums, of any shape."""

from __future__ import annotations

from matrices.operations import multiply, norm, sums, transpose

__all__ = ["multiply", "norm", "sums", "transpose"]
