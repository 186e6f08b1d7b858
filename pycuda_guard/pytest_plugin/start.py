"""Begins to guard a run of pytest, or says why that can't be."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TextIO

import pytest

from pycuda_guard import config, project
from pycuda_guard.errors import GuardError, StartError
from pycuda_guard.events import recorder
from pycuda_guard.pytest_plugin import DESTINATION, FLAG, HTML_DESTINATION, MANAGER
from pycuda_guard.pytest_plugin.manager import Manager
from pycuda_guard.pytest_plugin.screen import Screen
from pycuda_guard.session import active, begin, devices


class Bare:
    """The plugin object of a run that is not guarded, to compare."""

    def __init__(self, device: str) -> None:
        self._device = devices.NAMES[device]

    def pytest_report_header(self) -> str:
        """Say that nothing is guarded."""
        return f"pycuda-guard: on {self._device}, bare: nothing is guarded"


def start(pytest_config: pytest.Config) -> None:
    """Guard this process and register what splits its findings by test.

    Raises :class:`pytest.UsageError` for a wrong option, where there is no such device, and where
    PyCUDA was imported, or guarded, before.
    """
    namespace = pytest_config.known_args_namespace
    try:
        chosen = {one.name: getattr(namespace, DESTINATION + one.name, None) for one in config.OPTIONS}
        options = config.read(chosen, below=_below(pytest_config))
        if options.bare:
            bare = Bare(devices.choose(options))
            pytest_config.pluginmanager.register(bare, "pycuda-guard-bare")
            return
        _check_that_nothing_was_done()
        screen = Screen()
        record = options.record
        if record and "PYTEST_XDIST_WORKER" in os.environ:
            record = recorder.path_of(record, is_child=True)
        session = begin(replace(options, json=None, write_baseline=None, record=record), screen)
    except GuardError as error:
        hint = f" ({_in_pytest(error.hint)})" if error.hint else ""
        raise pytest.UsageError(f"pycuda-guard can't guard this run: {error}{hint}") from error
    html = getattr(namespace, HTML_DESTINATION, None) or pytest_config.getini(HTML_DESTINATION) or ""
    manager = Manager(session, replace(options, record=record), str(html), _real_stderr())
    screen.manager = manager
    pytest_config.pluginmanager.register(manager, MANAGER)


def _below(pytest_config: pytest.Config) -> tuple[config.Layer, ...]:
    """Return what pytest's configuration file says, then pyproject.toml's own section for the guard."""
    origin = str(pytest_config.inipath or "pytest's configuration")
    values: dict[str, object] = {}
    for option in config.OPTIONS:
        if option.is_table or option.for_once:
            continue
        name = DESTINATION + option.name
        text = pytest_config.getini(name)
        if text:
            try:
                values[option.name] = option.read(text, name)
            except StartError as error:
                raise StartError(f"{origin}: {error}", error.hint) from None
    return (config.Layer(origin, values), *project.layers(pytest_config.rootpath))


def _check_that_nothing_was_done() -> None:
    if active() is not None:
        raise GuardError(
            "something has enabled pycuda_guard in this process before",
            f"with {FLAG}, leave out pycuda-guard run",
        )
    if "pycuda._driver" in sys.modules:
        raise GuardError(
            "pycuda.driver was imported before it could start",
            "a plugin did it, named by -p, PYTEST_PLUGINS or an entry point: import PyCUDA in a conftest.py",
        )


def _in_pytest(hint: str) -> str:
    """Spell options as they are spelled here."""
    for option in sorted(config.OPTIONS, key=lambda option: -len(option.flag)):
        hint = hint.replace(option.flag, FLAG + option.flag.removeprefix("-"))
    return hint


def _real_stderr() -> TextIO | None:
    """Return a stream that goes where stderr went before pytest captures it."""
    try:
        return open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
