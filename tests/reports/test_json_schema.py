"""The JSON report is what docs/findings.schema.json says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pycuda_guard.findings import Finding, KernelLocation, Location, Related, Severity
from pycuda_guard.reports.json_report import document

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "docs" / "findings.schema.json").read_text(encoding="utf-8")
)
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}

FULL = Finding(
    "PG301",
    "uncovered-output",
    Severity.ERROR,
    "message",
    "help",
    Location("a.py", 3, "f"),
    KernelLocation("k", "a.py", 9),
    (Related("allocated", "a.py", 1), Related("read", "b.py", 2)),
    count=4,
)
BARE = Finding("PG903", "guard-error", Severity.NOTE, "message", "", None)
UNKNOWN_KERNEL_LINE = Finding("PG901", "n", Severity.WARNING, "m", "", None, KernelLocation("k"))


def violations(value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
    """Return where ``value`` is not what ``schema`` says (the keywords that the schema uses)."""
    if "$ref" in schema:
        return violations(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    if "oneOf" in schema:
        fitting = [part for part in schema["oneOf"] if not violations(value, part, path)]
        return [] if len(fitting) == 1 else [f"{path}: fits {len(fitting)} of oneOf"]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, TYPES[kind]) for kind in kinds):
        return [f"{path}: is {type(value).__name__}"]
    return [*_of_scalar(value, schema, path), *_of_parts(value, schema, path)]


def _of_scalar(value: Any, schema: dict[str, Any], path: str) -> list[str]:
    rules = {
        "const": lambda wanted: value == wanted,
        "enum": lambda wanted: value in wanted,
        "pattern": lambda wanted: re.search(wanted, value),
        "minimum": lambda wanted: value is None or value >= wanted,
    }
    return [f"{path}: {name}" for name, holds in rules.items() if name in schema and not holds(schema[name])]


def _of_parts(value: Any, schema: dict[str, Any], path: str) -> list[str]:
    found = []
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += violations(item, schema["items"], f"{path}[{number}]")
    if isinstance(value, dict):
        found += [f"{path}: lacks {name}" for name in schema["required"] if name not in value]
        for name, item in value.items():
            if name in schema["properties"]:
                found += violations(item, schema["properties"][name], f"{path}.{name}")
            else:
                found.append(f"{path}: unknown {name}")
    return found


@pytest.mark.parametrize("finding", [FULL, BARE, UNKNOWN_KERNEL_LINE])
def test_documents_fit_the_schema(finding: Finding) -> None:
    written = json.loads(json.dumps(document([finding])))
    assert violations(written, SCHEMA) == []
    assert written["findings"][0]["code"] == finding.code


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "fatal"},
        {"code": "201"},
        {"count": 0},
        {"count": "1"},
        {"location": {"file": "a.py"}},
        {"extra": 1},
        {"related": [{"message": "m"}]},
    ],
)
def test_schema_rejects_other_documents(change: dict[str, Any]) -> None:
    written = document([FULL])
    written["findings"][0].update(change)
    assert violations(written, SCHEMA)


def test_order_of_keys_is_the_published_one() -> None:
    """People read the file, too."""
    keys = ["code", "rule", "severity", "message", "help", "location", "kernel", "related", "count"]
    assert list(document([FULL])["findings"][0]) == keys
    assert SCHEMA["$defs"]["finding"]["required"] == keys
