"""Makes legal PTX at random: kernels of a few blocks of instructions on memory of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

_HEAD = """.version 8.0
.target sm_80
.address_size 64
.global .align 8 .b8 table[64];
.const .align 8 .b8 constants[64];
.func (.param .b32 out) helper(.param .b64 address, .param .b32 value)
{
    .reg .b32 %v, %w;
    .reg .b64 %a;
    ld.param.b64 %a, [address];
    ld.param.b32 %v, [value];
    ld.global.u32 %w, [%a+4];
    st.global.u32 [%a], %v;
    st.param.b32 [out], %w;
    ret;
}
"""
_ARITHMETIC = (
    "add.s32 {d}, {a}, {b}", "sub.u32 {d}, {a}, {b}", "mul.lo.s32 {d}, {a}, {b}",
    "mad.lo.u32 {d}, {a}, {b}, {c}", "and.b32 {d}, {a}, {b}", "or.b32 {d}, {a}, 255",
    "xor.b32 {d}, {a}, {b}", "shl.b32 {d}, {a}, 3", "shr.u32 {d}, {a}, {b}", "shr.s32 {d}, {a}, 2",
    "min.s32 {d}, {a}, {b}", "selp.b32 {d}, {a}, {b}, {p}", "bfe.u32 {d}, {a}, 4, 8",
    "bfi.b32 {d}, {a}, {b}, 3, 5", "prmt.b32 {d}, {a}, {b}, 4660", "popc.b32 {d}, {a}", "clz.b32 {d}, {a}",
    "brev.b32 {d}, {a}", "abs.s32 {d}, {a}", "neg.s32 {d}, {a}", "not.b32 {d}, {a}",
    "lop3.b32 {d}, {a}, {b}, {c}, 150", "shf.l.wrap.b32 {d}, {a}, {b}, {c}", "mul.hi.u32 {d}, {a}, {b}",
    "add.f32 {d}, {a}, {b}", "fma.rn.f32 {d}, {a}, {b}, {c}", "cvt.rn.f32.s32 {d}, {a}",
    "cvt.rzi.s32.f32 {d}, {a}", "sad.u32 {d}, {a}, {b}, {c}", "dp4a.s32.s32 {d}, {a}, {b}, {c}",
    "mov.b32 {d}, {a}", "sqrt.approx.f32 {d}, {a}", "cvt.u64.u32 {D}, {a}", "cvt.u32.u64 {d}, {A}",
    "mul.wide.s32 {D}, {a}, {b}", "add.s64 {D}, {A}, {B}", "mad.wide.u32 {D}, {a}, {b}, {A}",
    "shl.b64 {D}, {A}, 1", "xor.b64 {D}, {A}, {B}", "mov.b64 {D}, {{{a}, {b}}}",
    "mov.b64 {{{d}, {e}}}, {A}", "add.f64 {D}, {A}, {B}", "mov.u32 {d}, %tid.x",
    "mov.u32 {d}, %dynamic_smem_size", "setp.lt.s32 {p}, {a}, {b}", "setp.eq.and.u32 {p}, {a}, {b}, {q}",
    "setp.gt.f32 {p}, {a}, {b}", "not.pred {p}, {q}", "cvt.u16.u32 {h}, {a}", "cvt.u32.u16 {d}, {h}",
    "add.f16x2 {d}, {a}, {b}", "add.cc.u32 {d}, {a}, {b}",
)  # fmt: skip
_MEMORY = (
    "ld.global.u32 {d}, [{x}]", "ld.global.nc.f32 {d}, [{x}+8]", "ld.global.v2.u32 {{{d}, {e}}}, [{x}]",
    "ld.global.v4.f32 {{{d}, {e}, {f}, {g}}}, [{x}]", "ld.global.u8 {d}, [{x}+1]",
    "ld.global.s16 {d}, [{x}+2]", "ld.global.u64 {D}, [{x}]", "ld.volatile.global.u32 {d}, [{x}]",
    "ld.acquire.gpu.global.u32 {d}, [{x}]", "st.global.u32 [{x}], {a}",
    "st.global.v2.f32 [{x}+8], {{{a}, {b}}}", "st.global.u8 [{x}+3], {a}", "st.global.u16 [{x}], {h}",
    "st.release.gpu.global.u32 [{x}], {a}", "st.global.wt.u64 [{x}], {A}", "ld.u32 {d}, [{y}]",
    "st.u32 [{y}+4], {a}", "ld.shared.u32 {d}, [{s}]", "st.shared.u32 [{s}+4], {a}",
    "ld.shared.v2.u32 {{{d}, {e}}}, [{s}]", "st.shared.u8 [{s}+1], {a}",
    "ld.volatile.shared.u32 {d}, [{s}]", "st.shared.u32 [own+8], {a}", "ld.shared.u32 {d}, [dynamic+4]",
    "ld.local.u32 {d}, [stack+4]", "st.local.u32 [stack], {a}", "ld.const.u32 {d}, [constants+4]",
    "ld.global.u32 {d}, [table+8]", "st.global.u32 [table+12], {a}", "atom.global.add.u32 {d}, [{x}], {a}",
    "red.global.max.s32 [{x}], {a}", "atom.global.cas.b32 {d}, [{x}], {a}, {b}",
    "atom.shared.exch.b32 {d}, [{s}], {a}", "red.shared.or.b32 [{s}], {a}",
    "atom.global.add.f32 {d}, [{x}], {a}", "atom.cta.global.and.b32 {d}, [{x}], {a}", "membar.gl",
    "fence.acq_rel.gpu", "atom.global.exch.b64 {D}, [{x}], {A}",
    "cp.async.ca.shared.global [{s}], [{x}], 4", "cp.async.wait_all", "prefetch.global.L2 [{x}]",
    "atom.add.noftz.f16x2 {d}, [{x}], {a}",
)  # fmt: skip
_TOGETHER = (
    "bar.sync 0", "bar.warp.sync -1", "bar.warp.sync {a}", "barrier.sync 0", "bar.arrive 1, 64",
    "shfl.sync.idx.b32 {d}, {a}, 0, 31, -1", "shfl.sync.down.b32 {d}|{p}, {a}, 1, 31, -1",
    "bar.red.popc.u32 {d}, 0, {p}", "vote.sync.ballot.b32 {d}, {p}, -1", "vote.sync.any.pred {p}, {q}, -1",
    "match.any.sync.b32 {d}, {a}, -1", "activemask.b32 {d}", "redux.sync.add.s32 {d}, {a}, -1",
)  # fmt: skip
_CALL = """{{
        .param .b64 address;
        .param .b32 value;
        .param .b32 answer;
        st.param.b64 [address], {x};
        st.param.b32 [value], {a};
        call.uni (answer), helper, (address, value);
        ld.param.b32 {d}, [answer];
    }}"""


def random_module(random: Random, name: str = "k") -> str:
    """Return a module with one kernel."""
    blocks = random.randrange(1, 6)
    body = []
    for number in range(blocks):
        body.append(f"B{number}:")
        body += [_instruction(random) for _ in range(random.randrange(1, 12))]
        body.append(_way_out(random, blocks))
    extent = random.choice(("", ".maxntid 128, 1, 1", ".reqntid 64", ".minnctapersm 2\n.maxntid 256"))
    lines = "\n    ".join(body)
    return f"""{_HEAD}
