"""Like race_programs.py, with the watchdog that is for GPUs: stalls/watched_on_cpu.py FILE.cu."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import race_programs

from pycuda_guard.shadow import loading

loading.watches_on_cpu = True
race_programs.main(Path(sys.argv[1]))
