"""Options: one table, three ways to set them, clear errors."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import pytest

from pycuda_guard import config
from pycuda_guard.errors import StartError


def test_defaults_agree_with_the_table() -> None:
    assert asdict(config.Config()) == {option.name: option.default for option in config.OPTIONS}
    assert config.read({}, {}) == config.Config()


def test_given_wins_over_the_environment() -> None:
    environment = {"PYCUDA_GUARD_DEVICE": "gpu", "PYCUDA_GUARD_QUIET": "yes", "PYCUDA_GUARD_STRICT": "0"}
    options = config.read({"device": "cpu", "quiet": None}, environment)
    assert (options.device, options.quiet, options.strict) == ("cpu", True, False)


@pytest.mark.parametrize(
    ("given", "environment", "words"),
    [
        ({"device": "tpu"}, {}, "device can't be 'tpu'"),
        ({}, {"PYCUDA_GUARD_FAIL_ON": "notes"}, "fail_on can't be 'notes'"),
        ({}, {"PYCUDA_GUARD_QUIET": "maybe"}, "PYCUDA_GUARD_QUIET=maybe is neither yes nor no"),
        ({"quiet": 1}, {}, "quiet must be True or False"),
        ({"json": ""}, {}, "json must name a file"),
        ({"json": 3}, {}, "json must name a file"),
        ({"colour": True}, {}, "there is no option 'colour'"),
    ],
)
def test_wrong_values(given: dict[str, object], environment: dict[str, str], words: str) -> None:
    with pytest.raises(StartError, match=words) as caught:
        config.read(given, environment)
    if "can't be" in words:
        assert caught.value.hint.startswith("allowed are ")


def test_json_may_be_a_path() -> None:
    assert config.read({"json": Path("a") / "b"}, {}).json == str(Path("a") / "b")


def test_command_line_knows_every_option() -> None:
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    text = parser.format_help()
    for option in config.OPTIONS:
        assert (option.flag in text) is not option.is_table


def test_documentation_is_fresh() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "options.md"
    assert page.read_text(encoding="utf-8") == config.markdown()
