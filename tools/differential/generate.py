"""Kernels put together at random from forms, and what they must answer.

A kernel loads values of all kinds, does some twenty steps, each on values that are there by then, and stores
the result of every step. So the first wrong column names the step that is wrong.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tools.differential import combine
from tools.differential.catalogue import alike, catalogue
from tools.differential.forms import BITS, INTEGERS, OPERAND_NAMES, RESULT_NAMES, Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.differential.forms import Form

HEADER = ".version 8.6\n.target sm_90\n.address_size 64\n"
STEPS = 20

#: values that a kernel loads before it begins: enough for every kind of operand
_LOADED = ("i16", "i16", "i32", "i32", "i32", "i64", "i64", "f32", "f32", "f64", "f64", "f16", "bf16",
           "f16x2", "bf16x2")  # fmt: skip

_SPECIAL = {
    "f16": (0, 0x8000, 0x3C00, 0xBC00, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 1, 0x83FF, 0x0400, 0x3555),
    "bf16": (0, 0x8000, 0x3F80, 0xBF80, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0, 1, 0x807F, 0x0080, 0x3EAB),
    "f32": (0, 1 << 31, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 1, 0x807FFFFF,
            0x00800000, 0x3EAAAAAB, 0x4F000000, 0x5F000000, 0xCF000000, 0x3F000000, 0x40200000),
    "f64": (0, 1 << 63, 0x3FF << 52, 0xBFF << 52, 0x7FEFFFFFFFFFFFFF, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48,
            1, 0x800FFFFFFFFFFFFF, 1 << 52, 0x3FD5555555555555, 0x41E0 << 48, 0x43E0 << 48, 0x3FE0 << 48,
            0x4004 << 48, 0x36A0 << 48, 0x3810 << 48),
}  # fmt: skip


#: shifts of which a constant count has 16 bits for ptxas
_SHORT_SHIFT = re.compile(r"\bsh[lr]\.[bsu]16 ")


def random_value(random: Random, kind: str) -> int:
    """Return the bits of a number of a kind: edges often, ordinary magnitudes mostly."""
    if kind in ("f16x2", "bf16x2"):
        return random_value(random, kind[:-2]) | random_value(random, kind[:-2]) << 16
    bits = BITS[kind]
    chance = random.random()
    if kind in _SPECIAL:
        return _random_float(random, kind, chance)
    top = 1 << (bits - 1)
    if chance < 0.25:
        return random.choice((0, 1, 2, 3, 31, 32, top - 1, top, top + 1, 2 * top - 1, 2 * top - 2))
    if chance < 0.5:
        return random.getrandbits(random.randrange(1, bits + 1))
    if chance < 0.6:
        return 2 * top - 1 - random.getrandbits(8)
    return random.getrandbits(bits)


def _random_float(random: Random, kind: str, chance: float) -> int:
    if chance < 0.3:
        return random.choice(_SPECIAL[kind])
    if chance < 0.45:
        return random.getrandbits(BITS[kind])
    number = (random.random() - 0.5) * 2.0 ** random.randrange(-6, 12)
    if chance < 0.7:
        number = float(round(number * 4)) / 4  # ties, and sums that cancel
    if kind == "f64":
        return int.from_bytes(struct.pack("<d", number), "little")
    word = int.from_bytes(struct.pack("<f", number), "little")
    if kind == "f32":
        return word
    return word >> 16 if kind == "bf16" else int.from_bytes(struct.pack("<e", number), "little")


@dataclass(frozen=True)
class Result:
    """One stored column: where it lies in the answer, its kind, and the step that it comes from."""

    kind: str
    offset: int
    step: str
    columns: tuple[tuple[int, ...], ...]  # any of these is right


@dataclass
class Kernel:
    """A kernel as PTX text, its input and what it must answer. Sizes are in bytes."""

    name: str
    text: str
    threads: int
    data: bytes
    results: list[Result]
    opcodes: frozenset[str]
    answer_size: int


@dataclass
class _Value:
    name: str
    kind: str
    exact: bool
    column: Column


@dataclass
class _Writer:
    name: str
    random: Random
    threads: int
    values: list[_Value] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    registers: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    opcodes: set[str] = field(default_factory=set)
    data: bytearray = field(default_factory=bytearray)
    end: int = 0

    def load(self, kind: str) -> None:
        size = BITS[kind] // 8
        column = [random_value(self.random, kind) for _ in range(self.threads)]
        offset = len(self.data)
        self.data += b"".join(value.to_bytes(size, "little") for value in column)
        self.data += bytes(-len(self.data) % 8)
        name = self.register(kind)
        self.lines.append(f"mad.lo.u64 %at, %index, {size}, %given;")
        self.lines.append(f"ld.global.b{8 * size} {name}, [%at+{offset}];")
        self.values.append(_Value(name, kind, True, column))

    def register(self, kind: str) -> str:
        name = f"%v{len(self.registers)}"
        self.registers.append(f".reg .{'pred' if kind == 'pred' else f'b{BITS[kind]}'} {name};")
        return name

    def step(self, number: int, form: Form | None = None) -> None:
        form = form or self._form(number)
        sources = [self._operand(kind) for kind in form.operands]
        names = {letter: source.name for letter, source in zip(OPERAND_NAMES, sources, strict=False)}
        columns = [source.column for source in sources]
        if form.immediates and sources and self.random.random() < 0.15:
            self._constant(form, names, columns)
        targets = [self.register(kind) for kind in form.results]
        names.update(zip(RESULT_NAMES, targets, strict=False))
        text = combine.substituted(form.text, names)
        self.lines.append(text)
        self.opcodes |= form.opcodes
        answers = form.evaluate(columns)
        for place, (target, kind) in enumerate(zip(targets, form.results, strict=True)):
            self._store(target, kind, text, [answer[place] for answer in answers])
            if not form.last:
                self.values.append(_Value(target, kind, kind in INTEGERS, answers[0][place]))

    def _form(self, number: int) -> Form:
        random = self.random
        chance = random.random()
        form = random.choice(catalogue())
        made: Form | None = None
        name = f"L{number}"
        if form.alone or form.last:
            return form
        if chance < 0.08:
            made = combine.guarded(form, random.random() < 0.5)
        elif chance < 0.16:
            made = combine.looped(form, name)
        elif chance < 0.28:
            others = alike().get((form.results, form.operands), [])
            if len(others) >= 4 and chance > 0.24:
                made = combine.switched([random.choice(others) for _ in range(4)], name)
            elif others:
                made = combine.branched(form, random.choice(others), name)
        elif chance < 0.33:
            call = combine.called(form, f"{self.name}_f{number}")
            if call is not None:
                self.functions.append(call.function)
                made = call.form
        return made or form

    def _operand(self, kind: str) -> _Value:
        exact = kind.endswith("=")
        kind = kind.rstrip("=")
        needs_exact = exact or kind in INTEGERS
        fitting = [
            value
            for value in self.values
            if BITS[value.kind] == BITS[kind]
            and (value.kind == kind or value.exact)
            and (value.exact or not needs_exact)
        ]
        same = [value for value in fitting if value.kind == kind]
        if not fitting:
            self.predicate()
            return self.values[-1]
        # floating-point instructions mostly on numbers of their own kind
        return self.random.choice(same if same and self.random.random() < 0.8 else fitting)

    def predicate(self) -> None:
        """Make a predicate from a number."""
        source = self.random.choice([value for value in self.values if value.kind == "i32"])
        name = self.register("pred")
        self.lines.append(f"setp.gt.s32 {name}, {source.name}, 3;")
        column = [int(3 < value < 1 << 31) for value in source.column]
        self.values.append(_Value(name, "pred", True, column))

    def _constant(self, form: Form, names: dict[str, str], columns: list[Column]) -> None:
        """Replace one operand by a constant."""
        place = self.random.randrange(len(form.operands))
        kind = form.operands[place].rstrip("=")
        if kind not in ("i16", "i32", "i64", "f32", "f64") or "16x2" in form.text:
            return  # of packed numbers there are no constants
        value = random_value(self.random, kind)
        letter = OPERAND_NAMES[place]
        prefix = {"f32": "0f", "f64": "0d"}.get(kind)
        digits = BITS[kind] // 4
        names[letter] = f"{prefix}{value:0{digits}X}" if prefix else f"{value:#x}"
        if kind == "i32" and _SHORT_SHIFT.search(form.text):
            value &= 0xFFFF
        columns[place] = [value] * self.threads

    def _store(self, target: str, kind: str, text: str, columns: list[Column]) -> None:
        size = max(BITS[kind] // 8, 2)
        if kind == "pred":
            self.lines.append(f"selp.u16 %flag, 1, 0, {target};")
            target = "%flag"
        self.lines.append(f"mad.lo.u64 %at, %index, {size}, %answer;")
        self.lines.append(f"st.global.b{8 * size} [%at+{self.end}], {target};")
        self.results.append(Result(kind, self.end, text, tuple(map(tuple, columns))))
        self.end += -(-size * self.threads // 8) * 8

    def finish(self) -> Kernel:
        registers = "\n  ".join(self.registers)
        body = "\n  ".join(self.lines)
        text = f"""{"".join(self.functions)}
