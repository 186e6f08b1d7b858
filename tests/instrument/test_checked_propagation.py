"""Masks of uninitialized bits against brute force: flip those bits, and see what else changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pycuda_guard.kernels.instrument.builder import Builder
from pycuda_guard.kernels.instrument.masks import Masks
from pycuda_guard.kernels.instrument.propagation import RULES, destinations
from pycuda_guard.kernels.ptx import flatten, parse, print_module
from pycuda_guard.kernels.ptx.ir import Function, Instruction, Register

#: instructions of ``%d`` (and ``%e``) on ``%a``, ``%b`` and ``%c``, and the types of those: all masks exact
EXACT = [
    ("and.b32 %d, %a, %b", "b32 b32 b32"),
    ("and.b64 %d, %a, 0xF0F0", "b64 b64"),
    ("or.b16 %d, %a, %b", "b16 b16 b16"),
    ("or.b32 %d, %a, 0xFF00", "b32 b32"),
    ("xor.b32 %d, %a, %b", "b32 b32 b32"),
    ("not.b64 %d, %a", "b64 b64"),
    ("cnot.b32 %d, %a", "b32 b32"),
    ("and.pred %d, %a, %b", "pred pred pred"),
    ("or.pred %d, %a, %b", "pred pred pred"),
    ("xor.pred %d, %a, %b", "pred pred pred"),
    ("lop3.b32 %d, %a, %b, %c, 0xE8", "b32 b32 b32 b32"),
    ("lop3.b32 %d, %a, %b, %c, 0xCA", "b32 b32 b32 b32"),
    ("lop3.b32 %d, %a, %b, 0x0FF00FF0, 0x96", "b32 b32 b32"),
    ("shl.b32 %d, %a, 5", "b32 b32"),
    ("shl.b64 %d, %a, 33", "b64 b64"),
    ("shr.u32 %d, %a, 9", "b32 b32"),
    ("shr.s16 %d, %a, 3", "b16 b16"),
    ("shr.s64 %d, %a, 70", "b64 b64"),
    ("shf.l.wrap.b32 %d, %a, %b, 11", "b32 b32 b32"),
    ("shf.r.clamp.b32 %d, %a, %b, 8", "b32 b32 b32"),
    ("bfe.u32 %d, %a, 4, 9", "b32 b32"),
    ("bfe.s32 %d, %a, 4, 9", "b32 b32"),
    ("bfe.s64 %d, %a, 50, 40", "b64 b64"),
    ("bfi.b32 %d, %a, %b, 7, 6", "b32 b32 b32"),
    ("prmt.b32 %d, %a, %b, 0x7250", "b32 b32 b32"),
    ("prmt.b32 %d, %a, %b, 0xB9E0", "b32 b32 b32"),
    ("brev.b32 %d, %a", "b32 b32"),
    ("mov.b64 %d, {%a, %b}", "b64 b32 b32"),
    ("mov.b32 %d, {%a, %b}", "b32 b16 b16"),
    ("mov.b64 {%d, %e}, %a", "b32 b32 b64"),
    ("mov.b32 {_, %d}, %a", "b16 b32"),
    ("cvt.u64.u32 %d, %a", "b64 b32"),
    ("cvt.s64.s32 %d, %a", "b64 b32"),
    ("cvt.u16.u8 %d, %a", "b16 b16"),
    ("cvt.s32.s8 %d, %a", "b32 b32"),
    ("cvt.u16.u32 %d, %a", "b16 b32"),
    ("cvt.u32.u64 %d, %a", "b32 b64"),
    ("selp.b32 %d, %a, %b, %c", "b32 b32 b32 pred"),
    ("selp.b16 %d, %a, 7, %c", "b16 b16 . pred"),
    ("setp.eq.s32 %d, %a, %b", "pred b32 b32"),
    ("setp.ne.b64 %d, %a, 0", "pred b64"),
    ("setp.lt.s32 %d, %a, %b", "pred b32 b32"),
    ("setp.ge.u32 %d, %a, 100", "pred b32"),
    ("setp.gt.s16 %d, %a, -5", "pred b16"),
    ("setp.le.u64 %d, %a, %b", "pred b64 b64"),
    ("setp.lt.s32 %d, %a, 0", "pred b32"),
]
#: no bit may change that the mask does not have
SOUND = [
    ("setp.lt.and.s32 %d|%e, %a, %b, %c", "pred pred b32 b32 pred"),
    ("setp.eq.or.b32 %d, %a, %b, !%c", "pred b32 b32 pred"),
    ("setp.gt.xor.u32 %d|%e, %a, 7, %c", "pred pred b32 . pred"),
    ("set.lt.u32.s32 %d, %a, %b", "b32 b32 b32"),
    ("add.s32 %d, %a, %b", "b32 b32 b32"),
    ("add.u64 %d, %a, 0x1000", "b64 b64"),
    ("sub.s16 %d, %a, %b", "b16 b16 b16"),
    ("neg.s32 %d, %a", "b32 b32"),
    ("abs.s32 %d, %a", "b32 b32"),
    ("mul.lo.s32 %d, %a, %b", "b32 b32 b32"),
    ("mul.hi.u32 %d, %a, %b", "b32 b32 b32"),
    ("mul.wide.s32 %d, %a, %b", "b64 b32 b32"),
    ("mul.wide.u16 %d, %a, %b", "b32 b16 b16"),
    ("mad.lo.s32 %d, %a, %b, %c", "b32 b32 b32 b32"),
    ("mad.wide.u32 %d, %a, %b, %c", "b64 b32 b32 b64"),
    ("mad.hi.s32 %d, %a, %b, %c", "b32 b32 b32 b32"),
    ("min.s32 %d, %a, %b", "b32 b32 b32"),
    ("div.u32 %d, %a, 7", "b32 b32"),
    ("rem.s32 %d, %a, 10", "b32 b32"),
    ("popc.b32 %d, %a", "b32 b32"),
    ("clz.b32 %d, %a", "b32 b32"),
    ("clz.b64 %d, %a", "b32 b64"),
    ("bfind.u32 %d, %a", "b32 b32"),
    ("shl.b32 %d, %a, %b", "b32 b32 b32"),
    ("prmt.b32 %d, %a, %b, %c", "b32 b32 b32 b32"),
    ("slct.b32.s32 %d, %a, %b, %c", "b32 b32 b32 b32"),
    ("add.f16x2 %d, %a, %b", "b32 b32 b32"),
    ("fma.rn.f16x2 %d, %a, %b, %c", "b32 b32 b32 b32"),
    ("add.f32 %d, %a, %b", "f32 f32 f32"),
    ("setp.lt.f32 %d, %a, 0f3F800000", "pred f32"),
    ("cvt.rn.f16x2.f32 %d, %a, %b", "b32 f32 f32"),
    ("cvt.rzi.s32.f32 %d, %a", "b32 f32"),
    ("cvt.rn.f32.s32 %d, %a", "f32 b32"),
    ("cvt.sat.u8.s32 %d, %a", "b32 b32"),
    ("fma.rn.f64 %d, %a, %b, %c", "f64 f64 f64 f64"),
    ("selp.f32 %d, %a, 0f00000000, %c", "f32 f32 . pred"),
]  # fmt: skip
NAMES = ("%d", "%e", "%a", "%b", "%c")
SAMPLES = 256
BITS = 2  #: uninitialized bits of an operand where all choices are tried
SPECIAL = np.array([0, 2**64 - 1, 1, 2, 100, 2**15, 2**31, 2**63, 0x3F800000], np.uint64)


@dataclass
class Case:
    """A kernel that runs one instruction, and computes the masks of what it gives."""

    text: str
    inputs: dict[str, str]
    outputs: dict[str, str]


def case_of(text: str, types: str) -> Case:
    used = [name for name in NAMES if name in text]
    kinds = [kind for kind in types.split() if kind != "."]
    named = dict(zip(used, kinds, strict=True))
    outputs = {name: kind for name, kind in named.items() if name in ("%d", "%e")}
    return Case(text, {n: k for n, k in named.items() if n not in outputs}, outputs)


def width(kind: str) -> int:
    return 1 if kind == "pred" else int(kind.lstrip("bfus"))


def plain(kind: str) -> str:
    return "pred" if kind == "pred" else f"b{width(kind)}"


def kernel(number: int, case: Case) -> str:
    """Return a kernel with the instruction, each thread of which has 10 words of 64 bits."""
    lines = [
        f".visible .entry k{number}(.param .u64 words) {{",
        ".reg .b64 %at, %word; .reg .b32 %thread, %flag;",
    ]
    lines += [
        "ld.param.u64 %at, [words]; mov.u32 %thread, %tid.x; mad.wide.u32 %at, %thread, 80, %at;",
        *(
            f".reg .{kind} {name}; .reg .{plain(kind)} {name}m;"
            for name, kind in (case.inputs | case.outputs).items()
        ),
    ]
    for name, kind in case.inputs.items():
        for suffix, at in (("", 0), ("m", 40)):
            place = f"[%at+{at + 8 * NAMES.index(name)}]"
            if kind == "pred":
                lines.append(f"ld.global.u32 %flag, {place}; setp.ne.u32 {name}{suffix}, %flag, 0;")
            else:
                lines.append(f"ld.global.b{width(kind)} {name}{suffix}, {place};")
    lines.append(f"{case.text};")
    for name, kind in case.outputs.items():
        for suffix, at in (("", 0), ("m", 40)):
            place = f"[%at+{at + 8 * NAMES.index(name)}]"
            if kind == "pred":
                lines.append(f"selp.u32 %flag, 1, 0, {name}{suffix}; st.global.u32 {place}, %flag;")
            else:
                lines.append(f"st.global.b{width(kind)} {place}, {name}{suffix};")
    return "\n".join([*lines, "ret; }"])


def with_masks(text: str, cases: list[Case]) -> str:
    """Put the formulas before the instructions under test."""
    module = parse(text)
    for at, item in enumerate(module.items):
        if not isinstance(item, Function):
            continue
        case = cases[int(item.name[1:])]
        flat = flatten(item, module)
        builder = Builder(flat)
        masks = Masks(builder, flat.registers, ())
        masks.registers = {name: Register(f"{name}m") for name in case.inputs}
        wanted = parse(text).functions[item.name]
        for entry in flat.body:
            if isinstance(entry, Instruction) and entry.operands and is_tested(entry, case):
                found = RULES[entry.opcode].formula(entry, masks)
                for register, mask in zip(destinations(entry), found, strict=True):
                    kind = plain(flat.registers[register.name])
                    zero = masks.operation("setp.ne.u32", 1, Register("%thread"), Register("%thread"))
                    builder.emit(
                        f"mov.{kind}", Register(f"{register.name}m"), mask or (zero if kind == "pred" else 0)
                    )
            builder.keep(entry)
        module.items[at] = builder.function(item.name, wanted)
    return print_module(module)


def is_tested(instruction: Instruction, case: Case) -> bool:
    return {register.name for register in destinations(instruction)} == set(case.outputs)


@pytest.fixture(scope="module")
def kernels(cuda):
    """A function that runs the kernel of an instruction on words."""
    cases = [case_of(*row) for row in EXACT + SOUND]
    body = "\n".join(kernel(number, case) for number, case in enumerate(cases))
    text = with_masks(f".version 8.0\n.target sm_80\n.address_size 64\n{body}", cases)
    module = cuda.module_from_buffer(text.encode() + b"\0")

    def run(case: Case, words: np.ndarray) -> np.ndarray:
        words = words.copy()
        number = next(at for at, other in enumerate(cases) if other.text == case.text)
        module.get_function(f"k{number}")(cuda.InOut(words), block=(len(words), 1, 1))
        return words

    return run


def pack(case: Case, seed: int, few: bool) -> np.ndarray:
    """Make values and masks for all threads: any, or masks of few bits, all choices of which can be tried."""
    random = np.random.default_rng(seed)
    words = np.zeros((SAMPLES, 10), np.uint64)
    for name, kind in case.inputs.items():
        values = random.integers(0, 2**64, SAMPLES, np.uint64)
        special = random.choice(SPECIAL, SAMPLES)
        values = np.where(random.random(SAMPLES) < 0.4, special, values)
        masks = random.integers(0, 2**64, SAMPLES, np.uint64) & random.integers(0, 2**64, SAMPLES, np.uint64)
        if few:
            masks = np.zeros(SAMPLES, np.uint64)
            for _ in range(BITS):
                masks |= np.uint64(1) << random.integers(0, width(kind), SAMPLES).astype(np.uint64)
        masks = np.where(random.random(SAMPLES) < 0.3, np.uint64(0), masks)
        every = np.uint64((1 << width(kind)) - 1)
        words[:, NAMES.index(name)] = values & every
        words[:, NAMES.index(name) + 5] = masks & every
    return words


def bits_of(words: np.ndarray, case: Case, choice: int) -> np.ndarray:
    """Return words with that subset of each thread's uninitialized bits flipped which ``choice`` names."""
    flipped = words.copy()
    for name in case.inputs:
        left = words[:, NAMES.index(name) + 5].copy()
        for _ in range(BITS):
            low = left & (~left + np.uint64(1))
            left ^= low
            if choice & 1:
                flipped[:, NAMES.index(name)] ^= low
            choice >>= 1
    return flipped


