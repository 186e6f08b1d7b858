"""Let a cloud of particles collapse, and follow its radius and its energy of motion.

``python collapse.py`` compares each step with numpy. With ``--with-bug`` the host waits for the event
that says that a step is computed, not for the one that says that its result has been copied.
"""

from __future__ import annotations

import argparse

import numpy as np
import pycuda.autoinit
import simulation

#: the event that the host waits for, without and with the bug
AWAITED = ("copied", "computed")


def main() -> None:
    """Simulate, print each step, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with-bug", action="store_true", help="wait for the wrong event")
    arguments = parser.parse_args()

    start = simulation.cloud(200)
    found = simulation.simulate(start, 5, 0.1, AWAITED[arguments.with_bug])
    expected = simulation.simulate_with_numpy(start, 5, 0.1)
    for number, (state, right) in enumerate(zip(found, expected, strict=True), 1):
        verdict = "right" if np.allclose(state, right, atol=1e-4) else "wrong"
        radius = np.linalg.norm(state[0, :, :3], axis=1).mean()
        energy = (state[0, :, 3] * (state[1, :, :3] ** 2).sum(axis=1)).sum() / 2
        print(f"step {number}: radius {radius:.3f}, energy of motion {energy:.4f}, {verdict}")


if __name__ == "__main__":
    main()
