"""Tables of instructions for tests: what to run, on which values, and what must come out.

All rows of a table become kernels of one PTX module, which is compiled once. Numbers travel as bit
patterns; an expectation gets Python integers (signed for ``s``-types) or numpy floats and returns the same.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = {"8": 1, "16": 2, "32": 4, "64": 8}
FLOATS = {"f16": np.float16, "f32": np.float32, "f64": np.float64}
NAN_BITS = {"f16": 0x7FFF, "bf16": 0x7FFF, "f32": 0x7FFFFFFF}


@dataclass
class Row:
    """An instruction in terms of ``%d`` (and ``%q``) and ``%a``, ``%b``, ``%c``, ``%e``.

    It may use 16 bytes at the shared address ``%cell`` and in the local variable ``own``, and as scratch
    ``%x``, ``%y``, ``%h`` … ``%k``, ``%wide``, ``%generic`` and ``%p``.

    ``types`` are those of the results, then of the operands; ``results`` says how many are results.
    ``values`` replaces the edge values of an operand's type.
    """

    text: str
    types: str
    expected: Callable[..., object]
    results: int = 1
    values: dict[int, Sequence[object]] | None = None
    ulps: float = 0.0

    def __str__(self) -> str:
        return self.text.replace("%", "")

    @property
    def result_types(self) -> list[str]:
        return self.types.split()[: self.results]

    @property
    def operand_types(self) -> list[str]:
        return self.types.split()[self.results :]


def size(kind: str) -> int:
    return 4 if kind in ("pred", "f16x2", "bf16x2") else SIZES[kind.lstrip("bfus")]


def _integers(bits: int) -> list[int]:
    top = 1 << (bits - 1)
    pattern = 0x5DEECE66D1234567 & (2 * top - 1)
    return [0, 1, 2, 3, 7, 100, top - 1, top, top + 1, 2 * top - 2, 2 * top - 1, pattern]


EDGES: dict[str, list[int]] = {
    "f32": [
        0, 1 << 31, 0x3F800000, 0xBF800000, 0x40490FDB, 0x3EAAAAAB, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000,
        0xFF800000, 0x7FC00000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x4B000001, 0xCF000000,
        0x33800000, 0x3F800001, 0x42F6E979, 0x7E967699, 0xFFC01234,
    ],
    "f64": [
        0, 1 << 63, 0x3FF0000000000000, 0xBFF0000000000000, 0x400921FB54442D18, 0x3FD5555555555555,
        0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 1, 0x8000000000000001,
        0x0010000000000000, 0x3FF0000000000001, 0x3CA0000000000000, 0x41EFFFFFFFE00000, 0x43E0000000000000,
        0xC3E0000000000000, 0x41DFFFFFFFC00000, 0x4059000000000001, 0x36A0000000000000, 0x3FF0000010000000,
        0xFFFA5A5A12345678,
    ],
    "f16": [
        0, 0x8000, 0x3C00, 0xBC00, 0x3555, 0x4248, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 1, 0x8001,
        0x03FF, 0x0400, 0x3C01, 0x6400, 0x1400, 0x5640, 0xFE01,
    ],
    "bf16": [
        0, 0x8000, 0x3F80, 0xBF80, 0x3EAB, 0x4049, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 1, 0x8001, 0x007F,
        0x0080, 0x3F81, 0x4B00, 0x3380, 0x42F7, 0xFFC1,
    ],
    "pred": [0, 1],
    "f16x2": [0x3C003555, 0xBC007BFF, 0x7E000001, 0x00010400, 0x42480000, 0x14003C01],
    "bf16x2": [0x3F803EAB, 0xBF807F7F, 0x7FC00001, 0x00010080, 0x40490000, 0x33803F81],
}  # fmt: skip


def patterns(kind: str, given: Sequence[object] | None) -> list[int]:
    if given is not None:
        return [encode(kind, value) for value in given]
    return EDGES.get(kind) or _integers(8 * size(kind))


def decode(kind: str, bits: int) -> object:
    if kind == "bf16":
        return decode("f32", bits << 16)
    if kind in FLOATS:
        return np.array(bits, dtype=f"u{size(kind)}").view(FLOATS[kind])[()]
    if kind.startswith("s") and bits >> (8 * size(kind) - 1):
        return bits - (1 << 8 * size(kind))
    return bool(bits) if kind == "pred" else bits


def encode(kind: str, value: object) -> int:
    """Return the bits of a number; integers that stand for floating-point numbers are bits already."""
    if kind == "bf16" and not isinstance(value, int):
        return NAN_BITS[kind] if np.isnan(value) else encode("f32", value) >> 16
    if kind in FLOATS and not isinstance(value, int):
        with np.errstate(all="ignore"):
            number = np.asarray(value).astype(FLOATS[kind])
        if np.isnan(number) and kind in NAN_BITS:
            return NAN_BITS[kind]
        return int(number.view(f"u{size(kind)}"))
    return int(value) & ((1 << 8 * size(kind)) - 1)


#: rows with the same operands share a kernel, up to this many
GROUP = 12


@dataclass
class Group:
    """Rows that one kernel computes, from the same values."""

    name: str
    rows: list[Row]

    def __post_init__(self) -> None:
        first = self.rows[0]
        self.operand_types = first.operand_types
        given = first.values or {}
        columns = [patterns(kind, given.get(number)) for number, kind in enumerate(self.operand_types)]
        self.cases = list(itertools.product(*columns))
        self.results = [
            (row, position, f"%{letter}{number}", kind)
            for number, row in enumerate(self.rows)
            for position, (letter, kind) in enumerate(zip("dq", row.result_types, strict=False))
        ]
        self._found: list[np.ndarray] | None = None

    def text(self) -> str:
        """Return the PTX of the kernel: it applies the rows to the elements of arrays."""
        operands = list(zip("abce", self.operand_types, strict=False))
        count = len(self.results) + len(operands)
        lines = [f".reg .{_register(kind)} %{letter};" for letter, kind in operands]
        lines += [f".reg .{_register(kind)} {name};" for _, _, name, kind in self.results]
        for index, (letter, kind) in enumerate(operands):
            lines += self._address(len(self.results) + index, kind)
            if kind == "pred":
                lines += ["ld.global.b32 %word, [%address];", f"setp.ne.b32 %{letter}, %word, 0;"]
            else:
                width = f"{'s' if kind[0] == 's' else 'u'}8" if size(kind) == 1 else f"b{8 * size(kind)}"
                lines.append(f"ld.global.{width} %{letter}, [%address];")
        for number, row in enumerate(self.rows):
            lines.append(row.text.replace("%d", f"%d{number}").replace("%q", f"%q{number}"))
        for index, (_, _, name, kind) in enumerate(self.results):
            lines += self._address(index, kind)
            if kind == "pred":
                lines += [f"selp.b32 %word, 1, 0, {name};", "st.global.b32 [%address], %word;"]
            else:
                lines.append(f"st.global.b{8 * size(kind)} [%address], {name};")
        parameters = ", ".join(f".param .u64 {self.name}_{index}" for index in range(count))
        body = "\n  ".join(lines)
        return f"""
