"""Control flow around forms: guards, branches, tables of branches, loops, calls of device functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tools.differential.forms import BITS, OPERAND_NAMES, RESULT_NAMES, Form

_UNGUARDED = re.compile(r"set\.[\w.]+\.b?f(16|32)\.\w+ ")
_NAME = re.compile(r"\$([a-h])\b")


def substituted(text: str, names: dict[str, str]) -> str:
    """Return a form's text with its results and operands replaced."""
    return _NAME.sub(lambda match: names[match[1]], text)


def guarded(form: Form, negated: bool) -> Form | None:
    """Return a form under a guard; where it does not hold, the first operand stays.

    None where the form is no single instruction with one result of its first operand's kind; and for ``set``
    of a floating-point number, of which ptxas 13.0 guards a part only.
    """
    if form.text.startswith("{") or form.results != form.operands[:1] or len(form.operands) > 3:
        return None
    if _UNGUARDED.match(form.text):
        return None
    guard = OPERAND_NAMES[len(form.operands)]
    move = f"mov.{'pred' if form.results[0] == 'pred' else f'b{BITS[form.results[0]]}'} $d, $a;"
    function = form.functions[0]

    def computed(*values: int) -> object:
        return function(*values[:-1]) if bool(values[-1]) != negated else values[0]

    return replace(
        form,
        text=f"{move} @{'!' * negated}${guard} {form.text}",
        operands=(*form.operands, "pred"),
        functions=(computed,),
        immediates=False,
    )


def looped(form: Form, name: str) -> Form | None:
    """Return a form done again and again to its own result, as often as the third bits of a number say."""
    if form.results != form.operands[:1] or len(form.operands) > 3 or form.results == ("pred",):
        return None
    count = OPERAND_NAMES[len(form.operands)]
    body = re.sub(r"\$a\b", "$d", form.text)
    text = (
        f"{{ .reg .b32 n; .reg .pred more; and.b32 n, ${count}, 7; mov.b{BITS[form.results[0]]} $d, $a; "
        f"setp.eq.u32 more, n, 0; @more bra {name}_end; {name}: {body} sub.u32 n, n, 1; "
        f"setp.ne.u32 more, n, 0; @more bra {name}; {name}_end: }}"
    )
    function = form.functions[0]
    mask = (1 << BITS[form.results[0]]) - 1

    def computed(first: int, *values: int) -> int:
        for _ in range(values[-1] & 7):
            answer = function(first, *values[:-1])
            assert isinstance(answer, int)
            first = answer & mask
        return first

    return replace(form, text=text, operands=(*form.operands, "i32"), functions=(computed,), immediates=False)


def branched(first: Form, second: Form, name: str) -> Form | None:
    """Return one of two forms with the same operands and results, as a predicate says."""
    if (first.results, first.operands) != (second.results, second.operands) or len(first.operands) > 3:
        return None
    guard = OPERAND_NAMES[len(first.operands)]
    text = (
        f"{{ @${guard} bra {name}_then; {second.text} bra.uni {name}_end; "
        f"{name}_then: {first.text} {name}_end: }}"
    )
    one, other = first.functions[0], second.functions[0]

    def computed(*values: int) -> object:
        return (one if values[-1] else other)(*values[:-1])

    return replace(
        first, text=text, operands=(*first.operands, "pred"), functions=(computed,), immediates=False
    )


def switched(forms: list[Form], name: str) -> Form:
    """Return one of four forms with the same operands (three at most) and results, chosen by a number."""
    choice = OPERAND_NAMES[len(forms[0].operands)]
    labels = [f"{name}_{place}" for place in range(4)]
    parts = " ".join(
        f"{label}: {form.text} bra.uni {name}_end;" for label, form in zip(labels, forms, strict=True)
    )
    text = (
        f"{{ .reg .b32 n; and.b32 n, ${choice}, 3; {name}_table: .branchtargets {', '.join(labels)}; "
        f"brx.idx n, {name}_table; {parts} {name}_end: }}"
    )
    functions = [form.functions[0] for form in forms]
    return replace(
        forms[0],
        text=text,
        operands=(*forms[0].operands, "i32"),
        functions=(lambda *values: functions[values[-1] & 3](*values[:-1]),),
        immediates=False,
    )


@dataclass(frozen=True)
class Called:
    """A form as a call, and the device function that is called."""

    form: Form
    function: str


def called(form: Form, name: str) -> Called | None:
    """Return a call of a function that does a form; None for several results, or predicates."""
    kinds = (*form.results, *form.operands)
    if len(form.results) > 1 or "pred" in kinds or re.search(r"%(cell|own|common)|\bbox\b", form.text):
        return None
    names = {letter: f"v{place}" for place, letter in enumerate((*RESULT_NAMES, *OPERAND_NAMES))}
    operands = [kind.rstrip("=") for kind in form.operands]
    used = [*zip(form.results, RESULT_NAMES, strict=False), *zip(operands, OPERAND_NAMES, strict=False)]
    registers = " ".join(f".reg .b{BITS[kind]} {names[letter]};" for kind, letter in used)
    returned, *taken = used
    parameters = ", ".join(f".param .b{BITS[kind]} p{place}" for place, (kind, _) in enumerate(taken))
    loads = " ".join(
        f"ld.param.b{BITS[kind]} {names[letter]}, [p{place}];" for place, (kind, letter) in enumerate(taken)
    )
    bits = BITS[returned[0]]
    function = (
        f".func (.param .b{bits} r) {name}({parameters})\n{{ {registers} {loads} "
        f"{substituted(form.text, names)} st.param.b{bits} [r], {names['d']}; ret; }}\n"
    )
    stores = " ".join(
        f".param .b{BITS[kind]} q{place}; st.param.b{BITS[kind]} [q{place}], ${letter};"
        for place, (kind, letter) in enumerate(taken)
    )
    arguments = ", ".join(f"q{place}" for place in range(len(taken)))
    text = f"{{ .param .b{bits} s; {stores} call (s), {name}, ({arguments}); ld.param.b{bits} $d, [s]; }}"
    return Called(replace(form, text=text, immediates=False), function)
