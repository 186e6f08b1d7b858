"""The statement at a line of the program, as messages quote it.

Nothing here raises: of what can't be read or parsed, there is no statement.
"""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING

from pycuda_guard.texts import text_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.callsite import Site


class Source:
    """The text and syntax tree of one file; the tree is None where it can't be parsed."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.whole = "".join(lines)
        self.tree: ast.Module | None
        try:
            self.tree = ast.parse(self.whole)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.tree = None
        self._rows: list[str] = []  # lines as ast counts them
        self._statements: dict[int, list[ast.stmt]] = {}
        self.targets: dict[int, str] = {}  # see names.target_name

    def line(self, number: int) -> str:
        """Return line ``number`` (from 1) without its indentation; empty outside the file."""
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""

    def text(self, node: ast.stmt | ast.expr) -> str:
        """Return the node's text: as written if it is on one line, else on one, dots for long strings."""
        if node.lineno == node.end_lineno:
            if not self._rows:
                self._rows = self.whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            return self._rows[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()
        return " ".join(ast.unparse(_Shortened().visit(copy.deepcopy(node))).split())

    def statement_at(self, line: int) -> ast.stmt | None:
        """Return the innermost statement that ``line`` is part of; the last of several."""
        return next(reversed(self.statements_at(line)), None)

    def statements_at(self, line: int) -> list[ast.stmt]:
        """Return the innermost statements that ``line`` is part of: ``a = 1; b = 2`` are two."""
        if line not in self._statements:
            found: list[ast.stmt] = []
            for node in _statements_under(self.tree) if self.tree is not None else ():
                if node.lineno <= line <= (node.end_lineno or node.lineno):
                    found = [outer for outer in found if not _holds(outer, node)]
                    found.append(node)
            self._statements[line] = found
        return self._statements[line]


_sources: dict[str, Source] = {}


def read(file: str) -> Source:
    """Return the text of a file and its syntax tree, read anew where the text has changed."""
    lines = text_lines(file)
    source = _sources.get(file)
    if source is None or source.lines is not lines:
        source = _sources[file] = Source(lines)
    return source


def call_text(site: Site | None) -> str:
    """Return the statement at ``site`` as one line of at most 120 characters; empty if unknown.

    Of a line inside a text, such as the source of a kernel, or of several statements, that line.
    """
    if site is None:
        return ""
    source = read(site.file)
    statement = source.statement_at(site.line)
    if statement is None or _is_in_text(statement, site.line) or len(source.statements_at(site.line)) > 1:
        text = source.line(site.line)
    elif isinstance(body := getattr(statement, "body", None), list) and body:
        header_end = max(statement.lineno, body[0].lineno - 1)
        text = " ".join(source.line(number) for number in range(statement.lineno, header_end + 1))
    else:
        text = source.text(statement)
    return text if len(text) <= 120 else text[:119] + "…"


def line_text(site: Site | None) -> str:
    """Return the line at ``site`` as it stands, without indentation; empty if unknown."""
    return "" if site is None else read(site.file).line(site.line)


def statement_lines(site: Site) -> range:
    """Return the lines of the statement at ``site``, of a compound one those before its body.

    Where the file is no Python, that is the line alone.
    """
    statement = read(site.file).statement_at(site.line)
    if statement is None:
        return range(site.line, site.line + 1)
    end = statement.end_lineno or statement.lineno
    if isinstance(body := getattr(statement, "body", None), list) and body:
        end = max(statement.lineno, body[0].lineno - 1)
    return range(min(statement.lineno, site.line), max(end, site.line) + 1)


def twins_before(site: Site) -> int:
    """Count the statements of the file before the one at ``site`` that read as it does."""
    source = read(site.file)
    statement = source.statement_at(site.line)
    if statement is None or source.tree is None:
        return 0
    text = source.text(statement)
    return sum(
        node.lineno < statement.lineno and type(node) is type(statement) and source.text(node) == text
        for node in _statements_under(source.tree)
    )


def _is_in_text(statement: ast.stmt, line: int) -> bool:
    """Tell whether a line is within a string of a statement, after its first line."""
    return any(
        isinstance(node, ast.Constant) and node.lineno < line <= (node.end_lineno or 0)
        for node in ast.walk(statement)
    )


def _statements_under(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements under ``node``, outer ones before inner ones."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        yield from _statements_under(child)


def _holds(outer: ast.stmt, inner: ast.stmt) -> bool:
    """Tell whether a statement that starts no later ends no earlier than another."""
    return (outer.end_lineno or 0, outer.end_col_offset or 0) >= (
        inner.end_lineno or 0,
        inner.end_col_offset or 0,
    )


class _Shortened(ast.NodeTransformer):
    """Puts dots in the place of strings of several lines, such as the source of a kernel."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        is_long = isinstance(node.value, str) and "\n" in node.value
        return ast.Constant("…") if is_long else node
