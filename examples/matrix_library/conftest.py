"""Makes the library importable for its tests, and gives them a context."""

from __future__ import annotations

import pycuda.autoinit