def results(case: Case, words: np.ndarray, masks: bool) -> np.ndarray:
    return np.stack([words[:, NAMES.index(name) + 5 * masks] for name in case.outputs])


RUNS = settings(max_examples=4, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("row", EXACT, ids=lambda row: row[0])
@RUNS
@given(seed=SEEDS)
def test_exact_masks_are_the_bits_that_change(kernels, row, seed):
    case = case_of(*row)
    words = pack(case, seed, few=True)
    known = kernels(case, words)
    changed = np.zeros_like(results(case, known, masks=False))
    for choice in range(1 << BITS * len(case.inputs)):
        other = kernels(case, bits_of(words, case, choice))
        changed |= results(case, other, masks=False) ^ results(case, known, masks=False)
    assert (changed == results(case, known, masks=True)).all()


@pytest.mark.parametrize("row", EXACT + SOUND, ids=lambda row: row[0])
@RUNS
@given(seed=SEEDS)
def test_no_bit_changes_that_the_mask_lacks(kernels, row, seed):
    case = case_of(*row)
    words = pack(case, seed, few=False)
    known = kernels(case, words)
    random = np.random.default_rng(seed)
    for _ in range(6):
        other = words.copy()
        for name in case.inputs:
            at = NAMES.index(name)
            other[:, at] ^= random.integers(0, 2**64, SAMPLES, np.uint64) & words[:, at + 5]
        changed = results(case, kernels(case, other), masks=False) ^ results(case, known, masks=False)
        assert not (changed & ~results(case, known, masks=True)).any()


@pytest.mark.parametrize("row", EXACT + SOUND, ids=lambda row: row[0])
def test_clean_operands_give_clean_results(kernels, row):
    case = case_of(*row)
    words = np.zeros((SAMPLES, 10), np.uint64)
    for name, kind in case.inputs.items():
        words[:, NAMES.index(name)] = np.arange(SAMPLES) % (1 << min(width(kind), 5))
    assert not results(case, kernels(case, words), masks=True).any()
