"""Events by hand: every function returns one event, at a made-up line, in made-up address ranges.

Device addresses are 0xD000_0000 and up, host addresses 0x1000_0000 and up, streams 500 and up,
events 700 and up, modules 900 and up, so that a mix-up fails loudly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.callsite import Site
from pycuda_guard.checks.engine import Engine
from pycuda_guard.events import model as m

if TYPE_CHECKING:
    from pycuda_guard.findings import Finding

A, B, C = 0xD000_0000, 0xD010_0000, 0xD020_0000  #: device allocations, 1 MiB apart
HOST, HOST_B = 0x1000_0000, 0x1010_0000
S1, S2 = 501, 502
E1, E2 = 701, 702
MOD = 901
CTX, CTX_B = 31, 32

_SIZES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int32": 4, "uint32": 4, "float32": 4}

H200 = m.DeviceLimits(
    name="made-up device",
    compute_capability=(9, 0),
    max_threads_per_block=1024,
    max_block=(1024, 1024, 64),
    max_grid=(2**31 - 1, 65535, 65535),
    max_shared_per_block=49152,
    max_shared_per_block_optin=232448,
    max_registers_per_block=65536,
    total_memory=1 << 30,
)


def at(line: int, file: str = "script.py") -> Site:
    """Return a line of a script that does not exist."""
    return Site(file, line, "main")


def _where(line: int, context: int = CTX, thread: int = 11) -> tuple[Site, int, int]:
    return at(line), thread, context


# --- operands ---------------------------------------------------------------------------------


def dev(address: int, nbytes: int | m.Extent, **fields: Any) -> m.DeviceOperand:
    """Device memory from ``address``."""
    extent = nbytes if isinstance(nbytes, m.Extent) else m.Extent(nbytes)
    return m.DeviceOperand(address, extent, **fields)


def host(
    shape: int | tuple[int, ...], dtype: str = "float32", extent: m.Extent | None = None, **fields: Any
) -> m.HostOperand:
    """A numpy array of this shape and dtype."""
    dimensions = (shape,) if isinstance(shape, int) else shape
    nbytes = _SIZES.get(dtype, 8)
    for n in dimensions:
        nbytes *= n
    fields = {"order": "CF" if len(dimensions) == 1 else "C", **fields}
    return m.HostOperand(HOST, extent or m.Extent(nbytes), nbytes, shape=dimensions, dtype=dtype, **fields)


# --- memory -----------------------------------------------------------------------------------


def alloc(
    address: int,
    nbytes: int,
    kind: m.MemoryKind = m.MemoryKind.DEVICE,
    line: int = 1,
    context: int = CTX,
    **fields: Any,
) -> m.Allocated:
    """``mem_alloc(nbytes)`` returned ``address``."""
    return m.Allocated(*_where(line, context), "mem_alloc", address, nbytes, kind, **fields)


def free(address: int, how: str = "free", kind: m.MemoryKind = m.MemoryKind.DEVICE, line: int = 2) -> m.Freed:
    """``address`` is freed."""
    return m.Freed(*_where(line), address, kind, how)


def collected(address: int, kind: m.MemoryKind = m.MemoryKind.DEVICE, line: int = 2) -> m.Freed:
    """``address`` is garbage-collected."""
    return free(address, "collected", kind, line)


def htod(address: int | m.Operand, source: m.Operand, line: int = 10, **fields: Any) -> m.Copy:
    """``memcpy_htod(address, source)``."""
    size = source.extent.width if isinstance(source, m.HostOperand) else 0
    destination = dev(address, size) if isinstance(address, int) else address
    return m.Copy(*_where(line), "memcpy_htod", m.CopyKind.HTOD, destination, source, **fields)


def dtoh(destination: m.Operand, address: int | m.Operand, line: int = 20, **fields: Any) -> m.Copy:
    """``memcpy_dtoh(destination, address)``."""
    size = destination.extent.width if isinstance(destination, m.HostOperand) else 0
    source = dev(address, size) if isinstance(address, int) else address
    return m.Copy(*_where(line), "memcpy_dtoh", m.CopyKind.DTOH, destination, source, **fields)


def dtod(destination: int | m.Operand, source: int | m.Operand, nbytes: int = 0, line: int = 25) -> m.Copy:
    """``memcpy_dtod(destination, source, nbytes)``."""
    ends = [dev(end, nbytes) if isinstance(end, int) else end for end in (destination, source)]
    return m.Copy(*_where(line), "memcpy_dtod", m.CopyKind.DTOD, *ends)


def copy2d(destination: m.Operand, source: m.Operand, line: int = 26, **fields: Any) -> m.Copy:
    """A filled ``Memcpy2D`` or ``Memcpy3D`` is called."""
    return m.Copy(*_where(line), "Memcpy2D", m.CopyKind.MIXED, destination, source, **fields)


def memset(address: int, count: int, item_size: int = 4, line: int = 28, **fields: Any) -> m.Memset:
    """``memset_d32(address, value, count)``."""
    operand = dev(address, count * item_size, **fields)
    return m.Memset(*_where(line), "memset_d32", operand, item_size, count)


# --- kernels ----------------------------------------------------------------------------------

_KINDS = {
    "int": (4, m.ParameterKind.INTEGER),
    "unsigned int": (4, m.ParameterKind.INTEGER),
    "long long": (8, m.ParameterKind.INTEGER),
    "size_t": (8, m.ParameterKind.INTEGER),
    "bool": (1, m.ParameterKind.INTEGER),
    "char": (1, m.ParameterKind.INTEGER),
    "short": (2, m.ParameterKind.INTEGER),
    "float": (4, m.ParameterKind.FLOAT),
    "double": (8, m.ParameterKind.FLOAT),
}


def module(*signatures: m.KernelSignature, line: int = 3, **fields: Any) -> m.ModuleLoaded:
    """A module of these kernels is loaded."""
    return m.ModuleLoaded(*_where(line), MOD, signatures, **fields)


def kernel(name: str, *declared: str, **fields: Any) -> m.KernelSignature:
    """``kernel("f", "float *x", "int n", "struct P p:12:4")``; structs give size and alignment."""
    parameters, offset = [], 0
    for text in declared:
        text, _, layout = text.partition(":")
        name_of = text.replace("*", " ").split()[-1]
        base = text.replace("const ", "").removesuffix(name_of).replace("*", " ").strip()
        size, kind = _KINDS.get(base, (8, m.ParameterKind.BYTES))
        align, pointee, pointee_size = size, "", 0
        if "*" in text:
            pointee, pointee_size = (base, size) if base in _KINDS else ("", 0)
            size, align, kind = 8, 8, m.ParameterKind.POINTER
        elif layout:
            size, align = (int(n) for n in layout.split(":"))
        offset = -(-offset // align) * align
        parameters.append(
            m.Parameter(
                name_of, offset, size, align, kind, text, pointee, pointee_size, depth=text.count("*")
            )
        )
        offset += size
    return m.KernelSignature(name, tuple(parameters), **fields)


_FORMATS = {
    "int8": (1, m.ArgumentKind.INTEGER),
    "bool": (1, m.ArgumentKind.INTEGER),
    "int16": (2, m.ArgumentKind.INTEGER),
    "int32": (4, m.ArgumentKind.INTEGER),
    "uint32": (4, m.ArgumentKind.INTEGER),
    "int64": (8, m.ArgumentKind.INTEGER),
    "uint64": (8, m.ArgumentKind.INTEGER),
    "float16": (2, m.ArgumentKind.FLOAT),
    "float32": (4, m.ArgumentKind.FLOAT),
    "float64": (8, m.ArgumentKind.FLOAT),
    "DeviceAllocation": (8, m.ArgumentKind.POINTER),
    "GPUArray": (8, m.ArgumentKind.POINTER),
    "int": (0, m.ArgumentKind.INVALID),
    "float": (0, m.ArgumentKind.INVALID),
}


def arg(type_name: str, value: float | None = None, size: int = 0, **fields: Any) -> m.Argument:
    """An argument of this type; ``ndarray`` and ``void`` need their size in bytes."""
    width, kind = _FORMATS.get(type_name, (size, m.ArgumentKind.BYTES))
    return m.Argument(kind, type_name, 0, width, value, **fields)


def ptr(address: int, type_name: str = "DeviceAllocation", **fields: Any) -> m.Argument:
    """A device pointer as an argument."""
    return arg(type_name, address, **fields)


def launch(
    function: str,
    *arguments: m.Argument,
    block: tuple[int, ...] = (32, 1, 1),
    grid: tuple[int, ...] = (1, 1),
    stream: int = 0,
    shared: int = 0,
    call: str = "__call__",
    line: int = 15,
    raw: int | None = None,
    **fields: Any,
) -> m.Launch:
    """``function(*arguments, block=…, grid=…)``, packed as PyCUDA packs: bytes with alignment 1."""
    offset = 0
    for argument in arguments:
        align = 1 if argument.kind is m.ArgumentKind.BYTES else max(argument.size, 1)
        offset = -(-offset // align) * align
        argument.offset = offset
        offset += argument.size
    packed = arguments if raw is None else None
    size = offset if raw is None else raw
    where = _where(line)
    return m.Launch(*where, call, MOD, function, grid, block, shared, stream, packed, size, **fields)


def reported(
    launch: int,
    reason: str,
    address: int,
    *,
    function: str,
    kind: str = "write",
    width: int = 4,
    space: str = "global",
    parameter: int = -1,
    kernel_line: int = 7,
    variable: tuple[str, int] = ("", 0),
    line: int = 15,
    **fields: Any,
) -> m.KernelReport:
    """The kernel launched by event ``launch`` did something wrong; ``fields`` are the report's others."""
    access = m.KernelAccess(function, "script.py", kernel_line, kind, width, space, parameter, *variable)
    ends = {"lowest": address, "highest": address}
    return m.KernelReport(
        *_where(line), launch, access, reason, address, (1, 0, 0), (3, 0, 0), **(ends | fields)
    )


