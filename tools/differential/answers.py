"""What a device answered, kept in a file: a digest of each column, and the bits of approximations."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tools.differential.compare import Report, digest, normal
from tools.differential.forms import BITS

if TYPE_CHECKING:
    from pathlib import Path

    from tools.differential.generate import Kernel, Result


@dataclass(frozen=True)
class Outcome:
    """What is left of a kernel that ran: ``text`` stands for it and its input, the others for its columns.

    ``right`` are the digests of right columns where there are several.
    """

    name: str
    text: int
    steps: list[str]
    right: list[frozenset[int]]
    digests: list[int]
    opcodes: frozenset[str]
    report: Report

    @property
    def has_run(self) -> bool:
        """Whether the device gave an answer at all."""
        return bool(self.digests)


def outcome(kernel: Kernel, answer: bytes) -> Outcome:
    """Compare a kernel's answer with the evaluator's."""
    report = Report()
    digests = report.add(kernel, answer)
    return Outcome(
        kernel.name,
        _text(kernel),
        [result.step for result in kernel.results],
        [_right(result) for result in kernel.results],
        digests,
        kernel.opcodes,
        report,
    )


@dataclass
class Answers:
    """A device's answers; ``digests`` begin with that of the kernel's text, ``bits`` are approximations'."""

    device: str
    driver: int
    seed: int
    digests: dict[str, list[int]] = field(default_factory=dict)
    bits: dict[str, list[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the file: JSON, with numbers as base64 of little-endian words."""
        content = {
            "device": self.device,
            "driver": self.driver,
            "seed": self.seed,
            "wrong": self.wrong,
            "digests": {name: _packed(words, "u4") for name, words in sorted(self.digests.items())},
            "bits": {name: _packed(words, "u8") for name, words in sorted(self.bits.items())},
        }
        path.write_text(json.dumps(content, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Read a file that :meth:`save` wrote."""
        content = json.loads(path.read_text())
        return cls(
            content["device"],
            content["driver"],
            content["seed"],
            {name: _unpacked(text, "u4") for name, text in content["digests"].items()},
            {name: _unpacked(text, "u8") for name, text in content["bits"].items()},
            content["wrong"],
        )

    def add(self, outcome: Outcome) -> None:
        """Keep what a device answered to a kernel."""
        self.digests[outcome.name] = [outcome.text, *outcome.digests]

    def differences(self, outcome: Outcome) -> list[str]:
        """Compare the digests of a kernel's columns with those kept.

        Where two answers are right, each device may have given either. Only the first wrong column counts.
        Raises KeyError where the file does not have the kernel, or has one of an older generator.
        """
        text, *kept = self.digests[outcome.name]
        if text != outcome.text:
            raise KeyError(f"{outcome.name} is not the kernel that {self.device} ran: make the file anew")
        if len(kept) != len(outcome.digests):
            return [f"{outcome.name}: {len(outcome.digests)} answers here, {len(kept)} on {self.device}"]
        for step, right, mine, theirs in zip(
            outcome.steps, outcome.right, outcome.digests, kept, strict=True
        ):
            if mine != theirs and not {mine, theirs} <= right:
                return [f"{outcome.name}: {mine:08x} here, {theirs:08x} on {self.device}: {step}"]
        return []


def failed(kernel: Kernel, why: str) -> Outcome:
    """Return the outcome of a kernel that could not be run."""
    report = Report(kernels=1, wrong=[f"{kernel.name}: {why}"])
    return Outcome(kernel.name, _text(kernel), [], [], [], kernel.opcodes, report)


def _text(kernel: Kernel) -> int:
    return zlib.crc32(kernel.data, zlib.crc32(kernel.text.encode()))


def _right(result: Result) -> frozenset[int]:
    """Return the digests of the columns that the evaluator allows, where it allows two."""
    if len(result.columns) < 2:
        return frozenset()
    kind = f"u{BITS[result.kind] // 8}"
    return frozenset(digest(normal(result.kind, np.array(each, kind))) for each in result.columns)


def _packed(words: list[int], kind: str) -> str:
    return base64.b64encode(np.array(words, f"<{kind}").tobytes()).decode()


def _unpacked(text: str, kind: str) -> list[int]:
    return [int(word) for word in np.frombuffer(base64.b64decode(text), f"<{kind}")]
