"""``python -m tools.differential``: run random kernels on a device and say what is wrong.

Every answer is compared with the evaluator's; with ``--against`` also with those that another device gave.
The exit status is 1 if anything differs, but for the kernels that ptxas assembles wrongly.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tools.differential import approximate, generate, workers
from tools.differential.answers import Answers
from tools.differential.catalogue import catalogue
from tools.differential.compare import Report
from tools.differential.defects import assembled_wrongly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from tools.differential.answers import Outcome

#: kernels of one module
BATCH = 50


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.differential", description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other kernels (%(default)s)")
    parser.add_argument("--kernels", type=int, default=5000, help="how many, in PTX (%(default)s)")
    parser.add_argument(
        "--survey",
        type=int,
        default=generate.SURVEYED,
        help="how many that have all forms of instructions once (%(default)s)",
    )
    parser.add_argument("--cuda", type=int, default=500, help="how many more, in CUDA C (%(default)s)")
    parser.add_argument("--every", type=int, default=1, help="only every Nth of these (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    parser.add_argument("--out", type=Path, help="keep the device's answers there")
    parser.add_argument("--against", type=Path, help="compare with the answers kept there")
    return parser.parse_args()


def _outcomes(
    pool: Executor, work: Callable[[range], list[Outcome]], numbers: range
) -> Iterator[list[Outcome]]:
    """Yield what came of the kernels; those of a module that failed are run again, each alone."""
    batches = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
    for batch, found in zip(batches, pool.map(work, batches), strict=True):
        if any(each.has_run for each in found) or len(batch) == 1:
            yield found
        else:
            yield from pool.map(work, [range(number, number + 1) for number in batch])


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    options = _arguments()
    started = time.monotonic()
    kept = Answers.load(options.against) if options.against else None
    total = Report()
    opcodes: set[str] = set()
    different: list[str] = []
    assembled: list[str] = []  # kernels whose answers differ because of ptxas
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("PYCUDA_GUARD_CACHE_DIR", cache)
        pool = ThreadPoolExecutor(options.jobs)
        alone = partial(workers.alone, options.device)
        name, driver, bits = alone(workers.run_tables)
        answers = Answers(name, driver, options.seed, bits=bits)
        for batch in chain(
            [alone(workers.run_corpus)],
            _outcomes(
                pool,
                partial(alone, workers.run_survey),
                range(0, min(options.survey, generate.SURVEYED), options.every),
            ),
            _outcomes(
                pool, partial(alone, workers.run_ptx, options.seed), range(0, options.kernels, options.every)
            ),
            _outcomes(
                pool, partial(alone, workers.run_cuda, options.seed), range(0, options.cuda, options.every)
            ),
        ):
            for each in batch:
                if options.device == "gpu" and assembled_wrongly(options.seed, each.name):
                    each.report.wrong.clear()
                total.merge(each.report)
                opcodes |= each.opcodes
                answers.add(each)
                if kept is not None and (lines := kept.differences(each)):
                    if assembled_wrongly(options.seed, each.name):
                        assembled.append(each.name)
                    else:
                        different += lines
        pool.shutdown()
    answers.wrong = total.wrong
    if options.out:
        answers.save(options.out)
    beyond = _tell(answers, total, opcodes, kept)
    for line in (*total.wrong, *different):
        print("WRONG", line)
    if assembled:
        print(f"{len(assembled)} more differ, which ptxas assembles wrongly: {' '.join(sorted(assembled))}")
    print(f"{len(total.wrong)} wrong, {len(different)} different, {time.monotonic() - started:.0f} s")
    return int(bool(total.wrong or different or beyond))


def _tell(answers: Answers, total: Report, opcodes: set[str], kept: Answers | None) -> int:
    """Print counts and the table of approximations; return how many answers are beyond the limits."""
    print(f"{answers.device}, driver {answers.driver}, seed {answers.seed}")
    print(
        f"{total.kernels} kernels, {total.columns} steps' results, {total.values} values; "
        f"{len(opcodes)} opcodes, {len(catalogue())} forms"
    )
    print(f"products and sums: {total.contracted[True]} contracted, {total.contracted[False]} not")
    beyond = 0
    print(f"{'in units of the last place':55} {'largest error':>14} {'mean':>8} {'beyond limit':>13}")
    for table in approximate.tables():
        found = approximate.errors(table, answers.bits[table.name])
        beyond += found.beyond
        line = f"{table.name:55} {found.largest:14.2f} {found.mean:8.3f} {found.beyond:13}"
        if kept is not None and table.name in kept.bits:
            other = approximate.errors(table, kept.bits[table.name])
            line += f"   {kept.device}: {other.largest:.2f}, {other.mean:.3f}, {other.beyond}"
        print(line)
    return beyond


if __name__ == "__main__":
    sys.exit(main())
