"""Exceptions that pycuda_guard itself raises."""

from __future__ import annotations


class GuardError(Exception):
    """Base of every error raised by pycuda_guard on its own account.

    ``hint`` is one sentence that says what to do about it, or an empty string.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StartError(GuardError):
    """The guard could not start (wrong option, no device, PyCUDA already imported)."""
