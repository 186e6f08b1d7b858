"""The run as a SARIF 2.1.0 log, for code scanning and editors.

The texts of messages go in as they are: they have no placeholders, and so no arguments.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pycuda_guard import __version__, statements
from pycuda_guard.callsite import Site
from pycuda_guard.checks import pages
from pycuda_guard.checks.registry import RULES
from pycuda_guard.findings import Location, Severity
from pycuda_guard.reports import json_report, places, scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.run import Run

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

#: what relative paths are relative to
BASE = "%SRCROOT%"

#: the name of the fingerprint, with the version of how it is made
FINGERPRINT = "pycudaGuard/v1"

#: rules of the guard itself are notifications: no line of the program has to change for them
_OWN = "PG9"

_RULES = {code: rule for code, rule in RULES.items() if not code.startswith(_OWN)}
_NOTIFICATIONS = {code: rule for code, rule in RULES.items() if code.startswith(_OWN)}


def report(run: Run) -> str:
    """Return the run as the text of a SARIF file."""
    return json_report.text(document(run))


def document(run: Run) -> dict[str, Any]:
    """Return the SARIF log of one run, ready for JSON."""
    root = places.root(run)
    prints = Fingerprints(root)
    results = [_result(finding, root, prints) for finding in run.findings if _is_result(finding)]
    for finding, reason in run.suppressed:
        silenced = {"kind": "external", "status": "accepted", "justification": reason}
        results.append({**_result(finding, root, prints), "suppressions": [silenced]})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver()},
                "originalUriBaseIds": {BASE: {"uri": _folder_uri(root)}},
                "invocations": [_invocation(run, root)],
                "results": results,
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


class Fingerprints:
    """Tells findings apart by what their lines say, so that lines above may come and go."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._seen: Counter[str] = Counter()

    def add(self, finding: Finding) -> str:
        """Return the fingerprint of the next finding; equal ones are counted (``…:2``)."""
        parts = [finding.code]
        at = finding.location
        if at is not None:
            site = Site(at.file, at.line, at.function)
            parts += [places.inside(at.file, self._root) or at.file, at.function, statements.call_text(site)]
        kernel = finding.kernel
        if kernel is not None:
            source = Site(kernel.file or "", kernel.line or 0, kernel.name)
            parts += [kernel.name, statements.line_text(source)]
        if at is None and kernel is None:
            parts.append(finding.message)
        raw = "\0".join(parts).encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(raw).hexdigest()[:32]
        self._seen[digest] += 1
        return f"{digest}:{self._seen[digest]}"


def _is_result(finding: Finding) -> bool:
    return not finding.code.startswith(_OWN)


def _driver() -> dict[str, Any]:
    return {
        "name": "pycuda-guard",
        "semanticVersion": __version__,
        "informationUri": pages.SITE,
        "rules": [_descriptor(code) for code in _RULES],
        "notifications": [_descriptor(code) for code in _NOTIFICATIONS],
    }


def _descriptor(code: str) -> dict[str, Any]:
    rule = RULES[code]
    return {
        "id": code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "help": {"text": rule.page, "markdown": pages.document(rule)},
        "helpUri": pages.address(code),
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _result(finding: Finding, root: str, prints: Fingerprints) -> dict[str, Any]:
    text = f"{finding.message}\nhelp: {finding.help}" if finding.help else finding.message
    made: dict[str, Any] = {
        "ruleId": finding.code,
        "level": finding.severity.value,
        "message": {"text": text},
        "occurrenceCount": finding.count,
        "partialFingerprints": {FINGERPRINT: prints.add(finding)},
    }
    if finding.code in _RULES:
        made["ruleIndex"] = list(_RULES).index(finding.code)
    at = places.place(finding)
    if at is not None:
        made["locations"] = [_location(at, root)]
    related = [_location(Location(r.file, r.line), root, r.message) for r in finding.related]
    kernel = finding.kernel
    if kernel is not None:
        known = Location(kernel.file or "", kernel.line or 0, kernel.name)
        related.insert(0, _location(known, root, f"kernel {kernel.name}"))
    if related:
        made["relatedLocations"] = [{"id": number, **place} for number, place in enumerate(related, 1)]
    return made


def _location(at: Location, root: str, message: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {}
    uri, is_relative = _uri(at.file, root)
    if uri and at.line:
        region: dict[str, Any] = {"startLine": at.line}
        line = statements.line_text(Site(at.file, at.line, at.function))
        if line:
            region["snippet"] = {"text": line}
        artifact = {"uri": uri, "uriBaseId": BASE} if is_relative else {"uri": uri}
        made["physicalLocation"] = {"artifactLocation": artifact, "region": region}
    name = at.function if uri or not at.file else f"{at.file}:{at.line}"
    if name:
        made["logicalLocations"] = [{"fullyQualifiedName": name}]
    if message:
        made["message"] = {"text": message}
    return made


def _uri(file: str, root: str) -> tuple[str, bool]:
    """Return the address of a file, and whether it is relative to ``root``; empty for what is no file."""
    relative = places.inside(file, root)
    if relative:
        return _quoted(relative), True
    return (_absolute_uri(file), False) if places.is_file(file) else ("", False)


def _absolute_uri(path: str) -> str:
    text = PurePath(path).as_posix()
    return "file://" + _quoted(text if text.startswith("/") else f"/{text}")


def _folder_uri(path: str) -> str:
    return _absolute_uri(path).rstrip("/") + "/"


def _quoted(path: str) -> str:
    # the bytes that the operating system has for the name
    return quote(path.encode("utf-8", "surrogatepass" if _has_wide_surrogate(path) else "surrogateescape"))


def _has_wide_surrogate(path: str) -> bool:
    return any(
        "\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff" for character in path
    )


def _invocation(run: Run, root: str) -> dict[str, Any]:
    """Return what is known of the process, what the guard could not do, and what was not looked at."""
    damage = [problem for recording in run.recordings for problem in recording.problems]
    has_failed = any(finding.severity is Severity.ERROR for finding in run.findings)
    made: dict[str, Any] = {
        "executionSuccessful": not any(recording.is_damaged for recording in run.recordings),
        "exitCode": int(has_failed),
        "exitCodeDescription": "1: there are errors; the guarded program's own status is not recorded",
    }
    for recording in run.recordings[:1]:
        start = recording.start
        made["arguments"] = list(start.arguments)
        if start.directory:
            made["workingDirectory"] = {"uri": _folder_uri(start.directory)}
        made["startTimeUtc"] = (
            datetime.fromtimestamp(start.started, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        made["processId"] = start.process
    own = [finding for finding in run.findings if not _is_result(finding)]
    made["toolExecutionNotifications"] = [
        *[_own_notification(finding, root) for finding in own],
        *_notes("the recording could not be read whole", damage, "error"),
        *_notes("not checked", scope.not_checked(run.live, run.blind, left_out=run.left_out), "note"),
    ]
    return made


def _own_notification(finding: Finding, root: str) -> dict[str, Any]:
    text = f"{finding.message}\nhelp: {finding.help}" if finding.help else finding.message
    made: dict[str, Any] = {
        "descriptor": {"id": finding.code},
        "level": finding.severity.value,
        "message": {"text": text},
    }
    if finding.code in _NOTIFICATIONS:
        made["descriptor"]["index"] = list(_NOTIFICATIONS).index(finding.code)
    at = places.place(finding)
    if at is not None:
        made["locations"] = [_location(at, root)]
    return made


def _notes(head: str, texts: Iterable[str], level: str) -> list[dict[str, Any]]:
    return [{"level": level, "message": {"text": f"{head}: {text}"}} for text in texts]
