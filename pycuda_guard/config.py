"""The one table of options: command line, environment and documentation are made from it.

``python -m pycuda_guard.config`` prints the documentation (docs/options.md).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.errors import StartError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping

TRUE_WORDS = ("1", "yes", "true", "on")
FALSE_WORDS = ("", "0", "no", "false", "off")

SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``choices`` empty and ``metavar`` empty is a flag; ``metavar`` alone names a file.

    One that ``is_pattern`` stands for names, one that ``is_range`` (``N:M``, ``N:`` or ``:M``) for numbers.
    ``smallest`` makes it a size, of that many bytes at least; a ``form`` is a regular expression that
    its values match. One that is ``for_run`` has a meaning for commands of ``pycuda-guard`` and for pytest
    alone.
    """

    name: str
    help: str
    choices: tuple[str, ...] = ()
    metavar: str = ""
    default: str | bool | None = False
    for_run: bool = False
    smallest: int = 0
    is_pattern: bool = False
    is_range: bool = False
    form: str = ""

    @property
    def flag(self) -> str:
        """How it is spelled on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable that sets it where the command line does not."""
        return "PYCUDA_GUARD_" + self.name.upper()

    @property
    def values(self) -> str:
        """What may follow the flag, for people."""
        return "|".join(self.choices) or self.metavar

    def read(self, text: str) -> str | bool | int:
        """Return the value that ``text`` (of the environment) stands for.

        Raises :class:`StartError` where it stands for none, with those that do.
        """
        if self.choices or self.smallest or self.is_range or self.form:
            return self.check(text)
        if self.metavar:
            return text
        word = text.strip().lower()
        if word not in TRUE_WORDS + FALSE_WORDS:
            raise StartError(f"{self.variable}={text} is neither yes nor no", f"{self.variable}=1 or 0")
        return word in TRUE_WORDS

    def check(self, value: object) -> str | bool | int:
        """Return ``value`` if the option can have it; raises :class:`StartError` if not."""
        if self.smallest:
            return self._check_size(value)
        if self.choices:
            if value not in self.choices:
                allowed = ", ".join(self.choices)
                raise StartError(f"{self.name} can't be {value!r}", f"allowed are {allowed}")
            return str(value)
        if self.form:
            if isinstance(value, bool) or not re.fullmatch(self.form, str(value)):
                raise StartError(f"{self.name} can't be {value!r}", f"it must be {self.metavar}")
            return str(value)
        if self.is_range:
            parse_range(self.name, value)
        if self.metavar:
            if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
                what = "be a pattern" if self.is_pattern else "name a file"
                raise StartError(f"{self.name} must {what}, not {value!r}")
            return str(os.fspath(value))
        if not isinstance(value, bool):
            raise StartError(f"{self.name} must be True or False, not {value!r}")
        return value

    def _check_size(self, value: object) -> int:
        size = value if isinstance(value, int) else _parse_size(value) if isinstance(value, str) else None
        if size is None or isinstance(value, bool):
            raise StartError(f"{self.name} must be a number of bytes, not {value!r}", "such as 500M or 2G")
        if size < self.smallest:
            raise StartError(f"{self.name} can't be {value}", f"it must be {self.smallest} bytes at least")
        return size


def parse_range(name: str, value: object) -> tuple[int, int | None]:
    """Return the first and the last number (None: no end) that ``N:M``, ``N:`` or ``:M`` stands for.

    Raises :class:`StartError` where it stands for none.
    """
    match = re.fullmatch(r"(\d*):(\d*)", value) if isinstance(value, str) else None
    first = int(match[1] or 1) if match else 0
    last = int(match[2]) if match and match[2] else None
    if first < 1 or (last is not None and last < first):
        raise StartError(f"{name} must be two numbers, not {value!r}", "such as 1:100, 100: or :100")
    return first, last


def _parse_size(text: str) -> int | None:
    """Return the bytes that ``text`` stands for (``500M``), or None where it stands for none."""
    digits, unit = text.strip(), 1
    if digits[-1:].upper() in SIZE_UNITS:
        digits, unit = digits[:-1], SIZE_UNITS[digits[-1].upper()]
    return int(digits) * unit if digits.isascii() and digits.isdigit() else None


