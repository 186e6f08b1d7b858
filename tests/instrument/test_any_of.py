"""How it is asked whether any bit of several registers is uninitialized, so that ptxas gets it right."""

from __future__ import annotations

import re

from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.ptx import parse, printer

KERNEL = """.version 8.0
.target sm_90
.address_size 64
.visible .entry scaled(.param .u64 to, .param .u64 from)
{
  .reg .b64 %t, %f; .reg .f32 %x, %y, %z, %w; .reg .pred %p;
  ld.param.u64 %t, [to];
  ld.param.u64 %f, [from];
  ld.global.f32 %x, [%f];
  ld.global.f32 %y, [%f+4];
  setp.lt.f32 %p, %x, 0f00800000;
  selp.f32 %z, 0fC1B80000, 0f00000000, %p;
  fma.rn.f32 %w, %y, %z, %x;
  st.global.v2.f32 [%t], {%w, %z};
  ret;
}
"""


def test_masks_are_compared_one_after_the_other():
    instrumented = instrument(parse(KERNEL))
    module = instrumented.module
    text = printer.print_module(module)
    checked = text[text.index(instrumented.kernels["scaled"].checked) :]
    # ptxas 13.0 makes a wrong predicate of a union of selected masks that is compared with zero
    assert not re.findall(r"or\.b32 (%pg_b32_\d+), [^;]*;\s*setp\.ne\.b32 %pg_pred_\d+, \1, 0;", checked)
    # of the three sources of fma, the first is compared alone
    assert len(re.findall(r"setp\.ne\.or\.b32", checked)) == 2
