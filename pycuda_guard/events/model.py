"""The timeline: one small class for each kind of event.

Hooks make events, checks read them; nothing else passes between the two. An event says what
the program asked for, in plain data (ints, strings, tuples), never a PyCUDA object, so that it
can be recorded, read back on another machine, and written by hand in a test.

Calls that may raise or crash are announced *before* the driver sees them (copies, memsets,
launches, frees); if such a call raises, a :class:`CallFailed` follows that names the event. Calls
whose result matters (allocations, creations, queries, module loads) are reported after they
returned.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from pycuda_guard.callsite import Site
from pycuda_guard.events.formulas import (
    Coverage as Coverage,
    MeantStore as MeantStore,
    Polynomial as Polynomial,
    Uniform as Uniform,
)
from pycuda_guard.events.operands import (
    Address as Address,
    ArrayOperand as ArrayOperand,
    CopyKind as CopyKind,
    DeviceLimits as DeviceLimits,
    DeviceOperand as DeviceOperand,
    Extent as Extent,
    HostKind as HostKind,
    HostOperand as HostOperand,
    MemoryKind as MemoryKind,
    OddOperand as OddOperand,
    Operand as Operand,
    Plain as Plain,
    Value as Value,
    Word as Word,
)

StreamId = int  #: the CUstream handle; 0 is the legacy default stream
EventId = int  #: a number the hooks give each pycuda.driver.Event, never reused
ModuleId = int  #: a number the hooks give each loaded module, never reused
ContextId = int  #: the CUcontext handle; 0 where no context is current

DEFAULT_STREAM: StreamId = 0


# --- kernels ----------------------------------------------------------------------------------


class ParameterKind(Enum):
    """What a kernel parameter is, as far as PTX and the source tell."""

    POINTER = "pointer"
    INTEGER = "integer"
    FLOAT = "float"
    BYTES = "bytes"  # a struct or vector type by value


class Parameter(Plain):
    """One parameter of a kernel, from the PTX ``.param`` list and, where found, from its source.

    ``offset``, ``size`` and ``align`` are bytes. ``declared`` is the source's own text, such as
    ``const float *x``; empty where the source is unknown. ``pointee`` is the scalar C type that a
    pointer parameter names (``float``), or empty for ``void``, structs and unknown types;
    ``depth`` counts the stars.
    """

    name: str
    offset: int
    size: int
    align: int
    kind: ParameterKind
    declared: str = ""
    pointee: str = ""
    pointee_size: int = 0
    depth: int = 0


class LinearForm(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A constant plus multiples of symbols.

    A symbol from 0 up is the value of that parameter; -1 to -3 are ``blockDim.x`` to ``.z``, -4 to -6
    ``gridDim.x`` to ``.z``, -7 ``threadIdx.x``, -8 ``blockIdx.x`` and -9 ``blockIdx.x * blockDim.x``;
    -10 to -12 are the last three of ``y``, and :func:`product` gives those of products. From
    :data:`VARIABLES` up, it is the address of that one of :attr:`KernelSignature.variables`. A pointer, or
    such an address, plus :data:`ANYWHERE` is some address in the memory that it points into.
    """

    constant: int
    terms: tuple[tuple[int, int], ...] = ()


ANYWHERE = -13  #: the symbol of an offset that nobody knows
FIRST_PRODUCT = -16  #: the symbols from here down are products
VARIABLES = 4096  #: the symbol of the address of the first variable


def product(symbol: int, parameter: int) -> int:
    """Return the symbol of a parameter's value times that of another, or times a symbol from -12 to -7."""
    return FIRST_PRODUCT - 4096 * parameter - (symbol + 12)


def factors(symbol: int) -> tuple[int, int]:
    """Return the two symbols that :func:`product` has multiplied, the parameter last."""
    parameter, other = divmod(FIRST_PRODUCT - symbol, 4096)
    return other - 12, parameter


