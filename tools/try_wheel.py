"""Install a wheel into an empty environment and try what it brings.

``python tools/try_wheel.py WHEEL [--demo]``; with ``--demo`` also the CPU device, PyCUDA and a compiler as
``pycuda-guard setup`` brings them, and a guarded program.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

#: what a wheel for Linux on x86-64 holds besides Python
PARTS = (
    "pycuda_guard/py.typed",
    "pycuda_guard/cpu/_runtime.abi3.so",
    "pycuda_guard/events/_lane.abi3.so",
    "pycuda_guard/hooks/_hostfault.abi3.so",
    "pycuda_guard/shadow/codes.ptx",
)


def main() -> int:
    """Try the wheel and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--demo", action="store_true", help="guard a program on the CPU device, too")
    options = parser.parse_args()
    wheel = options.wheel.resolve()
    held = zipfile.ZipFile(wheel).namelist()
    missing = [part for part in PARTS if part not in held]
    needless = [name for name in held if name.endswith((".c", ".h", ".cu"))]
    if missing or needless:
        print(f"{wheel.name} lacks {missing} and has no use for {needless}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "environment")
        venv.create(environment, with_pip=True)
        # the folder of the sources must not be on the path
        os.chdir(folder)
        run(environment, "python", "-m", "pip", "install", "--quiet", str(wheel))
        run(environment, "pycuda-guard", "--version")
        run(environment, "pycuda-guard", "explain", "PG201")
        Path("findings.json").write_text('{"version": 1, "findings": []}', encoding="utf-8")
        for name in ("html", "sarif"):
            run(
                environment,
                "pycuda-guard",
                "report",
                "findings.json",
                "--format",
                name,
                "-o",
                f"report.{name}",
            )
        run(environment, "python", "-c", "import pycuda_guard, sys; assert 'pycuda' not in sys.modules")
        if options.demo:
            run(
                environment,
                "python",
                "-m",
                "pip",
                "install",
                "--quiet",
                f"pycuda-guard[cpu] @ {wheel.as_uri()}",
            )
            run(environment, "pycuda-guard", "setup")
            run(environment, "pycuda-guard", "doctor")
            # 1: it has found the demo's errors
            run(environment, "pycuda-guard", "demo", expected=1)
    print(f"{wheel.name} works")
    return 0


def run(environment: Path, command: str, *arguments: str, expected: int = 0) -> None:
    """Run a command of the environment; ends the process where its exit status is not ``expected``."""
    print(f"$ {command} {' '.join(arguments)}", flush=True)
    done = subprocess.run([environment / "bin" / command, *arguments], check=False)
    if done.returncode != expected:
        sys.exit(f"exit status {done.returncode} instead of {expected}")


if __name__ == "__main__":
    sys.exit(main())