.visible .entry {self.name}({parameters})
{{
  .reg .b32 %thread, %block, %threads, %word, %x, %y;
  .reg .b64 %base, %address, %wide, %generic;
  .reg .b16 %h, %i, %j, %k;
  .reg .b32 %cell;
  .reg .pred %p;
  .shared .align 16 .b8 cells[512];
  .local .align 16 .b8 own[16];
  mov.u32 %thread, %tid.x;
  mov.u32 %cell, cells;
  mad.lo.u32 %cell, %thread, 16, %cell;
  mov.u32 %block, %ctaid.x;
  mov.u32 %threads, %ntid.x;
  mad.lo.u32 %thread, %block, %threads, %thread;
  {body}
  ret;
}}"""

    def _address(self, index: int, kind: str) -> list[str]:
        return [
            f"ld.param.u64 %base, [{self.name}_{index}];",
            f"mad.wide.u32 %address, %thread, {size(kind)}, %base;",
        ]

    def found(self, device, loaded) -> list[np.ndarray]:
        """Return what the kernel stores for each result."""
        if self._found is None:
            native = loaded.kernels[self.name]
            assert not native.plan.unsupported
            self._found = self._run(device, native)
        return self._found

    def _run(self, device, native) -> list[np.ndarray]:
        count = -(-len(self.cases) // 32) * 32
        padded = self.cases + [self.cases[0]] * (count - len(self.cases))
        inputs = []
        for number, kind in enumerate(self.operand_types):
            data = np.array([case[number] for case in padded], dtype=f"u{size(kind)}")
            inputs.append(device.bytes(data.tobytes()))
        kinds = [kind for _, _, _, kind in self.results]
        outputs = [device.bytes(b"\xaa" * (count * size(kind))) for kind in kinds]
        fault = device.launch(native, *outputs, *inputs, grid=(count // 32, 1, 1), block=(32, 1, 1))
        assert fault is None
        found = [
            np.frombuffer(device.memory.read(address, count * size(kind)), dtype=f"u{size(kind)}")
            for address, kind in zip(outputs, kinds, strict=True)
        ]
        for address in (*inputs, *outputs):
            device.memory.free(address)
        return found


def _register(kind: str) -> str:
    return "pred" if kind == "pred" else f"b{max(16, 8 * size(kind))}"


class Table:
    """Rows as kernels of one module."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        gathered: dict[str, list[list[Row]]] = {}
        for row in rows:
            lists = gathered.setdefault(f"{row.operand_types} {row.values}", [[]])
            if len(lists[-1]) == GROUP:
                lists.append([])
            lists[-1].append(row)
        self._groups = [
            Group(f"k{number}", part)
            for number, part in enumerate(part for lists in gathered.values() for part in lists)
        ]
        self._group_of = {id(row): group for group in self._groups for row in group.rows}

    def ptx(self) -> bytes:
        """Return the PTX module."""
        kernels = "\n".join(group.text() for group in self._groups)
        return f".version 8.6\n.target sm_90\n.address_size 64\n{kernels}\n".encode()

    def check(self, device, loaded, index: int) -> None:
        """Compare what a row computes on all combinations of its operands' values with what it should."""
        row = self.rows[index]
        group = self._group_of[id(row)]
        found = group.found(device, loaded)
        columns = [
            (position, kind, values)
            for (owner, position, _, kind), values in zip(group.results, found, strict=True)
            if owner is row
        ]
        wrong = []
        for number, case in enumerate(group.cases):
            with np.errstate(all="ignore"):
                values = [decode(kind, bits) for kind, bits in zip(row.operand_types, case, strict=True)]
                answer = row.expected(*values)
            answers = answer if isinstance(answer, tuple) else (answer,)
            for position, kind, column in columns:
                got = int(column[number])
                if not _agree(kind, got, answers[position], row.ulps):
                    wrong.append(f"{values} -> {decode(kind, got)!r} ({got:#x}), not {answers[position]!r}")
        assert not wrong, f"{len(wrong)} of {len(group.cases)} wrong: " + "; ".join(wrong[:5])


