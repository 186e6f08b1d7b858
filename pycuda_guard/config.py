"""The one table of options: command line, environment, pyproject.toml and documentation are made from it.

``python -m pycuda_guard.config`` prints the documentation (docs/options.md).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from pycuda_guard.errors import StartError
from pycuda_guard.option import VARIABLE_PREFIX, Option, Table, Value, close_to, parse_range

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping, Sequence

__all__ = [
    "GROUPS",
    "OPTIONS",
    "VARIABLE_PREFIX",
    "Config",
    "Keywords",
    "Layer",
    "Option",
    "Setting",
    "Table",
    "Value",
    "add_arguments",
    "close_to",
    "given",
    "markdown",
    "parse_range",
    "read",
    "settings",
]

#: where a value comes from that nobody has set
DEFAULT = "default"

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
        "record the run there, for pycuda-guard check; {pid} stands for the number of the process, "
        "and a folder gets a file for each process",
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
    Option(
        "select",
        "report what these rules find only, by code or beginning of code (such as PG1,PG302)",
        metavar="CODES",
        default=(),
        is_codes=True,
    ),
    Option(
        "ignore",
        "report nothing of what these rules find, even if they are selected",
        metavar="CODES",
        default=(),
        is_codes=True,
    ),
    Option(
        "per_file_ignores",
        "suppress what these rules find in files of these names, seen from the folder of pyproject.toml",
        metavar="GLOB",
        default=(),
        is_table=True,
    ),
    Option(
        "per_kernel_ignores",
        "suppress what these rules find in kernels of these names",
        metavar="GLOB",
        default=(),
        is_table=True,
    ),
    Option("baseline", "suppress the findings that this file lists", metavar="FILE", default=None),
    Option(
        "write_baseline",
        "list all findings in this file, for the option baseline; none of them fails the run",
        metavar="FILE",
        default=None,
        for_run=True,
        for_once=True,
    ),
    Option(
        "bare",
        "run the program on the chosen device without the guard, to compare",
        for_run=True,
        for_once=True,
    ),
)

#: the options of the command line in the order of its help, under their headings
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("where it runs", ("device", "bare")),
    ("what is looked for", ("races", "no_kernels", "kernel", "skip_kernel", "launches", "blocking")),
    (
        "what is reported",
        ("select", "ignore", "baseline", "write_baseline", "fail_on", "strict", "quiet"),
    ),
    ("what is written", ("json", "record", "record_limit")),
    (
        "the CPU device",
        ("schedule", "kernel_timeout", "compute_capability", "cpu_devices", "cpu_memory"),
    ),
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
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_file_ignores: Table = ()
    per_kernel_ignores: Table = ()
    baseline: str | None = None
    write_baseline: str | None = None
    bare: bool = False


class Keywords(TypedDict, total=False):
    """The keyword arguments of :func:`pycuda_guard.enable` and :class:`pycuda_guard.guard`."""

    json: str | os.PathLike[str] | None
    record: str | os.PathLike[str] | None
    record_limit: int | str | None
    quiet: bool | None
    blocking: bool | None
    no_kernels: bool | None
    kernel: str | None
    skip_kernel: str | None
    launches: str | None
    schedule: str | None
    kernel_timeout: float | str | None
    cpu_devices: int | str | None
    cpu_memory: int | str | None
    compute_capability: str | None
    races: bool | None
    select: Sequence[str] | str | None
    ignore: Sequence[str] | str | None
    baseline: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Layer:
    """Values that options have in one place, by name; ``origin`` says which."""

    origin: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of an option, and where it comes from."""

    option: Option
    value: Value
    origin: str


def read(
    chosen: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
    below: Sequence[Layer] = (),
) -> Config:
    """Return the configuration that :func:`settings` finds."""
    values = {found.option.name: found.value for found in settings(chosen, environment, below)}
    return Config(**values)  # type: ignore[arg-type]


def settings(
    chosen: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
    below: Sequence[Layer] = (),
) -> list[Setting]:
    """Return every option's value: the one ``chosen``, else the environment's, a layer's, the default.

    The layers are those ``below`` the environment; the first that has a value wins. A value of None is
    none. Raises :class:`StartError` for an unknown option and for a value that an option can't have.
    """
    variables = os.environ if environment is None else environment
    known = [option.name for option in OPTIONS]
    for name in chosen:
        if name not in known:
            raise StartError(f"there is no option {name!r}", close_to(name, known))
    return [_setting(option, chosen, variables, below) for option in OPTIONS]


def _setting(
    option: Option, chosen: Mapping[str, object], variables: Mapping[str, str], below: Sequence[Layer]
) -> Setting:
    value = chosen.get(option.name)
    if value is not None:
        return Setting(option, option.check(value), "command line")
    text = variables.get(option.variable)
    if text and not option.is_table:
        return Setting(option, option.read(text), f"environment {option.variable}")
    for layer in below:
        value = layer.values.get(option.name)
        if value is not None:
            try:
                return Setting(option, option.check(value), layer.origin)
            except StartError as error:
                raise StartError(f"{layer.origin}: {error}", error.hint) from None
    return Setting(option, option.default, DEFAULT)


def add_arguments(parser: argparse.ArgumentParser, names: Collection[str] | None = None) -> None:
    """Add the options of these names, or all, to a command's parser; one that is not given is None there."""
    known = {option.name: option for option in OPTIONS if not option.is_table}
    for title, group in GROUPS:
        chosen = [known[name] for name in group if names is None or name in names]
        if chosen:
            section = parser.add_argument_group(title)
            for option in chosen:
                section.add_argument(option.flag, **option.argument())


def given(arguments: argparse.Namespace) -> dict[str, object]:
    """Return what a command line gave, by the names of the options that its command takes."""
    return {option.name: getattr(arguments, option.name, None) for option in OPTIONS}


def markdown() -> str:
    """Return the documentation of the options, as docs/options.md holds it."""
    lines = [
        "# Options",
        "",
        "What `pycuda-guard run` takes on its command line, `pycuda_guard.enable()` and",
        "`pycuda_guard.guard()` take as keyword arguments, and all of them take from the environment and",
        "from `[tool.pycuda_guard]` in pyproject.toml, where the keys are those of the command line without",
        "the two dashes. [configuration.md](configuration.md) says which wins. `pytest --pycuda-guard` takes",
        "them as `--pycuda-guard-device` and so on ([pytest.md](pytest.md)).",
        "",
        "| command line | keyword | environment | default | what it does |",
        "|---|---|---|---|---|",
    ]
    for option in OPTIONS:
        spelled = f"{option.flag} {option.values}".strip().replace("|", "\\|")
        keyword = "" if option.for_run else f"`{option.name}={'…' if option.values else 'True'}`"
        variable = f"`{option.variable}`"
        if option.is_table:
            spelled = f"[tool.pycuda_guard.{option.key}]"
            keyword = variable = ""
        default = option.default or ("off" if option.default is False else "none")
        text = option.help[0].upper() + option.help[1:]
        where = "" if option.is_table or not option.for_once else " Not in pyproject.toml."
        lines.append(f"| `{spelled}` | {keyword} | {variable} | {default} | {text}.{where} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
