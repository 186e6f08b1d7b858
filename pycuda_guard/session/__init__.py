"""One guarded run of a program: hooks → events → checks → findings → reports."""

from __future__ import annotations

from pycuda_guard.session.session import Session, active, begin, begin_child

__all__ = ["Session", "active", "begin", "begin_child"]
