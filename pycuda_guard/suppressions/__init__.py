"""Which findings the user does not want to hear of: rules left out, and findings silenced one by one.

A rule that is left out (``select``, ``ignore``) reports nothing, and the report names it among what was not
checked. A finding that is silenced (a comment on its line, a table in pyproject.toml, a baseline)
fails nothing; it is counted, and written with the reason given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pycuda_guard import statements
from pycuda_guard.callsite import Site
from pycuda_guard.checks.registry import RULES
from pycuda_guard.config import close_to
from pycuda_guard.errors import StartError
from pycuda_guard.reports.terminal import short_path
from pycuda_guard.suppressions import baseline
from pycuda_guard.suppressions.comments import Ignore, comments_of
from pycuda_guard.texts import GENERATED, MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from pycuda_guard.config import Config, Table
    from pycuda_guard.findings import Finding

FILES, KERNELS = "per-file-ignores", "per-kernel-ignores"
BASELINE = "baseline:"
UNUSED = "matched nothing in this run"
LISTED = "pycuda-guard rules lists them"

#: a finding that was silenced, and why
Suppressed = tuple["Finding", str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of findings: those that count, and those silenced."""

    kept: list[Finding]
    suppressed: list[Suppressed]


def check_codes(codes: Iterable[str], where: str) -> None:
    """Raise :class:`StartError` for a code, or beginning of codes, that no rule has."""
    for code in codes:
        if not any(known.startswith(code) for known in RULES):
            raise StartError(f"{where}: there is no rule {code}", close_to(code, RULES, LISTED))


def is_left_out(code: str, select: Collection[str], ignore: Collection[str]) -> bool:
    """Tell whether a rule is not among those selected, or among those ignored."""
    return (bool(select) and not matches(code, select)) or matches(code, ignore)


def matches(code: str, prefixes: Iterable[str]) -> bool:
    """Tell whether one of the codes, or beginnings of codes, stands for ``code``."""
    return any(code.startswith(prefix) for prefix in prefixes)


def write_baseline(path: str, outcome: Outcome) -> str:
    """Write the findings of a run as a baseline, and return what was done.

    Those silenced otherwise than by a baseline are not in it. Raises :class:`GuardError`.
    """
    again = [finding for finding, reason in outcome.suppressed if reason.startswith(BASELINE)]
    findings = [*outcome.kept, *again]
    baseline.write(path, findings)
    many = "" if len(findings) == 1 else "s"
    return f"{len(findings)} finding{many} written to {short_path(path)}"


