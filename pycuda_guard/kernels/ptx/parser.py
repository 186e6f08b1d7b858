"""PTX text to a :class:`~pycuda_guard.kernels.ptx.ir.Module`."""

from __future__ import annotations

from pycuda_guard.kernels.ptx.declarations import (
    SPACES,
    read_attribute,
    read_linkage,
    read_parameters,
    read_variables,
)
from pycuda_guard.kernels.ptx.ir import Function, Module, Verbatim
from pycuda_guard.kernels.ptx.lexer import END, Cursor, immediate, is_word
from pycuda_guard.kernels.ptx.statements import read_body


def as_text(text: str | bytes) -> str:
    """Return PTX as text. Bytes may end in NUL, as images for the driver do."""
    return text.rstrip(b"\0").decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text


def parse(text: str | bytes) -> Module:
    """Parse a PTX module.

    Opcodes and modifiers that the ISA does not know are kept as they are. Raises PtxSyntaxError,
    and nothing else, where the text does not follow the grammar. Takes time linear in the length
    of the text.
    """
    cursor = Cursor(as_text(text))
    module = _header(cursor)
    while cursor.texts[cursor.position] != END:
        _item(cursor, module)
    return module


def _header(cursor: Cursor) -> Module:
    cursor.expect(".version")
    version = cursor.texts[cursor.position]
    major, dot, minor = version.partition(".")
    if not (dot and _is_small_number(major) and _is_small_number(minor)):
        raise cursor.unexpected("a version such as 9.0")
    cursor.position += 1
    cursor.expect(".target")
    target = [cursor.name()]
    while cursor.accept(","):
        target.append(cursor.name())
    module = Module((int(major), int(minor)), tuple(target), 32)
    if cursor.accept(".address_size"):
        module.address_size = cursor.integer()
    return module


def _is_small_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6


def _item(cursor: Cursor, module: Module) -> None:
    start = cursor.position
    text = cursor.texts[start]
    if text == ".file":
        cursor.position += 1
        number = cursor.integer()
        module.files[number] = cursor.string()
        while cursor.accept(","):  # time stamp and size
            cursor.integer()
    elif text == ".section":
        module.items.append(_section(cursor))
    elif text in (".alias", ".pragma"):
        module.items.append(_verbatim(cursor))
    elif text == ";":
        cursor.position += 1
    else:
        linkage = read_linkage(cursor)
        text = cursor.texts[cursor.position]
        if text in (".entry", ".func"):
            cursor.position = start
            module.items.append(read_function(cursor))
        elif text in SPACES and text not in (".reg", ".param", ".local"):
            module.items.extend(read_variables(cursor, linkage))
        else:
            raise cursor.unexpected("a declaration of a module")


def _section(cursor: Cursor) -> Verbatim:
    """Keep a DWARF section as it is written."""
    start = cursor.offsets[cursor.position]
    cursor.position += 2
    cursor.expect("{")
    try:
        cursor.position = cursor.texts.index("}", cursor.position)
    except ValueError:
        cursor.position = len(cursor.texts) - 1
    cursor.expect("}")
    return Verbatim(cursor.source[start : cursor.offsets[cursor.position - 1] + 1])


def _verbatim(cursor: Cursor) -> Verbatim:
    """Keep a directive as it is written, up to its semicolon."""
    start = cursor.offsets[cursor.position]
    while not cursor.accept(";"):
        if cursor.take() in (END, "{", "}"):
            raise cursor.unexpected("';'")
    return Verbatim(cursor.source[start : cursor.offsets[cursor.position - 1] + 1])


def read_header(cursor: Cursor) -> Function:
    """Read a function from its linkage to its directives, all that stands before the body."""
    start = cursor.position
    linkage = read_linkage(cursor)
    function = Function("", cursor.take() == ".entry", linkage=linkage, span=cursor.span(start))
    if cursor.accept(".attribute"):
        function.directives.append(("attribute", (read_attribute(cursor),)))
    if cursor.texts[cursor.position] == "(":
        function.returns = read_parameters(cursor)
    function.name = cursor.name()
    if cursor.texts[cursor.position] == "(":
        function.parameters = read_parameters(cursor)
    while cursor.texts[cursor.position][:1] == ".":
        function.directives.append(_directive(cursor))
    return function


def read_function(cursor: Cursor) -> Function:
    """Read a function with its body, or the declaration of one."""
    function = read_header(cursor)
    if cursor.accept(";"):
        return function
    if cursor.texts[cursor.position] != "{":
        raise cursor.unexpected("'{' or ';'")
    function.body = read_body(cursor, [*function.returns, *function.parameters])
    return function


def _directive(cursor: Cursor) -> tuple[str, tuple[int | str, ...]]:
    """Read a directive between the parameters and the body, such as ``.maxntid 256, 1, 1``."""
    name = cursor.take()[1:]
    values: list[int | str] = []
    if name == "pragma":
        values.append(cursor.string())
        while cursor.accept(","):
            values.append(cursor.string())
        cursor.expect(";")
        return name, tuple(values)
    while True:
        text = cursor.texts[cursor.position]
        if immediate(text) is not None:
            values.append(cursor.integer())
        elif is_word(text):
            values.append(cursor.name())
        elif values or text[:1] not in (".", ";", "{"):
            raise cursor.unexpected("a number or a name")
        if not values or not cursor.accept(","):
            return name, tuple(values)