.visible .entry {self.name}(
  .param .u64 {self.name}_given, .param .u64 {self.name}_answer, .param .u64 {self.name}_own)
{{
  .reg .b64 %index, %at, %given, %answer, %own;
  .reg .b32 %thread, %cell, %cells, %common, %offset, %count, %twice;
  .reg .b16 %flag;
  .shared .align 16 .b8 cells[{64 * self.threads}];
  .shared .align 16 .b8 common[64];
  .local .align 16 .b8 box[64];
  {registers}
  ld.param.u64 %given, [{self.name}_given];
  ld.param.u64 %answer, [{self.name}_answer];
  ld.param.u64 %own, [{self.name}_own];
  mov.u32 %thread, %tid.x;
  cvt.u64.u32 %index, %thread;
  mad.wide.u32 %own, %thread, 64, %own;
  mul.lo.u32 %offset, %thread, 64;
  mov.u32 %cells, cells;
  add.u32 %cell, %cells, %offset;
  mov.u32 %common, common;
  mov.u32 %count, %ntid.x;
  add.u32 %twice, %count, %count;
  {body}
  ret;
}}
"""
        return Kernel(
            self.name,
            text,
            self.threads,
            bytes(self.data),
            self.results,
            frozenset(self.opcodes),
            self.end,
        )


def _written(name: str, random: Random, threads: int, forms: Sequence[Form | None]) -> Kernel:
    writer = _Writer(name, random, threads)
    for kind in _LOADED:
        writer.load(kind)
    writer.predicate()
    writer.predicate()
    for step, form in enumerate(forms):
        writer.step(step, form)
    return writer.finish()


def kernel(seed: int, number: int) -> Kernel:
    """Return one kernel of a seed; it does not depend on the others."""
    random = Random(seed * 1_000_003 + number)
    return _written(f"k{number}", random, random.choice((32, 32, 64)), [None] * STEPS)


#: how many kernels the survey has
SURVEYED = -(-len(catalogue()) // STEPS)


def survey(number: int) -> Kernel:
    """Return a kernel of the survey, whose kernels have every form once."""
    return _written(f"s{number}", Random(number), 64, catalogue()[number::SURVEYED])


def module(kernels: list[Kernel]) -> str:
    """Return the PTX module of some kernels."""
    return HEADER + "".join(each.text for each in kernels)
