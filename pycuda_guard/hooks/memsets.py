"""Memsets: one and two dimensions, three item sizes, with and without a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import DEFAULT_STREAM, Event, Extent, Memset
from pycuda_guard.hooks.operands import device, plain
from pycuda_guard.hooks.tap import Connect, Tap, ThreadState, announced

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site


def memset(bits: int, asynchronous: bool = False) -> Connect:
    """Hook ``memset_d8`` and its like: ``size`` counts elements of ``bits`` bits."""
    item_size = bits // 8
    call = f"memset_d{bits}{'_async' if asynchronous else ''}"

    def describe(
        tap: Tap,
        site: Site | None,
        state: ThreadState,
        /,
        dest: Any,
        data: int,
        size: int,
        stream: Any = None,
    ) -> Event:
        size = int(size)
        return Memset(
            site,
            state.thread,
            state.context,
            call,
            device(tap, dest, plain(size * item_size)),
            item_size,
            size,
            DEFAULT_STREAM if stream is None else stream.handle,
            asynchronous,
        )

    return announced(call, describe)


def memset_2d(bits: int, asynchronous: bool = False) -> Connect:
    """Hook ``memset_d2d8`` and its like: ``width`` counts elements, ``pitch`` bytes."""
    item_size = bits // 8
    call = f"memset_d2d{bits}{'_async' if asynchronous else ''}"

    def describe(
        tap: Tap,
        site: Site | None,
        state: ThreadState,
        /,
        dest: Any,
        pitch: int,
        data: int,
        width: int,
        height: int,
        stream: Any = None,
    ) -> Event:
        width = int(width)
        return Memset(
            site,
            state.thread,
            state.context,
            call,
            device(tap, dest, Extent(width * item_size, rows=int(height), pitch=int(pitch))),
            item_size,
            width,
            DEFAULT_STREAM if stream is None else stream.handle,
            asynchronous,
        )

    return announced(call, describe)
