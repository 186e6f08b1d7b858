"""``pytest --pycuda-guard``: every test is guarded by itself and fails with what was found in it.

This module adds the options, and nothing else is imported where the plugin is not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycuda_guard.config import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Generator

#: the flag that turns the plugin on, and the beginning of all its options
FLAG = "--pycuda-guard"

#: what the options are called in pytest's namespace: this, and their own names
DESTINATION = "pycuda_guard_"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that turns the plugin on, and one option for each in the table."""
    group = parser.getgroup("pycuda-guard", "pycuda-guard")
    text = "guard every test: a PyCUDA test that misuses CUDA fails, and says where and why"
    group.addoption(FLAG, action="store_true", default=False, dest="pycuda_guard", help=text)
    parser.addini("pycuda_guard", f"the same as {FLAG}", type="bool", default=False)
    for option in OPTIONS:
        flag, destination = FLAG + option.flag.removeprefix("-"), DESTINATION + option.name
        if option.choices:
            text = f"{option.help} (default: {option.default})"
            group.addoption(flag, choices=option.choices, default=None, dest=destination, help=text)
        elif option.metavar:
            group.addoption(flag, metavar=option.metavar, default=None, dest=destination, help=option.help)
        else:
            group.addoption(
                flag, action="store_const", const=True, default=None, dest=destination, help=option.help
            )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Start guarding before any conftest.py can import PyCUDA, and before output is captured.

    Raises :class:`pytest.UsageError` where the run can't be guarded.
    """
    if early_config.known_args_namespace.pycuda_guard or early_config.getini("pycuda_guard"):
        from pycuda_guard.pytest_plugin.start import start

        start(early_config)
    else:
        _check_that_nothing_is_asked(early_config)
    return (yield)


def _check_that_nothing_is_asked(config: pytest.Config) -> None:
    """Refuse options on the command line that would do nothing: the run would look guarded.

    In ``addopts`` they are welcome: the flag may be given or not.
    """
    for argument in config.invocation_params.args:
        text = str(argument)
        if text == "--":
            return
        if text.startswith(FLAG + "-"):
            raise pytest.UsageError(f"{text.partition('=')[0]} does nothing without {FLAG}")
