"""``pytest --pycuda-guard``: every test is guarded by itself and fails with what was found in it.

This module adds the options, and nothing else is imported where the plugin is not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycuda_guard.config import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Generator

    from pycuda_guard.pytest_plugin.current import PycudaGuard

#: the flag that turns the plugin on, and the beginning of all its options
FLAG = "--pycuda-guard"

#: what the options are called in pytest's namespace: this, and their own names
DESTINATION = "pycuda_guard_"


#: the option that pycuda-guard run does not have
HTML_FLAG, HTML_DESTINATION = f"{FLAG}-html", f"{DESTINATION}html"

#: the markers, and what they mean
MARK, EXPECT_MARK = "pycuda_guard", "pycuda_guard_expect"
MARKERS = (
    f"{MARK}(ignore=[code, ...], fail_on=level, races=bool): how the guard judges this test",
    f"{EXPECT_MARK}(code, ...): the test passes only if the guard finds this in it",
)

#: the name under which the guarding plugin object is registered
MANAGER = "pycuda-guard-manager"

NEEDS = f"needs {FLAG}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that turns the plugin on, and one option for each in the table."""
    group = parser.getgroup("pycuda-guard", "pycuda-guard")
    text = "guard every test: a PyCUDA test that misuses CUDA fails, and says where and why"
    group.addoption(FLAG, action="store_true", default=False, dest="pycuda_guard", help=text)
    parser.addini("pycuda_guard", f"the same as {FLAG}", type="bool", default=False)
    group.addoption(
        HTML_FLAG,
        metavar="FILE",
        default=None,
        dest=HTML_DESTINATION,
        help="write a page about the run there",
    )
    parser.addini(HTML_DESTINATION, f"the same as {HTML_FLAG}", type="string", default=None)
    for option in OPTIONS:
        if option.is_table:
            continue
        flag, destination = FLAG + option.flag.removeprefix("-"), DESTINATION + option.name
        group.addoption(flag, default=None, dest=destination, **option.argument())
        if not option.for_once:
            parser.addini(destination, f"the same as {flag}", type="string", default=None)


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


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, guarded or not."""
    for text in MARKERS:
        config.addinivalue_line("markers", text)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that expects a finding where nothing is looked for."""
    if item.get_closest_marker(EXPECT_MARK) and not item.config.pluginmanager.has_plugin(MANAGER):
        pytest.skip(NEEDS)


@pytest.fixture(name="pycuda_guard")
def fixture(request: pytest.FixtureRequest) -> PycudaGuard:
    """What pycuda_guard has seen of the test so far: .findings, .timeline, .expect(code).

    Without --pycuda-guard the test is skipped.
    """
    manager = request.config.pluginmanager.get_plugin(MANAGER)
    if manager is None:
        pytest.skip(NEEDS)
    guarded: PycudaGuard = manager.fixture()
    return guarded


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
