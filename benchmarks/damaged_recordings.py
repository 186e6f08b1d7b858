"""Reads recordings that were damaged at random, and counts what became of them.

Bits are flipped, bytes overwritten, cut out and put in, files cut off, blocks exchanged, and records
replaced by others with a right checksum. Each file is read, judged by the rules and shown as a timeline. The
exit status is 1 where reading one ended in anything but its events or a clear error, took longer than
``LONGEST`` seconds, or took more than a GiB of memory.
Run ``python benchmarks/damaged_recordings.py [--files N] [--seed N]``.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec

from pycuda_guard.callsite import Site
from pycuda_guard.checks.engine import Engine
from pycuda_guard.events import codec, model as m
from pycuda_guard.events.format import BLOCK, HEAD, RECORD, Head, Kind, RecordingError
from pycuda_guard.events.reader import read
from pycuda_guard.events.recorder import Recorder, describe
from pycuda_guard.reports import table
from pycuda_guard.reports.tracks import Tracks

#: files that one process reads
BATCH = 2000

#: seconds that reading one file may take
LONGEST = 20

#: bytes that a process which reads may use at most
MEMORY = 1 << 30

SITE = Site("/home/user/solver.py", 12, "step")
CALLER = (SITE, 11, 31)
ODD = (
    0,
    1,
    -1,
    255,
    2**31,
    2**32,
    2**63 - 1,
    2**64 - 1,
    -(2**63),
    1e308,
    "",
    "x" * 5000,
    None,
    [],
    [[]],
    True,
)


def events(rounds: int) -> list[m.Event]:
    """Return the timeline of a made-up program that copies, launches and waits in a loop."""
    pointer = m.ParameterKind.POINTER
    parameters = tuple(
        m.Parameter(name, 8 * i, 8, 8, pointer, "float *", "float", 4, 1) for i, name in enumerate("xy")
    )
    kernel = m.KernelSignature("step", parameters, source_file=SITE.file, source_line=3)
    arguments = tuple(
        m.Argument(m.ArgumentKind.POINTER, "DeviceAllocation", 8 * i, 8, address)
        for i, address in enumerate((0x7F0000, 0x7F8000))
    )
    host = m.HostOperand(
        0x5500_0000, m.Extent(400), 400, m.HostKind.PINNED, "ndarray", (100,), "float32", "CF"
    )
    made: list[m.Event] = [
        m.ContextChanged(*CALLER, "created", 31),
        m.StreamCreated(*CALLER, 501, 1),
        m.EventCreated(*CALLER, 701),
        m.ModuleLoaded(*CALLER, 901, (kernel,)),
        m.Allocated(*CALLER, "mem_alloc", 0x7F0000, 400, m.MemoryKind.DEVICE),
        m.Allocated(*CALLER, "mem_alloc", 0x7F8000, 400, m.MemoryKind.DEVICE),
        m.Allocated(*CALLER, "pagelocked_empty", 0x5500_0000, 400, m.MemoryKind.PINNED),
    ]
    for _ in range(rounds):
        device = m.DeviceOperand(0x7F0000, m.Extent(400), "DeviceAllocation")
        made += [
            m.Copy(*CALLER, "memcpy_htod_async", m.CopyKind.HTOD, device, host, 501, True),
            m.Launch(*CALLER, "__call__", 901, "step", (4, 1), (32, 1, 1), 0, 501, arguments, 16),
            m.EventRecorded(*CALLER, 701, 501),
            m.StreamWaited(*CALLER, 0, 701),
            m.Memset(*CALLER, "memset_d32", m.DeviceOperand(0x7F8000, m.Extent(400)), 4, 100),
            m.Copy(*CALLER, "memcpy_dtoh_async", m.CopyKind.DTOH, host, device, 501, True),
            m.CallFailed(*CALLER, "memcpy_dtoh_async", 0, "LogicError", "cuMemcpyDtoHAsync failed: made up"),
            m.Synchronized(*CALLER, "stream", 501),
        ]
    made += [m.Freed(*CALLER, 0x7F0000, m.MemoryKind.DEVICE), m.RunEnded(None, 11, 0)]
    for number, event in enumerate(made, 1):
        event.sequence, event.time = number, 1_700_000_000_000_000_000 + number
    return made


def whole(folder: str, rounds: int) -> bytes:
    """Return the bytes of a recording that is right."""
    path = Path(folder, "whole.pgr")
    problems: list[BaseException] = []
    recorder = Recorder(str(path), describe("0", "made up"), lambda where, error: problems.append(error))
    for event in events(rounds):
        recorder.write(event)
    recorder.close(("nothing",))
    if problems:
        raise SystemExit(f"the recording can't be made: {problems[0]!r}")
    return path.read_bytes()


def damaged(data: bytes, bodies: list[bytes], dice: random.Random) -> bytes:
    """Return the recording with some damage of one kind."""
    kind = dice.randrange(6)
    if kind == 0:
        return _with_other_records(bodies, dice)
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 3, 30))):
        place = dice.randrange(len(changed)) if dice.random() < 0.5 else _in_a_record(len(changed), dice)
        size = dice.choice((1, 2, 4, 64, 4096))
        if kind == 1:
            changed[place] ^= 1 << dice.randrange(8)
        elif kind == 2:
            changed[place : place + size] = dice.randbytes(size)
        elif kind == 3:
            changed[place:place] = dice.randbytes(size)
        elif kind == 4 and len(changed) > size + 1:
            del changed[place : place + size]
        else:
            first, second = (dice.randrange(0, len(changed), BLOCK) for _ in range(2))
            block = changed[first : first + BLOCK]
            changed[first : first + BLOCK] = changed[second : second + BLOCK]
            changed[second : second + BLOCK] = block
    return bytes(changed[: dice.randrange(len(changed))] if dice.random() < 0.2 else changed)


def _in_a_record(size: int, dice: random.Random) -> int:
    """Return a place near the beginning of a block, where heads and sizes stand."""
    return min(dice.randrange(0, size, BLOCK) + dice.randrange(2 * HEAD), size - 1)


def _with_other_records(bodies: list[bytes], dice: random.Random) -> bytes:
    """Return a recording that is right in form, of records some of which say something strange."""
    bodies = list(bodies)
    for place in dice.sample(range(len(bodies)), dice.choice((1, 2, 10))):
        if dice.random() < 0.3:
            body = bytearray(bodies[place])
            body[dice.randrange(len(body))] = dice.randrange(256)
            bodies[place] = bytes(body)
        elif dice.random() < 0.2:
            bodies[place] = bodies[place - 1]
        else:
            values: Any = msgspec.msgpack.decode(bodies[place])
            _make_odd(values, dice)
            bodies[place] = msgspec.msgpack.encode(values)
    lane = b"".join(RECORD.pack(len(body) + RECORD.size, zlib.crc32(body)) + body for body in bodies)
    tables = Head(Kind.TABLES, 1, HEAD, codec.layout()).pack().ljust(BLOCK, b"\0")
    payload = BLOCK - HEAD
    blocks = [
        Head(Kind.EVENTS, serial + 1, HEAD, codec.layout()).pack().ljust(HEAD, b"\0")
        + lane[serial * payload : (serial + 1) * payload].ljust(payload, b"\0")
        for serial in range(-(-len(lane) // payload))
    ]
    return tables + b"".join(blocks)


def _make_odd(values: list[Any], dice: random.Random) -> None:
    """Replace one value in a list, or in a list inside it, but for the name of the class."""
    place = dice.randrange(1, len(values)) if len(values) > 1 else 0
    if isinstance(values[place], list) and values[place] and dice.random() < 0.7:
        _make_odd(values[place], dice)
    else:
        values[place] = dice.choice(ODD)


def judge(path: Path) -> str:
    """Read a recording in every way there is, and return what became of it in a word."""
    try:
        recording = read(str(path))
    except RecordingError:
        return "refused"
    timeline = list(recording.events())
    engine = Engine()
    for event in timeline:
        engine.feed(event)
    for row in Tracks().rows(recording.events()):
        table.line(row, 0)
    if any(finding.code == "PG903" for finding in engine.findings if finding.message.startswith("the check")):
        return "a rule failed"
    return "damaged" if recording.is_damaged else "read"


def work(wholes: list[bytes], seed: int, files: int, out: Any) -> None:
    """Read that many damaged recordings in this process; send counts, slowest, and bytes of memory."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY, 4 * MEMORY))
    dice = random.Random(seed)
    bodies = [codec.encode(event) for event in events(4)]
    counts: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "damaged.pgr")
        for number in range(files):
            path.write_bytes(damaged(wholes[number % 10 == 0], bodies, dice))
            signal.alarm(LONGEST)
            start = time.perf_counter()
            try:
                counts[judge(path)] += 1
            except Exception as error:
                print(f"file {number} of seed {seed}: {type(error).__name__}: {error}", file=sys.stderr)
                counts["failed"] += 1
            slowest = max(slowest, time.perf_counter() - start)
            signal.alarm(0)
    out.send((counts, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def main() -> int:
    """Damage and read, print what became of the files, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    slowest, memory = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        wholes = [whole(folder, rounds) for rounds in (5, 100)]
    for done in range(0, chosen.files, BATCH):
        receiving, sending = multiprocessing.Pipe(duplex=False)
        files = min(BATCH, chosen.files - done)
        process = multiprocessing.Process(target=work, args=(wholes, chosen.seed + done, files, sending))
        process.start()
        sending.close()
        try:
            counted, seconds, nbytes = receiving.recv()
        except EOFError:
            process.join()
            print(f"seed {chosen.seed + done}: the process died, status {process.exitcode}", file=sys.stderr)
            counts["crashed or hung"] += 1
            continue
        process.join()
        counts += counted
        slowest, memory = max(slowest, seconds), max(memory, nbytes)
    for what, count in counts.most_common():
        print(f"{what:<16}{count:>8}")
    print(f"slowest {slowest:.2f} s, most memory {memory / 2**20:.0f} MiB")
    wrong = counts["failed"] + counts["crashed or hung"] + counts["a rule failed"]
    return 1 if wrong or memory > MEMORY or slowest > LONGEST else 0


if __name__ == "__main__":
    sys.exit(main())