.extern .shared .align 16 .b8 dynamic[];
.visible .entry {name}(.param .u64 first, .param .u64 second, .param .u32 count, .param .align 8 .b8 box[24])
{extent}
{{
    .reg .pred %p<4>;
    .reg .b16 %h<4>;
    .reg .b32 %r<10>, %s;
    .reg .b64 %d<6>, %x, %y, %z, %w;
    .shared .align 8 .b8 own[64];
    .local .align 8 .b8 stack[16];
    ld.param.u64 %x, [first];
    ld.param.u64 %y, [second];
    ld.param.u64 %w, [box+8];
    ld.param.u32 %r1, [count];
    mov.u32 %r0, %tid.x;
    mad.wide.u32 %z, %r0, {random.choice((1, 2, 4, 8, 16))}, %x;
    shl.b32 %s, %r0, 2;
    mov.u32 %r2, own;
    add.u32 %s, %s, %r2;
    {"cvta.to.global.u64 %y, %y;" if random.random() < 0.5 else ""}
    {lines}
    ret;
}}
"""


def _instruction(random: Random) -> str:
    kinds = (_ARITHMETIC,) * 5 + (_MEMORY,) * 6 + (_TOGETHER,) + ((_CALL,),)
    form = random.choice(random.choice(kinds))
    r, d = [f"%r{n}" for n in range(10)], [f"%d{n}" for n in range(6)]
    outs = random.sample(r, 4)
    text = form.format(
        d=outs[0], e=outs[1], f=outs[2], g=outs[3],
        a=random.choice(r), b=random.choice(r), c=random.choice(r),
        D=random.choice(d), A=random.choice(d), B=random.choice(d), h=f"%h{random.randrange(4)}",
        p=f"%p{random.randrange(4)}", q=f"%p{random.randrange(4)}", s="%s",
        x=random.choice(("%x", "%z", "%w", random.choice(d))),
        y=random.choice(("%y", "%z", random.choice(d))),
    )  # fmt: skip
    if form is _CALL:
        return text
    guard = f"@{random.choice(('', '!'))}%p{random.randrange(4)} " if random.random() < 0.2 else ""
    return f"{guard}{text};"


def _way_out(random: Random, blocks: int) -> str:
    target = f"B{random.randrange(blocks)}"
    guard = f"@%p{random.randrange(4)}"
    ways = f"{guard} bra {target};", f"{guard} ret;", f"{guard} exit;", "", "", f"@!%p0 bra {target};"
    return random.choice(ways)
