"""What instrumented kernels and the host agree on: hidden parameter, shadow codes, reports.

Everything is little-endian and made of the structures below; offsets in PTX text come from here.

An instrumented kernel has one parameter more than the user's, the last: ``.param .align 16 .b8
pg_launch[n]``, a :data:`HEADER` followed by one :data:`RANGE` for each root. A *root* is a 64-bit
value in the user's parameters that the kernel derives addresses from; the host tells, for each
launch, the allocation that it points into.
"""

from __future__ import annotations

import struct
from enum import IntEnum

#: name of the hidden parameter
LAUNCH_PARAMETER = "pg_launch"
#: what the name of a kernel's second variant ends in, which checks that what it reads was written
CHECKED_SUFFIX = "$checked"
#: the module's global array with one SITE_COUNTER for each site; counts since it was last cleared
SITE_COUNTERS = "pg_sites"

#: ``reports``: device address of the ring of reports. ``table``, ``entries``: a sorted array of
#: RANGEs, all live allocations, for addresses whose origin is not known. ``launch``: a number that
#: comes back in reports. ``flags``: Flag. ``dynamic``: bytes of dynamic shared memory that the
#: program asked for (the launch may ask for more).
HEADER = struct.Struct("<QQIIII")
HEADER_FIELDS = {"reports": 0, "table": 8, "entries": 16, "launch": 20, "flags": 24, "dynamic": 28}

#: ``base``, ``size``: first address and requested bytes of an allocation, size 0 where the root points
#: into none. ``shadow``: address of the code of the byte at base. ``code``: this launch's epoch in each
#: of 4 bytes. ``shift``: one code stands for ``1 << shift`` bytes of data (0, 1 or 2), or UNTRACKED.
#: In the table, ``code`` is how many units of TABLE_UNIT bytes stand before the allocation where all stand
#: one behind the other; NOWHERE for one that does not.
RANGE = struct.Struct("<QQQII")
RANGE_FIELDS = {"base": 0, "size": 8, "shadow": 16, "code": 24, "shift": 28}

TABLE_UNIT = 256
NOWHERE = (1 << 32) - 1

#: ``low``, ``extent``: for each Bound of a kernel, behind the ranges in the hidden parameter of its fast
#: variant; see bounds.py
BOUND = struct.Struct("<QQ")

#: no shadow is kept: loads count as initialized, stores are not noted
UNTRACKED = 3

# Codes of the shadow.
NEVER = 0  # nobody wrote these bytes since the allocation
HOST = 1  # the host, a copy or a memset wrote them
FIRST_EPOCH, LAST_EPOCH = 2, 253  # a launch wrote them through a root; epochs count per allocation
STRAY = 254  # a launch wrote them by an address of unknown origin, or a part of what a code stands for

# The ring of reports, in host memory that the device maps: RING_HEADER bytes (the first four are the
# number of reports so far, counted atomically), then RING_CAPACITY RECORDs; report n is in slot
# n % RING_CAPACITY, and is complete when its ``number`` is n + 1.
RING_HEADER = 64
RING_CAPACITY = 4096

#: ``number``, ``launch``, ``site``, ``reason``, ``address``, ``detail``, block x y z, thread x y z, unused
RECORD = struct.Struct("<IIIIQQ3I3IQ")
RECORD_FIELDS = {
    "number": 0, "launch": 4, "site": 8, "reason": 12, "address": 16, "detail": 24, "block": 32, "thread": 44,
}  # fmt: skip
#: reports that one site makes between two clearings of its counter; it goes on counting
REPORTS_PER_SITE = 4

#: ``count``, unused, complement of the lowest address, highest address: all may only grow on the device
SITE_COUNTER = struct.Struct("<IIQQ8x")
SITE_COUNTER_FIELDS = {"count": 0, "lowest": 8, "highest": 16}


class Flag(IntEnum):
    """Bits of a launch's flags."""

    #: addresses in no known allocation may be right (other libraries, the in-kernel heap)
    PERMISSIVE = 1


class Reason(IntEnum):
    """What a kernel reports."""

    OUTSIDE = 1  # outside the root's allocation, or in none; the access was skipped, a load gave 0
    MISALIGNED = 2  # likewise skipped
    UNINITIALIZED = 3  # a value that was never written is used; address: where it was loaded, if known
    SHARED_OUTSIDE = 4  # skipped; address: offset in bytes from the variable's start
    SHARED_UNINITIALIZED = 5
    ASSERT = 6
    TRAP = 7
    # with what the access races with, or the other barrier's site, as ``detail``; see races/identity.py
    RACE = 8
    SHARED_RACE = 9  # address: offset in bytes from the variable's start
    DIVERGENCE = 10
    #: threads of a block wait for ever, and have left; address and detail: see races/stalls.py
    STALL = 11