class Suppressions:
    """Sorts the findings of one run as its configuration and the comments in its files say.

    ``name`` says what a file is called. Raises :class:`StartError` for a code that there is not, and for
    a baseline that can't be read.
    """

    def __init__(self, config: Config, name: Callable[[str], str] = short_path) -> None:
        self._config = config
        self._name = name
        self._tables: tuple[tuple[str, Table], ...] = (
            (FILES, config.per_file_ignores),
            (KERNELS, config.per_kernel_ignores),
        )
        check_codes(config.select, "select")
        check_codes(config.ignore, "ignore")
        for kind, table in self._tables:
            for pattern, codes in table:
                check_codes(codes, f"{kind}, {pattern}")
        self._baseline = baseline.Baseline(config.baseline) if config.baseline else None
        self._used: set[object] = set()

    @property
    def names_kernels(self) -> bool:
        """Whether there are ignores for kernels by name."""
        return bool(self._config.per_kernel_ignores)

    def leaves_out(self, code: str) -> bool:
        """Tell whether the rule of this code is to report nothing."""
        return is_left_out(code, self._config.select, self._config.ignore)

    def reason(self, finding: Finding) -> str:
        """Return why a finding is silenced, or an empty string."""
        for ignore in _ignores_at(finding):
            if matches(finding.code, ignore.codes):
                self._used.add(ignore)
                if ignore.file.startswith(GENERATED):
                    self._used.add(ignore.words)
                return ignore.reason or f"ignored at {self._name(ignore.file)}:{ignore.line}"
        for name, table in self._tables:
            for pattern, codes in table:
                if matches(finding.code, codes) and _is_about(finding, name, pattern):
                    self._used.add((name, pattern))
                    return f"{name}: {short_path(pattern)}"
        if self._baseline is not None:
            known = self._baseline.holds(finding)
            if known is not None:
                self._used.add(known)
                return f"{BASELINE} {short_path(self._baseline.path)}"
        return ""

    def sort(self, findings: Iterable[Finding]) -> Outcome:
        """Return the findings that count and those silenced; what rules left out have found is neither."""
        outcome = Outcome([], [])
        for finding in findings:
            if self.leaves_out(finding.code):
                continue
            reason = self.reason(finding)
            if reason:
                outcome.suppressed.append((finding, reason))
            else:
                outcome.kept.append(finding)
        return outcome

    def remarks(
        self, files: Collection[str], kernels: Collection[str], live: Iterable[str]
    ) -> dict[str, bool]:
        """Return what there is to say of the ignores for these files and kernels, and whether it holds.

        ``live`` are the codes of the rules that can fire: one that can't has nothing to ignore. What holds
        for some processes of a run alone, that an ignore matched nothing, does not hold for it.
        """
        said: dict[str, bool] = {}
        heard = [code for code in live if not self.leaves_out(code)]
        read = {file: comments_of(file) for file in sorted(files)}
        # one in a template is a part of each text that is made of it
        templates = {
            ignore.words
            for file, found in read.items()
            if not file.startswith(GENERATED)
            for ignore in found.in_kernels.values()
            if ignore.is_certain
        }
        for file, found in read.items():
            for line in found.malformed:
                said[f"{self._name(file)}:{line}: what follows `{MARK}` is not `ignore[CODE]`"] = True
            for ignore in found.in_python.values():
                said.update(self._remarks_on(ignore, heard, is_used=ignore in self._used))
            for ignore in found.in_kernels.values():
                if file.startswith(GENERATED) and ignore.words in templates:
                    continue
                is_used = ignore in self._used or ignore.words in self._used
                said.update(self._remarks_on(ignore, heard, is_used=is_used))
        for name, table in self._tables:
            for pattern, codes in table:
                if _can_match(codes, heard) and _are_named(name, pattern, files, kernels):
                    said[f"{name}, {short_path(pattern)}: {UNUSED}"] = (name, pattern) not in self._used
        if self._baseline is not None:
            said.update(self._remarks_on_baseline(self._baseline, files, heard))
        return said

    def _remarks_on(
        self, ignore: Ignore, heard: Collection[str], *, is_used: bool
    ) -> Iterator[tuple[str, bool]]:
        place = f"{self._name(ignore.file)}:{ignore.line}: ignore[{', '.join(ignore.codes)}]"
        wrong = [code for code in ignore.codes if not any(known.startswith(code) for known in RULES)]
        for code in wrong:
            yield f"{place}: there is no rule {code} ({close_to(code, RULES, LISTED)})", True
        if not wrong and ignore.is_certain and _can_match(ignore.codes, heard):
            yield f"{place}: {UNUSED}", not is_used

    def _remarks_on_baseline(
        self, old: baseline.Baseline, files: Collection[str], heard: Collection[str]
    ) -> Iterator[tuple[str, bool]]:
        seen = {old.name_of(file) for file in files}
        for known in old.entries:
            if known.file in seen and known.code in heard:
                text = (
                    f"{short_path(old.path)}: {known.code} in {known.file} at `{known.statement}`: {UNUSED}"
                )
                yield text, known not in self._used


def _can_match(codes: Iterable[str], heard: Collection[str]) -> bool:
    """Tell whether one of ``codes`` stands for a rule that can be heard of."""
    return any(known.startswith(code) for code in codes for known in heard)


def _ignores_at(finding: Finding) -> Iterator[Ignore]:
    """Yield the comments on the lines of a finding: of its statement, and of its line in the kernel."""
    if finding.location is not None:
        site = Site(finding.location.file, finding.location.line, finding.location.function)
        found = comments_of(site.file).in_python
        if found:
            yield from (found[line] for line in statements.statement_lines(site) if line in found)
    if finding.kernel is not None and finding.kernel.file and finding.kernel.line:
        ignore = comments_of(finding.kernel.file).in_kernels.get(finding.kernel.line)
        if ignore is not None:
            yield ignore


def _are_named(table: str, pattern: str, files: Iterable[str], kernels: Iterable[str]) -> bool:
    """Tell whether the pattern of a table is that of one of these files or kernels."""
    if table == KERNELS:
        return any(fnmatchcase(kernel, pattern) for kernel in kernels)
    return any(_is_named(file, pattern) for file in files)


def _is_about(finding: Finding, table: str, pattern: str) -> bool:
    """Tell whether a finding is in a file, or in a kernel, of a table's pattern."""
    if table == KERNELS:
        return finding.kernel is not None and fnmatchcase(finding.kernel.name, pattern)
    return finding.location is not None and _is_named(finding.location.file, pattern)


def _is_named(file: str, pattern: str) -> bool:
    return fnmatchcase(file if "/" in pattern else os.path.basename(file), pattern)