def contents(cause: int, base: int, *runs: tuple[int, int, int], skip: int = 0) -> m.Contents:
    """Who wrote ``(start, end, writer)``, byte offsets from ``base``; asked from ``skip`` on."""
    gaps = [run for run in runs if run[2] == 0]
    size = sum(end - start for start, end, _ in gaps)
    first, last = (gaps[0][0], gaps[-1][1]) if gaps else (0, 0)
    nbytes = max(end for _, end, _ in runs) - skip
    return m.Contents(None, 11, CTX, cause, base + skip, nbytes, base, runs, size, first, last)


# --- the rest ---------------------------------------------------------------------------------


def failed(status: str = "", error: str = "LogicError", line: int = 40, call: str = "call", **fields: Any):
    """The call just announced raises. ``nth=0`` says that none was announced."""
    return _Failed(status, error, line, call, fields)


class _Failed:
    """Becomes a CallFailed of the event before it, once that has its number."""

    def __init__(self, status: str, error: str, line: int, call: str, fields: dict[str, Any]) -> None:
        self.status, self.error, self.line, self.call, self.fields = status, error, line, call, fields

    def event(self, announced: int) -> m.CallFailed:
        context = self.fields.get("context", CTX)
        thread = self.fields.get("thread", 11)
        message = self.fields.get("message", f"cuCall failed: {self.status}")
        where = _where(self.line, context, thread)
        return m.CallFailed(*where, self.call, announced, self.error, message, self.status)