OPTIONS: tuple[Option, ...] = (
    Option(
        "device",
        "where kernels run: on a GPU, on the CPU device, or on a GPU if there is one",
        choices=("auto", "cpu", "gpu"),
        default="auto",
    ),
    Option(
        "json",
        "write the findings there, kept up to date; {pid} stands for the number of the process",
        metavar="FILE",
        default=None,
    ),
    Option(
        "record",
        "record the run there, for pycuda-guard check; {pid} stands for the number of the process",
        metavar="FILE",
        default=None,
    ),
    Option(
        "record_limit",
        "keep the last events only, in about that many bytes (such as 500M)",
        metavar="BYTES",
        default=None,
        smallest=1 << 18,
    ),
    Option(
        "fail_on",
        "the least severe finding that fails a test, or makes a program's exit status 1 where it is 0",
        choices=("error", "warning", "never"),
        default="error",
        for_run=True,
    ),
    Option(
        "strict",
        "what the guard could not check (PG9xx) counts as an error for the exit status",
        for_run=True,
    ),
    Option("quiet", "print errors and warnings only: no notes, no device line, no summary"),
    Option("blocking", "wait for each kernel, so that one that fails is found at its own launch (slow)"),
    Option("no_kernels", "leave kernels as they are: what they do to memory is not seen"),
    Option(
        "kernel",
        "look into kernels of these names only (* and ? stand for any characters)",
        metavar="GLOB",
        default=None,
        is_pattern=True,
    ),
    Option(
        "skip_kernel",
        "look into no kernel of these names",
        metavar="GLOB",
        default=None,
        is_pattern=True,
    ),
    Option(
        "launches",
        "look into these launches only, by number from 1 on over the whole run",
        metavar="N:M",
        default=None,
        is_range=True,
    ),
    Option(
        "schedule",
        "when the CPU device runs queued work: as late as it may, at once, or at times that a seed replays",
        metavar="late|eager|random:SEED",
        default="late",
        form="late|eager|random:[0-9]{1,18}",
    ),
    Option(
        "kernel_timeout",
        "give up a kernel that the CPU device has run for that long",
        metavar="SECONDS",
        default=None,
        form=r"[0-9]{1,9}(\.[0-9]+)?",
    ),
    Option(
        "cpu_devices",
        "how many CPU devices there are",
        metavar="N",
        default="1",
        form="[1-9]|1[0-6]",
    ),
    Option(
        "cpu_memory",
        "the size of each CPU device's memory, where 4G or half of the machine's is not right",
        metavar="BYTES",
        default=None,
        smallest=16 << 20,
    ),
    Option(
        "compute_capability",
        "the compute capability of the CPU device",
        choices=("7.5", "8.0", "8.6", "8.7", "8.9", "9.0"),
        default="9.0",
    ),
    Option("races", "look for races inside kernels, too"),
    Option("bare", "run the program on the chosen device without the guard, to compare", for_run=True),
)


@dataclass(frozen=True, slots=True)
class Config:
    """The options of one guarded run, all of them checked. Made by :func:`read`."""

    device: str = "auto"
    json: str | None = None
    record: str | None = None
    record_limit: int | None = None
    fail_on: str = "error"
    strict: bool = False
    quiet: bool = False
    blocking: bool = False
    no_kernels: bool = False
    kernel: str | None = None
    skip_kernel: str | None = None
    launches: str | None = None
    schedule: str = "late"
    kernel_timeout: str | None = None
    cpu_devices: str = "1"
    cpu_memory: int | None = None
    compute_capability: str = "9.0"
    races: bool = False
    bare: bool = False


def read(given: Mapping[str, object], environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration: what is ``given``, else the environment's, else the defaults.

    A value of None in ``given`` is not given. Raises :class:`StartError` for an unknown option
    and for a value that an option can't have.
    """
    variables = os.environ if environment is None else environment
    known = {option.name for option in OPTIONS}
    for name in given:
        if name not in known:
            raise StartError(f"there is no option {name!r}", f"the options are {', '.join(sorted(known))}")
    values: dict[str, str | bool | int] = {}
    for option in OPTIONS:
        value = given.get(option.name)
        if value is not None:
            values[option.name] = option.check(value)
        elif variables.get(option.variable):
            values[option.name] = option.read(variables[option.variable])
    return Config(**values)  # type: ignore[arg-type]


def add_arguments(parser: argparse.ArgumentParser, names: Collection[str] | None = None) -> None:
    """Add the options of these names, or all, to a command's parser; one that is not given is None there."""
    for option in OPTIONS:
        if names is not None and option.name not in names:
            continue
        if option.choices or option.metavar:
            text = f"{option.help} (default: {option.default})" if option.default else option.help
            parser.add_argument(option.flag, metavar=option.values, help=text)
        else:
            parser.add_argument(option.flag, action="store_const", const=True, help=option.help)


def markdown() -> str:
    """Return the documentation of the options, as docs/options.md holds it."""
    lines = [
        "# Options",
        "",
        "What `pycuda-guard run` takes on its command line, `pycuda_guard.enable()` and",
        "`pycuda_guard.guard()` take as keyword arguments, and all of them take from the environment.",
        "The command line and the keyword win over the environment. `pytest --pycuda-guard` takes them as",
        "`--pycuda-guard-device` and so on (docs/pytest.md).",
        "",
        "| command line | keyword | environment | default | what it does |",
        "|---|---|---|---|---|",
    ]
    for option in OPTIONS:
        spelled = f"{option.flag} {option.values}".strip().replace("|", "\\|")
        keyword = "" if option.for_run else f"`{option.name}={'…' if option.values else 'True'}`"
        default = option.default or ("off" if option.default is False else "none")
        text = option.help[0].upper() + option.help[1:]
        lines.append(f"| `{spelled}` | {keyword} | `{option.variable}` | {default} | {text}. |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
