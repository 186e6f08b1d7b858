"""All forms, by what they take and give."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tools.differential import (
    forms_bits,
    forms_compare,
    forms_convert,
    forms_float,
    forms_half,
    forms_integer,
    forms_matrix,
    forms_memory,
    forms_video,
    forms_warp,
)

if TYPE_CHECKING:
    from tools.differential.forms import Form

FAMILIES = (
    forms_integer,
    forms_bits,
    forms_float,
    forms_half,
    forms_compare,
    forms_convert,
    forms_memory,
    forms_video,
    forms_warp,
    forms_matrix,
)


@cache
def catalogue() -> tuple[Form, ...]:
    """Return every form; the order is part of what a seed means."""
    return tuple(form for family in FAMILIES for form in family.forms())


@cache
def alike() -> dict[tuple[tuple[str, ...], tuple[str, ...]], list[Form]]:
    """Return the forms that can stand for each other in branches: by results and operands."""
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Form]] = {}
    for form in catalogue():
        if not form.alone and not form.last and len(form.operands) <= 3:
            found.setdefault((form.results, form.operands), []).append(form)
    return found