def synchronize(scope: str = "context", handle: int = CTX, line: int = 30) -> m.Synchronized:
    """The host waits for the context, a stream or an event."""
    return m.Synchronized(*_where(line), scope, handle)


def stream(handle: int, flags: int = 0) -> m.StreamCreated:
    """``Stream(flags)``."""
    return m.StreamCreated(*_where(4), handle, flags)


def context(change: str = "created", line: int = 1, thread: int = 11, **fields: Any) -> m.ContextChanged:
    """A context is made, pushed or popped; by pycuda.autoinit unless ``automatic`` is False."""
    fields = {"device": H200, "automatic": True, **fields}
    return m.ContextChanged(*_where(line, CTX, thread), change, CTX, **fields)


def event(handle: int, line: int = 5, flags: int = 0) -> m.EventCreated:
    """``Event()``."""
    return m.EventCreated(*_where(line), handle, flags)


def record(handle: int, on: int = 0, line: int = 16) -> m.EventRecorded:
    """``event.record(stream)``."""
    return m.EventRecorded(*_where(line), handle, on)


def wait(on: int, handle: int, line: int = 17) -> m.StreamWaited:
    """``stream.wait_for_event(event)``."""
    return m.StreamWaited(*_where(line), on, handle)


def timed(start: int, end: int, line: int = 18) -> m.EventTimed:
    """``start.time_till(end)``."""
    return m.EventTimed(*_where(line), start, end)


def ended(escaped: tuple[int, ...] = ()) -> m.RunEnded:
    """The run is over."""
    return m.RunEnded(None, 11, 0, escaped)


def run(*events: m.Event | _Failed) -> Engine:
    """Feed the events in order, numbered from 1, to a new engine."""
    engine = Engine()
    announced = 0
    for sequence, item in enumerate(events, 1):
        event = item.event(item.fields.get("nth", announced)) if isinstance(item, _Failed) else item
        event.sequence = sequence
        announced = announced if isinstance(event, m.CallFailed | m.FunctionLimits) else sequence
        engine.feed(event)
    return engine


def findings(*events: m.Event | _Failed) -> list[Finding]:
    """Return what the engine finds in these events."""
    return run(*events).findings


def codes(*events: m.Event | _Failed) -> list[tuple[str, int]]:
    """Return codes and lines of what the engine finds, in order."""
    return [(f.code, f.location.line if f.location is not None else 0) for f in findings(*events)]