def _agree(kind: str, got: int, expected: object, ulps: float) -> bool:
    wanted = encode(kind, expected)
    if got == wanted:
        return True
    if kind == "f64" and math.isnan(decode(kind, wanted)):
        return math.isnan(decode(kind, got))
    if not ulps:
        return False
    a, b = float(decode(kind, got)), float(decode(kind, wanted))
    if not (math.isfinite(a) and math.isfinite(b)):
        return False
    unit = float(np.spacing(np.abs(decode(kind, wanted))))
    return abs(a - b) <= ulps * unit


# --- exact rounding -----------------------------------------------------------------------------

#: precision, smallest exponent of the last place, largest exponent of the first
_FORMATS = {"f16": (11, -24, 15), "bf16": (8, -133, 127), "f32": (24, -149, 127), "f64": (53, -1074, 1023)}


def rounded(value: Fraction, kind: str, mode: str = "rn", negative_zero: bool = False) -> int:
    """Return the bits of an exact number rounded to a format, mode ``rn``, ``rz``, ``rm`` or ``rp``."""
    precision, smallest, largest = _FORMATS[kind]
    sign = value < 0 or (value == 0 and negative_zero)
    magnitude = abs(value)
    if magnitude == 0:
        exponent = smallest
    else:
        guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        if magnitude < Fraction(2) ** guess:
            guess -= 1
        exponent = max(guess - precision + 1, smallest)
    scaled = magnitude / Fraction(2) ** exponent
    units, rest = divmod(scaled.numerator, scaled.denominator)
    half = Fraction(rest, scaled.denominator)
    up = {
        "rn": half > Fraction(1, 2) or (half == Fraction(1, 2) and units & 1),
        "rz": False,
        "rm": sign and rest,
        "rp": not sign and rest,
    }[mode]
    units += bool(up)
    if units >> precision:
        units >>= 1
        exponent += 1
    fraction_bits = precision - 1
    infinity = (largest * 2 + 1) << fraction_bits
    if exponent + precision - 1 > largest:
        away = mode == "rn" or (mode == "rm" and sign) or (mode == "rp" and not sign)
        bits = infinity if away else infinity - 1
    elif units >> fraction_bits:
        bits = ((exponent - smallest + 1) << fraction_bits) + (units - (1 << fraction_bits))
    else:
        bits = units
    width = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}[kind]
    return bits | (int(sign) << (width - 1))


def exact(
    operation: Callable[..., Fraction],
    kind: str,
    mode: str = "rn",
    addends: Callable[..., Sequence[float]] | None = None,
) -> Callable[..., object]:
    """Return an expectation: the exact result of finite numbers, rounded; IEEE's for others by numpy.

    ``addends`` gives what a sum is the sum of: where they cancel, rounding down gives -0.
    """

    def expected(*values: object) -> object:
        doubles = [float(value) for value in values]
        ieee = operation(*(np.float64(value) for value in doubles))
        if not all(map(math.isfinite, doubles)):
            return ieee
        result = operation(*map(Fraction, doubles))
        negative = math.copysign(1.0, float(ieee)) < 0
        if mode == "rm" and addends is not None:
            negative = any(math.copysign(1.0, part) < 0 for part in addends(*doubles))
        return rounded(result, kind, mode, negative)

    return expected
