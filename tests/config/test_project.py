"""Where the project of a program is looked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pycuda_guard import project

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_folder_that_is_gone_has_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    assert project.layers(project.folder_here()) == ()
    assert not project.is_installed("script.py")


def test_scripts_of_the_environment_have_no_project_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert project.is_installed(f"{sys.prefix}/bin/pytest")
    assert not project.is_installed("bin/pytest")
    monkeypatch.chdir(sys.prefix)
    assert project.is_installed("bin/pytest")
