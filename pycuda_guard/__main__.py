"""``python -m pycuda_guard`` is the command ``pycuda-guard``."""

from __future__ import annotations

import sys

from pycuda_guard.cli import main

if __name__ == "__main__":
    sys.exit(main())
