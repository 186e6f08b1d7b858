"""The rules' table, their pages, and the documents made from them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pycuda_guard.checks import pages
from pycuda_guard.checks.registry import RULE_CLASSES, RULES, RuleInfo

DOCS = Path(__file__).parents[2] / "docs" / "rules"
EVERY_RULE = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def test_codes_and_names_are_unique() -> None:
    assert len(RULES) == len(RULE_CLASSES)
    assert len({rule.name for rule in RULES.values()}) == len(RULES)


def test_the_table_is_in_the_order_of_the_codes() -> None:
    assert list(RULES) == sorted(RULES)


@EVERY_RULE
def test_a_page_has_all_sections(rule: RuleInfo) -> None:
    sections = pages.sections(rule)
    assert tuple(sections) == pages.SECTIONS
    assert all(sections.values())


@EVERY_RULE
def test_a_summary_is_one_sentence(rule: RuleInfo) -> None:
    assert re.fullmatch(r"[A-Z].{10,90}\.", rule.summary)


@EVERY_RULE
@pytest.mark.parametrize("script", [pages.example, pages.use_instead])
def test_examples_are_short_whole_scripts(rule: RuleInfo, script) -> None:
    text = script(rule)
    assert ast.parse(text).body
    assert "import pycuda" in text
    assert len(text.splitlines()) < 20


def test_documents_are_fresh() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    assert written == pages.documents(), "run python -m pycuda_guard.checks.pages docs/rules"


def test_writing_removes_pages_of_rules_that_are_gone(tmp_path: Path) -> None:
    (tmp_path / "PG000.md").write_text("gone")
    pages.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(pages.documents())
