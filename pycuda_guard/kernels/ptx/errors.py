"""The one error that reading PTX can raise."""

from __future__ import annotations

from pycuda_guard.errors import GuardError

SHOWN = 160  #: characters of the offending line that a message repeats


class PtxSyntaxError(GuardError):
    """PTX text that does not follow the grammar.

    ``line`` and ``column`` count from 1; ``text`` is the offending line.
    """

    def __init__(self, message: str, line: int, column: int, text: str) -> None:
        shown = text.strip()
        if len(shown) > SHOWN:
            start = max(0, min(column - SHOWN // 2, len(text) - SHOWN))
            shown = text[start : start + SHOWN].strip()
        super().__init__(f"PTX line {line}, column {column}: {message}: {shown}")
        self.line = line
        self.column = column
        self.text = text
