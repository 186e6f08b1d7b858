"""Summarizes the recordings of many processes with DuckDB, over the table that ``timeline --parquet`` makes.

Some recordings are made and exported in truth; the rows of the other processes are theirs under other ranks.
Printed are what exporting takes an event, then time and most memory of the summary for a tenth of the
events, all of them, and more of them (the file read several times), and what a further event takes.
Run ``python benchmarks/many_recordings.py [--processes N] [--events N] [--largest N]``; it needs duckdb
and pyarrow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from recorder import CALLER, events

from pycuda_guard.cli import main as command
from pycuda_guard.events import model as m
from pycuda_guard.events.recorder import Recorder, describe

#: recordings that are made and exported
EXPORTED = 2

#: what a user asks of a run of many processes
SUMMARY = {
    "calls": "select rank, kind, what, count(*), sum(nbytes) from {table} group by all",
    "lines": "select file, line, count(*), sum(nbytes) from {table} group by all order by 3 desc limit 50",
    "ranks": "select rank, host, count(distinct stream), epoch_ns(max(time)) from {table} group by all",
    "pace": "select epoch_ns(time) // 1000000000, rank, count(*) from {table} group by all",
    "waits": "select rank, what, count(*), sum(len(after)) from {table} where len(after) > 0 group by all",
}


def stop(where: str, error: BaseException) -> None:
    """Stop: a failing recorder is not worth measuring."""
    raise SystemExit(f"{where}: {error!r}")


def record(path: Path, rank: int, count: int) -> None:
    """Write a recording of a program that allocates, then copies, launches and waits in a loop."""
    recorder = Recorder(str(path), msgspec.structs.replace(describe("0", "made up"), rank=rank), stop)
    made = events()
    loop = [made["Copy"], *[made["Launch of 4 arguments"]] * 4, made["Copy"], made["Synchronized"]]
    recorder.write(_numbered(m.StreamCreated(*CALLER, 0x5600_0000_0000, 1), 1))
    recorder.write(_numbered(made["Allocated"](), 2))
    for number in range(3, count + 1):
        recorder.write(_numbered(loop[number % len(loop)](), number))
    recorder.close()


def _numbered(event: m.Event, number: int) -> m.Event:
    """Return an event with its number and its time: one every 20 microseconds."""
    event.sequence, event.time = number, 1_700_000_000_000_000_000 + 20_000 * number
    return event


def export(folder: Path, table: Path, processes: int, count: int) -> float:
    """Make a table of that many processes, and return the seconds that exporting took an event."""
    import pyarrow as arrow
    from pyarrow import parquet

    recordings = folder / "recordings"
    recordings.mkdir()
    for rank in range(EXPORTED):
        record(recordings / f"{rank}.pgr", rank, count)
    made = folder / "made.parquet"
    start = time.process_time()
    if command(["timeline", str(recordings), "--parquet", str(made)]):
        raise SystemExit("the recordings can't be exported")
    taken = (time.process_time() - start) / EXPORTED / count
    rows = parquet.read_table(made)
    with parquet.ParquetWriter(table, rows.schema, compression="zstd") as writer:
        for first in range(0, processes, EXPORTED):
            for name in ("rank", "process"):
                shifted = arrow.compute.add(rows[name], EXPORTED if first else 0)
                rows = rows.set_column(rows.schema.get_field_index(name), name, shifted)
            writer.write_table(rows, row_group_size=1 << 17)
    return taken


def summarize(table: str, times: int, out: Any) -> None:
    """Ask everything of the table, read that many times; send events, seconds, and most memory in bytes."""
    import duckdb

    start = time.perf_counter()
    files = ", ".join([f"'{table}'"] * times)
    answers = {}
    with duckdb.connect() as database:
        database.execute("set memory_limit = '1GB'; set preserve_insertion_order = false")
        for name, query in SUMMARY.items():
            answers[name] = database.execute(query.format(table=f"read_parquet([{files}])")).fetchall()
    count = sum(row[3] for row in answers["calls"])
    seconds = time.perf_counter() - start
    out.send((count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def measured(table: Path, times: int = 1) -> tuple[int, float, int]:
    """Return what :func:`summarize` sends, from a process of its own."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    fresh = multiprocessing.get_context("spawn")
    process = fresh.Process(target=summarize, args=(str(table), times, sending))
    process.start()
    sending.close()
    result: tuple[int, float, int] = receiving.recv()
    process.join()
    return result


def main() -> None:
    """Make the tables, summarize them and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--events", type=int, default=100_000, help="events of each")
    parser.add_argument("--largest", type=int, default=10**9, help="events of the last summary")
    chosen = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        tables = []
        for processes in (max(chosen.processes // 10, EXPORTED), chosen.processes):
            folder = Path(name, str(processes))
            folder.mkdir()
            tables.append(folder / "run.parquet")
            taken = export(folder, tables[-1], processes, chosen.events)
        nbytes = tables[-1].stat().st_size / chosen.processes / chosen.events
        print(f"exporting: {1e6 * taken:.1f} µs of processor time an event, {nbytes:.1f} bytes")
        print(f"{'events':>14}{'summary, s':>12}{'memory, MiB':>13}")
        times = max(chosen.largest // (chosen.processes * chosen.events), 1)
        for table, repeat in ((tables[0], 1), (tables[1], 1), (tables[1], times)):
            found.append(measured(table, repeat))
            count, seconds, memory = found[-1]
            print(f"{count:>14,}{seconds:>12.1f}{memory / 2**20:>13.0f}", flush=True)
    (few, short, _), (many, long, _) = found[0], found[-1]
    print(f"a further thousand million events: {1e9 * (long - short) / (many - few):.0f} s")


if __name__ == "__main__":
    main()