class CertainAccess(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes of global memory that a thread with z indices 0 touches whenever the conditions hold.

    ``kind`` is ``read``, ``write`` or ``atomic``. ``width`` bytes from ``address``. Each condition is a
    form and how it compares to 0: ``>=``, ``==`` or ``!=``.
    """

    kind: str
    width: int
    address: LinearForm
    conditions: tuple[tuple[str, LinearForm], ...] = ()


class KernelSignature(Plain):
    """The parameters of one kernel, and what bounds its launch."""

    name: str
    parameters: tuple[Parameter, ...]
    static_shared: int = 0
    max_threads: int | None = None  # .maxntid, threads a block
    source_file: str | None = None
    source_line: int | None = None
    #: positions of pointer parameters that the kernel loads a pointer from and then follows it
    follows: tuple[int, ...] = ()
    #: what its launches are certain to access; None where its body was not looked at
    accesses: tuple[CertainAccess, ...] | None = None
    #: whether it may talk to the host while it runs: by volatile or system-wide accesses, or fences
    signals: bool = False
    #: what it means to store and under which guard, as far as that is known
    coverage: Coverage | None = None
    #: whether it may access more than ``accesses`` tells
    is_vague: bool = True
    #: whether it may do so in memory that none of its pointer parameters points into
    goes_anywhere: bool = False
    #: whether loaded values decide what it accesses
    is_by_data: bool = False
    #: the variables of its module whose addresses are symbols of ``accesses``
    variables: tuple[str, ...] = ()

    @property
    def packed_size(self) -> int:
        """Bytes of the parameter buffer that the kernel reads."""
        return max((p.offset + p.size for p in self.parameters), default=0)


class ArgumentKind(Word):
    """How PyCUDA packs an argument."""

    POINTER = "pointer"  # DeviceAllocation, GPUArray, In/Out/InOut, __cuda_array_interface__
    INTEGER = "integer"  # numpy integer, bool, or an integer format character of prepare()
    FLOAT = "float"
    BYTES = "bytes"  # ndarray or numpy.void, by value
    INVALID = "invalid"  # a type that PyCUDA refuses (Python int or float in __call__)


class Argument(Value, frozen=True):
    """One argument of a launch, as it is packed: ``size`` bytes at ``offset`` of the buffer.

    ``value`` is the number or the device address where it is one. ``shape`` and ``dtype`` are
    those of the array behind a pointer or passed by value. ``handler`` is ``In``, ``Out`` or
    ``InOut``. ``table`` holds the entries of a short host array of addresses passed through
    ``In``/``InOut``, else None. ``misplaced`` is the first field of a record by value that does not lie
    where C would put a member of its type, else None.
    """

    kind: ArgumentKind
    type_name: str
    offset: int
    size: int
    value: int | float | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    nbytes: int | None = None
    handler: str | None = None
    table: tuple[int, ...] | None = None
    misplaced: str | None = None


# --- events -----------------------------------------------------------------------------------


class Numbered(Plain, kw_only=True, tag=True):
    """What is numbered when it is emitted: ``sequence`` counts from 1 up.

    ``time`` is when that was, in nanoseconds since 1970, UTC; 0 where it is not known.
    """

    sequence: int = 0
    time: int = 0


class Event(Numbered):
    """What every event carries."""

    site: Site | None
    thread: int
    context: ContextId


class Allocated(Event):
    """Memory came to life: ``call`` returned ``nbytes`` requested bytes at ``address``.

    ``pool`` is the number of the pool that a block is of, ``held`` how many blocks it holds after.
    """

    call: str
    address: Address
    nbytes: int
    kind: MemoryKind
    pitch: int = 0
    name: str = ""  # of a module global
    module: ModuleId = 0
    pool: int = 0
    held: int = 0


class Freed(Event):
    """Memory is about to be given back; ``how`` is ``free`` (explicit) or ``collected``."""

    address: Address
    kind: MemoryKind
    how: str = "free"


class PoolEmptied(Event):
    """A device memory pool gave its held blocks back; one that ``stops`` will hold none any more."""

    pool: int
    stops: bool = False


class Exported(Event):
    """``call`` handed device memory to somebody whose accesses are not seen."""

    call: str
    address: Address


class Copy(Event):
    """A copy is about to be issued. ``asynchronous`` is how it was called, not what it does."""

    call: str
    kind: CopyKind
    destination: Operand
    source: Operand
    stream: StreamId = DEFAULT_STREAM
    asynchronous: bool = False


class Memset(Event):
    """A memset is about to be issued: ``count`` elements of ``item_size`` bytes a row."""

    call: str
    destination: Operand
    item_size: int
    count: int
    stream: StreamId = DEFAULT_STREAM
    asynchronous: bool = False


class Launch(Event):
    """A kernel is about to be launched. ``arguments`` is None where only bytes are known.

    ``call`` is how: ``__call__``, ``prepared_call``, ``prepared_async_call``,
    ``prepared_timed_call`` or ``_launch_kernel``. ``library`` is true for kernels that PyCUDA
    wrote (elementwise, reduction, scan, curandom). ``packed`` is the buffer size in bytes.
    """

    call: str
    module: ModuleId
    function: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    stream: StreamId
    arguments: tuple[Argument, ...] | None
    packed: int
    library: bool = False


class LaunchFinished(Event):
    """The host waited for the last launch of this thread (``--blocking``).

    ``status`` is the driver's words if it failed, ``message`` all that the driver said.
    """

    status: str = ""
    message: str = ""


class CallFailed(Event):
    """A call raised. ``announced`` is the sequence number of the event that announced it, or 0.

    ``error`` is the exception's type name, ``status`` the driver's words for its error code
    (``invalid argument``), or empty where the exception is not the driver's.
    """

    call: str
    announced: int
    error: str
    message: str
    status: str = ""


class Synchronized(Event):
    """The host waited: ``scope`` is ``context``, ``stream`` or ``event``, ``handle`` which.

    Also emitted when ``Stream.is_done()`` or ``Event.query()`` returned True (``polled``).
    """

    scope: str
    handle: int
    polled: bool = False


class StreamCreated(Event):
    """``flags`` 0 is a blocking stream, 1 a NON_BLOCKING one."""

    stream: StreamId
    flags: int = 0


class StreamDestroyed(Event):
    """The last reference to a stream went."""

    stream: StreamId


class EventCreated(Event):
    """A pycuda.driver.Event was made."""

    event: EventId
    flags: int = 0


class EventDestroyed(Event):
    """The last reference to an event went."""

    event: EventId


class EventRecorded(Event):
    """``event.record(stream)``."""

    event: EventId
    stream: StreamId


class StreamWaited(Event):
    """``stream.wait_for_event(event)``."""

    stream: StreamId
    event: EventId


class EventTimed(Event):
    """``end.time_since(start)`` or ``start.time_till(end)``, announced: it fails without a record."""

    start: EventId
    end: EventId


class ContextChanged(Event):
    """The context stack of a thread changed: ``created``, ``pushed``, ``popped``, ``detached``.

    A context that is ``created`` or ``attached`` is pushed, too; a primary one that is ``retained`` is not.
    ``peer enabled`` and ``peer disabled`` let the current one use memory of ``subject``, or no longer.
    ``subject`` is the context that it happened to; ``Event.context`` is the current one after.
    ``device`` is the limits of its device, for ``created``, ``pushed`` and ``retained``. ``automatic`` is
    true for the context of pycuda.autoinit and pycuda.autoprimaryctx, which pop it themselves at exit.
    """

    change: str
    subject: ContextId
    device: DeviceLimits | None = None
    automatic: bool = False


class ContextReplaced(Event):
    """Somebody else changed the thread's current context to ``actual``; PyCUDA takes it for ``context``.

    With ``actual`` equal to ``context``, it is right again. ``library`` is who may have done it, if known.
    """

    actual: ContextId
    library: str = ""


class ModuleVariable(Plain):
    """A ``__device__`` or ``__constant__`` variable of a module: ``nbytes`` at ``address``."""

    name: str
    address: Address
    nbytes: int


class ModuleLoaded(Event):
    """A module is loaded. ``kernels`` is None where its signatures are not known; why: ``unknown``.

    ``library`` is true for source that PyCUDA wrote. ``left_out`` are the kernels that are not instrumented
    although that was wanted, each with the reason; an empty name stands for all of them. ``variables`` are
    those of an instrumented module of the program.
    """

    module: ModuleId
    kernels: tuple[KernelSignature, ...] | None
    unknown: str = ""
    library: bool = False
    left_out: tuple[tuple[str, str], ...] = ()
    variables: tuple[ModuleVariable, ...] = ()


class FunctionLimits(Event):
    """Attributes of a function (bytes, threads, registers), read when a launch of it failed.

    Emitted before that launch's :class:`CallFailed`.
    """

    module: ModuleId
    function: str
    max_threads_per_block: int
    static_shared: int
    max_dynamic_shared: int
    registers: int


class KernelAccess(Plain):
    """A place in a kernel, as a finding shows it.

    ``file`` and ``line`` are those of the user's file where the kernel's source was found in one, else
    those of the text that the program gave to the compiler. ``kind`` is ``read``, ``write``,
    ``atomic``, ``use``, ``assert`` or ``trap``; ``width`` the bytes accessed; ``space`` is ``global``,
    ``shared``, ``const``, ``local`` or ``generic``. ``parameter`` is the position of the parameter that
    the address comes from, or -1; ``variable`` names the shared or global variable likewise, of
    ``variable_size`` bytes. ``caller`` is the kernel's own line that calls the function in which ``line``
    is, or 0.
    """

    function: str
    file: str
    line: int
    kind: str
    width: int
    space: str
    parameter: int = -1
    variable: str = ""
    variable_size: int = 0
    caller: int = 0


class KernelReport(Event):
    """An instrumented kernel did something wrong; ``site`` is the launch's.

    ``launch`` is the sequence number of the launch that did it first. ``reason`` is ``outside``, ``host`` (an
    address that was loaded or made, in memory that the host has for itself), ``misaligned``,
    ``uninitialized``, ``shared-outside``, ``shared-uninitialized``, ``assert`` or ``trap``.
    ``block_index`` and ``thread_index`` did it first; ``count`` accesses did it in all, at addresses from
    ``lowest`` to ``highest`` (of their first byte; offsets into the variable for shared memory).
    The reasons ``race``, ``shared-race`` and ``divergence`` come with ``other``: the access that it races
    with, or the other barrier, and ``other_block`` and ``other_thread``, which did that;
    ``round``: ``one`` if no barrier is between the two in one round of a loop, or there is no loop,
    ``next`` if none is where the next round begins, ``any`` if both is so. The reason ``stall``, of a block
    whose threads waited for ever, comes with ``waiting``, how many waited at this place, had left and waited
    elsewhere, and with the first of those as ``other``, if any. ``base`` and
    ``size`` are the allocation that the parameter pointed into, size 0 for none. ``library``: PyCUDA wrote
    the kernel.
    """

    launch: int
    access: KernelAccess
    reason: str
    address: Address
    block_index: tuple[int, int, int]
    thread_index: tuple[int, int, int]
    count: int = 1
    lowest: Address = 0
    highest: Address = 0
    base: Address = 0
    size: int = 0
    library: bool = False
    other: KernelAccess | None = None
    other_block: tuple[int, int, int] = (0, 0, 0)
    other_thread: tuple[int, int, int] = (0, 0, 0)
    round: str = "one"
    waiting: tuple[int, ...] = ()


class Contents(Event):
    """Who wrote the bytes that are about to be read or lost: the answer of the device's shadow memory.

    ``cause`` is the sequence number of the Copy to the host or the Freed that asked, or 0 at the end of
    the run. The answer is for ``nbytes`` bytes at ``address``, in the allocation at ``base``. ``runs``
    are its ranges in order, ``(start, end, writer)`` relative to ``base``: the writer is the sequence
    number of a Launch, 0 for nobody, -1 for the host, a copy or a memset, -2 for a launch that is not
    known. Where there are too many runs to tell, ``runs`` is empty; ``unwritten`` is the number of
    bytes that nobody wrote in any case, which lie between ``first`` and ``last`` (relative to ``base``).
    """

    cause: int
    address: Address
    nbytes: int
    base: Address
    runs: tuple[tuple[int, int, int], ...]
    unwritten: int = 0
    first: int = 0
    last: int = 0


class TouchedBytes(Plain):
    """Bytes that a launch touched in one way: ``kind`` is ``read``, ``write`` or ``atomic``.

    ``runs`` are ranges, in order and apart, relative to the allocation at ``base``. Each byte in them was
    touched. Where ``exact``, no others were; else there may have been others between the first and the last.
    """

    kind: str
    base: Address
    runs: tuple[tuple[int, int], ...]
    exact: bool = True


class Footprint(Event):
    """What an instrumented launch has touched; the rest of the fields are the launch's.

    ``launch`` is its sequence number. ``touched`` is about accesses that were not known before the launch
    (:attr:`KernelSignature.is_vague`), ``lost`` tells that there may be more of those.
    """

    launch: int
    touched: tuple[TouchedBytes, ...]
    lost: bool = False


class Forked(Event):
    """The first event of a child process, which ``parent`` made by fork at ``site``.

    ``initialized`` is true where the parent had called ``cuInit``: then CUDA does not work here.
    """

    parent: int
    initialized: bool


class HostFault(Event):
    """The host touched an address that is no host memory; the process is about to die of it."""

    address: Address
    write: bool = False


class HostTouched(Event):
    """The host touched memory that an unfinished operation of the device uses, and went on."""

    address: Address
    write: bool = False


class LateStart(Event):
    """CUDA work was done before the guard was enabled; ``what`` says what is therefore unknown."""

    what: str


class EventsLost(Event):
    """The events before number ``first`` are not in the recording that is being read."""

    first: int


class GuardFailed(Event):
    """The guard itself failed in ``where``; the user's call went on unguarded."""

    where: str
    error: str


class RunEnded(Event):
    """The run is over. ``escaped``: sequence numbers of the failures that nobody caught.

    ``process`` is ``exits`` where the interpreter now cleans up, ``dies`` where the process ends without
    that (``os._exit``), and empty where it goes on.
    """

    escaped: tuple[int, ...] = ()
    process: str = ""
