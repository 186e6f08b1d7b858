"""Lines of the program that only pass on what their function was given.

Such are the inner functions of decorators, and wrappers that count, log or time calls. Nothing is wrong
with these lines: what they call was called by their callers.
"""

from __future__ import annotations

import ast
import inspect
from itertools import islice
from typing import TYPE_CHECKING

from pycuda_guard.texts import text_lines

if TYPE_CHECKING:
    from types import FrameType


def is_forwarding(frame: FrameType) -> bool:
    """Tell whether a frame calls a function with the arguments of its own, and with nothing else.

    It does by ``wrapped(*args, **kwargs)``, and by ``self.wrapped(name, *args)`` in a method that was given
    a name and more. A call that adds a stream or a block to what it was given is one of its own.
    """
    code = frame.f_code
    if not code.co_flags & inspect.CO_VARARGS or code.co_kwonlyargcount:
        return False
    parameters = list(code.co_varnames[: code.co_argcount + 1])
    parameters[-1] = f"*{parameters[-1]}"
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parameters.append(f"**{code.co_varnames[code.co_argcount + 1]}")
    call = _call(frame)
    if call is None:
        return False
    keywords = [f"{word.arg}=" if word.arg else f"**{ast.unparse(word.value)}" for word in call.keywords]
    # a method need not pass its object on
    return [*map(ast.unparse, call.args), *keywords] in (parameters, parameters[bool(code.co_argcount) :])


def _call(frame: FrameType) -> ast.Call | None:
    """Return the call that a frame is in; None where its text is not known."""
    code = frame.f_code
    line, end_line, column, end_column = next(islice(code.co_positions(), frame.f_lasti // 2, None))
    if line is None or end_line is None:
        return None
    rows = [text.encode() for text in text_lines(code.co_filename)[line - 1 : end_line]]
    if len(rows) != end_line - line + 1:
        return None
    rows[-1] = rows[-1][:end_column]
    rows[0] = rows[0][column:]
    try:
        node = ast.parse(b"(" + b"".join(rows) + b")", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return node if isinstance(node, ast.Call) else None
